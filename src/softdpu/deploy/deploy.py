"""What goes to a board: deploy a card folder to a board, run its app there and compare, write it to an SD card."""

from __future__ import annotations

import codecs
import contextlib
import json
import logging
import os
import re
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from softdpu.deploy import arm, content, copying, query, results, sdcard
from softdpu.deploy.connection import MOST, Connection
from softdpu.errors import SoftdpuError
from softdpu.numbers import boards
from softdpu.output import files
from softdpu.output.text import one_line, printable
from softdpu.package.manifest import MODEL, find_app

RESULT = "board_run.json"  # what the app writes in its folder on the board
_RUN_PATIENCE = 6 * 3600.0  # seconds; on an Arm CPU a thousand images take long
_KEPT = 1 << 16  # characters of what the app printed, for the reason why it failed

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Card:
    """A card folder, the board that it is for, and whether a model that runs on the Arm CPU alone is taken."""

    folder: Path
    target: str
    allow_softdpu: bool = False


@dataclass(frozen=True)
class Address:
    """How a board is reached.

    Attributes:
        board: user@host, or a Host of ~/.ssh/config.
        port: of its ssh server, None for ssh's own.
        ssh_options: for ssh -o.
        board_folder: on the board, None for the card folder's name in the home folder.
    """

    board: str
    port: int | None = None
    ssh_options: Sequence[str] = ()
    board_folder: str | None = None


@dataclass(frozen=True)
class Trial:
    """How the app is run on the board, and with what it is compared.

    Attributes:
        pc: the app's JSON of the same folder on the PC.
        output: path of the JSON file with the findings.
        threads: of the app, None for two for each DPU core.
        sweep: thread counts to measure the throughput of.
        no_check: without the app's --check against the golden vectors.
        alpha, input_size: of the MobileNet, to find AMD's throughput; None for another network.
    """

    pc: Path
    output: Path
    threads: int | None = None
    sweep: Sequence[int] = ()
    no_check: bool = False
    alpha: float | None = None
    input_size: int | None = None


def deploy(card: Card, address: Address) -> None:
    """Copy the card folder to the board.

    Raises:
        SoftdpuError: a model that the board cannot run, no connection, no room, no permission.
    """
    with _deploy_for_a_run(card, address):
        pass


def board_run(card: Card, address: Address, trial: Trial) -> None:
    """Copy the card folder to the board, run its app there, compare with the PC and write the findings.

    Raises:
        SoftdpuError: as for deploy; the app fails; or, after the findings are written, board and PC differ.
    """
    pc = results.read(trial.pc)
    with _deploy_for_a_run(card, address, for_run=True) as (connection, board, model, folder):
        on_arm = not model.for_dpu
        command = _app_command(find_app(card.folder), card.target, trial, board, on_arm, pc["images"])
        report, faults = _run_app(connection, folder, command, card.target)
    found = {**results.compare(report, pc), "throughput": results.list_throughput(report), "check": report.get("check")}
    rows, network = [], "this network"
    if trial.alpha and trial.input_size:
        network = f"MobileNet v1 {trial.alpha:g} at {trial.input_size}x{trial.input_size}"
        rows = [] if on_arm else results.read_published(card.target, trial.alpha, trial.input_size)
    amd = results.find_closest(rows, board.vitis_ai)
    found.update(board=board.text(), runs_on="Arm CPU" if on_arm else "DPU", published=results.as_json(amd))
    print("\n".join(results.show_text(found, network, card.target, amd)))
    files.write_json(trial.output, found)
    if faults:
        raise SoftdpuError(f"the board's --check finds {', '.join(faults)} at fault; docs/board.md says what it means")
    if found["different"]:
        first = found["first_different"]["image"]
        raise SoftdpuError(
            f"{len(found['different'])} images get another result than on the PC, {first} first: {trial.output}"
        )


def write_card(card: Card, mount: Path) -> None:
    """Write the card folder to a mounted SD card and verify it.

    Raises:
        SoftdpuError: a model that the board cannot run, no such card, no room, no permission, a damaged card.
    """
    contents = content.list_entries(card.folder)
    on_arm = content.check_model(content.read_model(card.folder / MODEL), card.target, card.allow_softdpu)
    with tempfile.TemporaryDirectory() as scratch:
        contents.update(arm.list_entries(Path(scratch)) if on_arm else {})
        folder = sdcard.find_home(mount) / card.folder.resolve().name
        written = sdcard.write(contents, folder)
    print(f"{folder}: {len(contents)} files, {written} written, all verified; unmount the card before you take it out")
    command = f"{arm.read_settings() if on_arm else ''}python3 {find_app(card.folder)}"
    print(f"Next, on the board: cd ~/{folder.name} && {command}")


@contextlib.contextmanager
def _deploy_for_a_run(
    card: Card, address: Address, for_run: bool = False
) -> Iterator[tuple[Connection, query.Board, content.Model, str]]:
    """Connect, see that the folder fits the board, copy it, and yield what a run needs."""
    boards.find_target(card.target)
    contents = content.list_entries(card.folder)
    model = content.read_model(card.folder / MODEL)
    on_arm = content.check_model(model, card.target, card.allow_softdpu)
    folder = address.board_folder or card.folder.resolve().name
    opened = Connection(address.board, address.port, address.ssh_options)
    with tempfile.TemporaryDirectory() as scratch, opened as connection:
        board = query.ask(connection)
        print(f"{address.board}: {board.text()}", flush=True)
        if on_arm:
            arm.check_board(board)
            contents.update(arm.list_entries(Path(scratch)))
        else:
            _check_dpu(model, board, card.target, for_run)
        copied = copying.copy(connection, contents, folder, board.rsync)
        print(f"{address.board}:{folder}: {copied.text()}", flush=True)
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


def _app_command(app: str, target: str, trial: Trial, board: query.Board, on_arm: bool, images: int) -> str:
    """Return the app's command line for the board's shell."""
    threads = trial.threads or (1 if on_arm else 2 * boards.find_target(target).cores)
    words = ["python3", app, "--threads", str(min(threads, images)), "--json", RESULT]
    counts = [str(count) for count in trial.sweep if count <= images]
    words += ["--sweep", ",".join(counts)] if counts and not on_arm else []
    words += [] if trial.no_check else ["--check"]
    return (arm.read_settings(board) if on_arm else "") + " ".join(words)


def _run_app(connection: Connection, folder: str, command: str, target: str) -> tuple[dict[str, Any], list[str]]:
    """Run the app on the board, showing what it prints, and return its results and what its --check finds at fault."""
    print(f"{connection.address}:{folder}$ {command}", flush=True)
    process = connection.start(f"cd {folder} && rm -f {RESULT} && {command} 2>&1", stdout=-1)
    assert process.stdout
    said = _show(connection, process, process.stdout)
    code = process.wait()
    if code == 255:
        raise SoftdpuError(connection.broken(said))
    fetched = connection.run(f"cat {folder}/{RESULT}")
    said = said[-_KEPT:]
    if fetched.returncode:
        raise SoftdpuError(_explain_failure(said, code, connection.address, target))
    try:
        report = results.check(json.loads(fetched.stdout), f"{connection.address}:{folder}/{RESULT}")
    except (ValueError, RecursionError) as error:
        raise SoftdpuError(f"{connection.address}:{folder}/{RESULT} is no JSON ({error}): run again") from None
    return report, list((report.get("check") or {}).get("faults", []))


def _show(connection: Connection, process: subprocess.Popen[bytes], output: IO[bytes]) -> str:
    """Print what the app on the board prints, as it comes, and return the end of it.

    Raises:
        SoftdpuError: it does not end, or prints without end.
    """
    impatience = threading.Timer(_RUN_PATIENCE, process.kill)
    impatience.daemon = True
    impatience.start()
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    said, size = "", 0
    try:
        for block in iter(lambda: os.read(output.fileno(), 1 << 16), b""):
            size += len(block)
            text = decoder.decode(block).replace("\r\n", "\n")
            said = (said + text)[-_KEPT:]
            sys.stdout.write(printable(text))
            sys.stdout.flush()
            if size > MOST:
                raise SoftdpuError(f"the app on {connection.address} prints more than {MOST >> 20} MiB: it was stopped")
        if not impatience.is_alive():
            raise SoftdpuError(f"the app on {connection.address} did not end within {_RUN_PATIENCE / 3600:g} h")
    finally:
        impatience.cancel()
        output.close()
        if size > MOST:
            process.kill()
            process.wait()
    return said


def _explain_failure(said: str, code: int, board: str, target: str) -> str:
    """Return in one line why the app left no results."""
    numbers = re.search(r"model_fingerprint (0x[0-9a-f]{1,16}).*?dpu_fingerprint\s*(0x[0-9a-f]{1,16})", said, re.S)
    if numbers:
        return query.explain_mismatch(int(numbers[1], 16), int(numbers[2], 16), target)
    errors = re.findall(r"^(?:error: |.*Error: |F\d{4} ).*$", said, re.M)
    last = errors[-1] if errors else (said.strip().splitlines() or ["nothing"])[-1]
    return f"the app failed on {board} (exit code {code}): {one_line(last, 300)}; docs/board.md has a table of reasons"
