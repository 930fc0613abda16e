"""What a build with AMD's tools needs, what of it is there, and how to get the rest, before the first long stage."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from softdpu.build import vitis_ai
from softdpu.errors import SoftdpuError
from softdpu.numbers import boards

OK, MISSING, NOTE = "ok", "MISSING", "note"
IMAGE_GB = 25  # a pulled image takes about 18
BUILD_GB = 2
SETTINGS = ("toolchain", "targets", "compile", "vitis_ai")  # what of the config is looked at
_DEFAULTS: dict[str, dict[str, Any]] = {
    "compile": {"vitis_ai": None},
    "vitis_ai": {"engine": "auto", "device": "cpu", "image": None},
}
_WRAPPER = "envs/vitis_ai.sh"


@dataclass(frozen=True)
class Row:
    """One line of the table: what is needed, OK, MISSING or NOTE, what is there, and how to get it."""

    what: str
    state: str
    found: str
    how: str = ""


@dataclass(frozen=True)
class Machine:
    """What is looked up on this machine; tests put another one in its place.

    apptainer: whether Snakemake was told to use it. pulled: folder where it keeps images.
    """

    apptainer: bool = False
    pulled: Path = Path(".snakemake/singularity")

    def program(self, name: str) -> str | None:
        """Return the path of a program on the PATH."""
        return shutil.which(name)

    def run(self, *command: str) -> str | None:
        """Return what a command prints, None if it fails or takes longer than a minute."""
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=60)
        except (OSError, subprocess.TimeoutExpired):
            return None
        return done.stdout if done.returncode == 0 else None

    def free_gb(self, folder: str | Path) -> float:
        """Return the free space of the disk that holds `folder`, in GB."""
        path = Path(folder).absolute()
        while not path.exists():
            path = path.parent
        return shutil.disk_usage(path).free / 1e9


def read_settings(text: str) -> dict[str, Any]:
    """Read the JSON of a command line; what is left out has its default.

    Raises:
        SoftdpuError: no JSON, or not these keys.
    """
    try:
        given = json.loads(text)
    except ValueError as error:
        raise SoftdpuError(f"expected JSON, got {text}: {error}") from None
    if not isinstance(given, dict) or not {"toolchain", "targets"} <= set(given) <= set(SETTINGS):
        raise SoftdpuError(f"expected an object with the keys {', '.join(SETTINGS)}, got {text}")
    return {**given, **{key: {**default, **given.get(key, {})} for key, default in _DEFAULTS.items()}}


def examine(config: Mapping[str, Any], machine: Machine, build: str = "build") -> list[Row]:
    """Return the table for a completed config; `build` is the folder that is built into.

    Raises:
        SoftdpuError: as vitis_ai.find_version.
    """
    space = machine.free_gb(build)
    rows = [_space("free disk for the build", space, BUILD_GB, build)]
    stages = [name for name, tool in vitis_ai.find_toolchains(config["toolchain"]).items() if tool == vitis_ai.VITIS_AI]
    if not stages:
        return [Row("AMD's tools", OK, "not needed: toolchain softdpu for every stage"), *rows]
    rows.insert(0, Row("AMD's tools", OK, f"Vitis AI {vitis_ai.find_version(config)} for {', '.join(stages)}"))
    engine = _engine(config, machine, stages)
    rows.append(engine.row)
    if engine.name in ("docker", "podman", "apptainer"):
        versions = {
            vitis_ai.name_image(config, name): vitis_ai.find_version(config, name) for name in config["targets"]
        }
        for image, version in versions.items():
            rows.extend(_image(config, machine, engine.name, image, version))
    if config["vitis_ai"]["device"] == "gpu":
        rows.extend(_gpu(config, machine, engine.name))
    for target in config["targets"]:
        rows.append(_lock_step(config, target))
        if "compile" in stages:
            rows.append(_arch(config, machine, engine.name, target))
    return rows


def show_text(rows: Iterable[Row]) -> str:
    """Return the table for people."""
    rows = list(rows)
    width = max(len(row.what) for row in rows)
    lines = []
    for row in rows:
        lines.append(f"{row.what:{width}}  {row.state:7}  {row.found}")
        if row.how:
            lines.append(f"{'':{width}}  {'':7}  -> {row.how}")
    return "\n".join(lines)


def find_missing(rows: Iterable[Row]) -> list[str]:
    """Return what is needed and not there."""
    return [row.what for row in rows if row.state == MISSING]


def require(config: Mapping[str, Any], machine: Machine, build: str = "build") -> None:
    """Print the table, and stop if something is missing.

    Raises:
        SoftdpuError: naming what is missing.
    """
    rows = examine(config, machine, build)
    print(show_text(rows), flush=True)
    if find_missing(rows):
        raise SoftdpuError(f"missing: {', '.join(find_missing(rows))}; the table above says how to get it")


def narrow(config: Mapping[str, Any], targets: Iterable[str]) -> dict[str, Any]:
    """Return a config for some targets, and for its first, which the versions of AMD's tools are read off."""
    return {**config, "targets": sorted({config["targets"][0], *targets})}


def check_before_build(configs: Iterable[Mapping[str, Any]], machine: Machine, build: str) -> None:
    """`require` for every config that AMD's tools are for; equal ones once.

    Raises:
        SoftdpuError: naming what is missing.
    """
    seen: list[dict[str, Any]] = []
    for config in configs:
        wanted = {key: config[key] for key in SETTINGS}
        if wanted not in seen and vitis_ai.VITIS_AI in vitis_ai.find_toolchains(config["toolchain"]).values():
            require(wanted, machine, build)
        seen.append(wanted)


@dataclass(frozen=True)
class _Engine:
    name: str
    row: Row


def _engine(config: Mapping[str, Any], machine: Machine, stages: list[str]) -> _Engine:
    """Find what runs AMD's tools, in the order of envs/vitis_ai.sh."""
    wanted = config["vitis_ai"]["engine"]
    if wanted == "apptainer" or machine.apptainer:
        return _apptainer(machine)
    if wanted in ("auto", "native"):
        tools = _native(machine, stages)
        lacking = [name for name, place in tools.items() if not place]
        if not lacking:
            places = ", ".join(dict.fromkeys(str(place) for place in tools.values()))
            return _Engine("native", Row("native tools", OK, places))
        if wanted == "native":
            how = "put AMD's tools on the PATH, or set vitis_ai.engine to auto, docker or apptainer"
            return _Engine("native", Row("native tools", MISSING, f"no {' and no '.join(lacking)}", how))
    candidates = ["docker", "podman"] if wanted == "auto" else [wanted]
    found = [name for name in candidates if machine.program(name)]
    for name in found:
        if machine.run(name, "info") is not None:
            return _Engine(name, Row("container engine", OK, f"{name}, {machine.program(name)}"))
    if found:
        why = f"{found[0]} is installed, but its service does not answer"
        return _Engine(found[0], Row("container engine", MISSING, why, _start(found[0])))
    how = f"install {candidates[0]}, or Apptainer and run snakemake with --sdm apptainer, or AMD's tools on the PATH"
    return _Engine("none", Row("container engine", MISSING, f"no {' and no '.join(candidates)}", how))


def _start(engine: str) -> str:
    if engine == "docker":
        return "sudo systemctl start docker; sudo usermod -aG docker $USER, then log in again"
    return f"see what `{engine} info` says"


def _apptainer(machine: Machine) -> _Engine:
    program = machine.program("apptainer") or machine.program("singularity")
    if not program:
        how = "install Apptainer (apptainer.org, Admin Guide), or use Docker: leave out --sdm apptainer"
        return _Engine("none", Row("container engine", MISSING, "no apptainer and no singularity", how))
    if not machine.apptainer:
        found = f"{program}, which Snakemake is not told to use"
        return _Engine("apptainer", Row("container engine", MISSING, found, "run snakemake with --sdm apptainer"))
    return _Engine("apptainer", Row("container engine", OK, program))


def _native(machine: Machine, stages: list[str]) -> dict[str, str | None]:
    """Return {tool: its place or None} for AMD's tools outside a container, asking the wrapper itself."""
    tools: dict[str, str | None] = {}
    if "compile" in stages:
        tools["vai_c_tensorflow2"] = machine.program("vai_c_tensorflow2")
    if set(stages) - {"compile"}:
        place = "import sys; print(sys.executable)"
        told = machine.run("bash", _WRAPPER, "--engine", "native", "python", "-c", place)
        tools["Python with vai_q_tensorflow2"] = told.strip() if told else None
    return tools


def _image(config: Mapping[str, Any], machine: Machine, engine: str, name: str, version: str) -> Iterator[Row]:
    """Yield the rows on one image: whether it is there, room for it if not, and what AMD published since."""
    entry = vitis_ai.read_table()["versions"][version]
    build = f"{entry['build_gpu']} in AMD's repository Xilinx/Vitis-AI at the tag of Vitis AI {version}"
    by_hand = config["vitis_ai"]["device"] == "gpu" and name == entry["gpu"]
    if engine == "apptainer":
        files = list(machine.pulled.glob("*.simg")) if machine.pulled.is_dir() else []
        there = f"{len(files)} images in {machine.pulled}" if files else "Snakemake pulls it before the first job"
        yield Row(f"image {name}", NOTE, there, build if by_hand and not files else "")
        if not files:
            yield _space("free disk for the image", machine.free_gb(machine.pulled), 2 * IMAGE_GB, machine.pulled)
    elif machine.run(engine, "image", "inspect", name) is not None:
        yield Row(f"image {name}", OK, "there")
    else:
        yield Row(f"image {name}", MISSING, "not there", build if by_hand else f"{engine} pull {name}")
        folder = (machine.run("docker", "info", "--format", "{{.DockerRootDir}}") or "").strip() or "/var/lib/docker"
        place = folder if engine == "docker" else Path.home()
        yield _space("free disk for the image", machine.free_gb(place), IMAGE_GB, place)
    if entry["patches"] and not config["vitis_ai"]["image"]:
        how = "not needed for most networks; docs/vitis-ai.md tells how to install them"
        yield Row("patches", NOTE, ", ".join(entry["patches"]), how)


def _space(what: str, free: float, needed: float, folder: str | Path) -> Row:
    if free >= needed:
        return Row(what, OK, f"{free:.0f} GB on the disk of {folder}")
    return Row(what, MISSING, f"{free:.1f} GB on the disk of {folder}, {needed:g} are needed", "make room there")


def _gpu(config: Mapping[str, Any], machine: Machine, engine: str) -> Iterator[Row]:
    needed = vitis_ai.read_table()["versions"][vitis_ai.find_version(config)]["driver"]
    told = machine.run("nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader")
    if not told or not told.strip():
        how = f"install NVIDIA's driver {needed} or newer, or set vitis_ai.device to cpu"
        yield Row("GPU", MISSING, "nvidia-smi tells of none", how)
        return
    name, driver = (part.strip() for part in told.strip().splitlines()[0].rsplit(",", 1))
    if _numbers(driver) < _numbers(needed):
        yield Row("GPU", MISSING, f"{name}, driver {driver}", f"install NVIDIA's driver {needed} or newer")
    else:
        yield Row("GPU", OK, f"{name}, driver {driver}")
    if engine == "docker" and "nvidia" not in (machine.run("docker", "info", "--format", "{{json .Runtimes}}") or ""):
        how = "install nvidia-container-toolkit and restart Docker"
        yield Row("GPU in the container", MISSING, "Docker does not know NVIDIA's runtime", how)
    if engine == "apptainer":
        yield Row("GPU in the container", NOTE, "Apptainer passes it through when told", '--apptainer-args "--nv"')


def _numbers(version: str) -> list[int]:
    return [int(part) for part in re.findall(r"\d+", version)]


def _lock_step(config: Mapping[str, Any], name: str) -> Row:
    """Tell container, DPU and board image of a target; they must be of one version."""
    from softdpu.xmodel import fingerprint as fingerprints  # reads .xmodel files: too much for Snakemake's start

    target = boards.find_target(name, vitis_ai.find_version(config, name))
    dpu = f"{target.dpu.name} {target.fingerprint:#x}"
    entries = fingerprints.explain(f"{target.fingerprint:#x}")[0]["boards"]
    images: list[str] = next((entry["images"] for entry in entries if entry["target"] == target.name), [])
    found = f"compiler of Vitis AI {target.vitis_ai}, DPU {dpu}"
    image = config["vitis_ai"]["image"]
    if image and target.vitis_ai not in image:
        how = f"see that it is of Vitis AI {target.vitis_ai}, or set compile.vitis_ai"
        return Row(f"{name}: versions", NOTE, f"{found}; the image {image} does not tell its version", how)
    if not images:
        return Row(f"{name}: versions", NOTE, f"{found}; AMD has no SD-card image with that DPU")
    return Row(f"{name}: versions", OK, f"{found}, board image {images[-1]}")


def _arch(config: Mapping[str, Any], machine: Machine, engine: str, name: str) -> Row:
    """Look at the compiler's arch.json of a target; one that can be read must name the target's DPU."""
    what, path = f"{name}: arch.json", vitis_ai.find_arch_file(name)
    target = boards.find_target(name, vitis_ai.find_version(config, name))
    if path is None:
        return Row(what, OK, f"written by the build, with the fingerprint {target.fingerprint:#x}")
    image = vitis_ai.name_image(config, name)
    if engine == "native":
        if not os.path.isfile(path):
            return Row(what, MISSING, f"no {path}", f"link AMD's folder vaic/arch to {vitis_ai.ARCH_FOLDER}")
        content: str | None = Path(path).read_text(encoding="utf-8")
    elif engine in ("docker", "podman") and machine.run(engine, "image", "inspect", image) is not None:
        content = machine.run(engine, "run", "--rm", "--entrypoint", "cat", image, path)
        if content is None:
            return Row(
                what, MISSING, f"the image has no {path}", "see that the image is AMD's and of the right version"
            )
    else:
        return Row(what, NOTE, f"{path} in the container, which is not there yet")
    return _names_dpu(what, path, content or "", target)


def _names_dpu(what: str, path: str, content: str, target: boards.Target) -> Row:
    wrong = f"choose the compiler of Vitis AI {target.vitis_ai}, or set compile.vitis_ai"
    numbers = [int(number, 16) for number in re.findall(r'"(0x[0-9a-fA-F]+)"', content)]
    names = re.findall(r'"target"\s*:\s*"(\w+)"', content)
    if numbers and numbers[0] != target.fingerprint:
        return Row(what, MISSING, f"{path} has the fingerprint {numbers[0]:#x}, not {target.fingerprint:#x}", wrong)
    if names and names[0] != target.dpu.name:
        return Row(what, MISSING, f"{path} is for {names[0]}, not {target.dpu.name}", wrong)
    return Row(what, OK, path)
