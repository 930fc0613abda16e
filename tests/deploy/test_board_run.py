"""The app runs on a board, its results come back and are compared with the PC's."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from board_server import FINGERPRINTS, Server, command
from package_tools import make_xmodel
from script_tools import error, script

from softdpu.deploy import query, results
from softdpu.errors import SoftdpuError


@pytest.fixture(scope="session")
def pc(cards: Path) -> Path:
    """The app's results for the card folders on this machine, as rule run_zcu102 makes them."""
    path = cards / "run_zcu102.json"
    command = [sys.executable, "app_mt.py", "--threads", "2", "--json", str(path)]
    subprocess.run(command, cwd=cards / "amd" / "target_zcu102", check=True, capture_output=True)
    return path


@pytest.fixture
def run(cards: Path, pc: Path, tmp_path: Path):
    """Run scripts/board_run.py on a board with the card folder of a compiler."""

    def run(board: Server, compiler: str = "amd", *words: object, pc: Path = pc) -> subprocess.CompletedProcess[str]:
        words = ["--target", "zcu102", "--alpha", 0.25, "--input-size", 128, *words]
        words += ["--folder", cards / compiler / "target_zcu102", *board.arguments()]
        return script("board_run.py", *words, "--pc", pc, "--output", tmp_path / "board_run.json")

    return run


def test_runs_and_compares(board, run, pc, tmp_path):
    done = run(board, "amd", "--sweep", 1, 2, 4, 99)
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    expected = json.loads(pc.read_text())
    found = json.loads((tmp_path / "board_run.json").read_text())
    assert "$ python3 app_mt.py --threads 6 --json board_run.json --sweep 1,2,4 --check\n" in done.stdout
    assert "Check: 0 differences\n" in done.stdout  # what the app prints is seen
    accuracy = f"{expected['accuracy']:.4f}"
    assert f"Accuracy: {accuracy} on the board, {accuracy} on the PC: equal\n" in done.stdout
    assert "Classes: all 12 images get the same class\n" in done.stdout
    assert (found["accuracy_equal"], found["different"], found["first_different"]) == (True, [], None)
    assert found["runs_on"] == "DPU" and "Vitis AI 3.0" in found["board"]
    assert [row["threads"] for row in found["throughput"]] == [1, 2, 4]
    # AMD's numbers for MobileNet 0.25 at 128x128 on a ZCU102, model zoo of 3.0
    assert (found["published"]["one_thread"], found["published"]["many_threads"]) == (1316.79, 4831.96)
    rows = [line.split() for line in done.stdout.split("AMD's FPS\n")[1].splitlines()[:3]]
    assert [row[0] for row in rows] == ["1", "2", "4"] and rows[0][2] == "1316.79"
    assert json.loads((board.home / "target_zcu102" / "board_run.json").read_text())["images"] == 12


def test_the_first_image_that_differs_is_named(board, run, pc, tmp_path):
    other = json.loads(pc.read_text())
    names = sorted(other["classes"])
    for name in (names[7], names[4]):
        other["classes"][name] = (other["classes"][name] + 1) % 10
    path = tmp_path / "other.json"
    path.write_text(json.dumps(other))
    done = run(board, "amd", "--no-check", pc=path)
    assert f"2 images get another result than on the PC, {names[4]} first" in error(done)
    mine, theirs = json.loads(pc.read_text())["classes"][names[4]], other["classes"][names[4]]
    line = f"Classes: 2 of 12 images differ, first {names[4]}: class {mine} on the board, {theirs} on the PC\n"
    assert line in done.stdout
    found = json.loads((tmp_path / "board_run.json").read_text())
    assert found["first_different"] == {"image": names[4], "board": mine, "pc": theirs}


@pytest.mark.parametrize(
    "damage, message",
    [
        ("gone", "expected the app's results"),
        ("text", "expected the app's results"),
        ("other", "ran 12 images and the PC 11"),
    ],
)
def test_results_of_the_pc_that_cannot_be_compared(board, run, pc, tmp_path, damage, message):
    path = tmp_path / "other.json"
    if damage == "text":
        path.write_text("no JSON")
    elif damage == "other":
        other = json.loads(pc.read_text())
        other["classes"].popitem()
        path.write_text(json.dumps({**other, "images": 11}))
    assert message in error(run(board, pc=path))


# ---- the DPU


def test_another_dpu_is_explained_and_nothing_runs(board, run):
    board.have_dpu("2.5")
    line = error(run(board))
    assert "(0x101000056010407, Vitis AI 3.0, 3.5)" in line and "(0x101000016010407, Vitis AI 2.5)" in line
    assert "argmax while saving" in line
    assert 'compile.vitis_ai: "2.5"' in line and "xilinx-zcu102-dpu-v2022.2-v3.0.0.img.gz" in line
    assert not (board.home / "target_zcu102").exists()


def test_show_dpu_tells_where_there_is_no_xdputil(board, run):
    command(board.bin / "xdputil", "#!/bin/sh\nexit 127\n")
    line = "device_core_id={i} device= 0 core = {i} fingerprint = 0x1000020f6014407 batch = 1 full_cu_name=DPU_{i}"
    lines = "\n".join(line.format(i=i) for i in range(3))
    command(
        board.bin / "show_dpu",
        f"#!/bin/sh\ncat <<'END'\nXAIEFAL: INFO: Resource group Avail is created.\n{lines}\n\nEND\n",
    )
    assert "DPUCZDX8G_ISA0_B4096_MAX_BG2 (0x1000020f6014407, Vitis AI 1.3, 1.3.2, 1.4, 1.4.1, 2.0)" in error(run(board))


def test_a_board_that_does_not_tell_is_tried(board, run):
    command(board.bin / "xdputil", "#!/bin/sh\necho 'F0101 Check failed: no device' >&2\nexit 134\n")
    done = run(board, "amd", "--no-check")
    assert done.returncode == 0
    assert "warning: the board does not give the fingerprint of its DPU" in done.stderr
    assert "Classes: all 12 images get the same class" in done.stdout


def test_a_fingerprint_that_the_runtime_refuses_is_explained(board, run, pythons):
    command(board.bin / "xdputil", "#!/bin/sh\nexit 1\n")
    refusal = "CHECK fingerprint fail ! model_fingerprint 0x101000056010407 dpu_fingerprint 0x101000016010407"
    command(
        board.bin / "python3",
        f"#!/bin/sh\n[ $1 = app_mt.py ] || exit 1\n"
        f"echo 'W1130 12:58:53.213 2318 dpu_runner_base_imp.cpp:676] {refusal}' >&2\nkill -ABRT $$\n",
    )
    line = run(board).stderr.splitlines()[-1]
    assert line.startswith("error: the model is for the DPU DPUCZDX8G_ISA1_B4096 (0x101000056010407")


@pytest.mark.parametrize(
    "script, message",
    [
        ("echo 'error: images is empty' >&2; exit 1", "(exit code 1): error: images is empty;"),
        ("echo Traceback; echo 'ModuleNotFoundError: No module named vart'; exit 1", "ModuleNotFoundError: No module"),
        ("kill -SEGV $$", "the app failed on "),
        ("echo '{' >board_run.json", "is no JSON"),
        ("echo '{}' >board_run.json", "expected the app's results with 'accuracy'"),
    ],
)
def test_an_app_that_fails(board, run, script, message):
    command(board.bin / "python3", f"#!/bin/sh\n[ $1 = app_mt.py ] || exit 1\n{script}\n")
    assert message in error(run(board))


def test_what_the_check_finds_is_error(board, run, cards, tmp_path):
    """A board whose DPU computes something else: here another model behind the same name."""
    python = (board.bin / "python3").read_text().replace("\n", "\ncp other.xmodel mobilenet.xmodel\n", 1)
    folder = board.home / "target_zcu102"
    folder.mkdir()
    make_xmodel(folder / "other.xmodel", seed=5)
    command(board.bin / "python3", python)
    assert "the board's --check finds model at fault" in error(run(board))


# ---- softdpu's model on the board's Arm CPU


def test_a_model_of_softdpu_is_not_run(board, run):
    assert "compiled by softdpu and holds no instructions for the DPU of zcu102" in error(run(board, "ours"))
    assert not (board.home / "target_zcu102").exists()


def test_with_the_override_it_runs_on_the_boards_own_cpu(board, run, pc, pythons, tmp_path):
    """The board's Python has numpy, OpenCV and protobuf: vart, xir and the runtime come with the folder."""
    board.have_python(pythons / "bare")
    board.have_dpu("2.5")  # of no importance
    done = run(board, "ours", "--allow-softdpu", "--sweep", 1, 2)
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    assert "PYTHONPATH=softdpu_runtime SOFTDPU_ENGINE=reference python3 app_mt.py --threads 1" in done.stdout
    found = json.loads((tmp_path / "board_run.json").read_text())
    assert (found["runs_on"], found["different"], found["published"]) == ("Arm CPU", [], None)
    assert (board.home / "target_zcu102" / "softdpu_runtime" / "vart" / "runner.py").exists()
    again = run(board, "ours", "--allow-softdpu", "--no-check")
    assert ": 0 copied" in again.stdout and again.returncode == 0


def test_what_the_boards_python_lacks_is_error(board, run, pythons, tmp_path):
    (tmp_path / "modules").mkdir()
    (tmp_path / "modules" / "numpy").symlink_to(pythons / "bare" / "numpy")
    board.have_python(tmp_path / "modules")
    line = error(run(board, "ours", "--allow-softdpu"))
    assert "lacks: opencv-python-headless, protobuf>=3.20; on the board: pip3 install opencv-" in line
    assert line.endswith("pip3 install opencv-python-headless 'protobuf>=3.20'\n")


def test_an_old_python_is_error(board, run):
    command(board.bin / "python3", "#!/bin/sh\necho 3.5 numpy cv2\n")
    assert "softdpu's runtime needs Python 3.8 on the board, it has 3.5" in error(run(board, "ours", "--allow-softdpu"))


# ---- reading what boards say


@pytest.mark.parametrize("version", FINGERPRINTS)
def test_xdputil_of_every_version(tmp_path, version):
    board = Server(tmp_path / "board")
    board.have_dpu(version)
    text = subprocess.run([board.bin / "xdputil", "query"], capture_output=True, text=True).stdout
    assert query.read_dpu(text) == ((int(FINGERPRINTS[version], 16),), 3, version)


@pytest.mark.parametrize(
    "text, expected",
    [
        ("", ((), 0, "")),
        ("{ not JSON", ((), 0, "")),
        ("[DPU Core Configuration List]\nDPU Core : #0\nDPU Arch : B4096\n", ((), 0, "")),  # dexplorer -w
        ('{"kernels":[{"fingerprint":"0x0"},{"fingerprint":"0x101000016010407"}]}', ((0x101000016010407,), 1, "")),
    ],
)  # fmt: skip
def test_what_else_a_board_may_say(text, expected):
    assert query.read_dpu(text) == expected


def test_fingerprints_of_no_board(tmp_path):
    with pytest.raises(SoftdpuError, match="compile again for the fingerprint 0x101000016010404"):
        query.check_fingerprint(0x101000056010407, (0x101000016010404,), "zcu102")
    with pytest.raises(SoftdpuError, match="an unknown DPU"):
        query.check_fingerprint(0x101000056010407, (0xFF00000000000001,), "zcu102")


def test_published_numbers():
    rows = results.read_published("zcu102", 1.0, 224)
    assert [row.vitis_ai for row in rows] == ["1.4", "2.0", "2.5", "3.0"]
    assert (
        results.find_closest(rows, "2.5").many_threads == 939.61
    )  # tf2_mobilenetv1 on ZCU102, README of the 2.5 model zoo
    assert results.find_closest(rows, "3.5").vitis_ai == "3.0"
    assert results.read_published("zcu102", 0.25, 64) == [] and results.find_closest([], "3.0") is None


def test_a_dpu_that_hangs_is_given_up(board, run, monkeypatch):
    command(board.bin / "xdputil", "#!/bin/sh\nexec sleep 5\n")
    monkeypatch.setattr(query, "_PATIENCE", 1.0)
    assert "did not answer within 1 s" in error(run(board))
