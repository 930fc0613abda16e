"""Import real networks from ONNX: time, memory, and how far the Keras model is from onnxruntime.

    python benchmarks/onnx_import.py                      # the networks of the package onnx, with random weights
    python benchmarks/onnx_import.py --only resnet50
    python benchmarks/onnx_import.py --applications       # 12 networks of keras.applications, by way of tf2onnx
    python benchmarks/onnx_import.py --engines            # each is quantized, compiled and run at full size as well

Each network runs in a process of its own; the time is set beside that of onnxruntime's own loading.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

APPLICATIONS = {
    "MobileNet": 96,
    "MobileNetV2": 96,
    "MobileNetV3Small": 96,
    "MobileNetV3Large": 96,
    "ResNet50": 64,
    "ResNet50V2": 64,
    "DenseNet121": 64,
    "EfficientNetB0": 64,
    "EfficientNetV2B0": 64,
    "InceptionV3": 96,
    "Xception": 96,
    "VGG16": 64,
}


def light_files() -> dict[str, Path]:
    """Return the networks of the package onnx by name."""
    import onnx

    folder = Path(onnx.__file__).parent / "backend" / "test" / "data" / "light"
    return {path.stem.removeprefix("light_"): path for path in sorted(folder.glob("*.onnx"))}


def with_random_weights(source: Path, path: Path) -> None:
    """Write a network of the package onnx, whose weights are all one number, with random ones."""
    import onnx
    from onnx import numpy_helper

    model, random = onnx.load(source), np.random.default_rng(0)
    shapes = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    kept = []
    for node in model.graph.node:
        if node.op_type != "ConstantOfShape" or node.input[0] not in shapes:
            kept.append(node)
            continue
        shape = tuple(int(size) for size in shapes[node.input[0]])
        wide = (2 / np.prod(shape[1:])) ** 0.5 if len(shape) > 1 else 0.0
        value = random.normal(0, wide, shape) if wide else random.uniform(0.05, 0.5, shape)
        model.graph.initializer.append(numpy_helper.from_array(value.astype(np.float32), node.output[0]))
    del model.graph.node[:]
    model.graph.node.extend(kept)
    model.ir_version = 4
    onnx.save(model, path)


def application(name: str, path: Path) -> None:
    """Write a network of keras.applications with random weights and statistics as ONNX."""
    import tf2onnx

    from softdpu.keras2.api import keras, tf

    size = APPLICATIONS[name]
    model = getattr(keras.applications, name)(weights=None, input_shape=(size, size, 3), classes=100)
    random = np.random.default_rng(0)
    for layer in model.layers:
        if type(layer).__name__ == "BatchNormalization":
            layer.set_weights([random.uniform(0.5, 1.5, weight.shape) for weight in layer.get_weights()])
    tf2onnx.convert.from_keras(
        model, [tf.TensorSpec(model.inputs[0].shape, tf.float32, "x")], 13, output_path=str(path)
    )


def measure(path: Path, engines: bool) -> None:
    """Import one file and print what it took; run it as well with `engines`."""
    before = time.perf_counter()
    import softdpu.keras2.api  # noqa: F401 - TensorFlow's import is no part of it

    imported_at, started = time.perf_counter(), time.process_time()
    from softdpu.onnx_import.check import differences
    from softdpu.onnx_import.convert import import_onnx

    found = import_onnx(path)
    seconds = time.perf_counter() - imported_at
    computed = time.process_time() - started
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    own = _peer(path)
    worst = max(differences(found, 1).values())
    turns = sum(type(layer).__name__ == "Permute" for layer in found.model.layers)
    print(f"{path.stem}: {seconds:.1f} s, {computed:.1f} s of them computing, {memory:.0f} MiB")
    print(f"  {seconds / own:.0f} x onnxruntime's loading; TensorFlow's own import took {imported_at - before:.1f} s")
    print(f"  {len(found.model.layers)} layers, {turns} Permute, largest relative difference {worst:.1e}", flush=True)
    if engines:
        _run(found.model)


def _run(model: Any) -> None:
    """Quantize, compile and run a network, and print how far both engines are from the quantized Keras model."""
    sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "onnx_import"))
    from engines import run_on_engines  # type: ignore[import-not-found]

    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        outcome = run_on_engines(model, Path(folder), images=1, calibration=2)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    far = ", ".join(f"{name} {max(values):.0e}" for name, values in outcome.differences.items())
    pieces = "".join(device[0] for device in outcome.devices)
    print(f"  quantized, compiled and run in {time.perf_counter() - started:.0f} s, {memory:.0f} MiB; pieces {pieces}")
    print(f"  largest relative difference from the quantized model: {far}", flush=True)


def _peer(path: Path) -> float:
    import onnxruntime

    start = time.perf_counter()
    onnxruntime.InferenceSession(path)
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", default=[], metavar="NAME", help="these networks alone")
    parser.add_argument("--applications", action="store_true", help="keras.applications instead")
    parser.add_argument("--engines", action="store_true", help="quantize, compile and run each, too (minutes each)")
    parser.add_argument("--file", type=Path, help="import this file, in this process")
    parser.add_argument("--write", nargs=2, metavar=("NAME", "FILE"), help="write one of keras.applications as ONNX")
    args = parser.parse_args()
    if args.write:
        application(args.write[0], Path(args.write[1]))
        return
    if args.file:
        measure(args.file, args.engines)
        return
    known: dict[str, Any] = APPLICATIONS if args.applications else light_files()
    with tempfile.TemporaryDirectory() as folder:
        for name in args.only or known:
            path = Path(folder) / f"{name}.onnx"
            if args.applications:
                subprocess.run([sys.executable, __file__, "--write", name, str(path)], check=True, capture_output=True)
            else:
                with_random_weights(known[name], path)
            more = ["--engines"] if args.engines else []
            subprocess.run(
                [sys.executable, __file__, "--file", str(path), *more], check=True, stderr=subprocess.DEVNULL
            )
            path.unlink()


if __name__ == "__main__":
    main()
