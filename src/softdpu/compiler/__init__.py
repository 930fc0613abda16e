"""The compiler: quantized Keras HDF5 -> xir graph -> integer operations -> subgraphs -> .xmodel.

`compile.PASSES` lists the steps in order; each is a function from a graph to a graph in a file of its own.
"""

from softdpu.compiler.compile import compile_keras, compile_model, summarize

__all__ = ["compile_keras", "compile_model", "summarize"]
