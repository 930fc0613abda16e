"""The plain way to make records, for comparison: extract a training tar to disk, then write with TensorFlow.

It does what the tutorial's script does, step by step: one class tar at a time is extracted, its images are extracted,
each is read and written by a tf.io.TFRecordWriter, and the files are deleted.

Example:
    python benchmarks/records_baseline.py ILSVRC2012_img_train.tar build/baseline 10
"""

from __future__ import annotations

import os
import shutil
import sys
import tarfile

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
import tensorflow as tf


def integer(value: int) -> tf.train.Feature:
    return tf.train.Feature(int64_list=tf.train.Int64List(value=[int(value)]))


def write_class(folder: str, label: int, path: str) -> None:
    with tf.io.TFRecordWriter(path) as writer:
        for name in sorted(os.listdir(folder)):
            data = tf.io.read_file(os.path.join(folder, name))
            height, width, chans = tf.io.extract_jpeg_shape(data)
            feature = {
                "label": integer(label),
                "height": integer(height),
                "width": integer(width),
                "chans": integer(chans),
                "image": tf.train.Feature(bytes_list=tf.train.BytesList(value=[data.numpy()])),
            }
            writer.write(tf.train.Example(features=tf.train.Features(feature=feature)).SerializeToString())


def main(archive: str, output: str, classes: int) -> None:
    os.makedirs(output)
    with tarfile.open(archive) as outer:
        for label, name in enumerate(sorted(outer.getnames())[:classes]):
            outer.extract(name, output, filter="data")
            images = os.path.join(output, "images")
            with tarfile.open(os.path.join(output, name)) as inner:
                inner.extractall(images, filter="data")
            os.remove(os.path.join(output, name))
            write_class(images, label, os.path.join(output, f"data_{label}.tfrecord"))
            shutil.rmtree(images)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
