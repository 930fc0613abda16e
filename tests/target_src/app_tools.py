"""The app and its helper beside stand-ins for AMD's xir and vart, and what they ought to find."""

from __future__ import annotations

import importlib.util
import json
import os
import resource
import subprocess
import sys
from pathlib import Path

import numpy as np

from softdpu.dataset import preprocess as pipeline
from softdpu.numbers import fixed_point

APP = Path(__file__).parents[2] / "target_src" / "app_mt.py"
HELPER, CHECKING, RUNNERS = (APP.with_name(name) for name in ("card.py", "checking.py", "runners.py"))
FAKES = Path(__file__).parent / "fakes"
MODEL = {
    "batch": 1,
    "shape": [12, 12, 3],
    "classes": 10,
    "fix_point": 6,
    "devices": ["USER", "DPU", "CPU"],
    "library": "libvart-dpu-runner.so",
    "delay": 0.0,
    "fail": False,
}


def load(name, path):
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def load_app(name, card, monkeypatch, capsys, batch=4):
    """Return a function that runs an app of target_src in this process and in the folder `card`, on softdpu's runner.

    It takes the app's arguments and returns its exit code and what it printed (stdout, stderr).
    """
    monkeypatch.chdir(card)
    monkeypatch.setenv("SOFTDPU_BATCH", str(batch))
    for helper in ("runners", "checking", "card", "decoders"):
        monkeypatch.setitem(sys.modules, helper, load(f"{helper}_of_{name}", APP.with_name(f"{helper}.py")))
    app = load(f"{name}_under_test", APP.with_name(f"{name}.py"))

    def run(*arguments):
        capsys.readouterr()
        return (app.main(list(arguments)), *capsys.readouterr())

    return run


def write_model(folder, **changes):
    (folder / "mobilenet.xmodel").write_text(json.dumps({**MODEL, **changes}))


def expected_classes(fakes, folder, position=6, fit="stretch", size=12):
    """Image by image, with the training pipeline's own functions."""
    classes = {}
    for path in sorted((folder / "images").iterdir()):
        real = pipeline.scale(pipeline.load(path.read_bytes(), size, size, fit))
        image = fixed_point.quantize(real, position, fixed_point.HALF_UP)
        classes[path.name] = int(np.argmax(fakes.logits(image, MODEL["classes"])))
    return classes


def right(classes):
    return sum(int(name.split("_")[0]) == found for name, found in classes.items())


def start(card, *arguments, limit=None):
    def set_limit():
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))

    environment = {**os.environ, "PYTHONPATH": str(FAKES), "PYTHONUNBUFFERED": "1"}
    return subprocess.Popen(
        [sys.executable, str(APP), *arguments],
        cwd=card, env=environment, text=True, errors="replace", stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        preexec_fn=set_limit if limit else None,
    )  # fmt: skip


def check_refusal(card, run, spoil, arguments, message):
    """See that an app refuses a card that `spoil` has spoilt, or arguments, with `message` in one line."""
    if spoil:
        spoil(card)
    code, _, err = run(*arguments)
    assert code == 1 and message in err, err
    assert err.startswith("error: ") and err.count("\n") == 1, err
