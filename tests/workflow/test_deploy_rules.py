"""The rules deploy_*, board_run_* and sdcard_*: a real build goes to a board that a real ssh server stands for."""

from __future__ import annotations

import json
import re
import shutil
import sys
from pathlib import Path

import pytest
from workflow_tools import ROOT, copy_project, snakemake

from softdpu.build import config as configuration
from softdpu.errors import SoftdpuError
from softdpu.numbers import boards

sys.path.insert(0, str(ROOT / "tests" / "deploy"))  # board_server, wherever pytest begins

from board_server import SSHD, Server, link_modules

NEEDS = {
    "deploy": "error: board is not set: add --config board=root@192.168.1.10",
    "board_run": "error: board is not set: add --config board=root@192.168.1.10",
    "sdcard": "error: sdcard is not set: add --config sdcard=<where the card is mounted>",
}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project in which nothing is built."""
    return copy_project(tmp_path_factory.mktemp("deploy_rules") / "project")


def last_line(output: str) -> str:
    return output.strip().splitlines()[-1]


@pytest.mark.parametrize("name", ["board_run", "sdcard"])
def test_without_a_place_one_line_tells_what_is_missing(project, name):
    run = snakemake(project, "-n", f"{name}_zcu104")
    assert run.returncode == 1 and last_line(run.stdout) == NEEDS[name]


def test_every_board_has_the_three_names(project):
    run = snakemake(project, "--list-rules")
    assert run.returncode == 0, run.stdout
    names = set(run.stdout.split())
    assert {f"{name}_{target}" for name in NEEDS for target in boards.list_targets()} <= names


def test_a_board_that_does_not_exist(project):
    run = snakemake(project, "-n", "deploy_zcu999", "--config", "board=root@1.2.3.4")
    assert run.returncode == 1 and "error: unknown target 'zcu999'" in last_line(run.stdout)


@pytest.mark.parametrize(
    "given, told",
    [
        ({"board": "-oProxyCommand=x"}, "board: expected pattern"),
        ({"board": "root@-x"}, "board: expected pattern"),
        ({"deploy": {"folder": "a b"}}, "deploy.folder: expected pattern"),
        ({"deploy": {"prot": 1}}, "unknown key deploy.prot: did you mean port?"),
        ({"deploy": {"ssh_options": ["-v"]}}, "deploy.ssh_options.0: expected pattern"),
        ({"deploy": {"sweep": [0]}}, "deploy.sweep.0: expected minimum 1"),
    ],
)
def test_mistakes_in_the_config(given, told):
    with pytest.raises(SoftdpuError, match=re.escape(told)):
        configuration.check(given, ROOT / "schemas" / "config.schema.yaml")


def test_the_command_lines(project):
    config = ["board=root@1.2.3.4", "sdcard=/media/me/ROOTFS", "deploy={port: 22, ssh_options: [A=b c], threads: 3}"]
    names = ["deploy_zcu102", "board_run_zcu102", "sdcard_zcu102"]
    run = snakemake(project, "-n", "-p", *names, "--config", *config, "model={alpha: 0.5, input_size: 160}")
    assert run.returncode == 0, run.stdout
    card, board = "--folder build/target_zcu102 --target zcu102", "--board root@1.2.3.4 --port 22 --ssh-options 'A=b c'"
    expected = {
        f"python scripts/deploy.py {card} {board} 2>&1 | tee logs/deploy_zcu102.log",
        f"python scripts/board_run.py {card} {board} --alpha 0.5 --input-size 160 --sweep 1 2 4 6 8 --threads 3"
        " --pc build/run_zcu102.json --output build/board_run_zcu102.json 2>&1 | tee logs/board_run_zcu102.log",
        f"python scripts/sdcard.py {card} --card /media/me/ROOTFS 2>&1 | tee logs/sdcard_zcu102.log",
    }
    found = re.findall(r"python scripts/(?:deploy|board_run|sdcard)\.py.*", run.stdout)
    assert set(found) == expected


@pytest.mark.slow
def test_a_build_goes_to_a_board_and_to_a_card(built, tmp_path):
    if not Path(SSHD).is_file() or not shutil.which("rsync"):
        pytest.skip("no OpenSSH server or no rsync on this machine")
    link_modules(tmp_path / "modules")
    board = Server(tmp_path / "board")
    board.have_python(tmp_path / "modules")
    reach = json.dumps({"port": board.port, "ssh_options": board.options, "threads": 2, "sweep": []})
    config = ["--config", f"board={board.address}", f"deploy={reach}"]
    with board.running():
        refused = snakemake(built, "-j1", "board_run_zcu102", *config)
        assert refused.returncode == 1
        assert "holds no instructions for the DPU of zcu102" in refused.stdout
        assert not list(board.home.iterdir())

        run = snakemake(built, "-j1", "board_run_zcu102", *config, "allow_softdpu=true")
        assert run.returncode == 0, run.stdout
        assert re.search(r"^Accuracy: (0\.\d{4}) on the board, \1 on the PC: equal$", run.stdout, re.MULTILINE)
        assert "Classes: all 40 images get the same class" in run.stdout and "Check: 0 differences" in run.stdout
        again = snakemake(built, "-j1", "deploy_zcu102", *config, "allow_softdpu=true")
        assert again.returncode == 0 and ": 0 copied with rsync" in again.stdout
    found = json.loads((built / "build" / "board_run_zcu102.json").read_text())
    (built / "build" / "board_run_zcu102.json").unlink()
    assert found["accuracy_equal"] and found["images"] == 40

    for name in ("etc", "usr", "home/root"):
        (tmp_path / "ROOTFS" / name).mkdir(parents=True)
    card = snakemake(built, "-j1", "sdcard_zcu102", "--config", f"sdcard={tmp_path / 'ROOTFS'}", "allow_softdpu=true")
    assert card.returncode == 0 and "all verified; unmount the card" in card.stdout
    target = tmp_path / "ROOTFS" / "home" / "root" / "target_zcu102"
    assert (target / "MANIFEST.sha256").read_bytes() == (built / "build/target_zcu102/MANIFEST.sha256").read_bytes()
