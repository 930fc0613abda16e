"""Records against TensorFlow's own writer and reader."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from dataset_tools import write_ours

from softdpu.dataset import example, tfrecord
from softdpu.dataset.pipeline import read_records, record_files
from softdpu.errors import SoftdpuError

# The feature description of the tutorial's input pipeline.
FEATURES = {
    "label": tf.io.FixedLenFeature([], tf.int64),
    "height": tf.io.FixedLenFeature([], tf.int64),
    "width": tf.io.FixedLenFeature([], tf.int64),
    "chans": tf.io.FixedLenFeature([], tf.int64),
    "image": tf.io.FixedLenFeature([], tf.string),
}
RECORDS = [
    example.Record(0, 28, 28, 3, b""),
    example.Record(9, 1, 65535, 1, b"\xff\xd8 any bytes \x00\x01"),
    example.Record(2**40, 300, 200, 3, bytes(range(256)) * 500),
]


def write_tensorflow(path: Path, records: list[example.Record]) -> None:
    """Write records as the tutorial does."""
    with tf.io.TFRecordWriter(str(path)) as writer:
        for record in records:
            feature = {
                name: tf.train.Feature(int64_list=tf.train.Int64List(value=[getattr(record, name)]))
                for name in ("label", "height", "width", "chans")
            }
            feature["image"] = tf.train.Feature(bytes_list=tf.train.BytesList(value=[record.image]))
            writer.write(tf.train.Example(features=tf.train.Features(feature=feature)).SerializeToString())


def test_tensorflow_reads_ours(tmp_path: Path) -> None:
    write_ours(tmp_path / "data_0.tfrecord", RECORDS)
    parsed = [
        tf.io.parse_single_example(x, FEATURES) for x in tf.data.TFRecordDataset(str(tmp_path / "data_0.tfrecord"))
    ]
    assert [example.Record(**{name: p[name].numpy() for name in FEATURES}) for p in parsed] == RECORDS


def test_we_read_tensorflows(tmp_path: Path) -> None:
    write_tensorflow(tmp_path / "data_0.tfrecord", RECORDS)
    assert list(read_records(tmp_path)) == RECORDS


def test_equal_records_give_equal_bytes(tmp_path: Path) -> None:
    serialized = {example.encode(RECORDS[1]) for _ in range(20)}
    assert len(serialized) == 1
    theirs = tf.train.Example.FromString(serialized.pop())
    assert sorted(theirs.features.feature) == ["chans", "height", "image", "label", "width"]


def test_files_are_read_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    for name in ("data_10.tfrecord", "data_2.tfrecord", ".part-x-data_0.tfrecord", "data_1.json"):
        (tmp_path / name).touch()
    assert [path.name for path in record_files(tmp_path)] == ["data_2.tfrecord", "data_10.tfrecord"]


@pytest.mark.parametrize("cut", [1, 11, 13, 20, 200])
def test_a_truncated_file_is_told(tmp_path: Path, cut: int) -> None:
    write_ours(tmp_path / "data_0.tfrecord", RECORDS)
    os.truncate(tmp_path / "data_0.tfrecord", (tmp_path / "data_0.tfrecord").stat().st_size - cut)
    with pytest.raises(SoftdpuError, match=r"data_0.tfrecord: the TFRecord at byte \d+ is broken"):
        list(read_records(tmp_path))


def test_every_flipped_bit_is_told(tmp_path: Path) -> None:
    path = tmp_path / "data_0.tfrecord"
    write_ours(path, RECORDS[:2])
    whole = path.read_bytes()
    for place in np.random.default_rng(0).permutation(len(whole) * 8)[:150]:
        broken = bytearray(whole)
        broken[place // 8] ^= 1 << (place % 8)
        path.write_bytes(broken)
        with pytest.raises(SoftdpuError, match=r"is broken"):
            list(read_records(tmp_path))


def test_a_record_that_is_no_image_example_is_told(tmp_path: Path) -> None:
    path = tmp_path / "data_0.tfrecord"
    for data, message in (
        (b"\xff\xff\xff", "not a tensorflow.Example"),
        (tf.train.Example().SerializeToString(), "feature 'label' must be one value of int64_list"),
    ):
        with open(path, "wb") as file:
            tfrecord.append(file, data)
        with pytest.raises(SoftdpuError, match=message):
            list(read_records(tmp_path))


def test_no_records_are_told(tmp_path: Path) -> None:
    with pytest.raises(SoftdpuError, match=r"holds no \.tfrecord files; make the records first"):
        list(read_records(tmp_path))
    (tmp_path / "data_0.tfrecord").symlink_to(tmp_path / "gone")
    with pytest.raises(SoftdpuError, match="cannot read the records"):
        list(read_records(tmp_path))
    shutil.rmtree(tmp_path)
