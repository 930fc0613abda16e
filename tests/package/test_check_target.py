"""The proof that a card folder is the quantized Keras model: it must hold, and it must fail for another model."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from package_tools import make_records
from started_process import run_program

from softdpu.commands import package
from softdpu.errors import SoftdpuError
from softdpu.package.check import check

ROOT = Path(__file__).parents[2]
GOLDEN = ROOT.parent / "shared" / "golden" / "vai_q"

MAKE_MODEL = """
import sys
import numpy as np
import tf_keras as keras
from softdpu.quantizer.vitis_quantize import VitisQuantizer

keras.utils.set_random_seed(int(sys.argv[2]))
layers = keras.layers
model = keras.Sequential([
    layers.Conv2D(8, 3, strides=2, padding="same", input_shape=(16, 16, 3)),
    layers.BatchNormalization(),
    layers.ReLU(6.0),
    layers.DepthwiseConv2D(3, padding="same", use_bias=False),
    layers.BatchNormalization(),
    layers.ELU() if len(sys.argv) > 3 else layers.ReLU(6.0),
    layers.GlobalAveragePooling2D(),
    layers.Dense(10),
])
images = np.random.default_rng(0).uniform(-1, 1, (64, 16, 16, 3)).astype(np.float32)
VitisQuantizer(model).quantize_model(calib_dataset=images, calib_batch_size=32).save(sys.argv[1])
"""


def make_model(path, seed, *options):
    environment = {**os.environ, "TF_USE_LEGACY_KERAS": "1"}
    subprocess.run([sys.executable, "-c", MAKE_MODEL, str(path), str(seed), *options], check=True, env=environment)
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A model, and the card folder that was made of it."""
    home = tmp_path_factory.mktemp("check")
    (home / "records").mkdir()
    make_records(home / "records", 60)
    make_card(make_model(home / "one.h5", 1), home / "records", home / "target_zcu102", 60)
    return home


def make_card(model, records, output, images):
    from softdpu.compiler.compile import compile_model

    compile_model(model, "zcu102", output.with_name("mobilenet.xmodel"))
    parser = argparse.ArgumentParser()
    package.add_arguments(parser)
    values = {"model": output.with_name("mobilenet.xmodel"), "records": records, "output": output, "images": images}
    values.update(app=ROOT / "target_src" / "app_mt.py", target="zcu102")
    package.run(parser.parse_args([part for key, value in values.items() for part in (f"--{key}", str(value))]))


def run_script(folder, model, output):
    command = [sys.executable, str(ROOT / "scripts" / "check_target.py"), "--target-dir", str(folder)]
    return run_program([*command, "--model", str(model), "--output", str(output)], "tensorflow", cwd=ROOT)


@pytest.mark.slow
def test_equal_bit_for_bit(folder):
    done = run_script(folder / "target_zcu102", folder / "one.h5", folder / "check.json")
    assert done.returncode == 0, done.stderr
    assert "60 images, 600 outputs, 0 differences" in done.stdout
    found = json.loads((folder / "check.json").read_text())
    assert (found["images"], found["logits"], found["different_logits"], found["different_classes"]) == (60, 600, 0, [])
    assert found["printed"].endswith(f"Accuracy:{found['accuracy']:.4f}")


@pytest.mark.slow
def test_a_network_in_pieces_is_equal_too(folder):
    model = make_model(folder / "pieces.h5", 3, "elu")
    make_card(model, folder / "records", folder / "target_pieces", 60)
    done = run_script(folder / "target_pieces", model, folder / "pieces.json")
    assert done.returncode == 0, done.stderr
    assert "60 images, 600 outputs, 0 differences" in done.stdout
    app = [sys.executable, "app_mt.py", "--check", "--threads", "2"]
    checked = subprocess.run(app, cwd=folder / "target_pieces", capture_output=True, text=True)
    assert checked.returncode == 0 and "Check: 0 differences" in checked.stdout
    assert "Found 2 subgraphs" in checked.stdout


@pytest.mark.slow
def test_another_model_is_told(folder):
    make_model(folder / "two.h5", 2)
    done = run_script(folder / "target_zcu102", folder / "two.h5", folder / "other.json")
    assert done.returncode == 1
    assert "is not" in done.stderr and "outputs and" in done.stderr
    assert json.loads((folder / "other.json").read_text())["different_logits"] > 300


@pytest.mark.slow
@pytest.mark.skipif(not GOLDEN.is_dir(), reason="AMD's golden models are not beside this checkout")
@pytest.mark.parametrize("name", ["quant_model.h5", "deploy_model.h5"])
def test_equal_to_what_amds_quantizer_made(tmp_path, name):
    (tmp_path / "records").mkdir()
    make_records(tmp_path / "records", 60)
    make_card(GOLDEN / name, tmp_path / "records", tmp_path / "target_zcu102", 60)
    check(tmp_path / "target_zcu102", GOLDEN / name, tmp_path / "check.json")
    assert json.loads((tmp_path / "check.json").read_text())["different_logits"] == 0


def test_a_failing_app_is_told(tmp_path):
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "0_image0.png").write_bytes(b"")
    (tmp_path / "app_mt.py").write_text("raise SystemExit('error: nothing works')\n")
    with pytest.raises(SoftdpuError, match=r"app_mt.py failed: error: nothing works"):
        check(tmp_path, tmp_path / "none.h5", tmp_path / "check.json")
