"""Training and evaluation: a recipe applied to a network, the weights of its best epoch, its metrics."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from softdpu.errors import SoftdpuError
from softdpu.files import PathLike, whole_file, write_json
from softdpu.keras2_config import make_legacy
from softdpu.training.keras2 import KerasBatches, keras, tf
from softdpu.training.recipe import Recipe
from softdpu.training.results import Predictions, write_history, write_predictions


def fit(
    model: Any,
    train: Any,
    val: Any,
    recipe: Recipe,
    tensorboard: PathLike | None = None,
    keep_start: bool = False,
    history: PathLike | None = None,
) -> dict[str, list[float]]:
    """Train `model` in place and leave it with the weights of the epoch with the best validation accuracy.

    Args:
        model: takes float32[n, h, w, 3] and returns logits.
        train: KerasBatches, or anything with len() that fit takes.
        val: as train, to choose the best epoch by.
        recipe: the numbers.
        tensorboard: folder for its logs, None for none.
        keep_start: the weights that it comes with count as an epoch too, so that training never makes it worse.
        history: path of a CSV file of each epoch's numbers, None for none.

    Returns:
        Keras' history: the values of each epoch by name.

    Raises:
        SoftdpuError: if the loss is no number any more.
    """
    best = _BestWeights()
    start = evaluate(model, val) if keep_start else None
    if start is not None:
        best.offer(-1, start["accuracy"], model)
    callbacks = [_Rate(recipe, len(train)), best, keras.callbacks.TerminateOnNaN()]
    if tensorboard is not None:
        callbacks.append(keras.callbacks.TensorBoard(log_dir=str(tensorboard), update_freq="epoch"))
    model.compile(
        optimizer=optimizer(recipe),
        loss=cross_entropy(recipe.label_smoothing),
        metrics=["accuracy"],
    )
    found = model.fit(
        train, validation_data=val, epochs=recipe.epochs, callbacks=callbacks, shuffle=False, workers=1, verbose=1
    )
    if best.weights is None or not np.isfinite(found.history["loss"]).all():
        raise SoftdpuError(
            f"training diverged: the loss is no number any more; learning_rate {recipe.learning_rate} is too high"
        )
    model.set_weights(best.weights)
    print(f"best epoch: {best.epoch + 1} of {recipe.epochs}, validation accuracy {best.accuracy:.4f}")
    if history is not None:
        write_history(history, found.history, best.epoch + 1, start)
    return dict(found.history)


def optimizer(recipe: Recipe) -> Any:
    """Return the Keras optimizer of a recipe."""
    if recipe.optimizer == "sgd":
        return keras.optimizers.SGD(recipe.learning_rate, momentum=0.9, nesterov=True)
    if recipe.optimizer == "adamw":
        return keras.optimizers.AdamW(recipe.learning_rate, weight_decay=recipe.weight_decay)
    return keras.optimizers.Adam(recipe.learning_rate)


def cross_entropy(label_smoothing: float) -> Any:
    """Return the loss over logits for integer labels."""
    if not label_smoothing:
        return keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    smooth = keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=label_smoothing)

    def loss(labels: Any, logits: Any) -> Any:
        return smooth(tf.one_hot(tf.cast(tf.reshape(labels, [-1]), tf.int32), tf.shape(logits)[-1]), logits)

    return loss


def evaluate(model: Any, batches: KerasBatches, predictions: PathLike | None = None) -> dict[str, Any]:
    """Return {"accuracy": 0..1, "loss": cross entropy, "images": count} of a model over all batches.

    Computed from the logits in float64, so that the same logits give the same digits everywhere. `predictions` is the
    path of a CSV file of each image's predicted class, None for none.
    """
    right, loss, count = 0, 0.0, 0
    found = []
    bar = keras.utils.Progbar(len(batches), unit_name="batch")
    for i in range(len(batches)):
        images, labels = batches[i]
        logits = np.asarray(model.predict_on_batch(images), np.float64)
        right += int((logits.argmax(axis=1) == labels).sum())
        shifted = logits - logits.max(axis=1, keepdims=True)
        sums = np.exp(shifted).sum(axis=1)
        loss += float((np.log(sums) - shifted[np.arange(len(labels)), labels]).sum())
        count += len(labels)
        found.append(Predictions(labels, logits.argmax(axis=1), 1 / sums))
        bar.update(i + 1)
    if predictions is not None:
        columns = [np.concatenate([batch[i] for batch in found]) for i in range(len(Predictions._fields))]
        write_predictions(predictions, Predictions(*columns))
    return {"accuracy": right / count, "loss": loss / count, "images": count}


def save(model: Any, path: PathLike) -> None:
    """Write a model as Keras-2 HDF5 without its optimizer, whole or not at all; equal models give equal bytes."""
    with whole_file(path) as part, warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # Keras calls HDF5 legacy; it is what AMD's tools read
        model.save(str(part), save_format="h5", include_optimizer=False)
        make_legacy(part)


def report(metrics: dict[str, Any], path: PathLike, what: str) -> None:
    """Write metrics.json and print one line."""
    write_json(path, metrics)
    print(f"{what}: accuracy {metrics['accuracy']:.4f}, loss {metrics['loss']:.4f}, {metrics['images']} images")


class _BestWeights(keras.callbacks.Callback):
    """Keeps the weights of the epoch with the best validation accuracy; the first of equals."""

    def __init__(self) -> None:
        super().__init__()
        self.weights: list[np.ndarray] | None = None
        self.accuracy = -1.0
        self.epoch = 0

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        self.offer(epoch, (logs or {}).get("val_accuracy", -1.0), self.model)

    def offer(self, epoch: int, accuracy: float, model: Any) -> None:
        """Keep the weights of `model` if they are better than the best so far."""
        if accuracy > self.accuracy:
            self.accuracy, self.epoch, self.weights = accuracy, epoch, model.get_weights()


class _Rate(keras.callbacks.Callback):
    """Sets the learning rate of the recipe before each step."""

    def __init__(self, recipe: Recipe, steps: int) -> None:
        super().__init__()
        self._recipe, self._steps, self._epoch = recipe, steps, 0

    def on_epoch_begin(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        self._epoch = epoch

    def on_train_batch_begin(self, batch: int, logs: dict[str, float] | None = None) -> None:
        rate = self._recipe.rate(self._epoch + batch / self._steps)
        keras.backend.set_value(self.model.optimizer.learning_rate, rate)

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        if logs is not None:
            logs["lr"] = float(keras.backend.get_value(self.model.optimizer.learning_rate))
