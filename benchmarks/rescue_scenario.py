"""The transfer scenario of the quantization benchmarks: ImageNet's MobileNet with a new head for Fashion-MNIST.

MobileNet v1 1.0 with ImageNet weights, frozen, at 128x128; behind it dropout 0.001 and a dense head of 10, trained on
3,000 images. Whatever takes long is kept in a scratch folder.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import cv2
import numpy as np
import tf_keras as keras

import vart
import xir
from softdpu.compiler import compile_model
from softdpu.dataset import fashion_mnist, preprocess
from softdpu.numbers import boards, fixed_point
from softdpu.training.model import build_mobilenet

ROOT = Path(__file__).resolve().parents[1]
WEIGHTS = ROOT.parent / "shared" / "data" / "mobilenet_1_0_224_tf_no_top.h5"
GOLDEN = ROOT.parent / "shared" / "golden" / "vai_q"
TRAIN_IMAGES = 3000


def pixels(split: str) -> tuple[np.ndarray, np.ndarray]:
    """Return uint8[n, 28, 28] images and labels of a split."""
    folder = fashion_mnist.DEBIAN_FOLDER
    images, labels = (folder / name for name in fashion_mnist.FILES[split])
    return fashion_mnist.read_idx(images, 3), fashion_mnist.read_idx(labels, 1)


def prepare(images: np.ndarray, size: int) -> np.ndarray:
    """Return what the network sees of uint8[n, 28, 28]: float32[n, size, size, 3]."""
    grey = [preprocess.fit_image(cv2.cvtColor(image, cv2.COLOR_GRAY2RGB), size, size, "stretch") for image in images]
    return preprocess.scale(np.stack(grey))


def calibration_images(draw: int, size: int, count: int = 128) -> np.ndarray:
    """Return the unlabelled training images of one draw, as the network sees them."""
    images, _ = pixels("train")
    return prepare(images[np.random.default_rng(draw).permutation(len(images))[:count]], size)


def features(base: Any, images: np.ndarray, size: int, cache: Path) -> np.ndarray:
    """Return the outputs of a model or of its base for images, kept in the file `cache`."""
    if not cache.exists():
        parts = []
        for at in range(0, len(images), 100):
            parts.append(base.predict_on_batch(prepare(images[at : at + 100], size)))
        np.save(cache, np.concatenate(parts))
    return np.asarray(np.load(cache))


def transfer_model(scratch: Path, size: int = 128, seed: int = 1) -> Any:
    """Return the trained float model."""
    path = scratch / f"transfer-{size}-{seed}.h5"
    if path.exists():
        return keras.models.load_model(path, compile=False)
    scratch.mkdir(parents=True, exist_ok=True)
    keras.utils.set_random_seed(seed)
    model = build_mobilenet(10, size, 1.0, 0.001, str(WEIGHTS), freeze_base=True)
    dropout, logits = model.get_layer("dropout"), model.get_layer("logits")
    base = keras.Model(model.input, dropout.input)
    images, labels = pixels("train")
    inputs = features(base, images[:TRAIN_IMAGES], size, scratch / f"features-train-{size}.npy")
    head = keras.Sequential([keras.layers.Dropout(dropout.rate), keras.layers.Dense(10)])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    head.compile(keras.optimizers.Adam(1e-3), loss, ["accuracy"])
    head.fit(inputs, labels[:TRAIN_IMAGES], batch_size=64, epochs=20, verbose=0)
    logits.set_weights(head.layers[-1].get_weights())
    model.save(path)
    return model


def accuracy(outputs: np.ndarray, labels: np.ndarray) -> float:
    """Return the share of right answers in per cent."""
    return float(np.mean(np.argmax(outputs, axis=1) == labels[: len(outputs)]) * 100)


def dpu_logits(quantized: Any, images: np.ndarray, size: int) -> np.ndarray:
    """Compile a quantized model and return what a DPU computes, float32[n, classes], int8 * 2**-fix_point each."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "quantized.h5"
        quantized.save(path)
        compiled = Path(folder) / "quantized.xmodel"
        compile_model(path, boards.choose_target("zcu102", None, None, None), compiled)
        graph = xir.Graph.deserialize(str(compiled))
        children = graph.get_root_subgraph().toposort_child_subgraph()
        subgraphs = [child for child in children if child.has_attr("device") and child.get_attr("device") == "DPU"]
        assert len(subgraphs) == 1, "the whole network must run on the DPU"
        runner = vart.Runner.create_runner(subgraphs[0], "run")
        source, target = runner.get_input_tensors()[0], runner.get_output_tensors()[0]
        position, batch = source.get_attr("fix_point"), source.dims[0]
        outputs = []
        for at in range(0, len(images), batch):
            part = fixed_point.quantize(prepare(images[at : at + batch], size), position, fixed_point.HALF_UP)
            padded = np.zeros(source.dims, np.int8)
            padded[: len(part)] = part
            result = np.empty(target.dims, np.int8)
            runner.wait(runner.execute_async([padded], [result]))
            outputs.append(result[: len(part)].reshape(len(part), -1))
    return np.concatenate(outputs) * np.float32(2.0 ** -target.get_attr("fix_point"))
