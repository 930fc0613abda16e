"""The task none: outputs of any network against those of the float network, on images that nothing is said about."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from softdpu.numbers.similarity import Similarity
from softdpu.output.files import PathLike, write_text
from softdpu.output.progress import Steps
from softdpu.training.feeding import Feed
from softdpu.training.task import TrainingTask

if TYPE_CHECKING:
    from softdpu.keras2.api import keras


class Comparison(TrainingTask):
    """Signal-to-noise ratio and cosine of each output."""

    name = "none"
    compares = True

    def evaluate(
        self, model: keras.Model, batches: Any, predictions: PathLike | None = None, reference: Any = None
    ) -> dict[str, Any]:
        """Return {"images", "outputs": [{"name", "sqnr" (dB), "cosine"}]}; without a reference only the names."""
        names = list((reference or model).output_names)
        rows: list[str] = []
        sums = [Similarity() for _ in names]
        count = 0
        feed = Feed(batches)
        with feed.raises():
            for images, labels in Steps("evaluate", feed.batches).count(feed.dataset):
                if reference is None:
                    count += len(labels)
                    continue
                found, wanted = (predict(one, images) for one in (model, reference))
                for number, total in enumerate(sums):
                    total.add(wanted[number], found[number])
                    for i in range(len(labels)):
                        one = Similarity()
                        one.add(wanted[number][i], found[number][i])
                        rows.append(f"{count + i},{names[number]},{one.sqnr:.4f},{one.cosine:.6f}")
                count += len(labels)
        if predictions is not None:
            write_text(predictions, "\n".join(["image,output,sqnr,cosine", *rows]) + "\n")
        values = [{} if reference is None else total.as_dict() for total in sums]
        outputs = [{"name": names[i], **values[i]} for i in range(len(names))]
        return {"images": count, "outputs": outputs}

    def describe(self, metrics: dict[str, Any]) -> str:
        """Return the signal-to-noise ratios."""
        found = [f"{one['name']} {one['sqnr']:.2f} dB" for one in metrics["outputs"] if "sqnr" in one]
        shown = ", ".join(found[:6]) + (f" and {len(found) - 6} outputs more" if len(found) > 6 else "")
        return f"{shown or 'the reference'}, {metrics['images']} images"


def predict(model: keras.Model, images: Any) -> list[np.ndarray]:
    """Return a model's outputs for some images, one or several, as a list."""
    found = model.predict_on_batch(list(images) if isinstance(images, tuple) else images)
    return list(found) if isinstance(found, (list, tuple)) else [found]
