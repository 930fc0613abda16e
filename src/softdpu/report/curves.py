"""The curves of training and fine-tuning: loss and accuracy of every epoch, or what a task has in its place."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from softdpu.output.pictures import BLACK, choose_line_style, picture
from softdpu.tasks import CLASSIFICATION, Task
from softdpu.training.results import Epoch

# By task, what stands in history.csv as loss and as accuracy; _OVERLAP is drawn instead where it was measured.
_OVERLAP = "mean IoU, %"
_AXES = {
    "classification": ("loss (cross entropy, nats)", "accuracy, %"),
    "segmentation": ("loss (cross entropy, nats)", "pixel accuracy, %"),
    "detection": ("loss", "score times overlap of a true box, %"),
}


def draw_curves(path: Path, epochs: Sequence[Epoch], title: str, task: Task = CLASSIFICATION) -> None:
    """Draw loss, accuracy and learning rate by epoch, and mark the epoch whose weights the model has.

    Args:
        path: of the SVG.
        epochs: at least one; number 0 is the network before training.
        title: what was trained.
        task: what for.
    """
    loss_title, accuracy_title = _AXES[task.name]
    kept = next((epoch for epoch in epochs if epoch.kept), epochs[-1])
    with picture(path, 9.5, 3.8) as figure:
        where = "before training" if kept.number == 0 else f"epoch {kept.number}"
        figure.suptitle(f"{title}: the model has the weights of {where}", x=0.01, ha="left")
        loss, accuracy, rate = figure.subplots(1, 3, width_ratios=(3, 3, 2))
        _lines(loss, epochs, {"training": "loss", "validation": "val_loss"}, 1.0)
        loss.set_ylabel(loss_title)
        loss.set_ylim(bottom=0)
        overlaps = any(not math.isnan(epoch.val_mean_iou) for epoch in epochs)
        measured = "mean_iou" if overlaps else "accuracy"
        _lines(accuracy, epochs, {"training": measured, "validation": f"val_{measured}"}, 100.0)
        accuracy.set_ylabel(_OVERLAP if overlaps else accuracy_title)
        accuracy.plot(
            [kept.number], [100 * getattr(kept, f"val_{measured}")], "o", ms=12, mfc="none", mec=BLACK, label="kept"
        )
        accuracy.legend()
        _lines(rate, epochs, {"at the epoch's end": "lr"}, 1.0)
        rate.set_ylabel("learning rate")
        rate.set_ylim(bottom=0)
        rate.ticklabel_format(axis="y", style="sci", scilimits=(-2, 3), useMathText=False)


def _lines(axes: Axes, epochs: Sequence[Epoch], series: dict[str, str], factor: float) -> None:
    for number, (label, name) in enumerate(series.items()):
        points = [(epoch.number, factor * getattr(epoch, name)) for epoch in epochs]
        points = [point for point in points if not math.isnan(point[1])]
        style = {**choose_line_style(number), **({} if len(points) <= 30 else {"marker": ""})}
        axes.plot([x for x, _ in points], [y for _, y in points], label=label, **style)
    axes.set_xlabel("epoch")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axes.margins(x=0.08, y=0.12)
    axes.grid()
    if len(series) > 1:
        axes.legend()
