"""toolchain: vitis-ai, as far as it goes without AMD's containers: the command lines, the wrapper, stand-in tools."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest
from workflow_tools import ROOT, copy_project, environment, snakemake

from softdpu.build import vitis_ai
from softdpu.errors import SoftdpuError
from softdpu.numbers import boards

GOLDEN = Path(__file__).parent / "vitis_ai_commands.txt"
WRAPPER = ROOT / "envs/vitis_ai.sh"
VERSIONS = list(vitis_ai.read_table()["versions"])

EVERY_STAGE = "{train: vitis-ai, quantize: vitis-ai, finetune: vitis-ai, compile: vitis-ai}"

# Records its arguments and writes what AMD's compiler names.
COMPILER = """#!/bin/sh
echo "$@" >"$RECORD.arguments"
while [ $# -gt 0 ]; do
  case $1 in --output_dir) folder=$2 ;; --net_name) name=$2 ;; esac
  shift
done
echo compiled >"$folder/$name.xmodel"
"""
# Records its arguments and what it sees of its environment.
RECORDER = """#!/bin/sh
printf '%s\\n' "$@" >"$RECORD.arguments"
echo "$PYTHONPATH" >"$RECORD.pythonpath"
"""


def stand_in(folder: Path, name: str, text: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(text)
    (folder / name).chmod(0o755)
    return folder / name


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project in which everything up to the compiler is still to run."""
    return copy_project(tmp_path_factory.mktemp("vitis_ai") / "project")


def shell_commands(run: subprocess.CompletedProcess[str]) -> list[str]:
    assert run.returncode == 0, run.stdout
    return sorted(set(re.findall(r"^ *(?:Shell command: )?((?:bash|echo|python) .*)$", run.stdout, re.MULTILINE)))


def commands(project: Path, version: str, device: str) -> list[str]:
    """Return the command lines of the stages that AMD's tools do, for every board of a Vitis AI version.

    What follows the name of a script is left out, for that is the plain build's (see the test below); so is the log.
    """
    names = [name for name in boards.list_targets() if version in boards_versions(name)]
    files = [f"build/compiled_model_{name}/mobilenet.xmodel" for name in names]
    run = snakemake(
        project, "-n", "-p", "build/quant_model/quant_model.h5", *files,
        "--config", f"toolchain={EVERY_STAGE}", f"targets=[{names[0]}]", f"compile={{vitis_ai: '{version}'}}",
        f"vitis_ai={{device: {device}}}",
    )  # fmt: skip
    found = [line for line in shell_commands(run) if "vitis_ai.sh" in line or "fingerprint" in line]
    named = (re.sub(r"(scripts/\w+\.py) .*", r"\1 ...", line) for line in found)
    return [f"# Vitis AI {version}, {device}", *(re.sub(r" (2>&1 \| tee|&>|2>) .*", "", line) for line in named), ""]


def boards_versions(name: str) -> list[str]:
    return [version for version in VERSIONS if known(name, version)]


def known(name: str, version: str) -> bool:
    try:
        boards.find_target(name, version)
    except SoftdpuError:
        return False
    return True


def test_the_command_lines_of_every_stage_version_and_target(project: Path) -> None:
    """The golden text; after a wanted change, write `lines` to that file and look at the difference."""
    lines = [line for version in VERSIONS for line in commands(project, version, "cpu")]
    lines += commands(project, "3.5", "gpu")
    assert "\n".join(lines) == GOLDEN.read_text()


def test_a_script_gets_the_same_options_with_amds_tools(project: Path) -> None:
    files = ["build/quant_model/quant_model.h5", "build/quant_ft_model/quant_ft.h5"]
    plain = shell_commands(snakemake(project, "-n", "-p", *files))
    amd = shell_commands(snakemake(project, "-n", "-p", *files, "--config", f"toolchain={EVERY_STAGE}"))
    before = "bash envs/vitis_ai.sh --engine auto --image [^ ]+ --environment vitis-ai-tensorflow2 "
    scripts = [line for line in plain if re.match(r"python scripts/(train|quantize|finetune)\.py", line)]
    assert len(scripts) == 3
    # A recipe is softdpu's alone; the options of a section come in alphabetical order.
    expected = {re.sub(r"(--calib-images \d+) .*?--recipe \S+", r"\1 --quantizer vitis-ai", line) for line in scripts}
    assert {re.sub(before, "", line) for line in amd if "vitis_ai.sh" in line} == expected


def test_the_golden_text_has_amds_documented_form() -> None:
    text = GOLDEN.read_text()
    assert (
        " vai_c_tensorflow2 --model build/quant_ft_model/quant_ft.h5"
        " --arch /opt/vitis_ai/compiler/arch/DPUCZDX8G/ZCU102/arch.json"
        " --output_dir build/compiled_model_zcu102 --net_name mobilenet" in text
    )
    for entry in vitis_ai.read_table()["versions"].values():
        assert f"--image {entry['cpu']} " in text


def use(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, *folders: Path) -> Path:
    """Put `folders` before the system's programs on the PATH, which has neither AMD's tools nor an engine then."""
    system = tmp_path / "system"
    system.mkdir(exist_ok=True)
    for name in ("bash", "sh", "cat", "dirname", "realpath", "id", "sed", "sort", "env", "mkdir", "python3"):
        place = next((p for p in (Path("/usr/bin") / name, Path("/bin") / name) if p.exists()), None)
        if place and not (system / name).exists():
            (system / name).symlink_to(place)
    monkeypatch.setenv("PATH", os.pathsep.join(map(str, [*folders, system])))
    monkeypatch.setenv("RECORD", str(tmp_path / "record"))
    monkeypatch.delenv("PYTHONPATH", raising=False)
    return tmp_path / "record"


def wrapper(*arguments: object, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    command = ["bash", str(WRAPPER), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, timeout=60)


@pytest.mark.parametrize(("engine", "gpu"), [("docker", False), ("docker", True), ("podman", True)])
def test_the_wrapper_starts_a_container(
    engine: str, gpu: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_in(tmp_path / "bin", engine, RECORDER)
    record = use(monkeypatch, tmp_path, tmp_path / "bin")
    work, outside = tmp_path / "work", tmp_path / "outside"
    (work / "build").mkdir(parents=True)
    outside.mkdir()
    done = wrapper(
        "--image", "some/image:1", "--environment", "env1", *(["--gpu"] if gpu else []),
        "vai_c_tensorflow2", "--model", outside / "quant.h5", "--output_dir", "build", "--net_name", "a name", cwd=work,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert f"vai_c_tensorflow2 in the container some/image:1, started by {engine}" in done.stderr
    given = (tmp_path / "record.arguments").read_text().splitlines()
    assert given[:3] == ["run", "--rm", "--init"]
    assert given[given.index("--user") + 1] == f"{os.getuid()}:{os.getgid()}"
    assert given[given.index("--workdir") + 1] == str(work)
    mounted = {given[i + 1] for i, word in enumerate(given) if word == "--volume"}
    assert mounted == {f"{folder}:{folder}" for folder in (ROOT, work, outside)}
    assert ("--gpus" in given) == (gpu and engine == "docker")
    assert ("nvidia.com/gpu=all" in given) == (gpu and engine == "podman")
    inner = given[given.index("--entrypoint") :]
    assert inner == [
        "--entrypoint", "bash", "some/image:1", str(WRAPPER), "--engine", "container", "--environment", "env1",
        *(["--gpu"] if gpu else []),
        "vai_c_tensorflow2", "--model", str(outside / "quant.h5"), "--output_dir", "build", "--net_name", "a name",
    ]  # fmt: skip
    assert record.name == "record"


def conda(folder: Path, environment_name: str, *tools: str) -> Path:
    """A conda as AMD's container has it, whose environment holds stand-ins for `tools`."""
    (folder / "etc/profile.d").mkdir(parents=True)
    (folder / "etc/profile.d/conda.sh").write_text(
        f'conda() {{ [ "$2" = {environment_name} ] && PATH={folder}/envs/{environment_name}/bin:$PATH; }}\n'
    )
    for tool in tools:
        stand_in(folder / "envs" / environment_name / "bin", tool, RECORDER)
    return folder


def test_inside_the_container_its_environment_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    record = use(monkeypatch, tmp_path)
    folder = conda(tmp_path / "conda", "vitis-ai-tensorflow2", "vai_c_tensorflow2", "python")
    monkeypatch.setenv("VAI_CONDA", str(folder))
    done = wrapper("--engine", "apptainer", "vai_c_tensorflow2", "--net_name", "mobilenet")
    assert done.returncode == 0, done.stderr
    assert Path(f"{record}.arguments").read_text().split() == ["--net_name", "mobilenet"]
    assert Path(f"{record}.pythonpath").read_text() == "\n"  # AMD's compiler sees none of our modules
    done = wrapper("--engine", "docker", "python", "scripts/quantize.py", "--quantizer", "vitis-ai")
    assert done.returncode == 0, done.stderr
    assert Path(f"{record}.arguments").read_text().split() == ["scripts/quantize.py", "--quantizer", "vitis-ai"]
    (seen,) = Path(f"{record}.pythonpath").read_text().splitlines()
    assert [path.name for path in Path(seen).iterdir()] == ["softdpu"]  # not our xir and vart, which would hide AMD's
    assert (Path(seen) / "softdpu/output/cli.py").is_file()
    wrong = wrapper("--environment", "other", "python", "-V")
    assert wrong.returncode == 1 and "there is no conda environment other" in wrong.stderr


def test_native_tools_on_the_path_are_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in(tmp_path / "bin", "docker", "#!/bin/sh\nexit 9\n")
    for name in ("vai_c_tensorflow2", "python"):
        stand_in(tmp_path / "amd", name, RECORDER)
    stand_in(tmp_path / "venv", "python", "#!/bin/sh\nexit 1\n")  # softdpu's own, without AMD's quantizer
    record = use(monkeypatch, tmp_path, tmp_path / "venv", tmp_path / "bin", tmp_path / "amd")
    done = wrapper("--image", "unused", "vai_c_tensorflow2", "--net_name", "mobilenet")
    assert done.returncode == 0 and f"{tmp_path}/amd/vai_c_tensorflow2 on the PATH" in done.stderr
    done = wrapper("--image", "unused", "python", "scripts/finetune.py")
    assert done.returncode == 0 and f"AMD's tools on the PATH, {tmp_path}/amd/python" in done.stderr
    assert Path(f"{record}.arguments").read_text() == "scripts/finetune.py\n"
    assert wrapper("--engine", "docker", "--image", "i", "vai_c_tensorflow2").returncode == 9  # only if told to


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["vai_c_tensorflow2"],
            "needs vai_c_tensorflow2 of AMD's tools, and there is neither that nor Docker",
        ),
        (["--engine", "native", "python"], "vitis_ai.engine is native, but AMD's python is not on the PATH"),
        (["--engine", "apptainer", "--image", "x", "python"], "this is not AMD's container, for it has no"),
        (["--engine", "podman", "--image", "x", "python"], "vitis_ai.engine is podman, which is not on the PATH"),
        (["--engine", "lxc", "python"], "--engine lxc: choose auto, native, apptainer, docker or podman"),
        (["--gpu"], "vitis_ai.sh needs a command"),
    ],
)
def test_what_is_missing_is_told_in_one_line(
    arguments: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(monkeypatch, tmp_path)
    done = wrapper(*arguments)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: ") and message in line


def test_the_rule_runs_a_compiler_on_the_path(project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tool = stand_in(tmp_path / "bin", "vai_c_tensorflow2", COMPILER)
    (project / "build/quant_ft_model").mkdir(parents=True)
    (project / "build/quant_ft_model/quant_ft.h5").write_text("")
    monkeypatch.setenv("PATH", f"{tool.parent}{os.pathsep}{environment(project)['PATH']}")
    monkeypatch.setenv("RECORD", str(tmp_path / "record"))
    run = snakemake(
        project, "-j1", "build/compiled_model_kr260/mobilenet.xmodel", "--allowed-rules", "compile", "arch",
        "--config", "toolchain={compile: vitis-ai}", "targets=[kr260]", "compile={vitis_ai: '2.5'}",
    )  # fmt: skip
    assert run.returncode == 0, run.stdout
    assert (project / "build/compiled_model_kr260/mobilenet.xmodel").read_text() == "compiled\n"
    assert (project / "build/compiled_model_kr260/arch.json").read_text() == '{"fingerprint": "0x101000016010407"}\n'
    given = (tmp_path / "record.arguments").read_text()
    assert "--arch build/compiled_model_kr260/arch.json --output_dir build/compiled_model_kr260 --net_name" in given


def config(**changes: object) -> dict[str, object]:
    complete: dict[str, object] = {
        "toolchain": "vitis-ai",
        "targets": ["zcu102"],
        "compile": {"vitis_ai": None},
        "quantize": {"recipe": "rescue", "calib_images": 8, "calib_batch": 4},
        "vitis_ai": {"engine": "auto", "device": "cpu", "image": None},
    }
    return {**complete, **changes}


def test_images_for_snakemake() -> None:
    assert vitis_ai.find_container(config(toolchain="softdpu"), "compile") is None
    assert vitis_ai.find_container(config(), "train") is None
    assert vitis_ai.find_container(config(), "compile") == "docker://" + vitis_ai.read_table()["versions"]["3.0"]["cpu"]
    gpu = {"engine": "auto", "device": "gpu", "image": None}
    assert (
        vitis_ai.find_container(config(vitis_ai=gpu), "quantize")
        == "docker-daemon://xilinx/vitis-ai-tensorflow2-gpu:latest"
    )
    own = {"engine": "auto", "device": "cpu", "image": "/data/vitis.sif"}
    assert vitis_ai.find_container(config(vitis_ai=own), "quantize") == "/data/vitis.sif"
    assert "--image /data/vitis.sif " in " ".join(vitis_ai.make_command(config(vitis_ai=own), "quantize"))


def test_each_target_has_the_container_of_its_version() -> None:
    boards_of = config(targets=["zcu102", "vek280", "ultra96v2"])
    found = [vitis_ai.find_version(boards_of, name) for name in ("zcu102", "vek280", "ultra96v2")]
    assert found == ["3.0", "3.5", "2.5"]


def test_amds_quantizer_is_not_asked_for_recipes() -> None:
    options = vitis_ai.make_quantizer_options(config(), "quantize")
    assert options == {"calib_images": 8, "calib_batch": 4, "quantizer": "vitis-ai"}
    mixed = config(toolchain={"compile": "vitis-ai"})
    assert vitis_ai.make_quantizer_options(mixed, "quantize")["recipe"] == "rescue"


def test_a_version_without_an_image_is_told_in_one_line(project: Path) -> None:
    with pytest.raises(SoftdpuError, match=r"zcu102 has no DPU for Vitis AI 4.0"):
        vitis_ai.find_version(config(compile={"vitis_ai": "4.0"}))
    with pytest.raises(SoftdpuError, match=r"no container image is known for Vitis AI 1\.3"):
        vitis_ai.find_version(config(compile={"vitis_ai": "1.3"}))
    run = snakemake(project, "-n", "target_zcu102", "--config", "toolchain={compile: vitis_ai}")
    assert run.returncode != 0 and "Traceback" not in run.stdout
    assert "error: config: toolchain.compile: expected one of softdpu, vitis-ai, got 'vitis_ai'" in run.stdout
