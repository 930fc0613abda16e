"""Only what is stale is rebuilt: change one thing, and see exactly which rules a dry run would run again."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from workflow_tools import snakemake

pytestmark = pytest.mark.slow

FINISH = {"run", "check", "ladder", "target_zcu102", "check_zcu102"}
PACKAGE = {"package"} | FINISH
PREDICT = {"predict", "target_zcu102"}
COMPILE = {"compile"} | PREDICT | PACKAGE
FINETUNE = {"finetune"} | COMPILE
QUANTIZE = {"quantize", "ladder", "target_zcu102"}
INSPECT = {"inspect", "target_zcu102"}
TRAIN = {"train"} | INSPECT | QUANTIZE | FINETUNE
RECORDS = {"records_shard", "records_manifest"} | TRAIN
FETCH = {"fetch_data"} | RECORDS


def stale(folder: Path, *arguments: str) -> set[str]:
    """Return the rules that `snakemake -n target_zcu102` would run."""
    run = snakemake(folder, "-n", "target_zcu102", "check_zcu102", *arguments)
    assert run.returncode == 0, run.stdout
    if "Nothing to be done" in run.stdout:
        return set()
    return {name for name in re.findall(r"^(\w+) +\d+$", run.stdout, re.MULTILINE) if name != "total"}


@contextmanager
def changed(path: Path, content: bytes | None) -> Iterator[None]:
    """Give `path` another content, None for deleted, and afterwards the old one with its old time."""
    old, stat = path.read_bytes(), path.stat()
    if content is None:
        path.unlink()
    else:
        path.write_bytes(content)
    try:
        yield
    finally:
        path.write_bytes(old)
        os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))


def edited(path: Path) -> bytes:
    return path.read_bytes() + b"\n# edited\n"


def test_nothing_to_do_and_says_so_quickly(built: Path) -> None:
    start = time.monotonic()
    run = snakemake(built, "-n", "target_zcu102", "check_zcu102")
    assert "Nothing to be done" in run.stdout
    assert time.monotonic() - start < 10  # an idle machine takes 1 to 2 s; the bar is measured by a benchmark


@pytest.mark.parametrize(
    ("file", "expected"),
    [
        ("scripts/fetch_data.py", FETCH),
        ("scripts/make_records.py", RECORDS),
        ("scripts/merge_records.py", {"records_manifest"} | TRAIN),
        ("scripts/train.py", TRAIN),
        ("scripts/quantize.py", QUANTIZE),
        ("scripts/finetune.py", FINETUNE),
        ("scripts/compile.py", COMPILE),
        ("scripts/package.py", PACKAGE),
        ("scripts/inspect_model.py", INSPECT),
        ("scripts/predict.py", PREDICT),
        ("src/softdpu/predict/data/constants.csv", PREDICT),
        ("src/softdpu/predict/equations.py", PREDICT),
        ("src/softdpu/package/card.py", PACKAGE),
        ("scripts/ladder.py", {"ladder", "target_zcu102"}),
        ("target_src/app_mt.py", PACKAGE),
        ("target_src/card.py", PACKAGE),
        ("target_src/checking.py", PACKAGE),
        ("target_src/runners.py", PACKAGE),
        ("src/softdpu/dataset/fashion_mnist.py", FETCH),
        ("src/softdpu/training/float_model.py", TRAIN),
        ("src/softdpu/quantizer/__init__.py", QUANTIZE | FINETUNE),
        ("src/softdpu/compiler/__init__.py", COMPILE | INSPECT),
        ("src/softdpu/numbers/boards.py", COMPILE | INSPECT),
        ("src/softdpu/runtime/__init__.py", PACKAGE),
        ("src/vart/__init__.py", FINISH),
        ("src/xir/__init__.py", COMPILE | INSPECT),
        ("README.md", set()),
        ("data/fashion_mnist/train-images-idx3-ubyte.gz", RECORDS),
    ],
)
def test_an_edit_reruns_what_depends_on_it(built: Path, file: str, expected: set[str]) -> None:
    path = built / file
    if not path.exists():
        path.write_text("")
    with changed(path, edited(path)):
        assert stale(built) == expected


@pytest.mark.parametrize(
    ("setting", "expected"),
    [
        ("dataset={train_images: 2100, val_images: 400, train_shards: 2, val_shards: 1}", RECORDS),
        ("model={input_size: 32, dropout: 0.2}", TRAIN),
        ("train={epochs: 1, batch_size: 64, seed: 2}", TRAIN),
        ("quantize={calib_images: 96}", QUANTIZE | FINETUNE),
        ("finetune={epochs: 1, batch_size: 32}", FINETUNE),
        ('compile={vitis_ai: "2.5"}', COMPILE | INSPECT),
        ("package={images: 30, golden: 2}", PACKAGE),
        ("run={threads: 1}", {"run", "ladder", "target_zcu102"}),
        ("export=with_target", {"export_file", "ladder", "target_zcu102"}),
        ("targets=[kv260]", set()),
        ("toolchain=vitis-ai", QUANTIZE | FINETUNE),
        ("toolchain={compile: vitis-ai}", COMPILE),
    ],
    ids=lambda value: value.split("=")[0] if isinstance(value, str) else "",
)
def test_a_config_section_reruns_what_reads_it(built: Path, setting: str, expected: set[str]) -> None:
    assert stale(built, "--config", setting) == expected


def test_a_touched_file_with_the_same_content_reruns_nothing(built: Path) -> None:
    path = built / "src/softdpu/compiler/__init__.py"
    path.touch()
    assert stale(built) == set()


@pytest.mark.parametrize("name", ["app_mt.py", "MANIFEST.sha256", "labels.txt", "README.txt", "images"])
def test_a_deleted_file_of_the_card_folder_is_packaged_again(built: Path, name: str) -> None:
    path = built / "build/target_zcu102" / name
    if path.is_dir():
        path = sorted(path.iterdir())[7]
    with changed(path, None):
        assert stale(built) == PACKAGE


def test_another_target_reuses_everything_up_to_the_compiler(built: Path) -> None:
    run = snakemake(built, "-n", "build/compiled_model_zcu104/mobilenet.xmodel")
    assert set(re.findall(r"^(\w+) +1$", run.stdout, re.MULTILINE)) == {"compile", "total"}


def test_a_zero_in_the_config_reaches_the_script(built: Path) -> None:
    run = snakemake(built, "-n", "-p", "--forcerun", "train", "--config", "model={input_size: 32, dropout: 0}")
    assert " --dropout 0 " in run.stdout
