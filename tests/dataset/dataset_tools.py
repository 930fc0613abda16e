"""What several tests of the data set share."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np

from softdpu.dataset import example, tfrecord


def write_idx(path: Path, array: np.ndarray) -> None:
    header = bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes()
    path.write_bytes(gzip.compress(header + array.astype(np.uint8).tobytes(), mtime=0))


def write_ours(path: Path, records: list[example.Record]) -> None:
    with open(path, "wb") as file:
        for record in records:
            tfrecord.append(file, example.encode(record))
