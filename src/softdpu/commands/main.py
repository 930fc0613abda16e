"""The `softdpu` command: one subcommand a task, each in a module that is imported only when it is asked for."""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Sequence

from softdpu.output.cli import program

# name: (module with add_arguments(parser), which sets `run`; one line of help)
COMMANDS = {
    "inspect": ("softdpu.commands.inspect", "tell where each layer of a Keras model runs on a board, and why"),
    "predict": ("softdpu.commands.predict", "predict frames/s on a board, what bounds each layer, and what would help"),
    "xmodel": ("softdpu.commands.xmodel", "show and compare .xmodel files, take weights out, explain fingerprints"),
}


def _parser(arguments: Sequence[str]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="softdpu",
        description="Tools for models of AMD/Xilinx DPUs.",
        epilog="example:\n  softdpu xmodel show build/compiled_model_zcu102/mobilenet.xmodel",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    subparsers = parser.add_subparsers(metavar="COMMAND", required=True)
    for name, (module, text) in COMMANDS.items():
        subparser = subparsers.add_parser(name, help=text, formatter_class=argparse.RawDescriptionHelpFormatter)
        if name in arguments[:1]:
            importlib.import_module(module).add_arguments(subparser)
    return parser


@program
def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line `arguments`, by default those of this process, and return its exit code."""
    given = sys.argv[1:] if arguments is None else arguments
    args = _parser(given).parse_args(given)
    return int(args.run(args) or 0)
