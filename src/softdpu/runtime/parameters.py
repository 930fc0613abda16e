"""Constants inside a compiled DPU subgraph: where they are in its parameter blob, and in which layout.

DPUCZDX8G (and softdpu, for every DPU) keeps them plain: int8, kernels as (output, height, width, input). DPUCAHX8H
(U50, U50LV, U280) spreads kernels over two registers; DPUCVDX8G (VCK190) and DPUCV2DX8G (VEK280, V70) split them into
the blocks that their engines take at once. These layouts were found by comparing the genuine files of one model for
several boards; they cover convolutions and their biases.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from softdpu.errors import SoftdpuError
from softdpu.numbers.dpu import is_of_softdpu, name_type, read_attribute, read_fingerprint

if TYPE_CHECKING:
    from xir import Op, Subgraph

_PLAIN, _CAHX8H, _CVDX8G, _CV2DX8G = "DPUCZDX8G", "DPUCAHX8H", "DPUCVDX8G", "DPUCV2DX8G"
_CONVOLUTIONS = ("conv2d-fix", "transposed-conv2d-fix")


def read_constant(op: Op, subgraph: Subgraph) -> np.ndarray | None:
    """Return a const-fix of a DPU subgraph from its blob, int8 in its own shape; None where the layout is unknown.

    Args:
        op: an xir.Op whose output tensor has an address.
        subgraph: the xir.Subgraph that has the blob.

    Raises:
        SoftdpuError: its bytes lie outside the blob, or it is not int8.
    """
    number = read_fingerprint(subgraph)
    kind = _PLAIN if number is None or is_of_softdpu(subgraph) else name_type(number)
    if kind not in (_PLAIN, _CAHX8H, _CVDX8G, _CV2DX8G):
        return None
    tensor = op.get_output_tensor()
    if tensor.dtype not in ("xint8", "int8"):
        raise SoftdpuError(f"op '{op.get_name()}': expected xint8 in the DPU's parameters, got {tensor.dtype}")
    start, size = read_attribute(tensor, "ddr_addr", int) or 0, tensor.get_data_size()
    register = read_attribute(tensor, "reg_id", int) or 0
    blobs = read_attribute(subgraph, "reg_id_to_parameter_value", dict) or {}
    blob = np.frombuffer(blobs.get(f"REG_{register}", b""), np.int8)
    half = len(blob)
    if kind == _CAHX8H and tensor.ndim == 4:
        blob = np.concatenate([blob, np.frombuffer(blobs.get(f"REG_{register + 1}", b""), np.int8)])
    outside = SoftdpuError(
        f"op '{op.get_name()}': its {size} bytes at {start} lie outside the {len(blob)} bytes of REG_{register}: "
        "the .xmodel is damaged"
    )
    if start < 0 or start + size > len(blob) or min(tensor.dims, default=1) < 1:
        raise outside
    if kind == _PLAIN:
        return blob[start : start + size].reshape(tensor.dims)
    offsets = _offsets(op, kind, half)
    if offsets is None:
        return None
    if start + int(offsets.max()) >= len(blob):
        raise outside
    return np.asarray(blob[start + offsets])


def _offsets(op: Op, kind: str, half: int) -> np.ndarray | None:
    """Return the offset of each number from the constant's address, in the constant's shape."""
    dims = op.get_output_tensor().dims
    consumers = op.get_fanout_ops()
    if len(consumers) != 1 or consumers[0].get_type() not in _CONVOLUTIONS:
        return None
    if len(dims) == 1:
        return _versal_ai_edge_bias(dims[0]) if kind == _CV2DX8G else np.arange(dims[0])
    if len(dims) != 4:
        return None
    if kind == _CAHX8H:
        return _split_kernel(dims, half)
    packed = read_attribute(consumers[0], "channel_augmentation", int)
    shape = [dims[0], dims[1], 1, dims[2] * dims[3]] if packed else dims
    rule = _versal_kernel if kind == _CVDX8G else _versal_ai_edge_kernel
    offsets = rule(*shape)
    return None if offsets is None else offsets.reshape(dims)


def _split_kernel(dims: list[int], half: int) -> np.ndarray:
    """Of every 16 outputs the first 8 are in one register, the others in the next, which begins at `half`."""
    outputs, rest = dims[0], int(np.prod(dims[1:]))
    o = np.arange(outputs)[:, np.newaxis]
    row = o // 16 * 8 + o % 8
    return (o // 8 % 2 * half + row * rest + np.arange(rest)).reshape(dims)


def _versal_kernel(outputs: int, height: int, width: int, inputs: int) -> np.ndarray | None:
    """Blocks of 4 outputs x 16 inputs. Of 32 outputs the blocks go 0, 16, 4, 20, 8, 24, 12, 28; of fewer in order."""
    whole, rest = outputs // 32 * 32, outputs % 32
    if rest > 20:
        return None  # no genuine file has shown yet
    starts = [group + 16 * half + 4 * q for group in range(0, whole, 32) for q in range(4) for half in (0, 1)]
    order = {start: rank for rank, start in enumerate([*starts, *range(whole, outputs, 4)])}
    o, h, w, i = np.ogrid[:outputs, :height, :width, :inputs]
    rank = np.array([order[index - index % 4] for index in range(outputs)])[o]
    block = ((rank * height + h) * width + w) * -(-inputs // 16) + i // 16
    return (block * 4 + o % 4) * 16 + i % 16


def _versal_ai_edge_kernel(outputs: int, height: int, width: int, inputs: int) -> np.ndarray:
    """Blocks of 32 outputs x 32 inputs; within one, 8 outputs are together, then pairs of inputs, then halves of 16."""
    o, h, w, i = np.ogrid[:outputs, :height, :width, :inputs]
    block = (((o // 32) * -(-inputs // 32) + i // 32) * height + h) * width + w
    inside = o // 8 % 2
    for part, count in ((i % 16 // 2, 8), (i // 16 % 2, 2), (o // 16 % 2, 2), (i % 2, 2), (o % 8, 8)):
        inside = inside * count + part
    return block * 1024 + inside


def _versal_ai_edge_bias(outputs: int) -> np.ndarray:
    """256 bytes for 32 biases: two copies of everything, 32 bytes of zeros before each."""
    o = np.arange(outputs)
    return o // 32 * 256 + o // 8 % 2 * 128 + 32 + o // 16 % 2 * 16 + o % 8
