"""The sections of the report: which charts and tables each has, and what stands there for a stage that is missing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from softdpu.output.pictures import draw_placeholder
from softdpu.package.ladder import find_exported, read_step
from softdpu.report import (
    boxes,
    compiled,
    confusion,
    costs,
    curves,
    flips,
    ladder,
    masks,
    metrics,
    outputs,
    predicted,
    provenance,
    speed,
    stages,
)
from softdpu.tasks import CLASSIFICATION, Task
from softdpu.training.results import HISTORY, METRICS, PREDICTIONS, read_history

_TRAINED = {"float": "Training of the float model", "qat": "Fine-tuning of the quantized model"}


def draw_accuracy(
    measured: Mapping[str, Sequence[Path]], records: Path, output: Path, task: Task = CLASSIFICATION
) -> None:
    """Draw training curves, and of a classifier confusion matrices and the images that flipped, of others their own.

    Args:
        measured: by stage (float, ptq, qat), the files that it has: metrics.json, history.csv, the task's predictions.
        records: folder of the validation records.
        output: folder for the pictures.
        task: what the network is for.

    Raises:
        SoftdpuError: if a file cannot be read, or they are not of the same images.
    """
    if task.network:
        _draw_curves(measured, output, task)
    if task == CLASSIFICATION:
        _draw_classes(measured, records, output)
        return
    found = _pick_files(measured, task.predictions)
    if task.name in metrics.BY_CLASS:
        names = stages.read_names(records)
        metrics.write_classes(output / "classes.html", _pick_files(measured, METRICS), names, task)
    if task.name == "segmentation":
        masks.draw(found, records, output / "masks.svg")
    elif task.name == "detection":
        boxes.draw(found, records, output / "boxes.svg")
    else:
        outputs.draw_images(output / "similarity.svg", found)


def _draw_curves(measured: Mapping[str, Sequence[Path]], output: Path, task: Task) -> None:
    for stage, title in _TRAINED.items():
        history = _pick_file(measured, stage, HISTORY)
        if history is None:
            draw_placeholder(
                output / f"training_{stage}.svg", title, "Nothing was trained in this stage of this build."
            )
        else:
            curves.draw_curves(output / f"training_{stage}.svg", read_history(history), title, task)


def _draw_classes(measured: Mapping[str, Sequence[Path]], records: Path, output: Path) -> None:
    found = stages.read_stages({stage: _pick_file(measured, stage, PREDICTIONS) for stage in measured})
    names = stages.read_names(records)
    classes = confusion.count_classes(found, names)
    for stage in measured:
        path = output / f"confusion_{stage}.svg"
        if stage in found:
            confusion.draw_matrix(path, found[stage], names, classes, stage)
        else:
            draw_placeholder(path, f"Confusion matrix, {stages.NAMES[stage]}", stages.say_missing(stage))
    for stage in [stage for stage in measured if stage != "float"]:
        pair = ("float", stage)
        title = f"{stages.NAMES[stage].capitalize()} against float model"
        if set(pair) <= set(found):
            both = found["float"], found[stage]
            confusion.draw_change(output / f"change_{stage}.svg", *both, names, classes, pair)
            flips.draw_sheet(output / f"flips_{stage}.svg", records, *both, names, classes, pair)
        else:
            gone = next(name for name in pair if name not in found)
            for kind in ("change", "flips"):
                draw_placeholder(output / f"{kind}_{stage}.svg", title, stages.say_missing(gone))
    confusion.write_table(output / "classes.html", found, names, classes)


def draw_target(
    name: str,
    built: str,
    measured: Mapping[str, Sequence[Path]],
    files: Mapping[str, Path | None],
    output: Path,
    exported: Sequence[Path] = (),
    task: Task = CLASSIFICATION,
) -> None:
    """Draw the ladder of one target, what was compiled for it, a classifier's errors, throughput, what to expect.

    Args:
        name: of the target.
        built: network and data in a few words.
        measured: as for `draw_accuracy`.
        files: by name: run (the app's JSON, or what was measured of its results), sweep (the app's JSON), xmodel,
            labels; summary, inspect and predict (JSON) may be None.
        output: folder for the pictures.
        exported: reports of exported files, which the ladder's table shows too.
        task: what the network is for.

    Raises:
        SoftdpuError: if a file cannot be read.
    """
    run, xmodel, sweep, labels = (_require(files, key) for key in ("run", "xmodel", "sweep", "labels"))
    _draw_ladder({**_pick_files(measured, METRICS), "target": run}, f"{built}, {name}", output, exported, task)
    if task == CLASSIFICATION:
        card = stages.read_card(run)
        names = stages.read_names(labels.parent)
        confusion.draw_matrix(
            output / "confusion.svg", card, names, confusion.count_classes({"target": card}, names), "target"
        )
    compiled.draw_operations(output / "operations.svg", compiled.read_operations(xmodel), f"Compiled for {name}")
    compiled.write_summary(output / "compiled.html", name, xmodel, files.get("summary"), files.get("inspect"))
    speed.draw_throughput(output / "throughput.svg", speed.read_sweep(sweep), name)
    predicted.write_prediction(output / "predicted.html", files.get("predict"))


def _draw_ladder(paths: Mapping[str, Path], where: str, output: Path, exported: Sequence[Path], task: Task) -> None:
    """Draw and write what was measured at every stage, in the form that the task's metrics ask for."""
    chart, page = output / "ladder.svg", output / "ladder.html"
    if not task.metrics:
        found = outputs.read_outputs_of(paths)
        outputs.draw_outputs(chart, found, where)
        outputs.write_outputs(page, found, where)
        return
    steps = ladder.read_steps(paths, task)
    more = [read_step(step, path, task) for step, path in find_exported(exported).items()]
    if task == CLASSIFICATION:
        ladder.draw_ladder(chart, steps, where)
        ladder.write_ladder(page, steps, where, more)
    else:
        metrics.draw_metrics(chart, steps, task, where)
        metrics.write_metrics(page, steps, task, where, more)


def draw_build(
    config: dict[str, Any], benchmarks: Path, manifests: Sequence[Path], outputs: Sequence[Path], folder: Path
) -> None:
    """Draw what each rule took, and write where the build comes from.

    Args:
        config: the whole configuration.
        benchmarks: folder of Snakemake's benchmark files.
        manifests: of the records.
        outputs: files whose checksums are shown.
        folder: for the pictures.

    Raises:
        SoftdpuError: if a file cannot be read.
    """
    found = costs.read_costs(benchmarks.glob("*.tsv"))
    costs.draw_costs(folder / "costs.svg", found)
    costs.write_costs(folder / "costs.html", found)
    provenance.write_provenance(folder / "provenance.html", config, manifests, outputs)


def _pick_file(measured: Mapping[str, Sequence[Path]], stage: str, name: str) -> Path | None:
    return next((path for path in measured.get(stage, ()) if path.name == name), None)


def _pick_files(measured: Mapping[str, Sequence[Path]], name: str) -> dict[str, Path]:
    """Return the file of a name of every stage that has one."""
    return {stage: path for stage in measured if (path := _pick_file(measured, stage, name)) is not None}


def _require(files: Mapping[str, Path | None], name: str) -> Path:
    path = files[name]
    assert path is not None, name
    return path
