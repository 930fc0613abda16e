"""What a build prints: a line a finished rule with its time, live bars on a terminal, the log of a rule that failed.

profiles/default chooses it (`logger: softdpu`); Snakemake finds it by the package's name. Everything that it leaves out
stands in Snakemake's own log in .snakemake/log. A dry run, --verbose and --printshellcmds print as Snakemake does.
"""

from __future__ import annotations

import logging
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from snakemake.logging import ColorizingTextHandler, DefaultFilter, DefaultFormatter
from snakemake_interface_logger_plugins.base import LogHandlerBase
from snakemake_interface_logger_plugins.common import LogEvent

from snakemake_logger_plugin_softdpu.live import Bars
from softdpu.output.progress import duration

LAST_LINES = 40  # of the log of a rule that failed
# How messages begin that tell nothing about the build; Snakemake marks most others of the kind by itself.
NOISE = (
    "Assuming unrestricted shared filesystem",
    "Building DAG of jobs",
    "Complete log(s)",
    "Conda environments: ignored",
    "Elapsed time",
    "Execute ",
    "Provided ",
    "Rules claiming more threads",
    "Select jobs to execute",
    "Singularity containers: ignored",
    "Submitted ",
    "Using profile",
    "Using shell",
    "Using workflow specific profile",
)
STOPPED = "Terminating processes on user request"
SAID_ALREADY = (  # the rule's log tells why
    "RuleException:\nCalledProcessError",
    "Shutting down, this might take some time",
    "WorkflowError:\nAt least one job did not complete",
)
TRACEBACK = "Traceback (most recent call last):"
NOTE = "note: "  # lines of a log that begin so are shown when the rule has ended


@dataclass
class Job:
    """A rule that runs: what it does, its logs, and when it began (time.monotonic)."""

    text: str
    logs: list[str]
    start: float


class LogHandler(LogHandlerBase):
    """Prints the build's progress to stderr."""

    def __post_init__(self) -> None:
        settings = self.common_settings
        stream = sys.stdout if settings.stdout else sys.stderr
        self._whole = bool(settings.dryrun or settings.verbose or settings.printshellcmds or settings.debug_dag)
        self._plain = ColorizingTextHandler(
            nocolor=settings.nocolor,
            stream=stream,
            formatter=DefaultFormatter(settings.quiet, settings.show_failed_logs),
            filter=DefaultFilter(
                settings.quiet, settings.debug_dag, settings.verbose, settings.dryrun, settings.printshellcmds
            ),
        )
        self._bars = Bars(stream, on=not settings.nocolor)
        self._jobs: dict[int, Job] = {}
        self._done = self._total = 0
        self._stopped = False

    @property
    def writes_to_stream(self) -> bool:
        """It takes the place of Snakemake's own output."""
        return True

    @property
    def writes_to_file(self) -> bool:
        """It writes no file."""
        return False

    @property
    def has_filter(self) -> bool:
        """It chooses what it shows."""
        return True

    @property
    def has_formatter(self) -> bool:
        """It writes its own lines."""
        return True

    @property
    def needs_rulegraph(self) -> bool:
        """It does not."""
        return False

    def emit(self, record: logging.LogRecord) -> None:
        """Show one of Snakemake's messages, or leave it out."""
        event = getattr(record, "event", None)
        if self._whole:
            self._plain.handle(record)
        elif event == LogEvent.RUN_INFO:
            self._total = int(record.__dict__.get("stats", {}).get("total", 0))
        elif event == LogEvent.JOB_INFO:
            self._start(record.__dict__)
        elif event == LogEvent.JOB_FINISHED:
            self._finish(record.__dict__["job_id"])
        elif event == LogEvent.JOB_ERROR:
            self._fail(record.__dict__)
        elif record.levelno >= logging.WARNING or (event is None and _is_for_the_user(record)):
            self._tell(str(record.msg or record.getMessage()))

    def close(self) -> None:
        """Take the bars away."""
        self._bars.close()
        super().close()

    def _tell(self, text: str) -> None:
        self._stopped |= text.startswith(STOPPED)
        if not text.startswith(SAID_ALREADY):
            self._bars.write(text)

    def _start(self, event: dict[str, Any]) -> None:
        text = str(event["rule_msg"] or event["rule_name"])
        self._jobs[event["jobid"]] = Job(text, list(event["log"]), time.monotonic())
        self._bars.add(event["jobid"], text, event["log"])

    def _finish(self, number: int) -> None:
        job = self._jobs.pop(number, None)
        if job is None:
            return
        self._done += 1
        self._bars.remove(number)
        self._bars.write(f"{self._count()}  {duration(time.monotonic() - job.start):>7}  {job.text}")
        for line in _notes(job.logs):
            self._bars.write(f"{'':{len(self._count()) + 11}}{line}")

    def _fail(self, event: dict[str, Any]) -> None:
        job = self._jobs.pop(event["jobid"], None)
        self._bars.remove(event["jobid"])
        if self._stopped:
            return
        took = f" after {duration(time.monotonic() - job.start)}" if job else ""
        self._bars.write(f"FAILED{took}: {job.text if job else event['rule_name']}")
        for log in event["log"]:
            lines = _without_interruption(_lines(log))
            left_out = f", its last {LAST_LINES} lines" if len(lines) > LAST_LINES else ""
            self._bars.write(f"{log}{left_out}:")
            for line in lines[-LAST_LINES:]:
                self._bars.write(f"    {line}")

    def _count(self) -> str:
        width = len(str(self._total))
        return f"{self._done:>{width}}/{self._total}"


def _is_for_the_user(record: logging.LogRecord) -> bool:
    """Tell whether a message without an event is for the user: not those about the machine and the progress."""
    text = str(record.msg or "").strip()
    return bool(text) and not hasattr(record, "quietness") and not text.startswith(NOISE)


def _lines(log: str) -> list[str]:
    """Return a log's lines as they look on a terminal: of a bar that was drawn over and over, its last state."""
    try:
        text = Path(log).read_bytes().decode("utf-8", "replace")
    except OSError:
        return []
    return [line.rstrip("\r").rsplit("\r", 1)[-1].replace("\b", "") for line in text.rstrip("\n").split("\n")]


def _without_interruption(lines: list[str]) -> list[str]:
    """Return a log's lines without the traceback of a program that Ctrl-C met while it imported its modules."""
    if TRACEBACK not in lines or not lines[-1].startswith("KeyboardInterrupt"):
        return lines
    return [*lines[: lines.index(TRACEBACK)], "interrupted"]


def _notes(logs: list[str]) -> list[str]:
    return [line[len(NOTE) :] for log in logs for line in _lines(log) if line.startswith(NOTE)]
