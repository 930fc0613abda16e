"""`softdpu compile` and scripts/compile.py: a quantized Keras model becomes an .xmodel."""

from __future__ import annotations

import argparse
import logging

from softdpu.errors import SoftdpuError
from softdpu.numbers import boards
from softdpu.output import files


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the compiler takes; `run` of the parsed arguments compiles."""
    add = parser.add_argument
    add("--model", required=True, help="the quantized .h5 model, softdpu's or AMD's")
    add("--target", help=f"board: {', '.join(boards.target_names())}")
    add("--output", required=True, help="path of the .xmodel")
    add("--vitis-ai", metavar="VERSION", help="of the board's image, such as 3.0 (default: the board's usual one)")
    add("--fingerprint", help="of another DPU than the board's usual one, such as 0x101000056010407")
    add("--arch", metavar="JSON", help="arch.json of another DPU than the board's usual one")
    add("--emit", choices=("compiled", "frontend"), default="compiled", help="frontend: the graph before compilation")
    add("--summary", metavar="JSON", help="also write what runs where, and why, to this file")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Compile as the arguments say."""
    from softdpu.compiler import compile_model

    if args.model.endswith(".keras"):
        raise SoftdpuError(
            f"{args.model}: the compiler reads .h5, the format of quantized models; run: softdpu quantize --model"
            f" {args.model}, and compile what that writes"
        )
    target = boards.choose_target(args.target, args.vitis_ai, args.fingerprint, args.arch)
    made = compile_model(args.model, target, args.output, emit=args.emit)
    logging.info("%s for %s: %d operations", args.output, target.dpu.name, made["ops"])
    if args.summary:
        files.write_json(args.summary, made)
