"""Preflight: one table of what AMD's tools need, on machines that are only described."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from typing import Any

import pytest
from started_process import run_program
from workflow_tools import ROOT, copy_project, snakemake

from softdpu.build import preflight, vitis_ai
from softdpu.errors import SoftdpuError

IMAGE = vitis_ai.read_table()["versions"]["3.0"]["cpu"]
ARCH = '{"fingerprint":"0x101000056010407"}'


@dataclasses.dataclass(frozen=True)
class Described(preflight.Machine):
    """A machine of which the test says what its programs are, what they print, and how much room it has."""

    programs: tuple[str, ...] = ()
    prints: tuple[tuple[str, str], ...] = ()
    room: float = 500.0

    def program(self, name: str) -> str | None:
        return f"/usr/bin/{name}" if name in self.programs else None

    def run(self, *command: str) -> str | None:
        line = " ".join(command)
        return next((text for start, text in self.prints if line.startswith(start)), None)

    def free_gb(self, folder: str | Path) -> float:
        return self.room


def config(**changes: Any) -> dict[str, Any]:
    return preflight.read_settings('{"toolchain": "vitis-ai", "targets": ["zcu102"]}') | changes


def states(config: dict[str, Any], machine: preflight.Machine) -> dict[str, str]:
    return {row.what: row.state for row in preflight.examine(config, machine)}


def gpu() -> dict[str, Any]:
    return {"engine": "auto", "device": "gpu", "image": None}


DOCKER = Described(
    programs=("docker",),
    prints=(
        ("docker info", "ok"),
        (f"docker image inspect {IMAGE}", "[]"),
        (f"docker run --rm --entrypoint cat {IMAGE} /opt/vitis_ai/compiler/arch/DPUCZDX8G/ZCU102/arch.json", ARCH),
    ),
)


def test_everything_is_there_with_docker() -> None:
    rows = preflight.examine(config(), DOCKER)
    assert preflight.find_missing(rows) == []
    told = preflight.show_text(rows)
    assert "Vitis AI 3.0 for quantize, finetune, compile" in told
    assert "DPUCZDX8G_ISA1_B4096 0x101000056010407, board image xilinx-zcu102-dpu-v2022.2-v3.0.0" in told
    preflight.require(config(), DOCKER)


def test_nothing_is_needed_without_amds_tools() -> None:
    machine = Described()
    rows = preflight.examine(config(toolchain="softdpu"), machine)
    assert preflight.find_missing(rows) == [] and "not needed" in preflight.show_text(rows)


def test_an_empty_machine() -> None:
    with pytest.raises(SoftdpuError, match=r"missing: container engine; the table above says how to get it"):
        preflight.require(config(), Described())
    told = preflight.show_text(preflight.examine(config(), Described()))
    assert "no docker and no podman" in told and "-> install docker, or Apptainer" in told


def test_docker_without_its_service_and_without_the_image() -> None:
    stopped = Described(programs=("docker",))
    assert states(config(), stopped)["container engine"] == preflight.MISSING
    told = preflight.show_text(preflight.examine(config(), stopped))
    assert "its service does not answer" in told and "systemctl start docker" in told
    no_image = dataclasses.replace(DOCKER, prints=DOCKER.prints[:1], room=20.0)
    found = states(config(), no_image)
    assert found["container engine"] == preflight.OK
    assert found[f"image {IMAGE}"] == found["free disk for the image"] == preflight.MISSING
    assert f"-> docker pull {IMAGE}" in preflight.show_text(preflight.examine(config(), no_image))


def test_a_full_disk() -> None:
    assert states(config(), dataclasses.replace(DOCKER, room=1.0))["free disk for the build"] == preflight.MISSING


def test_the_arch_json_must_name_the_targets_dpu() -> None:
    for content in ('{"fingerprint":"0x101000016010407"}', '{"target": "DPUCZDX8G_ISA0_B4096_MAX_BG2"}'):
        machine = dataclasses.replace(DOCKER, prints=(*DOCKER.prints[:2], ("docker run", content)))
        rows = preflight.examine(config(), machine)
        assert preflight.find_missing(rows) == ["zcu102: arch.json"]
        assert "choose the compiler of Vitis AI 3.0" in preflight.show_text(rows)
    named = dataclasses.replace(
        DOCKER, prints=(*DOCKER.prints[:2], ("docker run", '{"target": "DPUCZDX8G_ISA1_B4096"}'))
    )
    assert preflight.find_missing(preflight.examine(config(), named)) == []
    gone = dataclasses.replace(DOCKER, prints=DOCKER.prints[:2])
    assert preflight.find_missing(preflight.examine(config(), gone)) == ["zcu102: arch.json"]


@pytest.mark.parametrize(
    ("driver", "runtimes", "expected"),
    [
        ("NVIDIA A100, 525.60.13", '{"nvidia": 1, "runc": 2}', []),
        ("NVIDIA A100, 450.51", '{"nvidia": 1}', ["GPU"]),
        ("NVIDIA A100, 525.60.13", '{"runc": 2}', ["GPU in the container"]),
        ("", '{"nvidia": 1}', ["GPU"]),
    ],
)
def test_a_gpu(driver: str, runtimes: str, expected: list[str]) -> None:
    image = vitis_ai.read_table()["versions"]["3.0"]["gpu"]
    prints = (
        ("docker info --format {{json .Runtimes}}", runtimes),
        ("docker info", "ok"),
        (f"docker image inspect {image}", "[]"),
        ("docker run", ARCH),
        ("nvidia-smi", driver),
    )
    machine = Described(programs=("docker",), prints=prints)
    assert preflight.find_missing(preflight.examine(config(vitis_ai=gpu()), machine)) == expected
    absent = dataclasses.replace(machine, prints=(prints[0], prints[1], prints[4]))
    told = preflight.show_text(preflight.examine(config(vitis_ai=gpu()), absent))
    assert "./docker_build.sh -t gpu -f tf2 in AMD's repository" in told  # no such image is published


def test_apptainer(tmp_path: Path) -> None:
    machine = Described(apptainer=True, pulled=tmp_path / "none", programs=("apptainer", "docker"))
    rows = preflight.examine(config(), machine)
    assert preflight.find_missing(rows) == [] and "Snakemake pulls it" in preflight.show_text(rows)
    assert preflight.find_missing(preflight.examine(config(), dataclasses.replace(machine, programs=("docker",))))
    wanted = {"engine": "apptainer", "device": "cpu", "image": None}
    told = preflight.examine(config(vitis_ai=wanted), dataclasses.replace(machine, apptainer=False))
    assert "run snakemake with --sdm apptainer" in preflight.show_text(told) and preflight.find_missing(told)


def test_native_tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    arch = tmp_path / "DPUCZDX8G/ZCU102/arch.json"
    monkeypatch.setattr(vitis_ai, "ARCH_FOLDER", str(tmp_path))
    place = ("bash envs/vitis_ai.sh --engine native python", "/opt/amd/bin/python\n")
    machine = Described(programs=("vai_c_tensorflow2",), prints=(place,))
    assert preflight.find_missing(preflight.examine(config(), machine)) == ["zcu102: arch.json"]
    arch.parent.mkdir(parents=True)
    arch.write_text(ARCH)
    rows = preflight.examine(config(), machine)
    assert preflight.find_missing(rows) == []
    assert "/usr/bin/vai_c_tensorflow2, /opt/amd/bin/python" in preflight.show_text(rows)
    native = {"engine": "native", "device": "cpu", "image": None}
    lacking = preflight.examine(config(vitis_ai=native), Described(prints=(place,)))
    assert "native tools" in preflight.find_missing(lacking)


def test_versions_in_lock_step() -> None:
    old = config(compile={"vitis_ai": "2.5"})
    told = preflight.show_text(preflight.examine(old, Described()))
    assert "0x101000016010407, board image xilinx-zcu102-dpu-v2022.1-v2.5.0" in told
    own = config(vitis_ai={"engine": "auto", "device": "cpu", "image": "mine/vitis:latest"})
    assert states(own, Described())["zcu102: versions"] == preflight.NOTE
    without = config(targets=["kr260"])
    told = preflight.show_text(preflight.examine(without, Described()))
    assert "AMD has no SD-card image with that DPU" in told and "written by the build" in told


def test_each_configuration_of_a_sweep_once(capsys: pytest.CaptureFixture[str]) -> None:
    preflight.check_before_build([config(toolchain="softdpu"), config(), config()], DOCKER, "build")
    assert capsys.readouterr().out.count("AMD's tools") == 1


def test_wrong_settings_are_told() -> None:
    command = [sys.executable, "scripts/preflight.py", "--settings", '{"targets": []}']
    done = run_program(command, "snakemake", cwd=ROOT)
    assert done.returncode == 2 and "expected an object with the keys toolchain, targets" in done.stderr


def test_the_rule_and_a_build_stop_before_the_first_job(tmp_path: Path) -> None:
    project = copy_project(tmp_path / "project")
    wanted = ["--config", "toolchain={compile: vitis-ai}", "vitis_ai={engine: native}"]
    run = snakemake(project, "preflight", *wanted)
    assert run.returncode != 0 and "native tools" in run.stdout and "error: missing: native tools" in run.stdout
    assert snakemake(project, "preflight").returncode == 0
    run = snakemake(project, "-j1", "target_zcu102", *wanted)
    assert run.returncode != 0 and "error: missing: native tools" in run.stdout and "Traceback" not in run.stdout
    assert not (project / "data").exists() and not (project / "build").exists()  # nothing was begun
