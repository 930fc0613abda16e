"""AMD's own tools: which stages they do, in which container, with which command line.

What is known of AMD's containers stands in data/vitis_ai.yaml. `envs/vitis_ai.sh` runs a command with them, wherever
they are: natively, inside a container that Snakemake has started, or in one that it starts with Docker.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import yaml

from softdpu.errors import SoftdpuError
from softdpu.numbers import boards

STAGES = ("train", "quantize", "finetune", "compile")
SOFTDPU, VITIS_AI = "softdpu", "vitis-ai"
ARCH_FOLDER = "/opt/vitis_ai/compiler/arch"


@functools.lru_cache(maxsize=1)
def read_table() -> dict[str, Any]:
    """Return the table of AMD's containers: versions, arch, packages."""
    return dict(yaml.safe_load((Path(__file__).parent / "data/vitis_ai.yaml").read_text(encoding="utf-8")))


def find_toolchains(toolchain: str | Mapping[str, str]) -> dict[str, str]:
    """Return {stage: toolchain} of the config's `toolchain`; one word is for quantize, finetune and compile."""
    if isinstance(toolchain, str):
        return {stage: SOFTDPU if stage == "train" else toolchain for stage in STAGES}
    return {stage: toolchain.get(stage, SOFTDPU) for stage in STAGES}


def find_version(config: Mapping[str, Any], target: str | None = None) -> str:
    """Return the Vitis AI version of a build: compile.vitis_ai, else the usual one of `target` or of the first target.

    Raises:
        SoftdpuError: for a version that AMD has no container for, or an unknown board.
    """
    board = boards.find_target(target or config["targets"][0], config["compile"]["vitis_ai"])
    if board.vitis_ai not in read_table()["versions"]:
        known = ", ".join(read_table()["versions"])
        raise SoftdpuError(f"no container image is known for Vitis AI {board.vitis_ai}: choose one of {known}")
    return board.vitis_ai


def name_image(config: Mapping[str, Any], target: str | None = None) -> str:
    """Return the container image of a build as Docker names it: vitis_ai.image, else the table's.

    Raises:
        SoftdpuError: as `find_version`.
    """
    chosen = config["vitis_ai"]
    if chosen["image"]:
        return str(chosen["image"])
    return str(read_table()["versions"][find_version(config, target)][chosen["device"]])


def find_container(config: Mapping[str, Any], stage: str, target: str | None = None) -> str | None:
    """Return the address of the image for Snakemake's `container`; None for a stage that is softdpu's own.

    An image that was built by hand is taken from the Docker that built it; a file name or an address stays as it is.
    """
    if find_toolchains(config["toolchain"])[stage] == SOFTDPU:
        return None
    name = name_image(config, target)
    if "://" in name or name.endswith(".sif"):
        return name
    published = any(name == entry["cpu"] for entry in read_table()["versions"].values())
    return ("docker://" if published else "docker-daemon://") + name


def make_command(config: Mapping[str, Any], stage: str, target: str | None = None) -> list[str]:
    """Return the words before a stage's command line: none for softdpu's own, else the wrapper with its options.

    Raises:
        SoftdpuError: as `find_version`.
    """
    if find_toolchains(config["toolchain"])[stage] == SOFTDPU:
        return []
    words = [
        "bash",
        "envs/vitis_ai.sh",
        "--engine",
        config["vitis_ai"]["engine"],
        "--image",
        name_image(config, target),
    ]
    words += ["--environment", read_table()["versions"][find_version(config, target)]["environment"]]
    return [*words, "--gpu"] if config["vitis_ai"]["device"] == "gpu" else words


def start_python(config: Mapping[str, Any], stage: str) -> Callable[[Any, Any], list[str]]:
    """Return params of a rule, the words that start Python for a stage: on several machines, in AMD's container.

    The rule's resources mpi and tasks say by what program, and how many Pythons it starts.
    """

    def words(wildcards: Any, resources: Any) -> list[str]:
        mpi = resources.get("mpi")
        launch = [*mpi.split(), "--ntasks", str(resources.tasks)] if mpi else []
        return [*launch, *make_command(config, stage), "python"]

    return words


def make_quantizer_options(config: Mapping[str, Any], stage: str) -> dict[str, Any]:
    """Return the config's section `quantize` as options of a stage's script; AMD's quantizer has only calibration."""
    if find_toolchains(config["toolchain"])[stage] == SOFTDPU:
        return dict(config["quantize"])
    calibration = {key: value for key, value in config["quantize"].items() if key.startswith("calib_")}
    return {**calibration, "quantizer": VITIS_AI}


def describe_arch(config: Mapping[str, Any], target: str) -> str:
    """Return the arch.json of a target's DPU, for a board that AMD's container has none for."""
    return json.dumps({"fingerprint": f"{boards.find_target(target, find_version(config, target)).fingerprint:#x}"})


def find_arch_file(target: str) -> str | None:
    """Return where AMD's container keeps the arch.json of a board; None where it has none.

    Raises:
        SoftdpuError: for an unknown board.
    """
    folder = read_table()["arch"].get(boards.find_target(target).name)
    return f"{ARCH_FOLDER}/{folder}/arch.json" if folder else None
