"""What scripts/deploy.py, board_run.py and sdcard.py take."""

from __future__ import annotations

import argparse
from pathlib import Path

from softdpu.commands.fields import pick
from softdpu.deploy import deploy as stage


def add_card(parser: argparse.ArgumentParser) -> None:
    """Add what all three programs share."""
    add = parser.add_argument
    add("--folder", type=Path, required=True, metavar="DIR", help="the card folder, such as build/target_zcu102")
    add("--target", required=True, help="name of the board, such as zcu102")
    add(
        "--allow-softdpu",
        action="store_true",
        help="take a model of softdpu's compiler, which runs on the Arm CPU only",
    )


def add_board(parser: argparse.ArgumentParser) -> None:
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


def add_trial(parser: argparse.ArgumentParser) -> None:
    """Add how the app is run on the board, and with what it is compared."""
    add = parser.add_argument
    add("--threads", type=int, help="of the app (default: two for each DPU core)")
    add("--sweep", nargs="*", type=int, default=[], metavar="N", help="thread counts to measure the throughput of")
    add("--no-check", action="store_true", help="without the app's --check against the golden vectors")
    add("--pc", type=Path, required=True, help="the app's JSON of the same folder on the PC, build/run_zcu102.json")
    add("--alpha", type=float, help="width of the MobileNet, to find AMD's throughput (default: another network)")
    add("--input-size", type=int, help="height and width of its input, to find AMD's throughput")
    add("--output", type=Path, required=True, help="path of the JSON file with the findings")


def add_deploy(parser: argparse.ArgumentParser) -> None:
    """Add what copying to a board takes; `run` of the parsed arguments copies."""
    add_card(parser)
    add_board(parser)
    parser.set_defaults(run=lambda args: stage.deploy(pick(stage.Card, args), pick(stage.Address, args)))


def add_board_run(parser: argparse.ArgumentParser) -> None:
    """Add what a run on a board takes; `run` of the parsed arguments copies, runs and compares."""
    add_card(parser)
    add_board(parser)
    add_trial(parser)
    parser.set_defaults(run=run_on_board)


def run_on_board(args: argparse.Namespace) -> None:
    """Run on the board as the arguments say."""
    stage.board_run(pick(stage.Card, args), pick(stage.Address, args), pick(stage.Trial, args))


def add_sdcard(parser: argparse.ArgumentParser) -> None:
    """Add what writing an SD card takes; `run` of the parsed arguments writes it."""
    add_card(parser)
    parser.add_argument("--card", type=Path, required=True, metavar="DIR", help="where its root file system is mounted")
    parser.set_defaults(run=lambda args: stage.write_card(pick(stage.Card, args), args.card))
