r"""Compile a quantized Keras model to an .xmodel for a board.

Example:
    python scripts/compile.py --model build/quant_ft_model/quant_ft.h5 --target zcu102 \
        --output build/compiled_model_zcu102/mobilenet.xmodel --summary build/compiled_model_zcu102/summary.json
"""

from __future__ import annotations

import argparse
import logging

from softdpu.compiler import compile_model
from softdpu.numbers import boards
from softdpu.output import files
from softdpu.output.cli import program


@program
def main() -> None:
    """Parse the command line and compile."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--model", required=True, help="the quantized .h5 model, softdpu's or AMD's")
    add("--target", help=f"board: {', '.join(boards.target_names())}")
    add("--output", required=True, help="path of the .xmodel")
    add("--vitis-ai", metavar="VERSION", help="of the board's image, such as 3.0 (default: the board's usual one)")
    add("--fingerprint", help="of another DPU than the board's usual one, such as 0x101000056010407")
    add("--arch", metavar="JSON", help="arch.json of another DPU than the board's usual one")
    add("--emit", choices=("compiled", "frontend"), default="compiled", help="frontend: the graph before compilation")
    add("--summary", metavar="JSON", help="also write what runs where, and why, to this file")
    args = parser.parse_args()
    target = boards.choose_target(args.target, args.vitis_ai, args.fingerprint, args.arch)
    made = compile_model(args.model, target, args.output, emit=args.emit)
    logging.info("%s for %s: %d operations", args.output, target.dpu.name, made["ops"])
    if args.summary:
        files.write_json(args.summary, made)


if __name__ == "__main__":
    raise SystemExit(main())
