"""The sections of the report: which charts and tables each has, and what stands there for a stage that is missing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from softdpu.output.pictures import placeholder
from softdpu.package.ladder import find_exported, read_step
from softdpu.report import compiled, confusion, costs, curves, flips, ladder, predicted, provenance, speed, stages
from softdpu.training.results import HISTORY, METRICS, PREDICTIONS, read_history

_TRAINED = {"float": "Training of the float model", "qat": "Fine-tuning of the quantized model"}


def accuracy(measured: Mapping[str, Sequence[Path]], records: Path, output: Path) -> None:
    """Draw training curves, confusion matrices, what changed in them, and the images that flipped.

    Args:
        measured: by stage (float, ptq, qat), the files metrics.json, predictions.csv and history.csv that it has.
        records: folder of the validation records.
        output: folder for the pictures.

    Raises:
        SoftdpuError: if a file cannot be read, or they are not of the same images.
    """
    for stage, title in _TRAINED.items():
        history = _file(measured, stage, HISTORY)
        if history is None:
            placeholder(output / f"training_{stage}.svg", title, "Nothing was trained in this stage of this build.")
        else:
            curves.draw_curves(output / f"training_{stage}.svg", read_history(history), title)
    found = stages.read_stages({stage: _file(measured, stage, PREDICTIONS) for stage in measured})
    names = stages.read_names(records)
    classes = confusion.class_count(found, names)
    for stage in measured:
        path = output / f"confusion_{stage}.svg"
        if stage in found:
            confusion.draw_matrix(path, found[stage], names, classes, stage)
        else:
            placeholder(path, f"Confusion matrix, {stages.NAMES[stage]}", stages.missing(stage))
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
                placeholder(output / f"{kind}_{stage}.svg", title, stages.missing(gone))
    confusion.write_table(output / "classes.html", found, names, classes)


def target(
    name: str,
    built: str,
    measured: Mapping[str, Sequence[Path]],
    files: Mapping[str, Path | None],
    output: Path,
    exported: Sequence[Path] = (),
) -> None:
    """Draw the ladder of one target, what was compiled for it, the app's errors, its throughput, what to expect.

    Args:
        name: of the target.
        built: network and data in a few words.
        measured: as for `accuracy`.
        files: by name: run and sweep (the app's JSON), xmodel, labels; summary, inspect and predict (JSON) may be None.
        output: folder for the pictures.
        exported: reports of exported files, which the ladder's table shows too.

    Raises:
        SoftdpuError: if a file cannot be read.
    """
    run, xmodel, sweep, labels = (_require(files, key) for key in ("run", "xmodel", "sweep", "labels"))
    paths = {stage: _file(measured, stage, METRICS) for stage in measured}
    steps = ladder.read_steps({**paths, "target": run})
    ladder.draw_ladder(output / "ladder.svg", steps, f"{built}, {name}")
    more = [read_step(step, path) for step, path in find_exported(exported).items()]
    ladder.write_ladder(output / "ladder.html", steps, f"{built}, {name}", more)
    card = stages.read_card(run)
    names = stages.read_names(labels.parent)
    confusion.draw_matrix(
        output / "confusion.svg", card, names, confusion.class_count({"target": card}, names), "target"
    )
    compiled.draw_operations(output / "operations.svg", compiled.read_operations(xmodel), f"Compiled for {name}")
    compiled.write_summary(output / "compiled.html", name, xmodel, files.get("summary"), files.get("inspect"))
    speed.draw_throughput(output / "throughput.svg", speed.read_sweep(sweep), name)
    predicted.write_prediction(output / "predicted.html", files.get("predict"))


def build(
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


def _file(measured: Mapping[str, Sequence[Path]], stage: str, name: str) -> Path | None:
    return next((path for path in measured.get(stage, ()) if path.name == name), None)


def _require(files: Mapping[str, Path | None], name: str) -> Path:
    path = files[name]
    assert path is not None, name
    return path
