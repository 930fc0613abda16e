"""The task classification: one class for each image, and how often it is the right one."""

from __future__ import annotations

from typing import Any

import numpy as np

from softdpu.dataset.targets import Labels
from softdpu.keras2 import replicas
from softdpu.output.files import PathLike
from softdpu.output.progress import Steps
from softdpu.training.batches import keras, tf
from softdpu.training.feeding import Feed
from softdpu.training.model import Network
from softdpu.training.results import Predictions, write_predictions
from softdpu.training.task import TrainingTask


class Classification(TrainingTask):
    """Cross entropy over logits, and accuracy."""

    name = "classification"

    def targets(self, model: keras.Model) -> Labels:
        """Return labels, as many as the model has logits."""
        return Labels(model.output_shape[-1])

    def build(self, network: Network) -> keras.Model:
        """Return MobileNet."""
        return network.build()

    def loss(self, label_smoothing: float) -> Any:
        """Return the cross entropy."""
        return cross_entropy(label_smoothing)

    def evaluate(
        self, model: keras.Model, batches: Any, predictions: PathLike | None = None, reference: Any = None
    ) -> dict[str, Any]:
        """Return accuracy, loss and images, see `evaluate`."""
        return evaluate(model, batches, predictions)

    def describe(self, metrics: dict[str, Any]) -> str:
        """Return accuracy and loss."""
        return f"accuracy {metrics['accuracy']:.4f}, loss {metrics['loss']:.4f}, {metrics['images']} images"


def cross_entropy(label_smoothing: float) -> Any:
    """Return the loss over logits for integer labels: the mean over a batch, also where devices have parts of it."""
    if tf.distribute.has_strategy():
        return lambda labels, logits: _loss_of_whole_batch(labels, logits, label_smoothing)
    if not label_smoothing:
        return keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    smooth = keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=label_smoothing)

    def loss(labels: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
        return smooth(tf.one_hot(tf.cast(tf.reshape(labels, [-1]), tf.int32), tf.shape(logits)[-1]), logits)

    return loss


def _loss_of_whole_batch(labels: tf.Tensor, logits: tf.Tensor, label_smoothing: float) -> tf.Tensor:
    """Return the mean over all devices' parts, on each device; Keras divides it by their number, gradients add up."""
    wanted = tf.one_hot(tf.cast(tf.reshape(labels, [-1]), tf.int32), tf.shape(logits)[-1])
    each = keras.losses.categorical_crossentropy(wanted, logits, from_logits=True, label_smoothing=label_smoothing)
    return replicas.total(tf.reduce_sum(each)) / replicas.total(tf.cast(tf.size(each), tf.float32))


def evaluate(model: keras.Model, batches: Any, predictions: PathLike | None = None) -> dict[str, Any]:
    """Return {"accuracy": 0..1, "loss": cross entropy, "images": count} of a model over all batches.

    Computed from the logits in float64, so that the same logits give the same digits everywhere. `predictions` is the
    path of a CSV file of each image's predicted class, None for none.
    """
    right, loss, count = 0, 0.0, 0
    found = []
    feed = Feed(batches)
    with feed.raises():
        for images, some_labels in Steps("evaluate", feed.batches).count(feed.dataset):
            logits, labels = np.asarray(model.predict_on_batch(images), np.float64), some_labels.numpy()
            right += int((logits.argmax(axis=1) == labels).sum())
            shifted = logits - logits.max(axis=1, keepdims=True)
            sums = np.exp(shifted).sum(axis=1)
            loss += float((np.log(sums) - shifted[np.arange(len(labels)), labels]).sum())
            count += len(labels)
            found.append(Predictions(labels, logits.argmax(axis=1), 1 / sums))
    if predictions is not None:
        columns = [np.concatenate([batch[i] for batch in found]) for i in range(len(Predictions._fields))]
        write_predictions(predictions, Predictions(*columns))
    return {"accuracy": right / count, "loss": loss / count, "images": count}
