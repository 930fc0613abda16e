"""HDF5 files of models, opened after a look at their structure: nothing outside the file, nothing larger than it.

HDF5 can store a dataset in other files, link to other files, and declare sizes that the file does not hold. Keras
writes none of these, so a file that has one is refused before any value is read.
"""

from __future__ import annotations

import contextlib
import functools
import mmap
import operator
import struct
from typing import Any, BinaryIO, Iterable, Iterator  # noqa: UP035 - not generic in collections.abc before Python 3.9

import h5py
import numpy as np

from softdpu.errors import SoftdpuError
from softdpu.output.files import PathLike

SWELL = 20  # how much larger than the file its unpacked values may be; weights that were pruned and packed reach 10
SPARE = 16 << 20  # bytes that any file may unpack to
_MOST_OBJECTS, _MOST_DEPTH = 200_000, 64
_FILTERS = (h5py.h5z.FILTER_DEFLATE, h5py.h5z.FILTER_SHUFFLE, h5py.h5z.FILTER_FLETCHER32, h5py.h5z.FILTER_LZF)
_PLAIN = (h5py.h5t.INTEGER, h5py.h5t.FLOAT, h5py.h5t.STRING, h5py.h5t.ENUM)


@contextlib.contextmanager
def open_checked(source: Any, where: PathLike) -> Iterator[h5py.File]:
    """Open an HDF5 file for reading once its structure is checked.

    Args:
        source: path or binary file.
        where: name of the file, for messages.

    Raises:
        SoftdpuError: for a link to another place, storage outside the file, a size that the file cannot hold.
        OSError: if it is no HDF5 file or damaged, as of h5py; also RuntimeError, KeyError and ValueError.
    """
    with open(source, "rb") if not hasattr(source, "read") else contextlib.nullcontext(source) as raw:
        _check_heaps(raw, str(where))
    with h5py.File(source if hasattr(source, "read") else str(source), "r") as file:
        _Check(file, str(where)).all()
        yield file


_HEAP = b"GCOL\x01\x00\x00\x00"  # where texts of any length lie: HDF5's specification, III.E, the global heap
_HEAP_HEADER, _OBJECT = struct.Struct("<8sQ"), struct.Struct("<HHIQ")  # signature, size; index, uses, 0, size


def _check_heaps(file: BinaryIO, where: str) -> None:
    """Check that the objects of every global heap end within it: one of no length keeps HDF5's library busy for ever.

    Raises:
        SoftdpuError: if one does not.
    """
    position = file.seek(0, 1)
    size = file.seek(0, 2)
    file.seek(0)
    try:
        data: Any = mmap.mmap(file.fileno(), size, access=mmap.ACCESS_READ) if size else b""
    except (OSError, ValueError):  # in memory, as io.UnsupportedOperation says, or a file that cannot be mapped
        data = file.read()
    file.seek(position)
    start = data.find(_HEAP)
    while 0 <= start <= len(data) - _HEAP_HEADER.size:
        end, place = start + _HEAP_HEADER.unpack_from(data, start)[1], start + _HEAP_HEADER.size
        while place + _OBJECT.size <= min(end, len(data)):
            index, _, _, length = _OBJECT.unpack_from(data, place)
            step = _OBJECT.size + -(-length // 8) * 8 if index else length  # the free rest counts its own header
            if step < _OBJECT.size or place + step > end:
                raise SoftdpuError(f"{where} is damaged: its texts at byte {place} do not end; save the model again")
            place += step
        start = data.find(_HEAP, start + len(_HEAP))


class _Check:
    """Walks over a file's objects and adds up what they declare."""

    def __init__(self, file: h5py.File, where: str) -> None:
        self.file, self.where = file, where
        self.size = file.id.get_filesize()
        self.limit = SWELL * self.size + SPARE
        self.declared = 0

    def all(self) -> None:
        """Check every object, from the root on."""
        root = h5py.h5g.open(self.file.id, b"/")
        self._attributes(root, "/")
        waiting, groups, count = [(root, "", 0)], {h5py.h5o.get_info(root).addr}, 0
        while waiting:
            group, prefix, depth = waiting.pop()
            for name in group:
                path = f"{prefix}/{name.decode('utf-8', 'replace')}"
                if group.links.get_info(name).type != h5py.h5l.TYPE_HARD:
                    raise self._refusal(path, "is a soft or external link")
                count += 1
                if count > _MOST_OBJECTS or depth > _MOST_DEPTH:
                    raise self._refusal(path, f"is one of more than {_MOST_OBJECTS} objects, or too deep")
                item = h5py.h5o.open(group, name)
                if isinstance(item, h5py.h5g.GroupID):
                    address = h5py.h5o.get_info(item).addr
                    if address in groups:
                        raise self._refusal(path, "is a group that stands in two places")
                    groups.add(address)
                    waiting.append((item, path, depth + 1))
                elif isinstance(item, h5py.h5d.DatasetID):
                    self._dataset(item, path)
                else:
                    raise self._refusal(path, "is neither a group nor a dataset")
                self._attributes(item, path)

    def _dataset(self, item: h5py.h5d.DatasetID, path: str) -> None:
        plan = item.get_create_plist()
        layout = plan.get_layout()
        if layout == h5py.h5d.VIRTUAL or plan.get_external_count():
            raise self._refusal(path, "has its values in another file")
        if any(plan.get_filter(index)[0] not in _FILTERS for index in range(plan.get_nfilters())):
            raise self._refusal(path, "is packed by a filter other than gzip and lzf")
        self._plain(item.get_type(), path)
        size = _product(item.shape or (0,)) * item.get_type().get_size()
        if layout == h5py.h5d.CHUNKED:
            chunk = _product(plan.get_chunk()) * item.get_type().get_size()
            fits = max(size, chunk if size else 0) <= SWELL * item.get_storage_size() + SPARE
        elif layout == h5py.h5d.CONTIGUOUS:
            offset = item.get_offset() or 0
            fits = size == 0 or (item.get_storage_size() >= size and offset + size <= self.size)
        else:
            fits = size <= self.size
        if not fits:
            raise self._refusal(path, f"declares {size} bytes, which the file does not hold")
        self._count(size, path)

    def _attributes(self, item: Any, path: str) -> None:
        for index in range(h5py.h5a.get_num_attrs(item)):
            attribute = h5py.h5a.open(item, index=index)
            count = _product(attribute.shape or ())
            kind = attribute.get_type()
            if isinstance(kind, h5py.h5t.TypeStringID) and kind.is_variable_str():
                self._count(count * kind.get_size(), path)
                continue
            if attribute.get_space().get_simple_extent_type() != h5py.h5s.NULL:
                self._plain(kind, path)
                self._count(count * kind.get_size(), path)

    def _plain(self, kind: Any, path: str) -> None:
        if kind.get_class() not in _PLAIN or (kind.get_class() == h5py.h5t.STRING and kind.is_variable_str()):
            raise self._refusal(path, "holds something other than numbers and texts")

    def _count(self, size: int, path: str) -> None:
        self.declared += size
        if self.declared > self.limit:
            raise self._refusal(path, f"brings the file to {self.declared} bytes unpacked, of {self.size} on disk")

    def _refusal(self, path: str, why: str) -> SoftdpuError:
        return SoftdpuError(f"{self.where}: {path[:200]} {why}: Keras writes no such file; save the model again")


def _product(sizes: Iterable[int]) -> int:
    return functools.reduce(operator.mul, (int(size) for size in sizes), 1)  # math.prod is not in Python 3.7


def check_values(values: np.ndarray, where: PathLike, name: str) -> None:
    """Refuse weights that are not numbers, and a variance below 0.

    Raises:
        SoftdpuError: naming the file and the weight.
    """
    if values.dtype.kind not in "fiub":
        raise SoftdpuError(f"{where}: weight {name} is of type {values.dtype}, not of numbers; save the model again")
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        raise SoftdpuError(f"{where}: weight {name} has values that are not finite (NaN or infinity); train it again")
    if "variance" in name.split("/")[-1] and values.size and values.min() < 0:
        raise SoftdpuError(f"{where}: weight {name} has a variance below 0, which no training gives")
