"""As much of AMD's `xir` as the app may use, and as strict; the "xmodel" is a JSON file that tells what to be.

Keys: batch, shape, classes, fix_point, devices (of the subgraphs), library (in the runner map), cpu_ops (their
types), delay, fail.
"""

from __future__ import annotations

import json


class Abort(BaseException):
    """Stands for AMD's glog FATAL, which no `except Exception` catches."""


class Attributes:
    def __init__(self, attrs):
        self._attrs = attrs

    def has_attr(self, name):
        return name in self._attrs

    def get_attr(self, name):
        if name not in self._attrs:
            raise Abort(f"no attribute {name}")
        return self._attrs[name]


class Tensor(Attributes):
    def __init__(self, name, dims, fix_point):
        super().__init__({"fix_point": fix_point, "bit_width": 8})
        self.name, self.dims, self.dtype = name, list(dims), "xint8"


class Op:
    def __init__(self, kind):
        self._kind = kind

    def get_type(self):
        return self._kind


class Subgraph(Attributes):
    def __init__(self, attrs, children=(), model=None):
        super().__init__(attrs)
        self._children, self.model = list(children), model

    @property
    def is_leaf(self):
        return not self._children

    def get_ops(self):
        return {Op(kind) for kind in self.model.get("cpu_ops", ["fix2float"])}

    def toposort_child_subgraph(self):
        if self.is_leaf:
            raise Abort("a leaf has no children")
        return self._children


class Graph:
    def __init__(self, model):
        children = [
            Subgraph({"device": device, "runner": {"run": model["library"]}} if device == "DPU" else {"device": device})
            for device in model["devices"]
        ]
        for child in children:
            child.model = model
        self._root, self.model = Subgraph({}, children), model

    @staticmethod
    def deserialize(path):
        with open(path) as file:
            return Graph(json.load(file))

    def get_root_subgraph(self):
        return self._root
