"""AMD's `vitis_ai_library` module on the software DPU: a whole compiled network in one call.

`vart` runs one DPU subgraph. A network that falls into several, or that has layers on the CPU before, between or behind
them, is run by this module, all of its subgraphs in order:

>>> import numpy as np, vitis_ai_library, xir
>>> graph = xir.Graph("net")  # an app reads it with xir.Graph.deserialize("network.xmodel")
>>> image = graph.create_op("image", "data-fix", {"shape": [1, 2, 2, 3], "data_type": "XINT8"}, {})
>>> numbers = {"fix_point": 1, "bit_width": 8, "if_signed": True, "round_mode": "DPU_ROUND"}
>>> image.get_output_tensor().set_attrs(numbers)
<xir.Tensor named 'image'>
>>> real = graph.create_op("real", "fix2float", numbers, {"input": [image]})
>>> end = graph.create_op("end", "elu", {}, {"input": [real]})
>>> root = graph.get_root_subgraph()
>>> root.create_child_subgraph()
>>> for op, device in ((image, "USER"), (real, "CPU"), (end, "CPU")):
...     _ = root.find_child_subgraph_by_op(op).set_attr("device", device)

>>> runner = vitis_ai_library.GraphRunner.create_graph_runner(graph)
>>> (inputs,), (outputs,) = runner.get_inputs(), runner.get_outputs()
>>> np.asarray(inputs)[...] = 3  # int8; 3 * 2**-fix_point is 1.5
>>> job = runner.execute_async([inputs], [outputs])
>>> runner.wait(job)
0
>>> float(np.asarray(outputs).max())
1.5

docs/runtime.md says more.
"""

from __future__ import annotations

from vitis_ai_library.graph_runner import GraphRunner

__all__ = ["GraphRunner"]

__softdpu__ = True  # says to an app that this is not AMD's module
