"""docs/extending.md: a layer out of tree is quantized, compiled and run by both engines and by an app of its own."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from softdpu.compiler.inspector import inspect_model
from softdpu.errors import SoftdpuError
from softdpu.extensions import import_extensions
from softdpu.numbers import boards
from softdpu.output.sources import sources

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "extending.md").read_text(encoding="utf-8")

PROGRAM = """
import logging
import numpy as np
from softdpu.keras2.api import keras
from softdpu.quantizer import vitis_quantize
from cap_layer.quantizer import Cap
import xir
from softdpu.compiler import compile_model
from softdpu.runtime import create_engine, evaluate_graph

rng = np.random.default_rng(0)
x = inputs = keras.Input((8, 8, 3))
x = keras.layers.Conv2D(8, 3, padding="same", name="conv")(x)
x = Cap(name="cap")(x)
x = keras.layers.Conv2D(4, 1, name="last")(x)
images = rng.uniform(-2, 2, (32, 8, 8, 3)).astype(np.float32)
model = vitis_quantize.VitisQuantizer(keras.Model(inputs, x)).quantize_model(calib_dataset=images)
model.save("quant.h5")
loaded = keras.models.load_model("quant.h5")
made = compile_model("quant.h5", "zcu102", "m.xmodel")
[cap] = [place for place in made["layers"] if place["kind"] == "Cap"]
assert cap["device"] == "DPU" and cap["operation"] == "cap-fix", cap
graph = xir.Graph.deserialize("m.xmodel")
[part] = [p for p in graph.get_root_subgraph().toposort_child_subgraph() if p.get_attr("device") == "DPU"]
engines = [create_engine(part, name) for name in ("reference", "litert")]
assert engines[1].fallbacks == [], engines[1].fallbacks
capped = 0
for _ in range(20):
    image = rng.integers(-128, 128, engines[0].program.inputs[0].shape).astype(np.int8)
    results = []
    for engine in engines:
        outputs = [np.empty(value.shape, value.dtype) for value in engine.program.outputs]
        engine.run([image], outputs)
        results.append(outputs[0])
    np.testing.assert_array_equal(*results)
    real = image * np.float32(2.0) ** -engines[0].program.inputs[0].fix_point
    expected = loaded.predict(real, verbose=0)
    [value] = engines[0].program.outputs
    np.testing.assert_array_equal(results[0] * np.float32(2.0) ** -value.fix_point, expected)
    inner = keras.Model(loaded.input, loaded.get_layer("quant_cap").output).predict(real, verbose=0)
    capped += int((inner == 1).sum())
assert capped > 100
"""


@pytest.fixture(scope="module")
def network(package: Path, run_python: Callable[..., str]) -> Path:
    """The folder with quant.h5 and m.xmodel, a network with the page's layer that gives four classes for each pixel."""
    run_python("-c", PROGRAM, extension="cap_layer")
    return package


def test_the_walk_through_of_a_layer(network: Path) -> None:
    # Without the extension it is a layer that only its own code knows, on the CPU.
    places = {place.layer: place for place in inspect_model(network / "quant.h5", boards.find_target("zcu102"))}
    assert (places["quant_cap"].device, places["quant_cap"].operation) == ("CPU", "Cap")


def test_an_app_for_another_task(network: Path, run_python: Callable[..., str]) -> None:
    """The pixels of each class are those of the engine, which test_the_walk_through_of_a_layer compares with Keras."""
    (network / "images").mkdir()
    for name in ("a.png", "b.png", "c.png"):
        image = np.random.default_rng(ord(name[0])).integers(0, 256, (8, 8, 3), np.uint8)
        cv2.imwrite(str(network / "images" / name), image)
    shown = run_python("pixels_mt.py", "-m", "m.xmodel", "-t", "2", extension="cap_layer").splitlines()
    lines = [line.split() for line in shown if " pixels of class " in line]
    assert [line[0] for line in lines] == ["a.png", "b.png", "c.png"]
    assert all(sum(map(int, line[line.index("...:") + 1 :])) == 64 for line in lines)
    assert shown[-2].startswith("FPS: ")


def test_a_board_is_a_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    [line] = re.findall(r"^my_board,.*$", PAGE, re.MULTILINE)
    shutil.copytree(boards._DATA, tmp_path / "data")
    with open(tmp_path / "data" / "boards.csv", "a", encoding="utf-8") as file:
        file.write(line + "\n")
    monkeypatch.setattr(boards, "_DATA", tmp_path / "data")
    boards._read_boards.cache_clear()
    try:
        made = boards.find_target("my-board", "2.5")
        assert (made.title, made.dpu.name, made.cores) == ("A board of my own", "DPUCZDX8G_ISA1_B4096", 1)
        assert "my_board" in boards.list_targets()
    finally:
        boards._read_boards.cache_clear()


@pytest.mark.parametrize("stage", ["compiler", "reference"])
def test_a_missing_extension_is_named(stage: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOFTDPU_EXTENSIONS", "no_such_package")
    with pytest.raises(SoftdpuError, match=f"'no_such_package', whose part for the {stage} .* on PYTHONPATH"):
        import_extensions(stage)


def test_an_edit_of_a_module_that_is_found_by_its_name_is_seen() -> None:
    """Snakemake's lists of sources hold every module of a package that imports all of its own."""
    found = {script: set(sources(ROOT / "scripts" / script, ROOT)) for script in ("compile.py", "quantize.py")}
    for script, package in (
        ("compile.py", "compiler/layers"),
        ("compile.py", "compiler/rules"),
        ("quantize.py", "quantizer/layers"),
    ):
        modules = [str(path.relative_to(ROOT)) for path in (ROOT / "src/softdpu" / package).glob("*.py")]
        assert len(modules) > 2 and set(modules) <= found[script]
    runtime = set(sources(ROOT / "src/vart/__init__.py", ROOT))
    assert {f"src/xir/{name}.py" for name in ("reader", "writer", "dot")} <= runtime
    for engine in ("reference", "litert"):
        assert {str(path.relative_to(ROOT)) for path in (ROOT / "src/softdpu/runtime" / engine).glob("*.py")} <= runtime
