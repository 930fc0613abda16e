"""The `softdpu` command: one subcommand a task, each in a module that is imported only when it is asked for."""

from __future__ import annotations

import argparse
import difflib
import importlib
import importlib.util
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import shtab

import softdpu
from softdpu.errors import SoftdpuError
from softdpu.output.cli import program


class Command(NamedTuple):
    """A subcommand.

    Attributes:
        module: "module:function"; the function adds what it takes to a parser, and sets `run`.
        text: one line of help.
        example: what stands behind its name in the help's example, where the module says none.
    """

    module: str
    text: str
    example: str = ""


# In the order of the flow.
COMMANDS = {
    "records": Command(
        "softdpu.commands.records:add_arguments",
        "make TFRecords of Fashion-MNIST, ImageNet's tars, or a folder of images or arrays",
        "--kind image_folder --source photos --split train --output build/tfrec_train",
    ),
    "import": Command(
        "softdpu.commands.import_onnx:add_arguments", "turn an ONNX file, such as PyTorch's, into a Keras model"
    ),
    "train": Command(
        "softdpu.commands.train:add_arguments",
        "train MobileNet on records",
        "--train-records build/tfrec_train --val-records build/tfrec_val --output float.h5 --tensorboard logs",
    ),
    "quantize": Command(
        "softdpu.commands.quantize:add_arguments",
        "quantize a float model after training",
        "--model float.h5 --train-records build/tfrec_train --val-records build/tfrec_val --output quant.h5",
    ),
    "finetune": Command(
        "softdpu.commands.finetune:add_arguments",
        "fine-tune a float model with fake quantization",
        "--model float.h5 --train-records build/tfrec_train --val-records build/tfrec_val --output quant_ft.h5",
    ),
    "evaluate": Command(
        "softdpu.commands.evaluate:add_arguments",
        "measure the accuracy of a float or quantized model",
        "--model quant_ft.h5 --val-records build/tfrec_val --output metrics.json",
    ),
    "doctor": Command(
        "softdpu.commands.doctor:add_arguments",
        "say why a float model loses accuracy when it is quantized",
        "build/float_model/float_model.h5 --records build/tfrec_train --output build/doctor",
    ),
    "inspect": Command(
        "softdpu.commands.inspect:add_arguments", "show where each layer of a Keras model runs on a board, and why"
    ),
    "compile": Command(
        "softdpu.commands.compile:add_arguments",
        "compile a quantized Keras model to an .xmodel for a board",
        "--model build/quant_ft_model/quant_ft.h5 --target zcu102 --output mobilenet.xmodel",
    ),
    "export": Command(
        "softdpu.commands.export:add_arguments",
        "write a quantized network for other int8 devices: QDQ ONNX or .tflite",
    ),
    "predict": Command(
        "softdpu.commands.predict:add_arguments",
        "predict frames/s on a board, what bounds each layer, and what would help",
    ),
    "package": Command(
        "softdpu.commands.package:add_arguments",
        "make the folder for the SD card: app, model, images, golden vectors",
        "--model mobilenet.xmodel --records build/tfrec_val --app target_src/app_mt.py --target zcu102 --output card",
    ),
    "run": Command(
        "softdpu.commands.run:add_arguments", "run a script written for AMD's quantizer or for VART, unmodified"
    ),
    "xmodel": Command(
        "softdpu.commands.xmodel:add_arguments",
        "show and compare .xmodel files, take weights out, explain fingerprints",
    ),
}
_COMPLETION = "--print-completion"
_EXAMPLE = "example:\n  softdpu xmodel show build/compiled_model_zcu102/mobilenet.xmodel"


def _parser(arguments: Sequence[str]) -> argparse.ArgumentParser:
    form = argparse.RawDescriptionHelpFormatter
    text = "Tools for models of AMD/Xilinx DPUs, in the order of the flow."
    parser = argparse.ArgumentParser(prog="softdpu", description=text, epilog=_EXAMPLE, formatter_class=form)
    version = f"softdpu {softdpu.__version__}"
    parser.add_argument("--version", action="version", version=version, help="print the version")
    shtab.add_argument_to(parser, _COMPLETION, help="print what makes a shell complete softdpu's words")
    subparsers = parser.add_subparsers(metavar="COMMAND", required=True)
    for name, command in COMMANDS.items():
        subparser = subparsers.add_parser(name, help=command.text, formatter_class=form)
        if name in arguments[:1] or _COMPLETION in arguments[:1]:
            module, _, function = command.module.partition(":")
            getattr(importlib.import_module(module), function)(subparser)
            subparser.description = subparser.description or f"{command.text[0].upper()}{command.text[1:]}."
            subparser.epilog = subparser.epilog or f"example:\n  softdpu {name} {command.example}"
    return parser


def check_modules() -> None:
    """See that the modules xir, vart and vitis_ai_library are softdpu's, not those of AMD's that have the same names.

    Raises:
        SoftdpuError: naming where the other one is.
    """
    ours = Path(softdpu.__file__).parents[1]
    for name in ("xir", "vart", "vitis_ai_library"):
        found = importlib.util.find_spec(name)
        place = Path(found.origin) if found and found.origin else None
        if place and ours not in place.parents:
            raise SoftdpuError(
                f"the module {name} is {place}, not softdpu's in {ours}: AMD's modules have the same names;"
                " install softdpu in an environment of its own (python3 -m venv)"
            )


@program
def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line `arguments`, by default those of this process, and return its exit code."""
    given = sys.argv[1:] if arguments is None else arguments
    parser = _parser(given)
    if not given:
        parser.print_help()
        return 0
    if not given[0].startswith("-") and given[0] not in COMMANDS:
        near = difflib.get_close_matches(given[0], COMMANDS, n=1, cutoff=0.5)
        hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(COMMANDS)}"
        parser.error(f"unknown command {given[0]}: {hint}")
    args = parser.parse_args(given)
    check_modules()
    return int(args.run(args) or 0)
