"""Card folders of both compilers, and boards."""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "package"))  # package_tools, wherever pytest begins

from board_server import FINGERPRINTS, SSHD, Server, link_modules
from package_tools import make_records, make_xmodel

import xir
from softdpu.commands import package
from softdpu.package import manifest

ROOT = Path(__file__).parents[2]
BIG = 6_000_000  # bytes of the file that a copy is interrupted in


@pytest.fixture(scope="session")
def cards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with target_zcu102 of each compiler: amd/, ours/, and big/: amd/ with one large file more."""
    folder = tmp_path_factory.mktemp("cards")
    (folder / "records").mkdir()
    make_records(folder / "records", 12)
    make_xmodel(folder / "amd.xmodel", library="libvart-dpu-runner.so")
    graph = xir.Graph.deserialize(str(folder / "amd.xmodel"))
    dpu = next(child for child in graph.get_root_subgraph().get_children() if child.get_attr("device") == "DPU")
    dpu.set_attr("mc_code", b"\1" * 64)
    dpu.set_attr("dpu_fingerprint", int(FINGERPRINTS["3.0"], 16))
    graph.serialize(str(folder / "amd.xmodel"))
    make_xmodel(folder / "ours.xmodel")
    parser = argparse.ArgumentParser()
    package.add_arguments(parser)
    for name in ("amd", "ours"):
        words = ["--model", folder / f"{name}.xmodel", "--records", folder / "records", "--images", 12, "--golden", 1]
        words += ["--app", ROOT / "target_src" / "app_mt.py", "--target", "zcu102"]
        package.run(parser.parse_args([*map(str, words), "--output", str(folder / name / "target_zcu102")]))
    big = folder / "big" / "target_zcu102"
    shutil.copytree(folder / "amd" / "target_zcu102", big)
    (big / "big.bin").write_bytes(os.urandom(BIG))
    manifest.write(big)
    return folder


@pytest.fixture(scope="session")
def pythons(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folders of Python modules: bare/ has numpy, cv2 and protobuf, amd/ also a vart and an xir."""
    folder = tmp_path_factory.mktemp("pythons")
    for name in ("bare", "amd"):
        link_modules(folder / name)
    for name in ("xir", "vart", "softdpu"):
        (folder / "amd" / name).symlink_to(ROOT / "src" / name)
    return folder


@pytest.fixture
def server(tmp_path: Path, pythons: Path) -> Server:
    """A board that does not run yet."""
    if not Path(SSHD).is_file() or not shutil.which("rsync"):
        pytest.skip("no OpenSSH server or no rsync on this machine")
    made = Server(tmp_path / "board")
    made.have_python(pythons / "amd")
    return made


@pytest.fixture
def board(server: Server):
    """A board of Vitis AI 3.0 that runs."""
    with server.running():
        yield server
