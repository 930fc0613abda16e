"""What every command-line program of softdpu shares: one clear line for a user's mistake, exit codes, logging."""

from __future__ import annotations

import argparse
import functools
import logging
import os
import sys
from typing import Any, Callable  # noqa: UP035 - this module also runs on the Python 3.7 of AMD's containers

from softdpu.errors import SoftdpuError
from softdpu.output import files


def program(main: Callable[..., Any]) -> Callable[..., int]:
    """Make `main` a program: exit code 0, 1 with one line for a SoftdpuError, 130 for Ctrl-C, never a traceback.

    argparse itself leaves with 2 for a wrong command line. SOFTDPU_DEBUG=1 shows the traceback of a SoftdpuError.
    """

    @functools.wraps(main)
    def run(*args: Any) -> int:
        os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
        logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
        try:
            return int(main(*args) or 0)
        except SoftdpuError as error:
            if os.environ.get("SOFTDPU_DEBUG"):
                raise
            print("error: " + " ".join(str(error).split()), file=sys.stderr)
            return 1
        except KeyboardInterrupt:
            print("interrupted", file=sys.stderr)
            return 130
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 1
        except OSError as error:
            if error.errno not in files.DISK_FULL:
                raise
            print("error: " + files.FULL_DISK.format(error.filename or os.getcwd()), file=sys.stderr)
            return 1

    return run


def script(add_arguments: Callable[[argparse.ArgumentParser], object], doc: str | None) -> Callable[..., int]:
    """Return the program of a script: options from `add_arguments`, which sets `run`, and its docstring in --help."""

    def main() -> Any:
        parser = argparse.ArgumentParser(epilog=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
        add_arguments(parser)
        args = parser.parse_args()
        return args.run(args)

    return program(main)
