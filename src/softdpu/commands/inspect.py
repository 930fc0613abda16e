"""The command line of the inspector: `softdpu inspect` and scripts/inspect_model.py."""

from __future__ import annotations

import argparse
import json
import logging

from softdpu.commands.models import as_h5
from softdpu.commands.target import add_target_arguments, choose_target
from softdpu.output import files

_EXAMPLE = """\
example:
  softdpu inspect build/float_model/float_model.h5 --target zcu102"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the inspector takes; `run` of the parsed arguments runs it."""
    parser.description = "Tell for each layer where it would run, and what to change where that is not the DPU."
    parser.epilog = parser.epilog or _EXAMPLE
    add = parser.add_argument
    add("model", help="a Keras .h5, float or quantized, or a float .keras")
    add_target_arguments(parser)
    add("--json", action="store_true", help="print JSON for programs instead of a table for people")
    add("--output", metavar="JSON", help="also write the JSON to this file")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Inspect as the arguments say and print the result."""
    from softdpu.compiler.inspector import inspect_model, report, summarize

    target = choose_target(args)
    with as_h5(args.model) as model:
        places = inspect_model(model, target)
    found = {"target": target.name, "dpu": target.dpu.name, "layers": [place.as_dict() for place in places]}
    print(json.dumps(found, indent=1) if args.json else f"{target.title}, {target.dpu.name}\n{report(places)}")
    if args.output:
        files.write_json(args.output, found)
        logging.info("note: %s", summarize(places))  # what a build shows of the rule's log
    return 0
