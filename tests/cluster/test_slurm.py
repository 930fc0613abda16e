"""The build on a real Slurm: the same files as here, requests as stated, cancelled and killed jobs, a wrong cluster."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import workflow_tools
from one_node_slurm import Slurm

from softdpu.output.files import sha256

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]

# The small build's, with more memory asked for training than for fine-tuning.
CONFIG = workflow_tools.SMALL_CONFIG.replace("threads: 2}", "threads: 2, cache_mib: 1400}").replace(
    "finetune: {", "finetune: {cache_mib: 500, "
)
TARGETS = ("target_zcu102", "check_zcu102")
RECORDS = "build/tfrec_val/manifest.json"  # what takes least time
PROFILE = ("--workflow-profile", "profiles/slurm", "--slurm-init-seconds-before-status-checks", "1")
HERE = Path(__file__).parent


def project(folder: Path) -> Path:
    workflow_tools.copy_project(folder)
    (folder / "config.yaml").write_text(CONFIG)
    return folder


@pytest.fixture(scope="module")
def on_slurm(slurm_plugin: Path) -> Callable[..., subprocess.Popen[str]]:
    """Start snakemake with the Slurm profile in a folder."""

    def start(folder: Path, *arguments: str, **environment: str) -> subprocess.Popen[str]:
        env = workflow_tools.environment(folder)
        env["PYTHONPATH"] = os.pathsep.join([str(HERE / "impatient"), env["PYTHONPATH"], str(slurm_plugin)])
        return subprocess.Popen(
            ["snakemake", *PROFILE, *arguments],
            cwd=folder,
            env={**env, **environment},
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )

    return start


def finished(build: subprocess.Popen[str], timeout: float = 600) -> str:
    """Return what a build prints until its end; its exit code is in `returncode`."""
    try:
        return build.communicate(timeout=timeout)[0]
    finally:
        build.kill()


@dataclass(frozen=True)
class Story:
    """One build on Slurm: its training cancelled, the same command again, and a third time."""

    folder: Path
    here: Path
    cancelled: str
    again: str
    third: str
    jobs: list[dict[str, str]]

    def of(self, rule: str) -> list[dict[str, str]]:
        return [job for job in self.jobs if re.fullmatch(rf"rule_{rule}(_wildcards_.*)?", job.get("Comment", ""))]


@pytest.fixture(scope="module")
def story(original_build: Path, slurm: Slurm, on_slurm: Callable[..., subprocess.Popen[str]]) -> Story:
    folder = project(slurm.folder / "shared")
    requests = folder / "src/softdpu/build/cluster/requests.py"
    text = requests.read_text()
    requests.write_text(text.replace("_MIB_AT_LEAST = 1400", "_MIB_AT_LEAST = 150"))  # too little to fine-tune with
    assert requests.read_text() != text
    command = [*TARGETS, "--config", "cluster={gpus: 1}"]
    first = on_slurm(folder, *command, "--retries", "0")
    checkpoint = folder / "build/float_model/checkpoint/checkpoint.npz"
    deadline = time.monotonic() + 400
    while not checkpoint.exists():
        assert first.poll() is None and time.monotonic() < deadline, finished(first)[-5000:]
        time.sleep(0.05)
    slurm.ask("scancel", slurm.jobs()[-1]["JobId"])
    cancelled = finished(first)
    assert first.returncode == 1, cancelled[-5000:]
    second = on_slurm(folder, *command)
    again = finished(second)
    assert second.returncode == 0, again[-5000:]
    third = finished(on_slurm(folder, *command))
    return Story(folder, original_build, cancelled, again, third, slurm.jobs())


@pytest.mark.long
def test_the_files_are_those_of_a_build_on_this_machine(story: Story) -> None:
    def checksums(root: Path) -> dict[str, str]:
        patterns = ("build/tfrec_*/*", "build/*/*.h5", "build/*/*.xmodel", "build/target_zcu102/**/*")
        files = [path for pattern in patterns for path in root.glob(pattern) if path.is_file()]
        return {str(path.relative_to(root)): sha256(path) for path in files}

    here = checksums(story.here)
    assert {"build/float_model/float_model.h5", "build/target_zcu102/MANIFEST.sha256"} < set(here)
    assert checksums(story.folder) == here


@pytest.mark.long
def test_a_cancelled_training_goes_on_where_it_was(story: Story) -> None:
    first, second = story.of("train")
    assert first["JobState"] == "CANCELLED" and second["JobState"] == "COMPLETED"
    resumed = re.search(r"training goes on after epoch (\d) of 6", (story.folder / "logs/train.log").read_text())
    assert resumed and int(resumed[1]) >= 1


@pytest.mark.long
def test_slurm_was_asked_for_what_the_rules_state(story: Story) -> None:
    asked = {rule: story.of(rule)[-1] for rule in ("records_shard", "train", "quantize", "finetune")}
    tres = {rule: dict(part.split("=") for part in job["TRES"].split(",")) for rule, job in asked.items()}
    assert {rule: found["cpu"] for rule, found in tres.items()} == {
        "records_shard": "1",
        "train": "2",
        "quantize": "2",
        "finetune": "2",
    }
    assert tres["records_shard"]["mem"] == "500M" and tres["quantize"]["mem"] == "2500M"
    assert asked["records_shard"]["TimeLimit"] == "00:30:00"
    for rule in ("train", "quantize", "finetune"):
        assert asked[rule]["TresPerJob"] == "gres:gpu:1", asked[rule]
    assert "TresPerJob" not in asked["records_shard"]


@pytest.mark.long
def test_a_job_that_needs_more_memory_gets_it(story: Story) -> None:
    first, *more = story.of("finetune")
    memory = [int(re.search(r"mem=(\d+)M", job["TRES"])[1]) for job in (first, *more)]
    assert first["JobState"] == "FAILED" and more[-1]["JobState"] == "COMPLETED"
    assert memory == [attempt * memory[0] for attempt in range(1, len(memory) + 1)] and len(memory) > 1


@pytest.mark.long
def test_compiling_and_what_follows_is_one_job(story: Story) -> None:
    groups = [job["Comment"] for job in story.jobs if "target" in job.get("Comment", "")]
    assert groups == ["rule_target_check_compile_package_run"]
    assert {job["JobState"] for job in story.jobs[-1:]} == {"COMPLETED"}


@pytest.mark.long
def test_a_second_run_does_nothing(story: Story) -> None:
    assert "Nothing to be done" in story.third


def errors(text: str) -> list[str]:
    assert "Traceback" not in text, text
    return [line for line in text.splitlines() if line.startswith("error: ")]


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return project(tmp_path_factory.mktemp("wrong") / "project")


@pytest.mark.long
def test_workers_of_one_training(small: Path, slurm: Slurm, on_slurm: Callable[..., subprocess.Popen[str]]) -> None:
    """srun starts a worker a task, and they find each other."""
    folder = slurm.folder / "workers"
    shutil.copytree(small, folder)
    several = ("--set-resources", "train:mpi=srun", "train:tasks=2")
    build = on_slurm(folder, "train", *several, "--config", "train={epochs: 1, batch_size: 64, threads: 1}")
    told = finished(build)
    assert build.returncode == 0, told[-5000:]
    job = slurm.jobs()[-1]
    assert job["Comment"] == "rule_train" and job["NumTasks"] == "2", job
    assert "training with 2 workers" in (folder / "logs/train.log").read_text()
    assert (folder / "build/float_model/float_model.h5").exists()


def test_an_unknown_partition(small: Path, slurm: Slurm, on_slurm: Callable[..., subprocess.Popen[str]]) -> None:
    told = finished(on_slurm(small, RECORDS, "--default-resources", "slurm_partition=nope"))
    assert errors(told) == [
        "error: unknown partition 'nope': this cluster has main; change slurm_partition in the profile or in"
        " --default-resources"
    ]


def test_a_node_that_does_not_see_the_folder(slurm: Slurm, on_slurm: Callable[..., subprocess.Popen[str]]) -> None:
    folder = project(slurm.hidden / "project")
    told = finished(on_slurm(folder, RECORDS, "--retries", "0", "--latency-wait", "1"))
    assert len(errors(told)) == 1
    assert f"does not see the folder {folder}: it must be on a disk that all nodes share" in errors(told)[0]


def test_a_dead_controller_is_told_in_seconds(
    small: Path, slurm: Slurm, on_slurm: Callable[..., subprocess.Popen[str]]
) -> None:
    slurm.kill_controller()
    try:
        build = on_slurm(small, RECORDS)
        told = finished(build, timeout=60)
    finally:
        slurm.start_controller()
    assert build.returncode == 1
    assert len(errors(told)) == 1 and "Slurm's controller does not answer" in errors(told)[0]


def test_no_slurm(small: Path, tmp_path: Path, on_slurm: Callable[..., subprocess.Popen[str]]) -> None:
    for program in Path("/usr/bin").iterdir():
        if not (program.name.startswith("s") and shutil.which(program.name) and program.name in SLURM):
            (tmp_path / program.name).symlink_to(program)
    told = finished(on_slurm(small, RECORDS, PATH=f"{Path(sys.executable).parent}:{tmp_path}"))
    assert errors(told) == [
        "error: no Slurm here: sbatch is not on the PATH; start the build on the login node, or build on this machine,"
        " without --workflow-profile"
    ]


SLURM = {"sacct", "sacctmgr", "salloc", "sattach", "sbatch", "sbcast", "scancel", "scontrol", "scrontab", "sdiag"}
SLURM |= {"sinfo", "sprio", "squeue", "sreport", "srun", "sshare", "sstat", "strigger"}


@pytest.mark.skipif(os.getuid() != 0, reason="only root mounts a small disk")
def test_a_full_disk(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m", "none", str(disk)], check=True)
    try:
        folder = project(disk / "project")
        room = shutil.disk_usage(disk).free
        assert room > 2 << 20
        (disk / "fill").write_bytes(bytes(room - (5 << 18)))
        full = "is full: free some space and run the same command again, it goes on where it stopped"
        during = workflow_tools.snakemake(folder, "-j2", RECORDS)
        assert during.returncode != 0 and full in during.stdout, during.stdout
        assert "Traceback" not in during.stdout
        assert not (folder / "data/fashion_mnist").exists()
        room = shutil.disk_usage(disk).free + (disk / "fill").stat().st_size  # bytecode was written meanwhile
        (disk / "fill").write_bytes(bytes(room - (1 << 16)))
        before = workflow_tools.snakemake(folder, "-j2", RECORDS)
        assert errors(before.stdout) == [f"error: the disk of {folder} {full}"]
    finally:
        subprocess.run(["umount", "--lazy", str(disk)], check=True)
