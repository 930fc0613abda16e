"""AMD's `xir` module in pure Python: graphs of a neural network's ops, read from and written to .xmodel files.

It offers what AMD's module offers under the same names, so that an app runs with either. Where AMD's library ends the
process, this one raises `XirError`. Additions, for programs that write compiled models: `Attr` and `get_attr_kind`
(attributes of any kind), `Tensor.create`, `Op.replace_output_tensor`, `Graph.serialize_to_string`,
`Graph.deserialize_from_string` and `const_data` (a constant as an array).

>>> import xir
>>> graph = xir.Graph("net")
>>> image = graph.create_op("image", "data-fix", {"shape": [1, 2, 2, 3], "data_type": "XINT8"}, {})
>>> window = {"type": "MAX", "kernel": [2, 2], "stride": [2, 2], "pad": [0, 0, 0, 0], "global": False}
>>> pool = graph.create_op("pool", "pool-fix", {**window, "pad_mode": "FLOOR"}, {"input": [image]})
>>> pool.get_output_tensor().dims
[1, 1, 1, 3]
>>> copy = xir.Graph.deserialize_from_string(graph.serialize_to_string())
>>> [op.get_name() for op in copy.toposort()]
['image', 'pool']
"""

from xir.attributes import Attr
from xir.const import const_data
from xir.data_type import DataType
from xir.errors import XirError
from xir.graph import Graph
from xir.op import Op
from xir.subgraph import Subgraph
from xir.tensor import Tensor

__all__ = ["Attr", "DataType", "Graph", "Op", "Subgraph", "Tensor", "XirError", "const_data"]
