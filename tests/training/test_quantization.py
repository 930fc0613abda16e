"""The programs quantize, finetune and evaluate on a small network, as the build calls them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from record_tools import write_colours
from started_process import run_program

from softdpu import tasks
from softdpu.dataset.arrays import Inputs
from softdpu.errors import SoftdpuError
from softdpu.training.batches import keras
from softdpu.training.common import input_size
from softdpu.training.fit import save

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def build(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Records of coloured images of three classes, and an untrained float model for them."""
    folder = tmp_path_factory.mktemp("build")
    write_colours(folder, {"train": 90, "val": 40}, shape=(20, 24))
    keras.utils.set_random_seed(1)
    image = keras.Input((16, 16, 3))
    x = keras.layers.Conv2D(8, 3, strides=2, padding="same", use_bias=False)(image)
    x = keras.layers.ReLU(6.0)(keras.layers.BatchNormalization()(x))
    x = keras.layers.Dropout(0.1)(keras.layers.GlobalAveragePooling2D()(x))
    save(keras.Model(image, keras.layers.Dense(3)(x)), folder / "float.h5")
    return folder


def program(build: Path, name: str, *options: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, f"scripts/{name}.py", "--val-records", str(build / "val"), *map(str, options)]
    return run_program(command, "tensorflow", cwd=ROOT, timeout=300)


def quantize(build: Path, *options: object) -> subprocess.CompletedProcess[str]:
    return program(build, "quantize", "--train-records", build / "train", "--calib-images", 50, *options)


@pytest.mark.slow
def test_quantize_finetune_and_evaluate(build: Path) -> None:
    done = quantize(build, "--model", build / "float.h5", "--recipe", "vitis", "--output", build / "ptq/quant_model.h5")
    assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in (build / "ptq").iterdir()) == [
        "metrics.json", "predictions.csv", "quant_model.h5", "quant_model.positions.json",
    ]  # fmt: skip
    assert "conv2d" in " ".join(json.loads((build / "ptq/quant_model.positions.json").read_text()))
    done = program(
        build, "finetune", "--model", build / "float.h5", "--train-records", build / "train", "--calib-images", 50,
        "--epochs", 12, "--batch-size", 10, "--learning-rate", 0.05, "--output", build / "qat/quant_ft.h5",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    ptq, qat = (json.loads((build / name / "metrics.json").read_text()) for name in ("ptq", "qat"))
    assert ptq["images"] == qat["images"] == 40
    assert qat["accuracy"] > 0.9 and qat["loss"] < ptq["loss"]
    done = program(build, "evaluate", "--model", build / "qat/quant_ft.h5", "--output", build / "again.json")
    assert done.returncode == 0, done.stderr
    assert (build / "again.json").read_bytes() == (build / "qat/metrics.json").read_bytes()


# The parameters of AMD's quantizer in Vitis AI 1.4 and 2.0, 2.5 and 3.0, and 3.5, where they differ.
_STRATEGY = "quantize_strategy custom_quantize_strategy custom_objects"
_CALIBRATION = "calib_dataset calib_batch_size calib_steps"
AMDS_PARAMETERS = {
    "VitisQuantizer": (
        f"float_model {_STRATEGY}",
        f"float_model {_STRATEGY} target target_type",
        f"float_model model_format {_STRATEGY} target target_type",
    ),
    "quantize_model": (
        f"loss metrics {_CALIBRATION} eval_dataset verbose configs",
        f"loss metrics {_CALIBRATION} eval_dataset verbose add_shape_info input_shape configs",
    ),
    "get_qat_model": (f"init_quant {_CALIBRATION} configs",),
    "get_deploy_model": (
        "model",
        "model add_shape_info input_shape",
        "model convert_to_pof2s_quantize_strategy convert_to_fs_quantize_strategy use_fixneuron_quant",
    ),
    "quantize_scope": ("",),
}
PROGRAMS = """
import runpy, sys
for line in sys.stdin:
    sys.argv = line.split()
    try:
        runpy.run_path(sys.argv[0], run_name="__main__")
    except SystemExit as end:
        assert not end.code, end.code
"""


@pytest.mark.slow
def test_the_programs_call_nothing_that_one_of_amds_versions_lacks(build: Path, tmp_path: Path) -> None:
    """Against a package with AMD's import path that writes down every call."""
    common = f"--quantizer vitis-ai --model {build}/float.h5 --val-records {build}/val --train-records {build}/train "
    lines = [
        f"scripts/quantize.py {common} --calib-images 20 --output {tmp_path}/ptq/quant_model.h5",
        f"scripts/finetune.py {common} --calib-images 20 --epochs 1 --output {tmp_path}/qat/quant_ft.h5",
    ]
    calls = tmp_path / "calls"
    stand_in = str(Path(__file__).with_name("amd_stand_in"))
    environment = {**os.environ, "PYTHONPATH": stand_in, "RECORDED_CALLS": str(calls)}
    command = [sys.executable, "-c", PROGRAMS]
    done = subprocess.run(
        command, cwd=ROOT, env=environment, input="\n".join(lines), capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    seen = set()
    for function, arguments, keywords in map(json.loads, calls.read_text().splitlines()):
        seen.add(function)
        versions = [text.split() for text in AMDS_PARAMETERS[function]]
        leading = {tuple(names[: len(arguments)]) for names in versions}
        assert len(leading) == 1 and len(leading.pop()) == len(arguments), (function, arguments)
        assert all(set(keywords) <= set(names) for names in versions), (function, keywords)
    assert seen == set(AMDS_PARAMETERS)
    assert (tmp_path / "ptq/quant_model.h5").exists() and (tmp_path / "qat/quant_ft.h5").exists()


def error_of(done: subprocess.CompletedProcess[str]) -> str:
    assert done.returncode == 1 and "Traceback" not in done.stderr, done.stderr
    lines = [line for line in done.stderr.splitlines() if line.startswith("error:")]
    assert len(lines) == 1
    return lines[0]


@pytest.mark.slow
def test_wrong_models_are_told(build: Path) -> None:
    output = ("--output", build / "out" / "quant_model.h5")
    assert "there is no model nothing.h5; build it first" in error_of(quantize(build, "--model", "nothing.h5", *output))
    (build / "broken.h5").write_bytes((build / "float.h5").read_bytes()[:2000])
    message = error_of(quantize(build, "--model", build / "broken.h5", *output))
    assert "broken.h5 is not a Keras-2 .h5 model that can be loaded" in message
    message = error_of(quantize(build, "--model", build / "float.h5", "--recipe", "none", *output))
    assert "recipe none: expected one of" in message
    assert not (build / "out").exists()


@pytest.mark.parametrize("name", ["train", "make_records", "merge_records", "fetch_data", "inspect_records"])
def test_help_has_an_example(name: str) -> None:
    done = run_program([sys.executable, f"scripts/{name}.py", "--help"], "tensorflow", cwd=ROOT)
    assert done.returncode == 0 and f"Example:\n    python scripts/{name}.py --" in done.stdout


@pytest.mark.parametrize(
    ("name", "shape", "message"),
    [
        ("left image", (3,), "m.h5: TensorFlow quantizes no input of the name 'left image'; call it and its arrays by"),
        ("größe", (3,), "no input of the name 'größe'"),
        ("open", (None, 3), "m.h5: the input open has no fixed shape"),
    ],
)
def test_inputs_that_arrays_cannot_feed_are_told(name: str, shape: tuple[int | None, ...], message: str) -> None:
    made = keras.Input(shape, name=name)
    model = keras.Model(made, keras.layers.Dense(2)(made))
    with pytest.raises(SoftdpuError, match=message):
        input_size(model, "m.h5", tasks.ARRAYS)


def test_inputs_of_arrays_have_their_names_and_shapes() -> None:
    pair = [keras.Input((4, 6, 2), name="right_1.b"), keras.Input((3,), name="left")]
    model = keras.Model(pair, [keras.layers.ReLU()(one) for one in pair])
    found = input_size(model, "m.h5", tasks.ARRAYS)
    assert found == Inputs(("right_1.b", "left"), ((4, 6, 2), (3,)))
