"""Ctrl-C ends a program, whatever becomes of the exception that Python makes of it."""

from __future__ import annotations

import signal
import subprocess
import sys
import time

import pytest

START = """
import ctypes, signal, sys, threading, time
from softdpu.output import cli, interrupts
interrupts.GRACE = 1
signal.signal(signal.SIGINT, signal.default_int_handler)  # what a shell starts in the background ignores it

class Waits:
    def __del__(self):
        time.sleep(60)

@cli.program
def main():
    global kept
    print("begun", flush=True)
"""
BODIES = {
    "between two steps": ("    while True: time.sleep(0.01)", 130),
    "after a library's call": ("    ctypes.CDLL(None).sleep(60)", 130),
    "while a library waits": (
        "    lock = ctypes.create_string_buffer(64)\n    while True: ctypes.CDLL(None).pthread_mutex_lock(lock)",
        -signal.SIGALRM,
    ),
    "swallowed by a callback": (
        "    while True:\n        try: time.sleep(60)\n        except BaseException: pass",
        -signal.SIGALRM,
    ),
    "swallowed by a destructor": ("    while True: Waits()", -signal.SIGALRM),
    "at the end of the process": ("    kept = Waits()\n    time.sleep(60)", -signal.SIGALRM),
    "swallowed, and soon at its end": ("    try: time.sleep(60)\n    except BaseException: pass", 0),
}


@pytest.mark.parametrize("name", BODIES)
def test_ctrl_c_ends_a_program(name: str) -> None:
    body, code = BODIES[name]
    program = f"{START}{body}\nsys.exit(main())"
    process = subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout and process.stdout.readline() == "begun\n"
    time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    start = time.monotonic()
    _, told = process.communicate(timeout=50)
    assert process.returncode == code, told
    assert time.monotonic() - start < 30
    assert "Traceback" not in told or "destructor" in name  # Python itself says what a destructor swallows


# What a notebook may do: other work goes on in the process in which a program was interrupted.
WITHIN = """
try:
    with interrupts.ended_by_ctrl_c():
        signal.raise_signal(signal.SIGINT)
except KeyboardInterrupt:
    time.sleep(1.5)
    assert signal.alarm(0) == 0
"""
OWN_SCRIPT = """
with interrupts.ended_by_ctrl_c():
    interrupts.leave_to_script()
    try:
        signal.raise_signal(signal.SIGINT)
    except KeyboardInterrupt:
        time.sleep(1.5)
"""
MANY = """
for _ in range(2000):
    with interrupts.ended_by_ctrl_c():
        assert threading.active_count() == 2
assert threading.active_count() == 1
assert signal.set_wakeup_fd(-1) == -1
"""


@pytest.mark.parametrize("rest", [WITHIN, OWN_SCRIPT, MANY], ids=["in a notebook", "a script of one's own", "many"])
def test_a_process_that_goes_on_is_not_ended(rest: str) -> None:
    program = START.replace('@cli.program\ndef main():\n    global kept\n    print("begun", flush=True)\n', rest)
    assert rest in program
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=50)
    assert (done.returncode, done.stderr) == (0, "")
