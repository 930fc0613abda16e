"""AMD's inspector API and the names that scripts import AMD's modules by."""

import subprocess
import sys
import types
from pathlib import Path

import numpy as np
import pytest
import tf_keras as keras
from PIL import Image

from softdpu.commands.main import main
from softdpu.quantizer import QuantizerError, vitis_inspect
from softdpu.quantizer.vitis_inspect import VitisInspector

L = keras.layers
KV260 = "/opt/vitis_ai/compiler/arch/DPUCZDX8G/KV260/arch.json"  # as in AMD's containers; no such file here


def mixed():
    image = L.Input((None, None, 3), name="image")
    x = L.Conv2D(8, 3, padding="same", activation="relu", name="conv")(image)
    y = L.Conv2D(8, 3, padding="same", activation="tanh", name="curve")(L.RandomFlip(name="flip")(x))
    y = L.Add(name="sum")([y, L.BatchNormalization(name="norm")(L.Conv2D(8, 17, padding="same", name="huge")(x))])
    x = L.GlobalAveragePooling2D(name="mean")(L.Dropout(0.2, name="drop")(L.Multiply(name="product")([x, y])))
    return keras.Model(image, L.Dense(3, name="head")(x), name="mixed")


@pytest.fixture
def run(tmp_path, capsys):
    def inspect(model, target="DPUCZDX8G_ISA1_B4096", **options):
        options.setdefault("dump_results_file", str(tmp_path / "results.txt"))
        found = VitisInspector(target=target).inspect_model(model, **options)
        return {layer.name: result for layer, result in found.items()}, capsys.readouterr().out

    return inspect


def test_devices_notes_and_text(run, tmp_path):
    found, text = run(mixed(), input_shape=[16, 16, 3])
    devices = {name: result.device for name, result in found.items()}
    assert devices == {
        **dict.fromkeys(("conv", "flip", "drop", "product", "mean", "head"), "DPU"),
        **{"image": "INPUT", "curve": "DPU,CPU"},
        **dict.fromkeys(("huge", "norm", "sum"), "CPU"),
    }
    assert "17x17" in found["huge"].get_notes()[0]
    for line in (
        *("[MODEL INFO]:", "Model Name: mixed", "[SUMMARY INFO]:", "- [Target Name]: DPUCZDX8G_ISA1_B4096"),
        *("- [Total Layers]: 11", "- [Partition Results]: INPUT(1) DPU(6) CPU(3) DPU,CPU(1)", "[NOTES INFO]:"),
        "- [3/10] Layer huge (Type:Conv2D<linear>, Device:CPU):",
    ):
        assert line in text.splitlines()
    assert "All layers are supported" not in text
    written = (tmp_path / "results.txt").read_text()
    assert (
        written.startswith(text.rstrip("\n"))
        and "Layer Name: huge\n" in written
        and "'kernel_size': (17, 17)" in written
    )


@pytest.mark.parametrize("suffix", ["svg", "png"])
def test_all_on_the_dpu_and_pictures(run, tmp_path, suffix):
    model = keras.Sequential([L.Input((8, 8, 3)), L.Conv2D(4, 3, activation="relu"), L.Flatten(), L.Dense(2)])
    picture, dumped = tmp_path / f"model.{suffix}", tmp_path / "inspect.h5"
    found, text = run(model, plot=True, plot_file=str(picture), dump_model=True, dump_model_file=str(dumped), verbose=1)
    assert text.count("All layers are supported and successfully mapped to DPU.") == 2
    assert {result.device for result in found.values()} == {"INPUT", "DPU"}
    assert "    * conv2d-fix" in text  # verbose
    if suffix == "png":
        with Image.open(picture) as image:
            assert image.format == "PNG" and len(np.unique(np.asarray(image).reshape(-1, 4), axis=0)) > 3
    else:
        assert "Conv2D&lt;relu&gt;" in picture.read_text()
    assert any("quant_" in layer.name for layer in keras.models.load_model(dumped).layers)


@pytest.mark.parametrize(
    ("target", "name"),
    [
        (KV260, "DPUCZDX8G_ISA1_B4096"),
        ("0x101000016010404", "DPUCZDX8G_ISA1_B2304"),
        ("DPUCVDX8G_ISA3_C32B6", "DPUCVDX8G_ISA3_C32B6"),
        ("zcu104", "DPUCZDX8G_ISA1_B4096"),
        (None, "None"),
    ],
)
def test_targets(run, target, name):
    model = keras.Sequential([L.Input((8, 8, 3)), L.Conv2D(4, 3)])
    _, text = run(model, target=target)
    assert text.split("- [Target Name]: ")[1].startswith(name.split("_B")[0])


def test_models_that_only_keras_knows_and_nested_ones(run):
    inner = keras.Sequential([L.Input((8, 8, 4)), L.Conv2D(4, 3, name="deep"), L.CenterCrop(3, 3, name="cut")])
    found, _ = run(
        keras.Sequential([L.Input((8, 8, 3)), L.Conv2D(4, 3, padding="same"), inner, L.Conv2D(2, 1, name="end")])
    )
    assert found["deep"].device == "DPU" and found["cut"].device == "CPU"


@pytest.mark.parametrize(
    ("mistake", "text"),
    [
        (lambda: VitisInspector(target="DPUX"), "target DPUX: expected the name of a DPU"),
        (lambda: VitisInspector(target="nowhere/arch.json"), "nowhere/arch.json"),
        (lambda: VitisInspector(quantize_strategy="fs"), "quantize_strategy fs"),
        (lambda: VitisInspector().inspect_model(mixed()), "the input image has the shape.*give input_shape"),
        (lambda: VitisInspector().inspect_model(None), "cannot be None"),
        (lambda: VitisInspector().inspect_model(mixed(), no_option=1), "no_option"),
    ],
)
def test_mistakes_have_one_line(mistake, text):
    with pytest.raises(QuantizerError, match=text) as error:
        mistake()
    assert "\n" not in str(error.value)


SCRIPT = """
import sys
from tensorflow_model_optimization.quantization.keras import vitis_inspect, vitis_quantize
import tensorflow_model_optimization.quantization.keras.vitis_quantize as again
from tensorflow_model_optimization.python.core.quantization.keras.vitis import vitis_quantize as private
import tensorflow as tf
assert private.VitisQuantizer is vitis_quantize.VitisQuantizer is again.VitisQuantizer
x = tf.keras.layers.Input((4, 4, 2))
model = tf.keras.Model(x, tf.keras.layers.Conv2D(2, 3)(x))
vitis_quantize.VitisQuantizer(model).quantize_model(calib_dataset=tf.zeros((2, 4, 4, 2)) + 1).save(sys.argv[1])
print(__name__, sys.argv[1:], vitis_inspect.VitisInspector.__name__)
"""


def test_script_that_imports_amds_modules(tmp_path):
    (tmp_path / "script.py").write_text(SCRIPT)
    command = [sys.executable, "-c", "import sys; from softdpu.commands.main import main; sys.exit(main())"]
    done = subprocess.run(
        [*command, "run", "script.py", "q.h5", "--more"], cwd=tmp_path, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip().endswith("__main__ ['q.h5', '--more'] VitisInspector")
    assert (tmp_path / "q.h5").is_file()


def test_a_real_package_keeps_what_it_has(tmp_path):
    """Google's package has no vitis_quantize: its own names stay its own, ours join them."""
    package = tmp_path / "tensorflow_model_optimization" / "quantization" / "keras"
    package.mkdir(parents=True)
    for folder in (package, *package.parents[:2]):
        (folder / "__init__.py").write_text("real = True\n")
    code = (
        "import softdpu.quantizer, tensorflow_model_optimization as tfmot\n"
        "from tensorflow_model_optimization.quantization.keras import real, vitis_quantize\n"
        "print(tfmot.real, real, vitis_quantize.VitisQuantizer.__module__)\n"
        "import tensorflow_model_optimization.sparsity\n"
    )
    environment = {"PYTHONPATH": f"{tmp_path}:{Path(vitis_inspect.__file__).parents[2]}", "PATH": "/usr/bin:/bin"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=120)
    assert done.stdout.split() == ["True", "True", "softdpu.quantizer.vitis_quantize"]
    assert "ModuleNotFoundError" in done.stderr


def test_nothing_else_is_made_up():
    with pytest.raises(ImportError):
        __import__("tensorflow_model_optimization.sparsity")
    import tensorflow_model_optimization

    assert isinstance(tensorflow_model_optimization, types.ModuleType)


def test_script_that_is_not_there(capsys):
    assert main(["run", "nowhere.py"]) == 1
    assert "nowhere.py: no such script" in capsys.readouterr().err
