"""The constants of an .xmodel as arrays."""

from __future__ import annotations

import os
import zipfile
from dataclasses import dataclass

import numpy as np

import xir
from softdpu.errors import SoftdpuError
from softdpu.numbers.fixed_point import dequantize
from softdpu.output.files import whole_file
from softdpu.runtime.parameters import read_constant
from softdpu.xmodel.load import list_devices, read_position


@dataclass(frozen=True)
class Constant:
    """A constant: its op's name, its numbers as stored, and the position where they are fixed-point."""

    name: str
    data: np.ndarray
    position: int | None

    def real(self) -> np.ndarray:
        """Return the real values, float32."""
        return self.data if self.position is None else dequantize(self.data, self.position)


def list_constants(graph: xir.Graph) -> tuple[list[Constant], list[str]]:
    """Return the constants of a graph in order, and the names of those whose layout is unknown.

    Raises:
        SoftdpuError: a constant's bytes do not fit its shape.
    """
    blobs = {op: subgraph for device, subgraph in list_devices(graph) if device == "DPU" for op in subgraph.get_ops()}
    found, hidden = [], []
    for op in graph.toposort():
        if not op.get_type().startswith("const"):
            continue
        try:
            if op in blobs and op.get_output_tensor().has_attr("ddr_addr") and not op.get_attr("data"):
                data = read_constant(op, blobs[op])
            else:
                data = xir.const_data(op)
        except xir.XirError as error:
            raise SoftdpuError(str(error)) from None
        if data is None:
            hidden.append(op.get_name())
        else:
            found.append(Constant(op.get_name(), data, read_position(op)))
    return found, hidden


def write_npz(path: str | os.PathLike[str], found: list[Constant], real: bool) -> None:
    """Write constants to a .npz file under their ops' names, as stored or as real values; whole or not at all."""
    with whole_file(path) as part, zipfile.ZipFile(part, "w") as archive:
        for constant in found:  # by hand: numpy.savez takes no array named "file", and op names may be anything
            with archive.open(zipfile.ZipInfo(constant.name + ".npy"), "w", force_zip64=True) as member:
                np.lib.format.write_array(member, constant.real() if real else constant.data, allow_pickle=False)
