"""A network of convolutions side by side over one image: as a compiled graph, and in plain numpy."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass

import cv2
import numpy as np

import xir

FIX = {"bit_width": 8, "if_signed": True, "round_mode": "DPU_ROUND"}
INPUT, WEIGHTS = 6, 9  # positions


@dataclass(frozen=True)
class Conv:
    """int8 weights [channels, side, side, 3] and biases, and the position of the biases and the output."""

    weights: np.ndarray
    bias: np.ndarray
    position: int


def random_conv(channels, side, position, seed=0):
    rng = np.random.default_rng(seed)
    weights = rng.integers(-128, 128, (channels, side, side, 3)).astype(np.int8)
    return Conv(weights, rng.integers(-4, 4, channels).astype(np.int8), position)


def make_xmodel(path, size, convs):
    """Write the graph of convolutions by name for images of `size` x `size`."""
    graph = xir.Graph("tiny")
    image = graph.create_op("image", "data-fix", {"shape": [1, size, size, 3], "data_type": "XINT8"}, {})
    image.get_output_tensor().set_attrs({**FIX, "fix_point": INPUT})
    made = []
    for name, conv in convs.items():
        parts = []
        for kind, data, position in (("weights", conv.weights, WEIGHTS), ("bias", conv.bias, conv.position)):
            attrs = {"shape": list(data.shape), "data_type": "XINT8", "data": data.tobytes()}
            parts.append(graph.create_op(f"{name}_{kind}", "const-fix", attrs, {}))
            parts[-1].get_output_tensor().set_attrs({**FIX, "fix_point": position})
        kernel = list(conv.weights.shape[1:3])
        attrs = {"kernel": kernel, "stride": [1, 1], "pad": [0] * 4, "nonlinear": "NONE", "pad_mode": "FLOOR"}
        op = graph.create_op(name, "conv2d-fix", attrs, {"input": [image], "weights": parts[:1], "bias": parts[1:]})
        op.get_output_tensor().set_attrs({**FIX, "fix_point": conv.position})
        made += [*parts, op]
    root = graph.get_root_subgraph()
    root.create_child_subgraph()
    root.find_child_subgraph_by_op(image).set_attrs({"device": "USER"})
    dpu = root.merge_children({root.find_child_subgraph_by_op(op) for op in made})
    library = "libvart-softdpu-runner.so"
    dpu.set_attrs({"device": "DPU", "runner": {"run": library, "ref": library}})
    graph.serialize(str(path))


def to_input(image):
    """Return the int8 pixels that the network takes of uint8[size, size, 3], blue-green-red."""
    real = image[..., ::-1] / np.float32(127.5) - 1
    return np.clip(np.floor(real * 2**INPUT + 0.5), -128, 127).astype(np.int8)


def expected(convs, image):
    """Return the int8 output [rows, columns, channels] of each convolution."""
    pixels, made = to_input(image).astype(np.int64), {}
    for name, conv in convs.items():
        side = conv.weights.shape[1]
        windows = np.lib.stride_tricks.sliding_window_view(pixels, (side, side), axis=(0, 1))
        sums = np.einsum("hwcij,oijc->hwo", windows, conv.weights.astype(np.int64))
        real = sums / 2 ** (INPUT + WEIGHTS - conv.position) + conv.bias
        made[name] = np.clip(np.floor(real + 0.5), -128, 127).astype(np.int8)
    return made


def write_images(folder, size, count):
    """Write noisy images image0.png, ... and return them by name, blue-green-red."""
    (folder / "images").mkdir()
    rng, found = np.random.default_rng(5), {}
    for number in range(count):
        rough = rng.integers(0, 256, (4, 4, 3), np.uint8)
        found[f"image{number}.png"] = cv2.resize(rough, (size, size), interpolation=cv2.INTER_NEAREST)
        cv2.imwrite(str(folder / f"images/image{number}.png"), found[f"image{number}.png"])
    return found


def write_golden(folder, convs, images, order):
    """Write the vectors that --check compares, the outputs in the order of their names `order`."""
    (folder / "golden").mkdir()
    vectors = []
    for name, image in images.items():
        outputs = expected(convs, image)
        (folder / f"golden/{name}.in").write_bytes(to_input(image).tobytes())
        (folder / f"golden/{name}.out").write_bytes(b"".join(outputs[one].tobytes() for one in order))
        vectors.append({"image": f"images/{name}", "input": f"{name}.in", "expected": f"{name}.out"})
    first = expected(convs, next(iter(images.values())))
    golden = {
        "model_sha256": hashlib.sha256((folder / "mobilenet.xmodel").read_bytes()).hexdigest(),
        "input": list(next(iter(images.values())).shape),
        "outputs": [list(first[name].shape) for name in order],
        "names": order,
        "vectors": vectors,
    }
    (folder / "golden/golden.json").write_text(json.dumps(golden))
