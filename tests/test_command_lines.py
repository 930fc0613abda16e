"""Every program has the same manners: --help with an example, exit codes 0, 1 and 2, one line for a mistake, Ctrl-C."""

from __future__ import annotations

import argparse
import json
import re
import runpy
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

import softdpu
from softdpu.commands import main as commands

ROOT = Path(__file__).parents[1]
SCRIPTS = sorted(path.name for path in (ROOT / "scripts").glob("*.py"))


def subcommands(parser: argparse.ArgumentParser, words: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    """Return the words of every subcommand that has none itself."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            return [found for name, sub in action.choices.items() for found in subcommands(sub, (*words, name))]
    return [words]


SUBCOMMANDS = [
    found for name in commands.COMMANDS for found in subcommands(commands._parser([name])) if found[0] == name
]
PROGRAMS = [(name,) for name in SCRIPTS] + [("softdpu", *words) for words in SUBCOMMANDS]
IDS = [" ".join(words) for words in PROGRAMS]


def run(words: tuple[str, ...], *arguments: str) -> int:
    """Run a program in this process and return its exit code."""
    try:
        if words[0] == "softdpu":
            return commands.main([*words[1:], *arguments])
        sys.argv = [str(ROOT / "scripts" / words[0]), *arguments]
        runpy.run_path(sys.argv[0], run_name="__main__")
    except SystemExit as end:
        return int(end.code or 0)
    raise AssertionError("a script ends with SystemExit")


@pytest.fixture(autouse=True)
def own_arguments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", sys.argv)
    monkeypatch.setenv("COLUMNS", "200")


@pytest.mark.parametrize("words", PROGRAMS, ids=IDS)
def test_help_has_an_example(words: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(words, "--help") == 0
    text = capsys.readouterr().out
    assert re.search(r"^examples?:", text, re.IGNORECASE | re.MULTILINE), text
    name = f"scripts/{words[0]}" if words[0] != "softdpu" else " ".join(words)
    assert name in text.split("xample", 1)[1], f"the example does not run {name}"


@pytest.mark.parametrize("words", PROGRAMS, ids=IDS)
def test_every_option_is_explained(words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    parsers = []
    monkeypatch.setattr(argparse.ArgumentParser, "parse_args", lambda self, *_: parsers.append(self) or sys.exit(0))
    run(words)
    (parser,) = parsers if words[0] != "softdpu" else [commands._parser(words[1:])]
    for word in words[1:]:
        (sub,) = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
        parser = sub.choices[word]
    assert not [action.option_strings for action in parser._actions if not action.help]


@pytest.mark.parametrize("words", PROGRAMS, ids=IDS)
def test_a_wrong_option_is_2(words: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(words, "--no-such-option") == 2
    assert "usage:" in capsys.readouterr().err


@pytest.mark.parametrize("words", PROGRAMS, ids=IDS)
def test_ctrl_c_is_130_without_a_traceback(
    words: tuple[str, ...], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(argparse.ArgumentParser, "parse_args", interrupt)
    assert run(words) == 130
    assert capsys.readouterr().err == "interrupted\n"


@pytest.mark.parametrize("words", [("softdpu", *words) for words in SUBCOMMANDS], ids=map(" ".join, SUBCOMMANDS))
def test_programs_can_read_what_softdpu_prints(words: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    run(words, "--help")
    text = capsys.readouterr().out
    # A stage writes files instead; what a script prints is its own.
    assert "--json" in text or "--output" in text or words[1:] == ("run",)


# A mistake of the user's for each program: what it is given, and what the one line names.
MISTAKES = {
    "check_target.py": (["--target-dir", "nothing", "--model", "no.h5", "--output", "o.json"], "nothing"),
    "compile.py": (["--model", "no.h5", "--target", "zcu102", "--output", "o.xmodel"], "no.h5"),
    "doctor.py": (["no.h5", "--output", "o"], "no.h5"),
    "export.py": (["no.h5", "--format", "xint8", "--output", "o.onnx"], "no.h5"),
    "evaluate.py": (["--model", "no.h5", "--val-records", "r", "--output", "o.json"], "no.h5"),
    "fetch_data.py": (["--output", "o", "--folder", "nothing"], "nothing"),
    "finetune.py": (["--model", "no.h5", "--train-records", "r", "--val-records", "r", "--output", "o.h5"], "no.h5"),
    "import_model.py": (["--model", "no.h5", "--val-records", "r", "--labels", "l", "--output", "o.h5"], "no.h5"),
    "inspect_model.py": (["no.h5", "--target", "zcu102"], "no.h5"),
    "inspect_records.py": (["--records", "nothing", "--output", "o.png"], "nothing"),
    "ladder.py": (["--float", "no.json", "--folder", "f", "--output", "o.json"], "no.json"),
    "make_records.py": (
        ["--kind", "image_folder", "--source", "nothing", "--split", "val", "--output", "o"],
        "nothing",
    ),
    "merge_records.py": (["--records", "nothing", "--shards", "2"], "nothing"),
    "package.py": (
        ["--model", "no.xmodel", "--records", "r", "--app", "a", "--target", "zcu102", "--output", "o"],
        "no.xmodel",
    ),
    "quantize.py": (["--model", "no.h5", "--train-records", "r", "--val-records", "r", "--output", "o.h5"], "no.h5"),
    "train.py": (
        [
            "--train-records",
            "nothing",
            "--val-records",
            "r",
            "--classes",
            "2",
            "--output",
            "o.h5",
            "--tensorboard",
            "t",
        ],
        "nothing",
    ),
    "softdpu compile": (["--model", "m.keras", "--target", "zcu102", "--output", "o"], "the compiler reads .h5"),
    "softdpu inspect": (["no.h5", "--target", "zcu102"], "no.h5"),
    "softdpu xmodel show": (["no.xmodel"], "no.xmodel"),
    "softdpu xmodel diff": (["no.xmodel", "no.xmodel"], "no.xmodel"),
    "softdpu xmodel weights": (["no.xmodel", "-o", "o.npz"], "no.xmodel"),
    "softdpu xmodel fingerprint": (["no.xmodel"], "no.xmodel"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_1_and_one_line(
    name: str, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for kind in ("intra", "inter"):  # another test may have computed in this process, then TensorFlow refuses to change
        monkeypatch.setattr(f"tensorflow.config.threading.set_{kind}_op_parallelism_threads", lambda count: None)
    arguments, named = MISTAKES[name]
    assert run(tuple(name.split()), *arguments) == 1
    lines = [line for line in capsys.readouterr().err.splitlines() if not line.startswith("[VAI")]
    errors = [line for line in lines if line.startswith("error: ")]
    assert len(errors) == 1 and named in errors[0], lines
    assert "Traceback" not in "".join(lines)


def test_bare_softdpu_prints_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(("softdpu",)) == 0
    text = capsys.readouterr().out
    assert text.startswith("usage: softdpu") and all(name in text for name in commands.COMMANDS)


def test_the_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(("softdpu",), "--version") == 0
    assert capsys.readouterr().out == f"softdpu {softdpu.__version__}\n"


@pytest.mark.parametrize(
    ("word", "told"), [("compil", "did you mean compile?"), ("xmdel", "did you mean xmodel?"), ("qqq", "there are ")]
)
def test_an_unknown_subcommand_names_the_nearest(word: str, told: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(("softdpu",), word) == 2
    assert f"error: unknown command {word}: {told}" in capsys.readouterr().err


@pytest.mark.parametrize("shell", ["bash", "zsh"])
def test_shell_completion_knows_every_option(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(("softdpu",), "--print-completion", shell) == 0
    text = capsys.readouterr().out
    assert all(name in text for name in commands.COMMANDS) and "--fingerprint" in text


def test_a_clash_with_amds_modules_is_said(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "vart.py").write_text("raise SystemExit('never imported')")
    for name in [name for name in sys.modules if name.split(".")[0] == "vart"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.syspath_prepend(tmp_path)
    assert run(("softdpu",), "xmodel", "fingerprint", "0x101000056010407") == 1
    told = capsys.readouterr().err
    assert told.startswith(f"error: the module vart is {tmp_path / 'vart.py'}, not softdpu's in ")
    assert told.count("\n") == 1


@pytest.mark.parametrize("name", ["train", "finetune", "quantize", "records"])
@pytest.mark.parametrize("seed", ["-1", "4294967296", "x"])
def test_a_seed_that_numpy_does_not_take(name: str, seed: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        commands.main([name, "--seed", seed])
    told = capsys.readouterr().err
    assert ended.value.code == 2 and "argument --seed: " in told and "Traceback" not in told


# Runs the softdpu command where nothing can be imported but Python itself and what `pip install softdpu` brings.
BASE_ONLY = """
import sys
BASE = {"h5py", "numpy", "google", "shtab", "softdpu", "xir", "vart", "vitis_ai_library"}
class Refuse:
    def find_spec(self, name, path=None, target=None):
        top = name.split(".")[0]
        if top not in BASE and not top.startswith("_") and top not in sys.stdlib_module_names:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Refuse())
from softdpu.commands.main import main
sys.exit(main(sys.argv[1:]))
"""


def test_compile_needs_no_more_than_the_base_install(tmp_path: Path) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    base = {re.split(r"[<>=~!\[; ]", line)[0] for line in project["dependencies"]}
    assert base == {"h5py", "numpy", "protobuf", "shtab"}
    model = ROOT / "../shared/golden/vai_q/quant_model.h5"
    if not model.exists():
        pytest.skip("the golden models are not here")
    output = str(tmp_path / "o.xmodel")
    for words in (
        ["inspect", str(model), "--target", "zcu102"],
        ["compile", "--model", str(model), "--target", "zcu102", "--output", output],
        ["xmodel", "show", output],
    ):
        done = subprocess.run([sys.executable, "-c", BASE_ONLY, *words], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr


def test_a_keras_archive_is_taken_where_an_h5_is(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    from softdpu.keras2.api import keras

    layers = [keras.layers.Conv2D(4, 3, activation="relu"), keras.layers.Flatten(), keras.layers.Dense(2)]
    model = keras.Sequential([keras.Input((8, 8, 3)), *layers])
    told = []
    for name in ("model.h5", "model.keras"):
        model.save(tmp_path / name)
        capsys.readouterr()
        assert run(("softdpu", "inspect"), str(tmp_path / name), "--target", "zcu102") == 0
        told.append(capsys.readouterr().out)
    assert told[0] == told[1] and "DPU" in told[0]


def test_json_is_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(("softdpu", "xmodel", "fingerprint"), "0x101000056010407", "--json") == 0
    assert json.loads(capsys.readouterr().out)
