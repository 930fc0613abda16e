"""The images that one stage gets right and the next one wrong, or the other way round, with both labels."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from softdpu.dataset import preprocess
from softdpu.dataset.pipeline import Reader, record_files
from softdpu.errors import SoftdpuError
from softdpu.output.pictures import name_classes, picture, printable
from softdpu.report.confusion import describe_flips
from softdpu.report.stages import NAMES
from softdpu.training.results import Predictions

COLUMNS = 6
ROWS = {"from right to wrong": 4, "from wrong to right": 2, "from one wrong class to another": 1}
PIXELS = 96  # of the longer side
NAME_LENGTH = 16


def find_flips(before: Predictions, after: Predictions) -> dict[str, np.ndarray]:
    """Return the images of another class by kind of change (the keys of ROWS), those of the surest networks first."""
    was, now = before.classes == before.labels, after.classes == after.labels
    other = before.classes != after.classes
    sure = np.minimum(before.confidence, after.confidence)
    kinds = (was & ~now, ~was & now, other & ~was & ~now)
    found = [np.flatnonzero(kind) for kind in kinds]
    return {name: some[np.argsort(-sure[some], kind="stable")] for name, some in zip(ROWS, found, strict=True)}


def draw_sheet(
    path: Path,
    records: Path,
    before: Predictions,
    after: Predictions,
    names: Sequence[str],
    classes: int,
    stages: tuple[str, str],
) -> None:
    """Draw the contact sheet of the images whose class changed from one stage to another.

    Args:
        path: of the SVG.
        records: folder of the validation records.
        before, after: the predictions of both stages for all of them.
        names: of the classes.
        classes: their number.
        stages: the keys of both stages.

    Raises:
        SoftdpuError: if the records are not those of the predictions.
    """
    reader = Reader(record_files(records))
    if len(reader) != len(before.labels):
        raise SoftdpuError(
            f"{records} holds {len(reader)} images, the predictions are of {len(before.labels)}; build the models again"
        )
    shown = [printable(name, NAME_LENGTH) for name in name_classes(names, classes)]
    groups = find_flips(before, after)
    rows = {name: min(ROWS[name], -(-len(images) // COLUMNS)) for name, images in groups.items() if len(images)}
    heads = {stage: NAMES[stage] for stage in stages}
    with picture(path, 10, 0.8 + sum(0.35 + 2.05 * count for count in rows.values())) as figure:
        figure.suptitle(
            f"{heads[stages[1]].capitalize()} against {heads[stages[0]]}: {describe_flips(before, after)}",
            x=0.01,
            ha="left",
        )
        if not rows:
            return
        heights = [0.35 + 2.05 * count for count in rows.values()]
        parts = figure.subfigures(len(rows), 1, squeeze=False, height_ratios=heights).flat
        for part, (name, count) in zip(parts, rows.items(), strict=True):
            chosen = groups[name][: count * COLUMNS]
            part.suptitle(f"{name}: {len(chosen)} of {len(groups[name]):,} images", x=0.01, ha="left", weight="bold")
            grid = part.subplots(count, COLUMNS, squeeze=False)
            for axes in grid.flat:
                axes.axis("off")
            for axes, i in zip(grid.flat, chosen, strict=False):
                axes.imshow(_read_image(reader, int(i)), interpolation="none")
                axes.set_title(_describe_labels(before, after, int(i), shown, heads), fontsize=8, linespacing=1.25)


def _describe_labels(before: Predictions, after: Predictions, i: int, names: list[str], heads: dict[str, str]) -> str:
    """Return what an image is, and what both stages say."""
    lines = [f"it is: {names[before.labels[i]]}"]
    for head, found in zip(heads.values(), (before, after), strict=True):
        mark = "✓" if found.classes[i] == found.labels[i] else "✗"
        lines.append(f"{mark} {head}: {names[found.classes[i]]}")
    return "\n".join(lines)


def _read_image(reader: Reader, i: int) -> np.ndarray:
    """Return the record's image, uint8[h, w, 3], at most PIXELS high and wide."""
    image = reader.read_image(i)
    return image if max(image.shape) <= PIXELS else preprocess.fit_side(image, PIXELS, cv2.INTER_AREA)
