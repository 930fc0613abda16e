"""Training and evaluation: a network trained by its hyperparameters, the weights of its best epoch, its metrics."""

from __future__ import annotations

import warnings
from typing import Any, Sequence  # noqa: UP035 - Python 3.7 of AMD's containers

import numpy as np

from softdpu.errors import SoftdpuError
from softdpu.keras2.config import make_legacy
from softdpu.output.files import PathLike, whole_file, write_json
from softdpu.output.progress import Steps
from softdpu.training.batches import keras
from softdpu.training.checkpoints import State, Store, list_variables, read_values, restore
from softdpu.training.copies import copy_to_train
from softdpu.training.devices import explain_lost_workers
from softdpu.training.feeding import Feed
from softdpu.training.hyperparameters import Hyperparameters
from softdpu.training.results import write_history
from softdpu.training.setup import Setup
from softdpu.training.task import TrainingTask
from softdpu.training.tasks.classification import Classification


def fit(
    model: keras.Model,
    train: Any,
    val: Any,
    hyperparameters: Hyperparameters,
    tensorboard: PathLike | None = None,
    keep_start: bool = False,
    history: PathLike | None = None,
    setup: Setup = Setup(),  # noqa: B008 - frozen
    callbacks: Sequence[Any] = (),
    task: TrainingTask = Classification(),  # noqa: B008 - it holds nothing
) -> dict[str, list[float]]:
    """Train `model` in place and leave it with the weights of the epoch with the best metric on the validation images.

    Args:
        model: takes float32[n, h, w, 3] and returns what the task's loss takes, logits of classes.
        train: pipeline.Batches, or what else feeding.Feed takes.
        val: as train, to choose the best epoch by.
        hyperparameters: the numbers.
        tensorboard: folder for its logs, None for none.
        keep_start: the weights that it comes with count as an epoch too, so that training never makes it worse.
        history: path of a CSV file of each epoch's numbers, None for none.
        setup: devices, precision and checkpoints. With checkpoints it goes on where a run that was killed had ended;
            with several devices or in mixed precision a copy of the network is trained.
        callbacks: Keras callbacks beside its own.
        task: whose loss it lowers, and by whose metric the best epoch is chosen.

    Returns:
        Keras' history: the values of each epoch by name.

    Raises:
        SoftdpuError: if the loss is no number any more, or another worker stops.
    """
    devices, store = setup.devices, setup.store
    plain = devices.strategy is None and not setup.precision
    trained = model if plain else copy_to_train(model, devices, setup.precision)
    with devices.scope():
        trained.compile(
            optimizer=make_optimizer(hyperparameters, setup.precision),
            loss=task.loss(hyperparameters.label_smoothing),
            metrics=task.metrics(model),
        )
    best = _BestWeights(task.watched)
    state = _resume(trained, store, best, hyperparameters) if store else None
    if state is None and keep_start:
        best.start = task.evaluate(model, val)
        best.offer(-1, best.start[task.watched], trained)
    first, before = (state.epoch, state.history) if state else (0, {})
    feed, val_feed = Feed(train, devices, first), Feed(val, devices)
    mine = [_Rate(hyperparameters, feed.batches), best, keras.callbacks.TerminateOnNaN()]
    if tensorboard is not None and devices.chief:
        mine.append(keras.callbacks.TensorBoard(log_dir=str(tensorboard), update_freq="epoch"))
    if store:
        mine.append(_Save(store, best, before))
    with explain_lost_workers(devices), feed.raises(), val_feed.raises():
        found = trained.fit(
            x=feed.dataset,
            steps_per_epoch=feed.batches,
            validation_data=val_feed.dataset,
            validation_steps=val_feed.batches,
            epochs=hyperparameters.epochs,
            initial_epoch=first,
            callbacks=[*mine, _Progress(hyperparameters.epochs - first, feed.batches), *callbacks],
            shuffle=False,
            verbose=0,
        )
    curves = {name: before.get(name, []) + found.history.get(name, []) for name in before or found.history}
    if best.weights is None or not np.isfinite(curves["loss"]).all():
        raise SoftdpuError(
            "training diverged: the loss is no number any more; learning_rate"
            f" {hyperparameters.learning_rate} is too high"
        )
    model.set_weights(best.weights)
    watched = task.watched.replace("_", " ")
    print(f"best epoch: {best.epoch + 1} of {hyperparameters.epochs}, validation {watched} {best.accuracy:.4f}")
    if history is not None and devices.chief:
        write_history(history, curves, best.epoch + 1, best.start)
    return curves


def _resume(model: keras.Model, store: Store, best: _BestWeights, hyperparameters: Hyperparameters) -> State | None:
    """Bring a compiled network and the keeper of the best weights to where a run that was killed had ended, if any."""
    state = store.load()
    if state is None:
        return None
    if not restore(model, state):
        print(f"training starts afresh: the checkpoint {store.path} is not of this network", flush=True)
        return None
    best.accuracy, best.epoch, best.start = (state.best[name] for name in ("accuracy", "epoch", "start"))
    best.weights = state.best_weights
    print(f"training goes on after epoch {state.epoch} of {hyperparameters.epochs}: {store.path}", flush=True)
    return state


def make_optimizer(hyperparameters: Hyperparameters, precision: str | None = None) -> keras.optimizers.Optimizer:
    """Return the Keras optimizer of a training; small gradients survive float16 because the loss is scaled up."""
    if precision == "float16":
        return keras.mixed_precision.LossScaleOptimizer(make_optimizer(hyperparameters))
    if hyperparameters.optimizer == "sgd":
        return keras.optimizers.SGD(hyperparameters.learning_rate, momentum=0.9, nesterov=True)
    if hyperparameters.optimizer == "adamw":
        return keras.optimizers.AdamW(hyperparameters.learning_rate, weight_decay=hyperparameters.weight_decay)
    return keras.optimizers.Adam(hyperparameters.learning_rate)


def save(model: keras.Model, path: PathLike) -> None:
    """Write a model as Keras-2 HDF5 without its optimizer, whole or not at all; equal models give equal bytes."""
    with whole_file(path) as part, warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # Keras calls HDF5 legacy; it is what AMD's tools read
        model.save(str(part), save_format="h5", include_optimizer=False)
        make_legacy(part)


def report(metrics: dict[str, Any], path: PathLike, what: str, task: TrainingTask) -> None:
    """Write metrics.json and print one line."""
    write_json(path, metrics)
    print(f"{what}: {task.describe(metrics)}")


class _BestWeights(keras.callbacks.Callback):
    """Keeps the weights of the epoch with the best validation accuracy, or what is watched; the first of equals."""

    def __init__(self, watched: str) -> None:
        super().__init__()
        self._watched = f"val_{watched}"
        self.weights: list[np.ndarray] | None = None
        self.accuracy = -1.0
        self.epoch = 0
        self.start: dict[str, Any] | None = None  # what the network was before training, if that was measured

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        self.offer(epoch, (logs or {}).get(self._watched, -1.0), self.model)

    def offer(self, epoch: int, accuracy: float, model: keras.Model) -> None:
        """Keep the weights of `model` if they are better than the best so far."""
        if accuracy > self.accuracy:
            self.accuracy, self.epoch, self.weights = accuracy, epoch, model.get_weights()


class _Save(keras.callbacks.Callback):
    """Writes a checkpoint after each epoch whose loss is a number; stands after the keeper of the best weights."""

    def __init__(self, store: Store, best: _BestWeights, before: dict[str, list[float]]) -> None:
        super().__init__()
        self._store, self._best = store, best
        self._history = {name: list(values) for name, values in before.items()}

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        for name, value in (logs or {}).items():
            self._history.setdefault(name, []).append(float(value))
        if self._best.weights is None or not np.isfinite(self._history["loss"]).all():
            return
        best = {"accuracy": float(self._best.accuracy), "epoch": self._best.epoch, "start": self._best.start}
        own = read_values(list_variables(self.model))  # on every worker: some values are means over all
        self._store.save(State(epoch + 1, self._history, best, self._best.weights, own))


class _Progress(keras.callbacks.Callback):
    """Prints how far the training is, what each epoch gave, and after the first steps how long all will take."""

    def __init__(self, epochs: int, steps: int) -> None:
        super().__init__()
        self._steps = Steps("train", epochs * steps, announce=True)

    def on_epoch_begin(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        print(f"Epoch {epoch + 1}/{self.params['epochs']}", flush=True)

    def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
        self._steps.update()

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        values = ", ".join(f"{name} {value:.4g}" for name, value in (logs or {}).items())
        print(f"epoch {epoch + 1}: {values}", flush=True)


class _Rate(keras.callbacks.Callback):
    """Sets the learning rate of the schedule before each step."""

    def __init__(self, hyperparameters: Hyperparameters, steps: int) -> None:
        super().__init__()
        self._hyperparameters, self._steps, self._epoch = hyperparameters, steps, 0

    def on_epoch_begin(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        self._epoch = epoch

    def on_train_batch_begin(self, batch: int, logs: dict[str, float] | None = None) -> None:
        rate = self._hyperparameters.rate(self._epoch + batch / self._steps)
        keras.backend.set_value(self.model.optimizer.learning_rate, rate)

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        if logs is not None:
            logs["lr"] = float(keras.backend.get_value(self.model.optimizer.learning_rate))
