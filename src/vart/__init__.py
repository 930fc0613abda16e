"""AMD's `vart` module on the software DPU: the same app runs here and, with AMD's module, on the board.

>>> import numpy as np, vart, xir
>>> graph = xir.Graph("net")  # an app reads it with xir.Graph.deserialize("mobilenet.xmodel")
>>> image = graph.create_op("image", "data-fix", {"shape": [1, 2, 2, 3], "data_type": "XINT8"}, {})
>>> window = {"type": "MAX", "kernel": [2, 2], "stride": [2, 2], "pad": [0, 0, 0, 0], "global": False}
>>> pool = graph.create_op("pool", "pool-fix", {**window, "pad_mode": "FLOOR"}, {"input": [image]})
>>> numbers = {"fix_point": 4, "bit_width": 8, "if_signed": True, "round_mode": "DPU_ROUND"}
>>> tensors = [op.get_output_tensor().set_attrs(numbers) for op in (image, pool)]
>>> root = graph.get_root_subgraph()
>>> root.create_child_subgraph()
>>> device = {"device": "DPU", "runner": {"run": "libvart-softdpu-runner.so"}}
>>> subgraph = root.find_child_subgraph_by_op(pool).set_attrs(device)

>>> runner = vart.Runner.create_runner(subgraph, "run")
>>> inputs, outputs = np.arange(12, dtype=np.int8).reshape(1, 2, 2, 3), np.zeros((1, 1, 1, 3), np.int8)
>>> job = runner.execute_async([inputs], [outputs])
>>> runner.wait(job)
0
>>> outputs.ravel()
array([ 9, 10, 11], dtype=int8)

docs/runtime.md says where this module is stricter than AMD's.
"""

from __future__ import annotations

from vart.errors import VartError
from vart.runner import Runner, RunnerExt
from vart.tensor_buffer import TensorBuffer

__all__ = ["Runner", "RunnerExt", "TensorBuffer", "VartError"]

__softdpu__ = True  # says to an app that this is not AMD's module, which needs a DPU's instructions in the model
