"""Batches shared out to several devices: each decodes its own part, and together they see what one device would."""

from __future__ import annotations

from typing import Any, Iterator  # noqa: UP035 - Python 3.7 of AMD's containers

from softdpu.errors import SoftdpuError
from softdpu.keras2.api import tf
from softdpu.training.devices import Devices


def shared(batches: Any, devices: Devices, first_epoch: int | None = None) -> Any:
    """Return batches as what Keras' fit takes under a strategy: images and labels of each device's part.

    Args:
        batches: with len(), part() and start() as pipeline.Batches.
        devices: more than one.
        first_epoch: for training, which goes from there through epoch after epoch without an end; None for one pass.

    Raises:
        SoftdpuError: if a whole batch has fewer images than there are devices.
    """
    images, _, size = batches.part(0)
    if size < devices.replicas:
        raise SoftdpuError(
            f"a batch of {size} images cannot be shared out to {devices.replicas} devices; take a larger batch_size"
        )
    types = (tf.float32, tf.int64)
    shapes = (tf.TensorShape((None, *images.shape[1:])), tf.TensorShape((None,)))

    def own(context: Any) -> Any:
        here = devices.replicas // context.num_input_pipelines
        first = context.input_pipeline_id * here
        mine = range(first, first + here)
        data = tf.data.Dataset.from_generator(
            lambda: _parts(batches, mine, devices.replicas, first_epoch), output_types=types, output_shapes=shapes
        )
        count = tf.data.INFINITE_CARDINALITY if first_epoch is not None else len(batches) * here
        return data.apply(tf.data.experimental.assert_cardinality(count)).prefetch(2)

    return devices.strategy.distribute_datasets_from_function(own)


def _parts(batches: Any, mine: range, count: int, first_epoch: int | None) -> Iterator[tuple]:
    """Yield one element for each device of this worker in turn, batch after batch."""
    epoch = first_epoch
    while True:
        if epoch is not None:
            batches.start(epoch)
            epoch += 1
        for i in range(len(batches)):
            for number in mine:
                yield batches.part(i, number, count)[:2]
        if epoch is None:
            return
