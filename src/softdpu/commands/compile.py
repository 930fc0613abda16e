"""`softdpu compile` and scripts/compile.py: a quantized Keras model becomes an .xmodel."""

from __future__ import annotations

import argparse
import logging

from softdpu.commands.target import add_target_arguments, choose_target
from softdpu.errors import SoftdpuError
from softdpu.output import files


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the compiler takes; `run` of the parsed arguments compiles."""
    add = parser.add_argument
    add("--model", required=True, help="the quantized .h5 model, softdpu's or AMD's")
    add_target_arguments(parser)
    add("--output", required=True, help="path of the .xmodel")
    add("--emit", choices=("compiled", "frontend"), default="compiled", help="frontend: the graph before compilation")
    add("--summary", metavar="JSON", help="also write what runs where, and why, to this file")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Compile as the arguments say."""
    from softdpu.compiler import compile_model

    if args.model.endswith(".keras"):
        raise SoftdpuError(
            f"{args.model}: the compiler reads .h5, the format of quantized models; run: python scripts/quantize.py"
            f" --model {args.model}, and compile what that writes"
        )
    target = choose_target(args)
    made = compile_model(args.model, target, args.output, emit=args.emit)
    logging.info("%s for %s: %d operations", args.output, target.dpu.name, made["ops"])
    if args.summary:
        files.write_json(args.summary, made)
