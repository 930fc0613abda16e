"""`softdpu import`: an ONNX file becomes a Keras model; --list shows what is in it and where to cut."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from softdpu.errors import SoftdpuError

if TYPE_CHECKING:
    from softdpu.onnx_import.convert import Imported
    from softdpu.onnx_import.listing import Row

TOLERANCE = 1e-4


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `softdpu import`."""
    parser.description = "Turn an ONNX file (opset 7 to 21, float32) into a Keras model with images as NHWC."
    parser.epilog = (
        "examples:\n  softdpu import my.onnx -o my.h5 --check\n  softdpu import yolo.onnx --list\n"
        "  softdpu import yolo.onnx -o yolo.h5 --outputs /head/box/Conv_output_0,/head/class/Conv_output_0"
    )
    parser.add_argument("model", type=Path, help="the .onnx file")
    parser.add_argument("-o", "--output", type=Path, metavar="H5", help="the Keras model to write")
    parser.add_argument(
        "--outputs", type=names, metavar="NAME,...", help="tensors where the network ends (default: the file's outputs)"
    )
    parser.add_argument(
        "--input-size", type=size, metavar="HxW", help="height and width, where the file leaves them open"
    )
    parser.add_argument("--list", action="store_true", help="print the tensors and suggest where to cut, write nothing")
    parser.add_argument(
        "--check", action="store_true", help="compare the Keras model with onnxruntime on random images"
    )
    parser.set_defaults(run=run)


def names(text: str) -> list[str]:
    """Read names with commas between them."""
    found = [name.strip() for name in text.split(",") if name.strip()]
    if not found:
        raise argparse.ArgumentTypeError("expected names of tensors with commas between them")
    return found


def size(text: str) -> tuple[int, int]:
    """Read a height and a width, such as 224x320, or one number for both."""
    parts = text.lower().split("x")
    if len(parts) > 2 or not all(part.isdigit() and int(part) > 0 for part in parts):
        raise argparse.ArgumentTypeError(f"expected height x width, such as 224x320, got {text}")
    return int(parts[0]), int(parts[-1])


def run(args: argparse.Namespace) -> None:
    """Import args.model, or list it.

    Raises:
        SoftdpuError: if it cannot be imported, or --check finds a difference.
    """
    if args.list:
        _list(args)
        return
    if args.output is None:
        raise SoftdpuError("expected where to write the model: -o my.h5, or --list to look into the file")
    if args.output.suffix != ".h5":
        raise SoftdpuError(f"expected a path that ends in .h5, got {args.output}")
    from softdpu.onnx_import.convert import import_onnx
    from softdpu.training.fit import save

    imported = import_onnx(args.model, args.outputs, args.input_size)
    if args.input_size:
        for name, value in imported.inputs:
            if value.rank == 4 and value.tensor.shape[1:3] != args.input_size:
                raise SoftdpuError(
                    f"{args.model}: input {name} has the fixed shape {value.shape}; leave --input-size out, or export"
                    " it with that size"
                )
    for note in imported.notes:
        print(f"note: {args.model}: {note}")
    if args.check:
        _check(imported)
    save(imported.model, args.output)
    shapes = ", ".join(f"{name} {tuple(value.tensor.shape[1:])}" for name, value in imported.outputs)
    model = imported.model
    print(f"{args.output}: {len(model.layers)} layers, {model.count_params()} parameters; gives {shapes}")


def _check(imported: Imported) -> None:
    from softdpu.onnx_import.check import differences

    for name, difference in differences(imported).items():
        print(f"output {name}: largest difference from onnxruntime {difference:.1e} of the largest value")
        if not difference <= TOLERANCE:
            raise SoftdpuError(
                f"{imported.path}: output {name} differs from onnxruntime's by {difference:.1e}, more than"
                f" {TOLERANCE:.0e}; end the network earlier (--outputs) to find the layer, and report it"
            )


def _list(args: argparse.Namespace) -> None:
    from softdpu.onnx_import.listing import listing

    found = listing(args.model, args.input_size)
    widths = [max(len(value) for value in column) for column in zip(*map(_cells, found.rows), strict=True)]
    for row in found.rows:
        print("  ".join(text.ljust(width) for text, width in zip(_cells(row), widths, strict=True)).rstrip())
    if found.cut:
        print(
            "what comes behind these tensors is no work for a DPU; to leave it to the processor, end the network there:"
        )
        print(f"  --outputs {','.join(found.cut)}")


def _cells(row: Row) -> tuple[str, str, str, str]:
    return row.tensor, row.shape, row.op, row.runs
