"""Batches on their way into TensorFlow: through tf.data, whole to one device or in parts to several.

One generator makes the batches in their order, each while the one before it is used: for one device and several, for
features in memory and for evaluation. Several devices decode each its own part; together they see what one would.
"""

from __future__ import annotations

import contextlib
from typing import Any, Iterator  # noqa: UP035 - Python 3.7 of AMD's containers

import numpy as np

from softdpu.dataset.targets import Labels
from softdpu.errors import SoftdpuError
from softdpu.keras2.api import tf
from softdpu.training.devices import ONE, Devices


class Feed:
    """Batches as a tf.data.Dataset.

    Attributes:
        dataset: of (float32[n, ...] inputs, a tuple for several; int64[n] labels or what targets.Targets makes); the
            next batch is made while one is used.
        batches: of one pass.
    """

    def __init__(self, batches: Any, devices: Devices = ONE, first_epoch: int | None = None) -> None:
        """Make the dataset; nothing is decoded yet.

        Args:
            batches: pipeline.Batches, or what else has its len(), part(), start(), shape and batch_size.
            devices: that share out each batch.
            first_epoch: for training, which goes from there through epoch after epoch without an end; None for one
                pass.

        Raises:
            SoftdpuError: if a whole batch has fewer images than there are devices.
        """
        size = min(batches.batch_size, batches.images)
        if size < devices.replicas:
            raise SoftdpuError(
                f"a batch of {size} images cannot be shared out to {devices.replicas} devices; take a larger batch_size"
            )
        self.batches = len(batches)
        self._source, self._devices, self._first_epoch = batches, devices, first_epoch
        self._error: Exception | None = None
        if devices.strategy is None:
            self.dataset = self._own(range(1))
        else:
            self.dataset = devices.strategy.distribute_datasets_from_function(self._of_worker)

    @contextlib.contextmanager
    def raises(self) -> Iterator[None]:
        """Raise what went wrong with a batch as it was, where TensorFlow would put its own error around it."""
        try:
            yield
        except tf.errors.OpError:
            if self._error is None:
                raise
            raise self._error from None

    def _of_worker(self, context: Any) -> Any:
        here = self._devices.replicas // context.num_input_pipelines
        first = context.input_pipeline_id * here
        return self._own(range(first, first + here))

    def _own(self, mine: range) -> Any:
        """Return the dataset of the parts `mine` of every batch."""
        targets = getattr(self._source, "targets", None) or Labels()
        shape = self._source.shape
        several = isinstance(shape[0], tuple)  # a shape for each input
        inputs = tuple(tf.TensorShape((None, *one)) for one in shape) if several else tf.TensorShape((None, *shape))
        shapes = (inputs, tf.TensorShape((None, *targets.shape)))
        types = ((tf.float32,) * len(shape) if several else tf.float32, tf.as_dtype(targets.dtype))
        data = tf.data.Dataset.from_generator(lambda: self._parts(mine), output_types=types, output_shapes=shapes)
        endless = self._first_epoch is not None
        count = tf.data.experimental.INFINITE_CARDINALITY if endless else self.batches * len(mine)
        return data.apply(tf.data.experimental.assert_cardinality(count)).prefetch(max(1, len(mine)))

    def _parts(self, mine: range) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield one element for each device of this worker in turn, batch after batch."""
        try:
            epoch = self._first_epoch
            while True:
                if epoch is not None:
                    self._source.start(epoch)
                    epoch += 1
                for i in range(self.batches):
                    for number in mine:
                        yield self._source.part(i, number, self._devices.replicas)[:2]
                if epoch is None:
                    return
        except Exception as error:
            self._error = error
            raise
