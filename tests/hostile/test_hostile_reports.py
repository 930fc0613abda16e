"""JSON files that programs of a build wrote, damaged or of other types: what reports, tables and later stages say."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mutate import Door, mutate_bytes, mutate_json, seeded, tries

from softdpu import tasks
from softdpu.commands import main as commands
from softdpu.dataset import records
from softdpu.errors import SoftdpuError
from softdpu.keras2.api import keras
from softdpu.numbers import boards
from softdpu.package import ladder
from softdpu.quantizer import QuantizerError, vitis_quantize
from softdpu.quantizer.strategy import load_json
from softdpu.report import compiled as compiled_page
from softdpu.report import metrics, outputs, predicted, provenance, speed
from softdpu.sweep import compare
from softdpu.training.fit import save

sys.path.insert(0, str(Path(__file__).parents[1] / "vart"))
from small_models import compiled

SHARD = {
    "classes": ["a", "b"], "images": 2, "records": "data_0.tfrecord", "counts": {"a": 1, "b": 1}, "converted": {},
    "skipped": {}, "sources": [{"name": "x.tar", "size": 5, "sha256": None}],
}  # fmt: skip
NEAR = {"images": 3, "outputs": [{"name": "a", "sqnr": 30.5, "cosine": 0.5}, {"name": "b", "sqnr": 1.0, "cosine": 1.0}]}
STEPS = {
    "steps": [
        {"name": "float model", "accuracy": 0.5, "images": 10},
        {"name": "quantized", "accuracy": 0.5, "images": 10},
    ]
}


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Return what inspect, compile and predict write about a small network."""
    folder = tmp_path_factory.mktemp("reports")
    image = keras.Input((8, 8, 3))
    x = keras.layers.Conv2D(4, 3, activation="relu")(image)
    model = keras.Model(image, keras.layers.Dense(2)(keras.layers.GlobalAveragePooling2D()(x)))
    save(model, folder / "float.h5")
    quantized = vitis_quantize.VitisQuantizer(model).quantize_model(calib_dataset=np.zeros((2, 8, 8, 3), np.float32))
    save(quantized, folder / "quant.h5")
    names = {name: str(folder / f"{name}.json") for name in ("inspect", "summary", "predict")}
    target = ["--target", "zcu102"]
    assert commands.main(["inspect", str(folder / "float.h5"), *target, "--output", names["inspect"]]) == 0
    output = ["--output", str(folder / "net.xmodel"), "--summary", names["summary"]]
    assert commands.main(["compile", "--model", str(folder / "quant.h5"), *target, *output]) == 0
    assert commands.main(["predict", str(folder / "net.xmodel"), *target, "--output", names["predict"]]) == 0
    return {name: json.loads(Path(path).read_text()) for name, path in names.items()}


def test_no_report_of_a_build_gives_a_traceback(tmp_path: Path, written: dict[str, Any]) -> None:
    rng, door = seeded(10), Door("reports", SoftdpuError, QuantizerError)
    path, page, xmodel = tmp_path / "some.json", tmp_path / "page.html", tmp_path / "net.xmodel"
    compiled().serialize(str(xmodel))
    (tmp_path / "tfrec").mkdir()
    for name in compare.list_results(str(tmp_path), "v/zcu102"):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
    results = [Path(name) for name in compare.list_results(str(tmp_path), "v/zcu102")]
    compiled().serialize(str(results[2]))

    def sweep(path: Path) -> None:
        other = rng.randrange(2)
        results[other].write_text(json.dumps([STEPS, {"fps": 5.5}][other]))
        results[1 - other].write_bytes(path.read_bytes())
        compare.read_row(tmp_path, "v/zcu102")

    def shard(path: Path) -> None:
        (tmp_path / "tfrec" / "data_0.json").write_bytes(path.read_bytes())
        records.merge(tmp_path / "tfrec", 1, 0.5)

    def exported(path: Path) -> None:
        for step, found in ladder.find_exported([path]).items():
            ladder.show_table([ladder.read_step(step, found)])

    readers: list[tuple[Any, Callable[[Path], object]]] = [
        (written["predict"], lambda path: predicted.write_prediction(page, path)),
        (written["summary"], lambda path: compiled_page.write_summary(page, "zcu102", xmodel, path, None)),
        (written["inspect"], lambda path: compiled_page.write_summary(page, "zcu102", xmodel, None, path)),
        ({"format": "tflite", "accuracy": 0.5, "images": 10}, exported),
        ({"sweep": [{"threads": 1, "fps": 5.5}, {"threads": 2, "fps": 9}]}, speed.read_sweep),
        ({"sources": SHARD["sources"]}, provenance._list_sources),
        ({"iou": [0.5, None]}, lambda path: metrics.write_classes(page, {"ptq": path}, ["a", "b"], tasks.SEGMENTATION)),
        (
            {"by_class": {"a": 0.5, "b": None}},
            lambda path: metrics.write_classes(page, {"ptq": path}, "ab", tasks.DETECTION),
        ),
        (NEAR, lambda path: outputs.draw_outputs(tmp_path / "o.svg", outputs.read_outputs_of({"ptq": path}), "x")),
        (STEPS, sweep),
        ({"fps": 5.5}, sweep),
        (SHARD, shard),
        ({"fingerprint": "0x101000056010407"}, boards.find_target_by_arch),
        ({"target": "DPUCZDX8G_ISA1_B4096"}, boards.find_target_by_arch),
        ({"quantize_strategy": {"bit": 8}}, load_json),
    ]
    for value, read in readers:
        path.write_text(json.dumps(value))
        read(path)
    for _ in range(tries(300)):
        value, read = rng.choice(readers)
        data = mutate_json(value, rng).encode("utf-8", "surrogateescape")
        path.write_bytes(mutate_bytes(data, rng) if rng.random() < 0.1 else data)
        door.attempt(lambda read=read: read(path))  # type: ignore[misc]
    door.close()
