"""Numbers of a whole batch where several devices have a part of it each, inside the graph that trains on them."""

from __future__ import annotations

from typing import Any

from softdpu.keras2.api import tf


def has_several() -> bool:
    """Tell whether the code runs once for each of several devices."""
    context = tf.distribute.get_replica_context()
    return context is not None and context.num_replicas_in_sync > 1


def total(x: tf.Tensor) -> tf.Tensor:
    """Return the sum of a tensor over all devices; it has a gradient."""
    return tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.SUM, x) if has_several() else x


def find_widest(low: Any, high: Any) -> tuple[Any, Any]:
    """Return the smallest of `low` and the largest of `high` over all devices, element by element."""
    if not has_several():
        return low, high
    ends = tf.distribute.get_replica_context().all_gather(tf.stack([low, -high])[tf.newaxis], 0)
    ends = tf.reduce_min(ends, 0)
    return ends[0], -ends[1]


def moments(x: Any) -> tuple[Any, Any, Any]:
    """Return each channel's mean and biased variance, both [channels], and how many values they are of."""
    axes = list(range(x.shape.rank - 1))
    size = tf.size(x) // x.shape[-1]
    if not has_several():
        return (*tf.nn.moments(x, axes), size)
    sums = total(tf.concat([tf.reduce_sum(x, axes), [tf.cast(size, x.dtype)]], 0))
    mean, count = sums[:-1] / sums[-1], tf.stop_gradient(sums[-1])
    return mean, total(tf.reduce_sum(tf.math.squared_difference(x, mean), axes)) / count, count
