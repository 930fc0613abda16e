"""`softdpu xmodel`: show, diff, weights and fingerprint."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterable
from typing import Any

_EXAMPLES = """\
examples:
  softdpu xmodel show build/compiled_model_zcu102/mobilenet.xmodel
  softdpu xmodel diff ours.xmodel theirs.xmodel
  softdpu xmodel weights mobilenet.xmodel -o weights.npz
  softdpu xmodel fingerprint 0x101000056010407
  softdpu xmodel fingerprint mobilenet.xmodel /opt/vitis_ai/compiler/arch/DPUCZDX8G/ZCU102/arch.json

exit codes: 0 done (diff: equal; fingerprint of two: the same), 1 different, or an error told in one line,
2 a wrong command line. --json prints one JSON value for programs."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the subcommands of `softdpu xmodel`."""
    parser.description = "Look into .xmodel files, AMD's or softdpu's, of every Vitis AI version from 1.1 to 3.5."
    parser.epilog = _EXAMPLES
    commands = parser.add_subparsers(metavar="COMMAND", required=True)

    def command(name: str, run: Callable[[argparse.Namespace], int], text: str, more: str) -> argparse.ArgumentParser:
        form = argparse.RawDescriptionHelpFormatter
        added = commands.add_parser(
            name, help=text, description=f"{text[0].upper()}{text[1:]}.", epilog=more, formatter_class=form
        )
        added.add_argument("--json", action="store_true", help="print JSON for programs instead of text for people")
        added.set_defaults(run=run)
        return added

    show = command(
        "show",
        _show,
        "tell what a file holds: subgraphs by device, ops, positions, sizes, work",
        _example("show m.xmodel"),
    )
    show.add_argument("file", help="the .xmodel")
    show.add_argument("--constants", action="store_true", help="list weights and biases too")

    diff = command(
        "diff",
        _diff,
        "tell how two files differ in graph, positions, weights and subgraphs",
        _example("diff a.xmodel b.xmodel --section weights") + "\n\nexit codes: 0 equal, 1 different or an error",
    )
    diff.add_argument("first", help="an .xmodel")
    diff.add_argument("second", help="the other .xmodel")
    sections = ("graph", "positions", "weights", "subgraphs")
    diff.add_argument(
        "--section", choices=sections, action="append", help="compare this only; can be given more than once"
    )
    diff.add_argument(
        "--limit", type=int, default=20, metavar="N", help="lines to print a section, 0 for all (default 20)"
    )

    weights = command(
        "weights",
        _weights,
        "write weights and biases to a .npz, under their ops' names",
        _example("weights m.xmodel -o w.npz --real")
        + "\n\nKernels are (output, height, width, input). Some of AMD's DPUs keep some constants in layouts that are"
        "\nnot known; the command names these and leaves them out.",
    )
    weights.add_argument("file", help="the .xmodel")
    weights.add_argument("-o", "--output", required=True, metavar="FILE.npz", help="the file to write")
    weights.add_argument(
        "--real", action="store_true", help="write float32 values, q / 2**position, instead of int8 numbers"
    )

    fingerprint = command(
        "fingerprint",
        _fingerprint,
        "explain a DPU's fingerprint: the DPU, Vitis AI versions, boards, images; of two, what differs",
        _example("fingerprint 0x101000056010407") + "\n" + _example("fingerprint m.xmodel arch.json", ""),
    )
    fingerprint.add_argument(
        "what", metavar="FINGERPRINT|arch.json|FILE.xmodel", help="a number, an arch.json or an .xmodel"
    )
    fingerprint.add_argument("other", metavar="OTHER", nargs="?", help="another of these, to compare with")


def _example(command: str, title: str = "example:\n") -> str:
    return f"{title}  softdpu xmodel {command}"


def _print(args: argparse.Namespace, value: Any, lines: Iterable[str]) -> None:
    if args.json:
        print(json.dumps(value, indent=1))
    else:
        for line in lines:
            print(line)


def _show(args: argparse.Namespace) -> int:
    from softdpu.xmodel import show

    found = show.describe(args.file)
    _print(args, found, show.show_text(found, args.constants))
    return 0


def _diff(args: argparse.Namespace) -> int:
    from softdpu.xmodel import diff

    found = diff.compare(args.first, args.second)
    if args.section:
        found = {section: lines for section, lines in found.items() if section in args.section}
    equal = not any(found.values())
    _print(args, {"equal": equal, **found}, diff.show_text(args.first, args.second, found, args.limit))
    return 0 if equal else 1


def _weights(args: argparse.Namespace) -> int:
    from softdpu.xmodel import load, weights

    found, hidden = weights.list_constants(load.load(args.file))
    weights.write_npz(args.output, found, args.real)
    value = {
        "output": args.output,
        "weights": [{"name": c.name, "shape": list(c.data.shape), "position": c.position} for c in found],
        "hidden": hidden,
    }
    lines = [f"{c.name}: {c.data.dtype} {list(c.data.shape)}, position {c.position}" for c in found]
    lines += [f"{name}: in an unknown layout of that DPU, not written" for name in hidden]
    _print(args, value, [*lines, f"{args.output}: {len(found)} arrays"])
    return 0


def _fingerprint(args: argparse.Namespace) -> int:
    from softdpu.xmodel import fingerprint

    if args.other is None:
        found = fingerprint.explain(args.what)
        _print(args, found, fingerprint.show_text(args.what, found))
        return 0
    same, lines = fingerprint.compare(args.what, args.other)
    _print(
        args, {"same": same, "first": fingerprint.explain(args.what), "second": fingerprint.explain(args.other)}, lines
    )
    return 0 if same else 1
