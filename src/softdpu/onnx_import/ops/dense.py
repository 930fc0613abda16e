"""Matrix products."""

from __future__ import annotations

import numpy as np

from softdpu.keras2.api import tf
from softdpu.onnx_import.lower import Lowering
from softdpu.onnx_import.onnx_graph import Node
from softdpu.onnx_import.registry import CPU, DPU, Refused, operation
from softdpu.onnx_import.value import Value


@operation("Gemm", runs=DPU)
def gemm(build: Lowering, node: Node) -> Value:
    """Dense: alpha * A * B + beta * C with constant B and C."""
    if node.attrs.get("transA"):
        raise Refused("has transA=1, which mixes the images of a batch")
    kernel = build.need_constant(node, 1, "weights")
    kernel = (kernel.T if node.attrs.get("transB") else kernel) * np.float32(node.attrs.get("alpha", 1.0))
    bias = None
    if node.input(2):
        bias = build.need_constant(node, 2, "biases") * np.float32(node.attrs.get("beta", 1.0))
        if bias.ndim == 2 and bias.shape[0] > 1:
            raise Refused("has a bias that differs over the images of a batch")
        bias = np.broadcast_to(bias.reshape(-1), kernel.shape[1:])
    return _product(build, node, build.value(node, 0), 1, kernel, bias)


@operation("Dense", runs=DPU)
def dense(build: Lowering, node: Node) -> Value:
    """Dense, of a MatMul and an Add that were joined."""
    kernel = build.need_constant(node, 1, "weights")
    value = build.value(node, 0)
    return _product(build, node, value, value.rank - 1, kernel, build.constant(node, 2))


@operation("MatMul", runs=DPU)
def matmul(build: Lowering, node: Node) -> Value:
    """Dense where one side is constant; a product of two computed tensors is the CPU's."""
    first, second = build.constant(node, 0), build.constant(node, 1)
    for index, constant in enumerate((first, second)):
        if constant is not None and constant.ndim > 2 and constant.size == np.prod(constant.shape[-2:]):
            constant = constant.reshape(constant.shape[-2:])
            first, second = (constant, second) if index == 0 else (first, constant)
    if second is not None and second.ndim == 2:
        value = build.value(node, 0)
        return _product(build, node, value, value.rank - 1, second, None)
    if first is not None and first.ndim == 2:
        value = build.value(node, 1)
        if value.rank > 2:
            return _product(build, node, value, value.rank - 2, first.T, None)
    if first is not None or second is not None:
        raise Refused("has a constant factor that is no matrix")
    return _multiply_tensors(build, node)


@operation("Einsum", runs=CPU)
def einsum(build: Lowering, node: Node) -> Value:
    """Not lowered: named with its equation."""
    raise Refused(f"with equation {node.attrs.get('equation')} is not known to the importer")


def _product(
    build: Lowering, node: Node, value: Value, axis: int, kernel: np.ndarray, bias: np.ndarray | None
) -> Value:
    """Return the product over one axis of a tensor, which is moved to the end if it is not there."""
    if kernel.ndim != 2 or value.shape[axis] != kernel.shape[0] or value.rank < 2:
        raise Refused(f"multiplies a tensor of shape {value.shape} by weights of shape {kernel.shape}")
    if value.order[0] == axis:
        raise Refused("mixes the images of a batch")
    if value.mixed is not None:
        kernel = kernel[value.mixed]
    elif value.order[-1] != axis:
        order = tuple(one for one in value.order if one != axis)
        value = build.reorder(value, (*order, axis), "permute", node)
    tensor = build.layer(
        node,
        "Dense",
        value.tensor,
        "",
        [kernel] if bias is None else [kernel, bias],
        units=kernel.shape[1],
        use_bias=bias is not None,
        kernel_initializer="zeros",
    )
    shape = tuple(kernel.shape[1] if index == axis else size for index, size in enumerate(value.shape))
    return Value(tensor, shape, value.order)


def _multiply_tensors(build: Lowering, node: Node) -> Value:
    first, second = (build.value(node, index) for index in (0, 1))
    if first.rank != second.rank or first.rank < 3:
        raise Refused(f"multiplies tensors of {first.rank} and {second.rank} dimensions")
    order = tuple(range(first.rank))
    first, second = (build.reorder(value, order, "rows", node) for value in (first, second))
    tensor = build.function(node, tf.linalg.matmul, first.tensor, second.tensor)
    return Value(tensor, build.shape(node), order)
