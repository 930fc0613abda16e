"""The three commands: deploy a card folder to a board, run its app there and compare, write it to an SD card."""

from __future__ import annotations

import argparse
import contextlib
import json
import logging
import re
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from softdpu.deploy import arm, content, copying, query, results, sdcard
from softdpu.deploy.connection import Connection
from softdpu.errors import SoftdpuError
from softdpu.numbers import boards
from softdpu.output import files
from softdpu.package.manifest import APP, MODEL

RESULT = "board_run.json"  # what the app writes in its folder on the board

log = logging.getLogger(__name__)


def add_card_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what all three commands share."""
    add = parser.add_argument
    add("--folder", type=Path, required=True, metavar="DIR", help="the card folder, such as build/target_zcu102")
    add("--target", required=True, help="name of the board, such as zcu102")
    add(
        "--allow-softdpu",
        action="store_true",
        help="take a model of softdpu's compiler, which runs on the Arm CPU only",
    )


def add_board_arguments(parser: argparse.ArgumentParser) -> None:
    """Add how to reach the board."""
    add = parser.add_argument
    add("--board", required=True, metavar="USER@HOST", help="the board, or a Host of ~/.ssh/config")
    add("--port", type=int, help="of its ssh server (default: ssh's own)")
    add(
        "--ssh-options",
        nargs="*",
        default=[],
        metavar="KEY=VALUE",
        help="for ssh -o, such as IdentityFile=~/.ssh/board",
    )
    add("--board-folder", metavar="DIR", help="on the board (default: the card folder's name, in the home folder)")


def add_run_arguments(parser: argparse.ArgumentParser) -> None:
    """Add how the app is run on the board, and with what it is compared."""
    add = parser.add_argument
    add("--threads", type=int, help="of the app (default: two for each DPU core)")
    add("--sweep", nargs="*", type=int, default=[], metavar="N", help="thread counts to measure the throughput of")
    add("--no-check", action="store_true", help="without the app's --check against the golden vectors")
    add("--pc", type=Path, required=True, help="the app's JSON of the same folder on the PC, build/run_zcu102.json")
    add("--alpha", type=float, help="width of the MobileNet, to find AMD's throughput (default: another network)")
    add("--input-size", type=int, help="height and width of its input, to find AMD's throughput")
    add("--output", type=Path, required=True, help="path of the JSON file with the findings")


def deploy(args: argparse.Namespace) -> None:
    """Copy the card folder to the board.

    Raises:
        SoftdpuError: a model that the board cannot run, no connection, no room, no permission.
    """
    with _deployed(args):
        pass


def board_run(args: argparse.Namespace) -> None:
    """Copy the card folder to the board, run its app there, compare with the PC and write the findings.

    Raises:
        SoftdpuError: as for deploy; the app fails; or, after the findings are written, board and PC differ.
    """
    pc = results.read(args.pc)
    with _deployed(args, for_run=True) as (connection, board, model, folder):
        on_arm = not model.for_dpu
        report, faults = _run_app(connection, folder, _app_command(args, board, on_arm, pc["images"]), model, args)
    found = {**results.compare(report, pc), "throughput": results.throughput(report), "check": report.get("check")}
    rows = [] if on_arm or not args.alpha else results.published(args.target, args.alpha, args.input_size)
    amd = results.closest(rows, board.vitis_ai)
    network = f"MobileNet v1 {args.alpha:g} at {args.input_size}x{args.input_size}" if args.alpha else "this network"
    found.update(board=board.text(), runs_on="Arm CPU" if on_arm else "DPU", published=results.as_json(amd))
    print("\n".join(results.text(found, network, args.target, amd)))
    files.write_json(args.output, found)
    if faults:
        raise SoftdpuError(f"the board's --check finds {', '.join(faults)} at fault; docs/board.md says what it means")
    if found["different"]:
        first = found["first_different"]["image"]
        raise SoftdpuError(
            f"{len(found['different'])} images get another class than on the PC, {first} first: {args.output}"
        )


def write_card(args: argparse.Namespace) -> None:
    """Write the card folder to a mounted SD card and verify it.

    Raises:
        SoftdpuError: a model that the board cannot run, no such card, no room, no permission, a damaged card.
    """
    contents = content.entries(args.folder)
    on_arm = content.check_model(content.read_model(args.folder / MODEL), args.target, args.allow_softdpu)
    with tempfile.TemporaryDirectory() as scratch:
        contents.update(arm.entries(Path(scratch)) if on_arm else {})
        folder = sdcard.home(args.card) / args.folder.resolve().name
        written = sdcard.write(contents, folder)
    print(f"{folder}: {len(contents)} files, {written} written, all verified; unmount the card before you take it out")
    print(f"Next, on the board: cd ~/{folder.name} && {arm.settings() if on_arm else ''}python3 {APP}")


@contextlib.contextmanager
def _deployed(
    args: argparse.Namespace, for_run: bool = False
) -> Iterator[tuple[Connection, query.Board, content.Model, str]]:
    """Connect, see that the folder fits the board, copy it, and yield what a run needs."""
    boards.target(args.target)
    contents = content.entries(args.folder)
    model = content.read_model(args.folder / MODEL)
    on_arm = content.check_model(model, args.target, args.allow_softdpu)
    folder = args.board_folder or args.folder.resolve().name
    with tempfile.TemporaryDirectory() as scratch, Connection(args.board, args.port, args.ssh_options) as connection:
        board = query.ask(connection)
        print(f"{args.board}: {board.text()}", flush=True)
        if on_arm:
            arm.check_board(board)
            contents.update(arm.entries(Path(scratch)))
        else:
            _check_dpu(model, board, args.target, for_run)
        copied = copying.copy(connection, contents, folder, board.rsync)
        print(f"{args.board}:{folder}: {copied.text()}", flush=True)
        yield connection, board, model, folder


def _check_dpu(model: content.Model, board: query.Board, target: str, for_run: bool) -> None:
    """Compare the fingerprints: what does not fit is not run; it may be copied, for another image may follow."""
    try:
        doubt = query.check_fingerprint(model.fingerprint, board.fingerprints, target)
    except SoftdpuError as error:
        if for_run:
            raise
        doubt = str(error)
    if doubt:
        log.warning("warning: %s", doubt)


def _app_command(args: argparse.Namespace, board: query.Board, on_arm: bool, images: int) -> str:
    """Return the app's command line for the board's shell."""
    threads = args.threads or (1 if on_arm else 2 * boards.target(args.target).cores)
    words = ["python3", APP, "--threads", str(min(threads, images)), "--json", RESULT]
    counts = [str(count) for count in args.sweep if count <= images]
    words += ["--sweep", ",".join(counts)] if counts and not on_arm else []
    words += [] if args.no_check else ["--check"]
    return (arm.settings(board) if on_arm else "") + " ".join(words)


def _run_app(
    connection: Connection, folder: str, command: str, model: content.Model, args: argparse.Namespace
) -> tuple[dict[str, Any], list[str]]:
    """Run the app on the board, showing what it prints, and return its results and what its --check finds at fault."""
    print(f"{args.board}:{folder}$ {command}", flush=True)
    process = connection.start(f"cd {folder} && rm -f {RESULT} && {command} 2>&1", stdout=-1)
    assert process.stdout
    told = ""
    for line in process.stdout:
        told += line.decode(errors="replace")
        sys.stdout.write(line.decode(errors="replace"))
        sys.stdout.flush()
    process.stdout.close()
    code = process.wait()
    if code == 255:
        raise SoftdpuError(connection.broken(told))
    fetched = connection.run(f"cat {folder}/{RESULT}")
    if fetched.returncode:
        raise SoftdpuError(_why_failed(told, code, model, args))
    try:
        report = results.check(json.loads(fetched.stdout), f"{args.board}:{folder}/{RESULT}")
    except ValueError as error:
        raise SoftdpuError(f"{args.board}:{folder}/{RESULT} is no JSON ({error}): run again") from None
    return report, list((report.get("check") or {}).get("faults", []))


def _why_failed(told: str, code: int, model: content.Model, args: argparse.Namespace) -> str:
    """Return in one line why the app left no results."""
    numbers = re.search(r"model_fingerprint (0x[0-9a-f]+).*?dpu_fingerprint\s*(0x[0-9a-f]+)", told, re.S)
    if numbers:
        return query.mismatch(int(numbers[1], 16), int(numbers[2], 16), args.target)
    errors = re.findall(r"^(?:error: |.*Error: |F\d{4} ).*$", told, re.M)
    last = errors[-1] if errors else (told.strip().splitlines() or ["nothing"])[-1]
    return f"{APP} failed on {args.board} (exit code {code}): {last.strip()}; docs/board.md has a table of reasons"
