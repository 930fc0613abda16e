"""The task detection: boxes around things, and mean average precision."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Iterator  # noqa: UP035 - Python 3.7 of AMD's containers

import numpy as np

from softdpu.dataset import labels
from softdpu.dataset.box_labels import Boxes
from softdpu.detection import decoders, settings, targets
from softdpu.detection.loss import DetectionLoss
from softdpu.detection.metric import Judged, average_precision
from softdpu.detection.network import STRIDES, as_cells, detector
from softdpu.errors import SoftdpuError
from softdpu.output.files import PathLike, write_text
from softdpu.output.progress import Steps
from softdpu.training.feeding import Feed
from softdpu.training.model import Network
from softdpu.training.task import TrainingTask
from softdpu.training.tasks.comparison import predict

if TYPE_CHECKING:
    from softdpu.keras2.api import keras
    from softdpu.training.common import Data

HEAD = "image,left,top,right,bottom,score,class"


class Detection(TrainingTask):
    """The loss of YOLOv8's heads, and mAP of whatever decoder is named."""

    name = "detection"

    def __init__(self, chosen: settings.Settings) -> None:
        """Judge by these settings."""
        self._settings = chosen
        self._size = (0, 0)

    @classmethod
    def of(cls, data: Data) -> Detection:
        """Return the task on the classes of the records."""
        return cls(settings.read(data.detection, labels.read_beside(data.val_records), data.fit))

    def check(self, model: keras.Model, path: PathLike) -> None:
        """See that the decoder takes the model's outputs."""
        shapes = [output.shape[1:] for output in model.outputs]
        try:
            if any(None in shape for shape in shapes):
                raise ValueError(f"the outputs have open shapes, {shapes}")
            zeros = [np.zeros(tuple(shape), np.float32) for shape in shapes]
            decoders.find_boxes(zeros, self._meta(model), self._settings.decode)
        except ValueError as error:
            raise SoftdpuError(
                f"{path}: {error} (detection.decoder, model.outputs; `softdpu import FILE --list` says where to cut)"
            ) from None

    def targets(self, model: keras.Model) -> targets.BoxTargets:
        """Return boxes in the model's input."""
        return targets.BoxTargets(len(self._settings.classes), tuple(model.input_shape[1:3]), self._settings.fit)

    def build(self, network: Network) -> keras.Model:
        """Return the small detector; `alpha` is its width."""
        self._size = (network.size, network.size)
        return detector(len(self._settings.classes), network.size, network.alpha, network.bn_momentum)

    def trained(self, model: keras.Model) -> keras.Model:
        """Return a model on the same layers with all cells in one output."""
        self._size = tuple(model.input_shape[1:3])
        return as_cells(model)

    def loss(self, label_smoothing: float) -> Any:
        """Return the loss over cells."""
        return DetectionLoss(self._size[0], len(self._settings.classes))

    def metrics(self, model: keras.Model) -> list[Any]:
        """Return what stands for an epoch's accuracy: the best score times overlap of each true box, on average."""
        quality = DetectionLoss(self._size[0], len(self._settings.classes)).quality

        def accuracy(truth: Any, cells: Any) -> Any:
            return quality(truth, cells)

        return [accuracy]

    def evaluate(
        self,
        model: keras.Model,
        batches: Any,
        predictions: PathLike | None = None,
        reference: Any = None,
    ) -> dict[str, Any]:
        """Return map50_95, map50, images, boxes, and AP50-95 by class; `predictions` gets the boxes that are shown."""
        if len(model.outputs) == 1 and model.outputs[0].shape[1:2] == (self._cells(),):
            return self._evaluate_cells(model, batches)
        judged: list[Judged] = []
        rows = [HEAD]
        for place, truth, found in self._find(model, batches):
            judged.append(_in_image(place, truth, found, batches.shape[:2]))
            for *corners, score, kind in judged[-1].found.tolist():
                if score > self._settings.show:
                    width, height = judged[-1].width, judged[-1].height
                    shares = (value / size for value, size in zip(corners, (width, height) * 2))  # noqa: B905
                    cells = ",".join(f"{share:.5f}" for share in shares)
                    rows.append(f"{len(judged) - 1},{cells},{score:.4f},{int(kind)}")
        metrics = average_precision(judged, len(self._settings.classes))
        by_class = zip(self._settings.classes, metrics.pop("per_class"))  # noqa: B905 - strict is not in Python 3.7
        if predictions is not None:
            write_text(predictions, "\n".join(rows) + "\n")
        return {**metrics, "by_class": dict(by_class)}

    def _cells(self) -> int:
        return sum((self._size[0] // stride) * (self._size[1] // stride) for stride in STRIDES)

    def _evaluate_cells(self, model: keras.Model, batches: Any) -> dict[str, Any]:
        """Return accuracy and loss of a model of `trained` before its first epoch, as Keras has them after each."""
        loss = DetectionLoss(self._size[0], len(self._settings.classes))
        best, boxes, cost, feed = 0.0, 0.0, 0.0, Feed(batches)
        with feed.raises():
            for images, truth in feed.dataset:
                count = float((truth[:, 1:, 4] >= 0).numpy().sum())
                cells = model.predict_on_batch(images)
                best += count * float(loss.quality(truth, cells))
                cost += len(images) * float(loss(truth, cells))
                boxes += count
        return {"accuracy": best / max(boxes, 1.0), "loss": cost / batches.images, "images": batches.images}

    def _find(self, model: keras.Model, batches: Any) -> Iterator[tuple[np.ndarray, Boxes, np.ndarray]]:
        """Yield for each image its place in the input, its true boxes, and those found, in pixels of the input."""
        meta = self._meta(model)
        feed = Feed(batches)
        with feed.raises():
            for images, truths in Steps("evaluate", feed.batches).count(feed.dataset):
                outputs = predict(model, images)
                for i, rows in enumerate(truths.numpy()):
                    one = [output[i] for output in outputs]
                    yield (*targets.split(rows), decoders.find_boxes(one, meta, self._settings.decode))

    def _meta(self, model: keras.Model) -> dict[str, Any]:
        return {**self._settings.meta(), "input": list(model.input_shape[1:3])}

    def describe(self, metrics: dict[str, Any]) -> str:
        """Return both means."""
        return f"mAP50-95 {metrics['map50_95']:.4f}, mAP50 {metrics['map50']:.4f}, {metrics['images']} images"


def _in_image(place: np.ndarray, truth: Boxes, found: np.ndarray, size: tuple[int, int]) -> Judged:
    """Return boxes in pixels of the part of the input that the image fills, cut at its edges.

    Args:
        place: float32[4], left, top, right, bottom of the image in shares of the input.
        truth: in shares of the input.
        found: float32[n, 6] in pixels of the input.
        size: height and width of the input.
    """
    scale = np.array([size[1], size[0]] * 2, np.float64)
    left, top, right, bottom = place * scale
    width, height = right - left, bottom - top
    moved = found.astype(np.float64)
    moved[:, 0:4:2] = np.clip(moved[:, 0:4:2] - left, 0, width)
    moved[:, 1:4:2] = np.clip(moved[:, 1:4:2] - top, 0, height)
    sides = place[2:] - place[:2]
    corners = (truth.corners - np.tile(place[:2], 2)) / np.tile(sides, 2)
    return Judged(height, width, Boxes(corners, truth.classes, truth.crowds), moved)
