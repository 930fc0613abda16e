"""What a task is to training and evaluation: its loss, its metric, what is right for an image."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from softdpu.dataset.targets import Targets
from softdpu.errors import SoftdpuError
from softdpu.output.files import PathLike
from softdpu.training.model import Network

if TYPE_CHECKING:
    from softdpu.keras2.api import keras
    from softdpu.training.common import Data


class TrainingTask:
    """A task; derived classes stand in training/tasks, one a module.

    Attributes:
        name: as in softdpu.tasks.
        watched: the metric by which the best epoch is chosen, of those of `metrics` and of `evaluate`.
        compares: whether `evaluate` wants the float model too.
    """

    name: str
    watched = "accuracy"
    compares = False

    @classmethod
    def of(cls, data: Data) -> TrainingTask:
        """Return the task on some common.Data."""
        return cls()

    def check(self, model: keras.Model, path: PathLike) -> None:
        """Refuse a model that is none for this task, with a SoftdpuError that names `path`."""

    def targets(self, model: keras.Model) -> Targets | None:
        """Return what is right for the images of this model's evaluation and training; None for plain labels."""
        return None

    def build(self, network: Network) -> keras.Model:
        """Return a new float network.

        Raises:
            SoftdpuError: if this task has none.
        """
        raise SoftdpuError(f"there is no network to train for the task {self.name}; name a trained one (model.file)")

    def trained(self, model: keras.Model) -> keras.Model:
        """Return the model to train, on the layers of `model`: that, or one with outputs as the loss takes them."""
        return model

    def loss(self, label_smoothing: float) -> Any:
        """Return the loss over the model's output as Keras takes it.

        Raises:
            SoftdpuError: if nothing can be trained for this task.
        """
        raise SoftdpuError(f"the task {self.name} trains nothing; take finetune.epochs: 0")

    def metrics(self, model: keras.Model) -> list[Any]:
        """Return the metrics of an epoch as Keras takes them, among them `accuracy` and `watched`."""
        return ["accuracy"]

    def evaluate(
        self,
        model: keras.Model,
        batches: Any,
        predictions: PathLike | None = None,
        reference: Any = None,
    ) -> dict[str, Any]:
        """Return the metrics of a model over all batches, {"images": count, ...}.

        Args:
            model: float or quantized.
            batches: pipeline.Batches with this task's targets.
            predictions: path of the file beside metrics.json (tasks.Task.predictions), None for none.
            reference: the float model, if the task compares.
        """
        raise NotImplementedError

    def describe(self, metrics: dict[str, Any]) -> str:
        """Return metrics in a few words."""
        raise NotImplementedError
