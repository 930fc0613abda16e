"""Which classes a network takes for which, and what quantization changed in that."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import PowerNorm

from softdpu.output.pages import note, table, write_page
from softdpu.output.pictures import name_classes, picture
from softdpu.report.stages import NAMES
from softdpu.training.results import Predictions

ALL_SHOWN = 30  # classes up to which the whole matrix is drawn
WORST = 20  # of more classes, as many are drawn and the rest is one
OTHERS = "all others"


def count_pairs(found: Predictions, classes: int) -> np.ndarray:
    """Return int64[true class, predicted class], counts of images."""
    return np.bincount(found.labels * classes + found.classes, minlength=classes**2).reshape(classes, classes)


def count_classes(stages: Mapping[str, Predictions], names: Sequence[str]) -> int:
    """Return the number of classes: that of the names, or as many as the numbers need."""
    largest = [int(max(found.labels.max(), found.classes.max())) + 1 for found in stages.values() if len(found.labels)]
    return max([len(names), 1, *largest])


def find_worst_classes(errors: np.ndarray) -> np.ndarray:
    """Return the classes to draw, in order: all up to ALL_SHOWN, else the WORST with the largest `errors`."""
    if len(errors) <= ALL_SHOWN:
        return np.arange(len(errors))
    return np.sort(np.argsort(-errors, kind="stable")[:WORST])


def fold(counts: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    """Return a matrix of the chosen classes; if they are not all, the others are one more row and column."""
    if len(chosen) == len(counts):
        return counts
    place = np.full(len(counts), len(chosen))
    place[chosen] = np.arange(len(chosen))
    result = np.zeros((len(chosen) + 1, len(chosen) + 1), counts.dtype)
    np.add.at(result, (place[:, None], place[None, :]), counts)
    return result


def draw_matrix(path: Path, found: Predictions, names: Sequence[str], classes: int, stage: str) -> None:
    """Draw the confusion matrix of one stage: numbers of images, shaded by their share of the true class."""
    counts = count_pairs(found, classes)
    wrong = counts.copy()
    np.fill_diagonal(wrong, 0)
    chosen = find_worst_classes(wrong.sum(axis=0) + wrong.sum(axis=1))
    shown = fold(counts, chosen)
    share = 100 * shown / np.maximum(shown.sum(axis=1, keepdims=True), 1)
    right = int(np.trace(counts))
    title = f"{NAMES[stage].capitalize()}: {right:,} of {len(found.labels):,} images are right"
    with picture(path, *_choose_size(len(shown))) as figure:
        axes = figure.subplots()
        image = axes.imshow(share, cmap="Greys", norm=PowerNorm(0.5, 0, 100))  # so that few wrong ones are seen
        figure.colorbar(image, ax=axes, label="share of the true class's images, %", shrink=0.7)
        _label(axes, _name_classes(names, classes, chosen), title, chosen, classes, "errors")
        _write(axes, shown, np.where(share > 35, "white", "black"), "{:d}")


def draw_change(
    path: Path, before: Predictions, after: Predictions, names: Sequence[str], classes: int, stages: tuple[str, str]
) -> None:
    """Draw the difference of two confusion matrices, `after` minus `before`, in images."""
    change = count_pairs(after, classes) - count_pairs(before, classes)
    chosen = find_worst_classes(np.abs(change).sum(axis=0) + np.abs(change).sum(axis=1))
    shown = fold(change, chosen)
    largest = max(1, int(np.abs(shown).max()))
    with picture(path, *_choose_size(len(shown))) as figure:
        axes = figure.subplots()
        image = axes.imshow(shown, cmap="PuOr_r", vmin=-largest, vmax=largest)
        figure.colorbar(image, ax=axes, label="images more or fewer", shrink=0.7)
        title = f"{NAMES[stages[1]].capitalize()} minus {NAMES[stages[0]]}: {describe_flips(before, after)}"
        _label(axes, _name_classes(names, classes, chosen), title, chosen, classes, "changes")
        _write(axes, shown, np.where(np.abs(shown) > 0.6 * largest, "white", "black"), "{:+d}")


def describe_flips(before: Predictions, after: Predictions) -> str:
    """Return how many images have another class, and whether that is better or worse."""
    was, now = before.classes == before.labels, after.classes == after.labels
    changed = int((before.classes != after.classes).sum())
    return (
        f"{changed:,} images changed class,\n{int((was & ~now).sum()):,} from right to wrong,"
        f" {int((~was & now).sum()):,} from wrong to right"
    )


def write_table(path: Path, stages: Mapping[str, Predictions], names: Sequence[str], classes: int) -> None:
    """Write the accuracy of every class at every stage, the class that lost most first."""
    shown = name_classes(names, classes)
    images = np.bincount(next(iter(stages.values())).labels, minlength=classes) if stages else np.zeros(classes, int)
    rights = {
        stage: np.bincount(found.labels[found.labels == found.classes], minlength=classes)
        for stage, found in stages.items()
    }
    first, *later = rights or ["float"]
    loss = sum((rights[first] - rights[stage] for stage in later), np.zeros(classes, int))
    columns = ["class", "images", *(f"{NAMES[stage]}, %" for stage in rights)]
    columns += [f"{NAMES[stage]}, images won or lost" for stage in later]
    rows = []
    for label in np.argsort(-loss, kind="stable"):
        if not images[label]:
            continue
        cells = [f"{100 * right[label] / images[label]:.2f}" for right in rights.values()]
        cells += [f"{int(rights[stage][label] - rights[first][label]):+d}" for stage in later]
        rows.append([shown[label], f"{images[label]:,}", *cells])
    text = f"{len(rows)} classes; the one that lost the most images stands first."
    write_page(path, "Accuracy by class", [note(text), table(columns, rows, range(1, len(columns)))])


def _name_classes(names: Sequence[str], classes: int, chosen: np.ndarray) -> list[str]:
    shown = name_classes(names, classes)
    return [shown[i] for i in chosen] + ([OTHERS] if len(chosen) < classes else [])


def _choose_size(shown: int) -> tuple[float, float]:
    side = max(3.0, 0.42 * shown + 2.2)
    return side + 1.2, side


def _label(axes: Axes, names: list[str], title: str, chosen: np.ndarray, classes: int, of: str) -> None:
    if len(chosen) < classes:
        title += f"\n(the {len(chosen)} classes with the most {of}, of {classes:,})"
    axes.set_title(title)
    axes.set_xticks(range(len(names)), names, rotation=90)
    axes.set_yticks(range(len(names)), names)
    axes.set_xlabel("predicted class")
    axes.set_ylabel("true class")
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)


def _write(axes: Axes, shown: np.ndarray, colors: np.ndarray, form: str) -> None:
    """Write the number into every cell that is not 0."""
    size = 8 if np.abs(shown).max() < 1000 else 7
    for row, column in zip(*np.nonzero(shown), strict=True):
        text = form.format(int(shown[row, column])).replace("-", "\N{MINUS SIGN}")
        axes.text(column, row, text, ha="center", va="center", size=size, color=colors[row, column])
