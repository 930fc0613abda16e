"""What every command-line program of softdpu shares: one clear line for a user's mistake, exit codes, logging."""

from __future__ import annotations

import argparse
import functools
import logging
import os
import sys
from typing import Any, Callable  # noqa: UP035 - this module also runs on the Python 3.7 of AMD's containers

from softdpu.errors import SoftdpuError
from softdpu.output import files, interrupts, text


def program(main: Callable[..., Any]) -> Callable[..., int]:
    """Make `main` a program: exit code 0, 1 with one line for a mistake or a file, 130 for Ctrl-C, never a traceback.

    argparse itself leaves with 2 for a wrong command line. SOFTDPU_DEBUG=1 shows the traceback of such an error.
    What it logs is made printable; so is the line.
    """

    @functools.wraps(main)
    def run(*args: Any) -> int:
        os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
        logging.basicConfig(level=logging.INFO, stream=sys.stderr)
        for handler in logging.getLogger().handlers:
            handler.setFormatter(_Printable("%(message)s"))
        _take_all_names(sys.stdout)
        try:
            with interrupts.ended_by_ctrl_c():
                return int(main(*args) or 0)
        except SoftdpuError as error:
            return _tell(str(error))
        except KeyboardInterrupt:
            print("interrupted", file=sys.stderr)
            interrupts.bound_the_end()
            return 130
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 1
        except OSError as error:
            return _tell(files.explain(error))

    return run


class _Printable(logging.Formatter):
    """What a program logs, without what a terminal would obey."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        return text.printable(super().format(record))


def _take_all_names(stream: Any) -> None:
    """Let a stream print the names that its encoding does not have as escape sequences."""
    if hasattr(stream, "reconfigure"):
        stream.reconfigure(errors="backslashreplace")


def _tell(why: str) -> int:
    """Print an error as one line and return the exit code; inside an except block, for SOFTDPU_DEBUG."""
    if os.environ.get("SOFTDPU_DEBUG"):
        raise
    print("error: " + text.one_line(why), file=sys.stderr)
    return 1


def new_parser(doc: str | None) -> argparse.ArgumentParser:
    """Return a parser whose --help shows a program's docstring as it is written."""
    return argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)


def script(add_arguments: Callable[[argparse.ArgumentParser], object], doc: str | None) -> Callable[..., int]:
    """Return the program of a script: options from `add_arguments`, which sets `run`, and its docstring in --help."""

    def main() -> Any:
        parser = argparse.ArgumentParser(epilog=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
        add_arguments(parser)
        args = parser.parse_args()
        return args.run(args)

    return program(main)
