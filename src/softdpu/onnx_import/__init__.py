"""ONNX files in: a network of NCHW float32 becomes an ordinary Keras model of NHWC that the quantizer knows.

The steps, a module each: `load` reads the file safely, `graph` folds what is constant and works out shapes, `patterns`
joins what exporters take apart, `lower` turns node after node into Keras layers (`ops` has a function an operation,
found by `registry`), `check` compares the result with onnxruntime. `listing` shows a file's tensors and where to cut.
"""

from __future__ import annotations
