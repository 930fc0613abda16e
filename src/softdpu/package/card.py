"""Makes the card folder: app, model, images, golden vectors, and the files that tell the app and the reader about them.

The folder is built beside its place and moved in file by file; MANIFEST.sha256 goes first and comes last, so a folder
that has one is whole. Images and vectors of an earlier build that the new one does not have are removed.
"""

from __future__ import annotations

import argparse
import logging
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np

import xir
from softdpu.dataset import options, preprocess
from softdpu.dataset.pipeline import Reader, record_files
from softdpu.errors import SoftdpuError
from softdpu.numbers import boards
from softdpu.numbers.dpu import has_instructions, only_dpu
from softdpu.output import files
from softdpu.package import golden, manifest, readme
from softdpu.package.manifest import APP, HELPER, LABELS, MODEL, PREPROCESS, RANDOM_VECTORS, README

_REPLACED = {"images": re.compile(r"\d+_image\d+\.\w+"), "golden": re.compile(r"(in|out)put_\d+\.bin")}

log = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `build` to a command line."""
    add = parser.add_argument
    add("--model", type=Path, required=True, help="the compiled .xmodel")
    add("--records", type=Path, required=True, metavar="DIR", help="folder with the validation .tfrecord files")
    add(
        "--app",
        type=Path,
        required=True,
        help="the program for the board, such as target_src/app_mt.py; card.py lies beside it",
    )
    add("--images", type=int, default=500, metavar="N", help="images on the card (default: 500)")
    add("--golden", type=int, default=4, metavar="N", help="images among them with golden vectors (default: 4)")
    add("--fit", choices=preprocess.FITS, default=preprocess.STRETCH, help="how an image becomes a square, as trained")
    options.add_scaling_argument(parser)
    add("--target", required=True, help="name of the board, such as zcu102")
    add("--vitis-ai", metavar="VERSION", help="of the board's SD-card image, such as 3.0 (default: the board's usual)")
    add("--output", type=Path, required=True, metavar="DIR", help="the card folder, such as build/target_zcu102")


def build(args: argparse.Namespace) -> None:
    """Make the card folder `args.output`, whole or not at all.

    Raises:
        SoftdpuError: for missing or broken inputs, or a folder that cannot be written.
    """
    if args.images < 1 or not 0 <= args.golden <= args.images:
        raise SoftdpuError(f"at least 1 image and at most {args.images} golden ones, got {args.images}, {args.golden}")
    target = boards.target(args.target, args.vitis_ai)
    graph, subgraph = read_model(args.model)
    part = args.output.with_name(f".{args.output.name}.part")
    try:
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)
        names = _write_images(part, args, _input_shape(subgraph, args.model))
        shutil.copyfile(args.model, part / MODEL)
        shutil.copyfile(args.app, part / APP)
        shutil.copyfile(args.app.with_name(HELPER), part / HELPER)
        classes = _class_names(args.records)
        files.write_text(part / LABELS, "".join(f"{name}\n" for name in classes))
        files.write_json(part / PREPROCESS, _preprocess(args))
        golden.write(part, part / MODEL, subgraph, names[: args.golden], args.fit, args.scaling)
        files.write_text(part / README, readme.text(target, len(names), has_instructions(subgraph)))
        manifest.write(part)
        _install(part, args.output)
    except OSError as error:
        raise SoftdpuError(f"cannot make {args.output}: {error.strerror}: {error.filename}") from None
    finally:
        shutil.rmtree(part, ignore_errors=True)
    del graph
    print(f"{args.output}: {len(names)} images, {args.golden + RANDOM_VECTORS} golden vectors")


def _preprocess(args: argparse.Namespace) -> dict[str, Any]:
    """Return what preprocess.json says: how an image is fitted and, if not to -1..1, scaled."""
    settings: dict[str, Any] = {"fit": args.fit}
    return settings if args.scaling == preprocess.TF else {**settings, "scaling": args.scaling.as_dict()}


def read_model(path: Path) -> tuple[Any, Any]:
    """Return the graph in an .xmodel and its one DPU subgraph.

    Raises:
        SoftdpuError: if the file is missing or broken, or has not exactly one DPU subgraph.
    """
    if not path.is_file():
        raise SoftdpuError(f"no such model: {path}; compile it first")
    try:
        graph = xir.Graph.deserialize(str(path))
    except Exception as error:  # whatever xir says about a broken file
        raise SoftdpuError(f"{path} cannot be read: {error}; compile it again") from None
    return graph, only_dpu(graph, path)


def _input_shape(subgraph: Any, path: Path) -> tuple[int, int]:
    shapes = [list(tensor.dims) for tensor in subgraph.get_input_tensors()]
    if len(shapes) != 1 or len(shapes[0]) != 4 or shapes[0][3] != 3:
        raise SoftdpuError(f"{path} takes {shapes}; the app feeds one colour image, [batch, height, width, 3]")
    return shapes[0][1], shapes[0][2]


def _write_images(part: Path, args: argparse.Namespace, shape: tuple[int, int]) -> list[str]:
    """Write images/<label>_image<i>.png, evenly spread over the records, and return the names."""
    reader = Reader(record_files(args.records))
    count = min(args.images, len(reader))
    if count < args.images:
        log.warning("%s holds %d images, fewer than the %d asked for: all are taken", args.records, count, args.images)
    names = []
    for i, place in enumerate(np.arange(count) * len(reader) // max(count, 1)):
        record = reader[int(place)]
        name = f"{record.label}_image{i}.png"
        try:
            image = preprocess.card_image(record.image, shape[0], shape[1], args.fit)
        except ValueError as error:
            raise SoftdpuError(f"{reader.place(int(place))}: {error}; make the records again") from None
        files.write_bytes(part / "images" / name, image)
        names.append(name)
    if not names:
        raise SoftdpuError(f"the records in {args.records} hold no image; make them again")
    return names


def _class_names(records: Path) -> list[str]:
    """Return the class names that stand beside the records; none for records that others made."""
    path = records / LABELS
    return path.read_text(encoding="utf-8").splitlines() if path.is_file() else []


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
