"""The command line of the prediction: `softdpu predict` and scripts/predict.py."""

from __future__ import annotations

import argparse
import json
import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

from softdpu.commands.models import as_h5
from softdpu.errors import SoftdpuError
from softdpu.numbers import boards
from softdpu.output import files

_EXAMPLE = """\
examples:
  softdpu predict build/compiled_model_zcu102/mobilenet.xmodel --target zcu102
  softdpu predict build/quant_ft_model/quant_ft.h5 --all-targets"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the prediction takes; `run` of the parsed arguments runs it."""
    parser.description = "Predict cycles of each layer and frames/s of a network on a board, with intervals."
    parser.epilog = parser.epilog or _EXAMPLE
    add = parser.add_argument
    add("model", help="an .xmodel; or a Keras .h5, float or quantized, or a float .keras, which is compiled in memory")
    add("--target", help=f"board: {', '.join(boards.list_targets())}")
    add("--all-targets", action="store_true", help="compare the boards instead: latency and frames/s of each")
    add("--vitis-ai", metavar="VERSION", help="of the board's image (default: the .xmodel's, or the board's usual one)")
    add("--fingerprint", help="of another DPU than the board's usual one: not modelled, says so")
    add("--arch", metavar="JSON", help="arch.json of another DPU than the board's usual one: not modelled, says so")
    add("--threads", metavar="N,N", default="1,2,4,6,8", help="numbers of threads of the app (default: 1,2,4,6,8)")
    add("--batch", metavar="IMAGES", type=int, nargs="?", const=0, help="also the time for so many images (1000)")
    add("--json", action="store_true", help="print JSON for programs instead of tables for people")
    add("--output", metavar="JSON", help="also write the JSON to this file")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Predict as the arguments say and print the result."""
    if args.target:
        boards.find_target(args.target, args.vitis_ai)  # a misspelt board is told before the model is read
    if bool(args.target) == args.all_targets:
        raise SoftdpuError("give a board with --target, or --all-targets to compare them")
    threads, batch = _counts(args.threads), _batch(args.batch)
    with as_h5(args.model) as path:
        found, lines = _predict(args, path, threads, batch)
    print(json.dumps(found, indent=1) if args.json else "\n".join(lines))
    if args.output:
        files.write_json(args.output, found)
        logging.info("note: %s", _summary(found))  # what a build shows of the rule's log
    return 0


def _predict(
    args: argparse.Namespace, path: str, threads: list[int], batch: int | None
) -> tuple[dict[str, Any], list[str]]:
    """Return the prediction for JSON and as lines; `path` is where the model is read from."""
    from softdpu.predict import MODELLED, find_target, open_model, predict_model, text

    model = replace(open_model(path), path=Path(args.model))
    if args.all_targets:
        targets = [find_target(name, None, model) for name in boards.list_targets()]
        predictions = predict_model(model, targets, threads, same_dpu=False)
        return text.describe_boards(predictions), list(text.show_boards(predictions))
    if args.fingerprint or args.arch:
        target = boards.choose_target(args.target, args.vitis_ai, args.fingerprint, args.arch)
    else:
        target = find_target(args.target, args.vitis_ai, model)
    (prediction,) = predict_model(model, [target], threads)
    targets = [find_target(name, None, model) for name in MODELLED] if prediction.modelled else []
    others = predict_model(model, targets, threads, same_dpu=False)
    return text.as_dict(prediction, batch), list(text.show_lines(prediction, others, batch))


def _counts(given: str) -> list[int]:
    try:
        counts = [int(part) for part in given.split(",")]
    except ValueError:
        counts = [0]
    if min(counts) < 1:
        raise SoftdpuError(f"expected numbers of threads from 1, got '{given}': give such as --threads 1,2,4")
    return counts


def _batch(given: int | None) -> int | None:
    if given is not None and given < 0:
        raise SoftdpuError(f"expected a number of images from 1, got {given}: give such as --batch 1000")
    return 1000 if given == 0 else given


def _summary(found: dict[str, Any]) -> str:
    if not found.get("fps"):
        return f"{found.get('target', 'all boards')}: {found.get('reason', 'compared')}"
    best = max(found["fps"], key=lambda row: row["app"]["value"])
    fps = best["app"]
    return (
        f"{found['target']}: {fps['value']:.0f} frames/s expected with {best['threads']} threads "
        f"({fps['low']:.0f} to {fps['high']:.0f}) once it is compiled with AMD's compiler"
    )
