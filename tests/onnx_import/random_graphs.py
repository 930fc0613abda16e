"""Random small ONNX graphs over the importer's operations, compared with onnxruntime; a command for thousands of them.

python tests/onnx_import/random_graphs.py --count 2000 --seed 1
"""

from __future__ import annotations

import argparse
import dataclasses
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import random_steps  # noqa: F401 - registers the operations
from engines import run_on_engines
from random_maker import ANY_STEPS, IMAGE_STEPS, Maker

from softdpu.errors import SoftdpuError
from softdpu.keras2.api import keras
from softdpu.onnx_import.check import differences
from softdpu.onnx_import.convert import Imported, import_onnx
from softdpu.training.fit import save

TOLERANCE = 1e-4
ROUNDING = 1e-6
ROUNDED = {"Softmax", "Tanh", "Elu", "Selu", "Exp", "Softplus", "Mish"}  # operations with exponential functions


def random_model(seed: int, steps: int = 6) -> tuple[Any, list[str]]:
    """Return a model and the types of its operations."""
    make = Maker(seed)
    current = ["x"]
    for _ in range(60):
        if len(make.ops) >= steps:
            break
        x = make.pick(*current[-2:])
        image = len(make.shapes[x]) == 4
        step = make.pick(*IMAGE_STEPS, *ANY_STEPS) if image else make.pick(*ANY_STEPS)
        before = len(make.nodes), len(make.constants), len(make.ops)
        names = step(make, x)
        if names is None or not _inferred(make, names):
            del make.nodes[before[0] :], make.constants[before[1] :], make.ops[before[2] :]
            continue
        current += names
    read = {name for node in make.nodes for name in node.input}
    ends = [name for name in make.shapes if name != "x" and name not in read] or [current[-1]]
    return make.model(ends), make.ops


def _inferred(make: Maker, names: list[str]) -> bool:
    """Note the shapes of new tensors, if onnxruntime can make them and they hold something, but not too much."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    try:
        model = make.model(names)
        session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        feeds = {"x": np.random.default_rng(0).random(make.shapes["x"], np.float32)}
        arrays = session.run(names, feeds)
    except Exception:
        return False
    good = all(array.size and array.size < 20000 and np.isfinite(array).all() for array in arrays)
    if good:
        make.shapes.update({name: array.shape for name, array in zip(names, arrays, strict=True)})
    return good and all(np.abs(array).max() < 1e4 for array in arrays)


def compare(seed: int, folder: Path, steps: int = 6) -> tuple[str, list[str]]:
    """Return "" if the importer's model of a random graph equals onnxruntime's, else why not, and the operations."""
    model, ops = random_model(seed, steps)
    path = folder / f"random{seed}.onnx"
    onnx.save(model, path)
    try:
        found = reloaded(import_onnx(path), folder)
        # Where large terms cancel, a small result differs by their last bits; it does not do so on every image.
        tries = [differences(found, images=1, seed=0)]
        if max(tries[0].values()) > TOLERANCE:
            tries += [differences(found, images=1, seed=seed) for seed in (1, 2, 3)]
        worst = min(tries, key=lambda one: max(one.values()))
    except SoftdpuError as error:
        return f"refused: {error}", ops
    except Exception as error:
        return f"{type(error).__name__}: {str(error)[:300]}", ops
    finally:
        path.unlink()
    bad = {name: value for name, value in worst.items() if not value <= TOLERANCE}
    return f"differs: {bad}" if bad else "", ops


def compare_engines(seed: int, folder: Path, steps: int) -> tuple[str, list[str]]:
    """Return "" if both engines give the quantized model's numbers for a random graph, else why not, and its ops.

    Bit for bit, but behind exponential functions, which libraries round in different ways.
    """
    model, ops = random_model(seed, steps)
    path = folder / f"random{seed}.onnx"
    onnx.save(model, path)
    try:
        found = run_on_engines(import_onnx(path).model, folder)
    except SoftdpuError as error:
        return f"refused: {error}", ops
    except Exception as error:
        return f"{type(error).__name__}: {str(error)[:300]}", ops
    finally:
        path.unlink()
    allowed = ROUNDING if ROUNDED.intersection(ops) else 0.0
    return "" if max(map(max, found.differences.values())) <= allowed else f"differs: {found.differences}", ops


def reloaded(imported: Imported, folder: Path) -> Imported:
    """Return an import whose model was written as .h5 and read again."""
    path = folder / "random.h5"
    save(imported.model, path)
    return dataclasses.replace(imported, model=keras.models.load_model(path, compile=False))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=1000, help="how many graphs (default: 1000)")
    parser.add_argument("--seed", type=int, default=0, help="of the first (default: 0)")
    parser.add_argument("--steps", type=int, default=6, help="operations in each (default: 6)")
    parser.add_argument("--engines", action="store_true", help="quantize, compile and run each as well (slow)")
    args = parser.parse_args()
    seen: Counter[str] = Counter()
    failed = refused = 0
    with tempfile.TemporaryDirectory() as folder:
        for seed in range(args.seed, args.seed + args.count):
            message, ops = compare(seed, Path(folder), args.steps)
            if args.engines and not message:
                message, _ = compare_engines(seed, Path(folder), args.steps)
            seen.update(ops)
            refused += message.startswith("refused")
            failed += bool(message) and not message.startswith("refused")
            if message:
                print(f"seed {seed}: {message} {ops}", flush=True)
            keras.backend.clear_session()
    print(f"{args.count} graphs, {refused} refused, {failed} differ; {dict(seen.most_common())}")


if __name__ == "__main__":
    main()
