"""AMD's `xir` module in pure Python: graphs of a neural network's ops, read from and written to .xmodel files.

It offers what AMD's module offers under the same names, so that an app runs with either. Where AMD's library ends the
process, this one raises `XirError`. Additions, for programs that write compiled models: `Attr` and `get_attr_kind`
(attributes of any kind), `Tensor.create`, `Op.replace_output_tensor`, `Graph.serialize_to_string`,
`Graph.deserialize_from_string` and `const_data` (a constant as an array).
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
