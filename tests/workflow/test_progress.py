"""What a build prints: a line a rule, the log of a rule that failed, bars on a terminal, nothing twice."""

from __future__ import annotations

import io
import logging
import os
import re
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from snakemake_interface_logger_plugins.common import LogEvent
from workflow_tools import snakemake

from snakemake_logger_plugin_softdpu import LogHandler
from snakemake_logger_plugin_softdpu.live import Bars, share_done
from softdpu.output.progress import Steps, duration, tqdm


def handler(stream: io.StringIO, monkeypatch: pytest.MonkeyPatch, **changed: bool) -> LogHandler:
    monkeypatch.setattr("sys.stderr", stream)
    settings = {"stdout": False, "dryrun": False, "verbose": False, "printshellcmds": False, "debug_dag": False}
    values = {**settings, "quiet": set(), "nocolor": True, "show_failed_logs": True, **changed}
    return LogHandler(SimpleNamespace(**values), None)  # type: ignore[arg-type]


def say(to: LogHandler, message: str, event: LogEvent | None = None, level: int = logging.INFO, **told: Any) -> None:
    record = logging.makeLogRecord({"msg": message, "levelno": level, "levelname": "INFO", **told})
    if event:
        record.event = event
    to.handle(record)


def test_lines_notes_and_failures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()
    shown = handler(stream, monkeypatch)
    log = tmp_path / "a.log"
    log.write_text("bar 1\rbar 2\nnote: 3 layers on the CPU\nfinished\n")
    say(shown, "Job stats", LogEvent.RUN_INFO, stats={"total": 12})
    say(shown, "Building DAG of jobs...")
    say(shown, "Provided cores: 2", quietness="all")
    for number, text in ((4, "compile for zcu102"), (5, "[bold]package[/bold]"), (6, None)):
        say(shown, "", LogEvent.JOB_INFO, jobid=number, rule_msg=text, rule_name="all", log=[str(log)])
    say(shown, "Finished", LogEvent.JOB_FINISHED, job_id=4)
    say(shown, "", LogEvent.JOB_ERROR, jobid=5, rule_name="package", log=[str(log)], level=logging.ERROR)
    say(shown, "RuleException:\nCalledProcessError in file x", level=logging.ERROR)
    say(shown, "Shutting down, this might take some time.", level=logging.WARNING)
    say(shown, "WorkflowError:\nAt least one job did not complete successfully.", level=logging.ERROR)
    say(shown, "WorkflowError: something else", level=logging.ERROR)
    say(shown, "Nothing to be done (all files are present).")
    say(shown, "", LogEvent.JOB_FINISHED, job_id=6)
    shown.close()
    text = re.sub(r"\d+\.\d s", "T s", stream.getvalue())
    assert text.splitlines() == [
        " 1/12    T s  compile for zcu102",
        "                3 layers on the CPU",
        "FAILED after T s: [bold]package[/bold]",
        f"{log}:",
        "    bar 2",
        "    note: 3 layers on the CPU",
        "    finished",
        "WorkflowError: something else",
        "Nothing to be done (all files are present).",
        " 2/12    T s  all",
        "                3 layers on the CPU",
    ]


def test_an_interrupted_import_shows_no_traceback(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    traceback = 'Traceback (most recent call last):\n  File "a.py", line 1, in <module>\n    import b\n'
    for i, (end, shown_lines) in enumerate(
        [("KeyboardInterrupt\n", ["    begun", "    interrupted"]), ("ValueError: odd\n", ["    ValueError: odd"])]
    ):
        stream, log = io.StringIO(), tmp_path / f"{i}.log"
        log.write_text("begun\n" + traceback + end)
        shown = handler(stream, monkeypatch)
        say(shown, "", LogEvent.JOB_ERROR, jobid=1, rule_name="train", log=[str(log)], level=logging.ERROR)
        shown.close()
        assert stream.getvalue().splitlines()[-len(shown_lines) :] == shown_lines
        assert ("Traceback" in stream.getvalue()) == ("ValueError" in end)


def test_after_ctrl_c_no_rule_is_called_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()
    shown = handler(stream, monkeypatch)
    say(shown, "", LogEvent.JOB_INFO, jobid=1, rule_msg="train", rule_name="train", log=["nothing.log"])
    say(shown, "Terminating processes on user request, this might take some time.", level=logging.WARNING)
    say(shown, "", LogEvent.JOB_ERROR, jobid=1, rule_name="train", log=["nothing.log"], level=logging.ERROR)
    assert "FAILED" not in stream.getvalue() and "Terminating" in stream.getvalue()


def test_a_dry_run_prints_as_snakemake_does(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()
    shown = handler(stream, monkeypatch, dryrun=True)
    told = {"jobid": 1, "rule_msg": "train", "rule_name": "train", "reason": "Missing output files: a", "indent": False}
    say(shown, "", LogEvent.JOB_INFO, **told)
    assert "Job 1: train\nReason: Missing output files: a" in stream.getvalue()


@pytest.mark.parametrize(
    ("tail", "expected"),
    [
        ("", None),
        ("Found 500 images\n", None),
        ("val 0:  40%|####      | 4/10 [00:01<00:01]", 0.4),
        ("val 0:  40%|#\rval 0:  70%|##\r", 0.7),
        ("Epoch 2/4\n 30/60 [====>....] - ETA: 1s - loss: 0.5", 0.375),
        ("250/1000 [===>] - ETA: 3s", 0.25),
        ("Epoch 2/4\ntrain: step 300 of 400, 4.2 s left\n", 0.75),
        ("50%|##\nwrote a\nwrote b\nwrote c\n", None),
    ],
)
def test_how_far_a_rule_is(tail: str, expected: float | None) -> None:
    assert share_done(tail) == (None if expected is None else pytest.approx(expected))


def test_a_bar_in_a_log_is_lines(capsys: pytest.CaptureFixture[str]) -> None:
    for options in ({}, {"leave": False}, {"disable": None}):
        for _ in tqdm(range(5), desc="records", unit="image", **options):
            pass
    log = capsys.readouterr().err
    assert not any(character in log for character in "\r\b\033")
    lines = log.splitlines()
    assert len(lines) == 3 and all(line.startswith("records: ") for line in lines)
    assert [share_done(line + "\n") for line in lines] == [0, 1, 0]


def test_a_bar_on_a_terminal_is_drawn_over() -> None:
    stream = Terminal()
    for _ in tqdm(range(5), file=stream, mininterval=0):
        pass
    assert stream.getvalue().count("\r") > 5 and stream.getvalue().count("\n") == 1


def test_times_for_people() -> None:
    assert [duration(s) for s in (0.04, 59.9, 65, 3599, 7620)] == [
        "0.0 s",
        "59.9 s",
        "1 m 05 s",
        "59 m 59 s",
        "2 h 07 m",
    ]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_bars_on_a_terminal_read_the_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr("snakemake_logger_plugin_softdpu.live.INTERVAL", 0.01)
    stream, log = Terminal(), tmp_path / "a.log"
    bars = Bars(stream)
    log.write_text("Epoch 1/2\n 30/60 [=>]")
    bars.add(1, "train", [str(log)])
    progress = bars._progress
    for _ in range(500):
        if progress.tasks[0].completed:
            break
        time.sleep(0.01)
    assert progress.tasks[0].completed == pytest.approx(0.25)
    bars.write("a line above")
    bars.remove(1)
    assert "train" in stream.getvalue() and "a line above" in stream.getvalue()
    assert bars._end is None and not progress.tasks


@pytest.mark.slow
def test_a_build_prints_a_line_a_rule_and_nothing_else(built: Path) -> None:
    lines = (built / "build.log").read_text().splitlines()
    steps = [line for line in lines if re.fullmatch(r" ?\d+/\d+ +[\d.]+ [sm].*", line)]
    total = int(steps[0].split("/")[1].split()[0])
    assert [int(line.split("/")[0]) for line in steps] == list(range(1, total + 1))
    noise = ("TF_ENABLE", "oneDNN", "INFO:", "TensorFlow Lite", "XNNPACK", "cpu_feature_guard", "ETA", "%|")
    assert not [line for line in lines if any(word in line for word in noise)]
    other = [line for line in lines if line.strip() and line not in steps]
    assert len(other) < 15, other
    for log in ("train", "quantize", "compile_zcu102", "package_zcu102", "run_zcu102"):
        assert (built / f"logs/{log}.log").read_text().strip(), log


@pytest.mark.slow
def test_a_failed_rule_shows_its_log_once(built: Path) -> None:
    model = built / "build/float_model/float_model.h5"
    old, stat = model.read_bytes(), model.stat()
    try:
        model.write_bytes(old[:1000])
        run = snakemake(built, "-j1", "build/inspect_kv260.json")  # of another board, so that nothing else is missed
    finally:
        model.write_bytes(old)
        os.utime(model, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert run.returncode
    assert run.stdout.count("error: build/float_model/float_model.h5") == 1
    assert "FAILED after" in run.stdout and "Traceback" not in run.stdout


def test_steps_say_how_long_all_will_take_and_what_is_left() -> None:
    """Steps of half a second behind a first one of ten, which does not count; a line in five seconds at most."""
    times = iter([0.0, 10.0, *(10.0 + 0.5 * i for i in range(1, 100))])
    stream = io.StringIO()
    steps = Steps("train", 100, announce=True, stream=stream, clock=lambda: next(times))
    for _ in range(100):
        steps.update()
    lines = stream.getvalue().splitlines()
    assert lines[0] == "train: step 2 of 100, 49.0 s left"
    assert lines[1:3] == [
        "now: train: about 50.0 s on this machine, 100 steps of 500 ms",
        "train: step 12 of 100, 44.0 s left",
    ]
    assert len(lines) == 11 and not any(character in stream.getvalue() for character in "\r\b")


def test_a_line_that_begins_with_now_is_shown_while_the_rule_runs(tmp_path: Path) -> None:
    stream, log = io.StringIO(), tmp_path / "train.log"
    log.write_text("now: about 3 m 05 s\nnow: not wh")
    bars = Bars(stream, on=False)
    bars.add(1, "train", [str(log)])
    deadline = time.monotonic() + 20
    while "about" not in stream.getvalue() and time.monotonic() < deadline:
        time.sleep(0.05)
    time.sleep(1.2)  # two looks more
    bars.close()
    assert stream.getvalue() == "about 3 m 05 s\n"


def test_a_rule_may_end_while_its_log_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = tmp_path / "log"
    log.write_text("train:  50%|#####     | 5/10\n")
    bars = Bars(io.StringIO())

    def read_and_end(path: str) -> str:
        bars.remove(1)
        return Path(path).read_text()

    monkeypatch.setattr("snakemake_logger_plugin_softdpu.live._tail", read_and_end)
    monkeypatch.setattr("snakemake_logger_plugin_softdpu.live.INTERVAL", 0.01)
    failed: list[Any] = []
    monkeypatch.setattr("threading.excepthook", failed.append)
    bars.add(1, "train", [str(log)])
    time.sleep(0.2)
    bars.close()
    assert not failed
