"""Makes the card folder: app, model, images, golden vectors, and the files that tell the app and the reader about them.

The folder is built beside its place and moved in file by file; MANIFEST.sha256 goes first and comes last, so a folder
that has one is whole. Images and vectors of an earlier build that the new one does not have are removed.
"""

from __future__ import annotations

import logging
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from softdpu import tasks
from softdpu.dataset import arrays, labels, preprocess
from softdpu.dataset.pipeline import Reader, record_files
from softdpu.errors import SoftdpuError
from softdpu.numbers import boards
from softdpu.output import files
from softdpu.output.text import as_layer_name
from softdpu.package import golden, manifest, network, readme, truths
from softdpu.package.manifest import HELPERS, LABELS, MODEL, PREPROCESS, RANDOM_VECTORS, README
from softdpu.runtime import Engine

_REPLACED = {
    "images": re.compile(r"(\d+_)?image\d+\.\w+"),
    "masks": re.compile(r"image\d+\.png"),
    "golden": re.compile(r"(in|out)put_\d+\.bin"),
}

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Order:
    """What a card folder is made of.

    Attributes:
        model: the compiled .xmodel.
        records: folder with the validation .tfrecord files.
        app: the program for the board; the helpers (manifest.HELPERS) lie beside it.
        target: name of the board.
        output: the card folder.
        images: how many are on the card; golden: how many of them with golden vectors.
        fit, scaling: how an image becomes what the network takes, as trained.
        vitis_ai: version of the board's SD-card image, None for the board's usual one.
        task: what the network is for, a name of softdpu.tasks.
        detection: how outputs become boxes, JSON as detection.settings.read takes it.
        network: the quantized .h5, for a task whose card names the outputs in its order.
    """

    model: Path
    records: Path
    app: Path
    target: str
    output: Path
    images: int = 500
    golden: int = 4
    fit: str = preprocess.STRETCH
    scaling: preprocess.Scaling = preprocess.TF
    vitis_ai: str | None = None
    task: str = tasks.CLASSIFICATION.name
    detection: str = "{}"
    network: Path | None = None


def build_card(order: Order) -> None:
    """Make the card folder `order.output`, whole or not at all.

    Raises:
        SoftdpuError: for missing or broken inputs, or a folder that cannot be written.
    """
    if order.images < 1 or not 0 <= order.golden <= order.images:
        raise SoftdpuError(
            f"at least 1 image and at most {order.images} golden ones, got {order.images}, {order.golden}"
        )
    tasks.check_fit(order.task, order.fit)
    target = boards.find_target(order.target, order.vitis_ai)
    model = network.read(order.model)
    engine = model.reference()
    part = order.output.with_name(f".{order.output.name}.part")
    try:
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)
        sources = _name_arrays(order, engine) if order.fit == tasks.ARRAYS else None
        names = _write_images(part, order, engine, sources)
        shutil.copyfile(order.model, part / MODEL)
        shutil.copyfile(order.app, part / order.app.name)
        for helper in (*HELPERS, *tasks.find(order.task).helpers):
            shutil.copyfile(order.app.with_name(helper), part / helper)
        labels.write(part / LABELS, labels.read_beside(order.records))
        files.write_json(part / PREPROCESS, _make_preprocess(order, sources))
        golden.write(part, part / MODEL, engine, names[: order.golden])
        files.write_text(
            part / README, readme.make_text(target, len(names), model.has_instructions, order.task, order.app.name)
        )
        manifest.write(part)
        _install(part, order.output)
    except OSError as error:
        raise SoftdpuError(f"cannot make {order.output}: {error.strerror}: {error.filename}") from None
    finally:
        shutil.rmtree(part, ignore_errors=True)
    print(f"{order.output}: {len(names)} images, {order.golden + RANDOM_VECTORS} golden vectors")


def _make_preprocess(order: Order, sources: dict[str, str] | None) -> dict[str, Any]:
    """Return what preprocess.json says: how an image is fitted and, if not to -1..1, scaled; or the names of arrays."""
    settings: dict[str, Any] = {"fit": order.fit}
    if sources is not None:
        return {**settings, "inputs": sources}
    return settings if order.scaling == preprocess.TF else {**settings, "scaling": order.scaling.as_dict()}


def _read_input_shape(engine: Engine, path: Path) -> tuple[int, int]:
    shapes = [list(value.shape) for value in engine.program.inputs]
    if len(shapes) != 1 or len(shapes[0]) != 4 or shapes[0][3] != 3:
        raise SoftdpuError(f"{path} takes {shapes}; the app feeds one colour image, [batch, height, width, 3]")
    return shapes[0][1], shapes[0][2]


def _name_arrays(order: Order, engine: Engine) -> dict[str, str]:
    """Return, by the name of the compiled network's inputs, the array of an example that each takes.

    The compiler calls the input of the name x quant_x_fix.
    """
    reader = Reader(record_files(order.records))
    try:
        known = list(arrays.read(reader[0].image))
    except ValueError as error:
        raise SoftdpuError(f"{reader.place(0)}: {error}; make the records again") from None
    tensors = [value.name for value in engine.program.inputs]
    if len(known) == len(tensors) == 1:
        return {tensors[0]: known[0]}
    found = {tensor: name for tensor in tensors if (name := _find_array(tensor, known)) is not None}
    if missing := [tensor for tensor in tensors if tensor not in found]:
        raise SoftdpuError(
            f"{order.model} takes {', '.join(missing)}, and no array of the records is named so; they have"
            f" {', '.join(known)} (dataset.path)"
        )
    return found


def _find_array(tensor: str, known: list[str]) -> str | None:
    """Return which of the names of arrays is that of a compiled network's input, None if none is."""
    for form in ("quant_{}_fix", "quant_{}", "{}_fix", "{}"):
        for spell in (str, as_layer_name):
            for name in known:
                if tensor == form.format(spell(name)):
                    return name
    return None


def _fit(data: bytes, order: Order, engine: Engine, sources: dict[str, str] | None) -> bytes:
    """Return the file that stands on the card for one of a record.

    Raises:
        ValueError: if it does not fit the network.
    """
    if sources is None:
        return preprocess.card_image(data, *_read_input_shape(engine, order.model), order.fit)
    shapes = {sources[value.name]: tuple(value.shape[1:]) for value in engine.program.inputs}
    inputs = arrays.Inputs(tuple(shapes), tuple(shapes.values()))
    return arrays.write(dict(zip(shapes, arrays.fit(arrays.read(data), inputs), strict=True)))


def _write_images(part: Path, order: Order, engine: Engine, sources: dict[str, str] | None) -> list[str]:
    """Write images, evenly spread over the records, and what the task has beside them; return the images' names.

    They are images/<label>_image<i>.png for classification, images/image<i>.png for other tasks, .npz for arrays.
    """
    truth, suffix = truths.find(order, engine), "png" if sources is None else "npz"
    classified = order.task == tasks.CLASSIFICATION.name
    reader = Reader(record_files(order.records))
    count = min(order.images, len(reader))
    if count < order.images:
        log.warning(
            "%s holds %d images, fewer than the %d asked for: all are taken", order.records, count, order.images
        )
    names = []
    for i, place in enumerate(np.arange(count) * len(reader) // max(count, 1)):
        record = reader[int(place)]
        name = f"{record.label}_image{i}.png" if classified else f"image{i}.{suffix}"
        try:
            image = _fit(record.image, order, engine, sources)
        except ValueError as error:
            raise SoftdpuError(f"{reader.place(int(place))}: {error}; make the records again") from None
        files.write_bytes(part / "images" / name, image)
        truth.add(part, name, record)
        names.append(name)
    truth.end(part)
    if not names:
        raise SoftdpuError(f"the records in {order.records} hold no image; make them again")
    return names


def _install(part: Path, final: Path) -> None:
    """Move the files of `part` into `final`; its manifest is gone in between and comes last."""
    names = list(manifest.read(part))
    final.mkdir(parents=True, exist_ok=True)
    (final / manifest.NAME).unlink(missing_ok=True)
    for name in names:
        (final / name).parent.mkdir(exist_ok=True)
        (part / name).replace(final / name)
    for folder, pattern in _REPLACED.items():
        for path in (final / folder).glob("*"):
            if pattern.fullmatch(path.name) and f"{folder}/{path.name}" not in names:
                path.unlink()
    (part / manifest.NAME).replace(final / manifest.NAME)
