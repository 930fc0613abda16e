"""Boxes from what a detector's last convolutions give: the part of detection that runs on the processor.

This file also goes on the card, beside its app, so it knows nothing of softdpu: Python 3.7, numpy, cv2. A decoder is a
function `decode(outputs, meta)`. `outputs` are the network's outputs for one image, float32[h, w, channels] each;
`meta` is what detection.json of a card holds, with input, the height and width of the network's input in pixels. It
returns float32[n, 6], in any order and with all that overlap: left, top, right, bottom in pixels of the network's
input, score 0..1, class from 0. What is wrong with its input it says in a ValueError.
"""

from __future__ import annotations

import importlib.util
import os
from typing import Any, Callable  # noqa: UP035 - Python 3.7

import cv2
import numpy as np

Decoder = Callable[[Any, Any], np.ndarray]

# What meta has where the user says nothing else.
DEFAULTS = {
    "decoder": "yolov8",
    "score": 0.001,  # less is no detection
    "show": 0.4,  # less is not drawn
    "iou": 0.6,  # of two boxes of one class that overlap more, the better one stays
    "most": 100,  # boxes an image, as many as pycocotools looks at
    "bins": 16,
    "anchors": [],
    "variances": [0.1, 0.1, 0.2, 0.2],
    "order": "xywh",
    "activation": "softmax",
    "background": True,
}
_MOST_CANDIDATES = 3000  # that overlap is looked for in
_COLUMNS = 6


def check_meta(meta: dict[str, Any]) -> None:
    """See that settings are of the types that decoders take, those of a user's decoder excepted.

    Raises:
        ValueError: naming the first that is not.
    """
    kinds: dict[str, Any] = {
        **dict.fromkeys(("score", "show", "iou"), (int, float)),
        **dict.fromkeys(("most", "bins"), int),
        **dict.fromkeys(("anchors", "variances", "classes"), list),
        **dict.fromkeys(("decoder", "order", "activation"), str),
    }
    for key, kind in kinds.items():
        value = meta.get(key, DEFAULTS.get(key, []))
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            names = " or ".join(one.__name__ for one in (kind if isinstance(kind, tuple) else (kind,)))
            raise ValueError(f"{key} must be {names}, got {str(value)[:80]}")
    if not meta.get("classes") or not all(isinstance(name, str) for name in meta["classes"]):
        raise ValueError("classes must be the names of the classes")
    variances = meta.get("variances", DEFAULTS["variances"])
    try:
        shapes = [list_anchors(one) for one in meta.get("anchors", [])]
        good = all(len(one) and (one > 0).all() and one.max() < 1e6 for one in shapes)
        good = good and len(variances) == 4 and all(abs(float(one)) < 1e6 for one in variances)
    except (KeyError, TypeError, ValueError, IndexError, AttributeError):
        good = False
    if not good:
        raise ValueError("anchors must be sizes and ratios, or boxes, for each grid, and variances 4 numbers")


def find_boxes(outputs: list[np.ndarray], meta: dict[str, Any], decode: Decoder | None = None) -> np.ndarray:
    """Return the boxes of one image, the best first: decoded, and of those of a class that overlap the best.

    Args:
        outputs: of the network, float32[h, w, channels] each, without a batch.
        meta: see above; what is not there is as in DEFAULTS.
        decode: the decoder; None for the one that meta names.

    Returns:
        float32[n, 6]: left, top, right, bottom in pixels of the network's input, score, class.

    Raises:
        ValueError: if the outputs are not what the decoder expects, or it returns no such array.
    """
    meta = {**DEFAULTS, **meta}
    decode = decode or DECODERS[meta["decoder"]]
    with np.errstate(all="ignore"):  # what is no number is no box
        boxes = np.asarray(decode(outputs, meta), np.float32)
    if boxes.size == 0:
        return np.zeros((0, _COLUMNS), np.float32)
    if boxes.ndim != 2 or boxes.shape[1] != _COLUMNS:
        raise ValueError(f"the decoder must return [boxes, {_COLUMNS}], it returned {list(boxes.shape)}")
    whole = np.isfinite(boxes).all(axis=1) & (boxes[:, 4] > meta["score"])
    boxes = boxes[whole]
    best = np.argsort(-boxes[:, 4], kind="stable")[:_MOST_CANDIDATES]
    return suppress(boxes[best], meta["iou"])[: meta["most"]]


def suppress(boxes: np.ndarray, most_overlap: float) -> np.ndarray:
    """Return the boxes, float32[n, 6], best first, without those that overlap a better one of their class too much."""
    left, top, right, bottom = boxes[:, :4].T.astype(np.float64)
    areas = np.maximum(right - left, 0) * np.maximum(bottom - top, 0)
    alive, kept = np.ones(len(boxes), bool), []
    for i in range(len(boxes)):
        if not alive[i]:
            continue
        kept.append(i)
        width = np.minimum(right[i], right[i:]) - np.maximum(left[i], left[i:])
        height = np.minimum(bottom[i], bottom[i:]) - np.maximum(top[i], top[i:])
        common = np.maximum(width, 0) * np.maximum(height, 0)
        overlap = common / np.maximum(areas[i] + areas[i:] - common, 1e-12)
        alive[i:] &= (overlap <= most_overlap) | (boxes[i:, 5] != boxes[i, 5])
    return boxes[kept]


def decode_yolov8(outputs: list[np.ndarray], meta: dict[str, Any]) -> np.ndarray:
    """Decode the heads of YOLOv8 and YOLO11, cut before their decoding.

    For each stride a tensor of 4 * bins + classes channels, or one of 4 * bins and one of classes. The distance from a
    cell's middle to each side of its box is the mean of 0..bins-1 under the softmax of its bins, in strides; a score
    is the sigmoid of a class's number. Source: the distribution focal loss, arXiv 2006.04388.
    """
    bins, classes = int(meta["bins"]), len(meta["classes"])
    found = []
    for sides, logits in _pair_heads(outputs, 4 * bins, classes):
        height, width = logits.shape[:2]
        scores = _sigmoid(logits.reshape(-1, classes))
        places, kinds = np.nonzero(scores > meta["score"])
        each = _softmax(sides.reshape(-1, 4, bins)[places])
        distances = each @ np.arange(bins, dtype=np.float32)
        middles = np.stack([places % width + 0.5, places // width + 0.5], axis=1).astype(np.float32)
        stride = np.array([meta["input"][1] / width, meta["input"][0] / height], np.float32)
        corners = np.hstack([(middles - distances[:, :2]) * stride, (middles + distances[:, 2:]) * stride])
        found.append(np.column_stack([corners, scores[places, kinds], kinds]))
    return np.concatenate(found)


def _pair_heads(outputs: list[np.ndarray], sides: int, classes: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return for each grid the tensors of the sides and of the classes; of equal ones the sides are the first."""
    grids: dict[Any, list[np.ndarray]] = {}
    for output in outputs:
        grids.setdefault(output.shape[:2], []).append(output)
    pairs = []
    for grid, some in grids.items():
        channels = [one.shape[-1] if one.ndim == 3 else 0 for one in some]
        if channels == [sides + classes]:
            pairs.append((some[0][..., :sides], some[0][..., sides:]))
        elif channels == [sides, classes]:
            pairs.append((some[0], some[1]))
        elif channels == [classes, sides]:
            pairs.append((some[1], some[0]))
        else:
            shapes = ", ".join(str(list(one.shape)) for one in outputs)
            raise ValueError(
                f"the decoder expects for each grid {sides + classes} channels, or {sides} and {classes}, for"
                f" {classes} classes; the outputs are {shapes}, and grid {list(grid)} does not have them"
            )
    return pairs


def decode_ssd(outputs: list[np.ndarray], meta: dict[str, Any]) -> np.ndarray:
    """Decode boxes that are told from anchors, as those of SSD: for each grid offsets and class scores.

    meta: anchors, for each grid from the finest on {sizes, ratios} or {boxes}, see `list_anchors`; variances, what
    offsets are multiplied by; order of the four offsets, xywh or yxhw; activation, softmax or sigmoid; background,
    whether a class before the first means that nothing is there. Source: SSD, arXiv 1512.02325, equation 2.
    """
    anchors = [list_anchors(one) for one in meta["anchors"]]
    scored = len(meta["classes"]) + bool(meta["background"])
    found = []
    grids = _pair_grids(outputs, [len(one) for one in anchors], scored)
    for sizes, (offsets, logits) in zip(anchors, grids):  # noqa: B905 - Python 3.7
        height, width = offsets.shape[:2]
        rows, columns = np.mgrid[:height, :width].astype(np.float32) + np.float32(0.5)
        middles = np.repeat(np.stack([columns / width, rows / height], -1).reshape(-1, 2), len(sizes), axis=0)
        sides = np.tile(sizes, (height * width, 1)).astype(np.float32)
        moved = offsets.reshape(-1, 4)[:, [1, 0, 3, 2] if meta["order"] == "yxhw" else slice(None)]
        moved = moved * np.array(meta["variances"], np.float32)
        middles = middles + moved[:, :2] * sides
        half = np.exp(np.minimum(moved[:, 2:], 20)) * sides / 2
        scale = np.array(meta["input"][::-1] * 2, np.float32)
        corners = np.hstack([middles - half, middles + half]) * scale
        logits = logits.reshape(-1, scored)
        scores = (_softmax(logits) if meta["activation"] == "softmax" else _sigmoid(logits))[
            :, bool(meta["background"]) :
        ]
        places, kinds = np.nonzero(scores > meta["score"])
        found.append(np.column_stack([corners[places], scores[places, kinds], kinds]))
    return np.concatenate(found)


def list_anchors(grid: dict[str, Any]) -> np.ndarray:
    """Return float64[n, 2], width and height of the anchors of one grid in shares of the input's.

    `boxes` names them. Else `sizes` are sides of squares in shares of the input and `ratios` width by height: the first
    size with every ratio, then the other sizes with the first ratio.
    """
    if "boxes" in grid:
        return np.array(grid["boxes"], np.float64).reshape(-1, 2)
    sizes, ratios = list(grid["sizes"]), list(grid.get("ratios", [1.0]))
    pairs = [(sizes[0], ratio) for ratio in ratios] + [(size, ratios[0]) for size in sizes[1:]]
    return np.array([(size * ratio**0.5, size / ratio**0.5) for size, ratio in pairs], np.float64)


def _pair_grids(outputs: list[np.ndarray], counts: list[int], scored: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return offsets and class scores by grid, from the finest on; of equal ones the offsets are the first."""
    grids: dict[Any, list[np.ndarray]] = {}
    for output in outputs:
        grids.setdefault(output.shape[:2], []).append(output)
    ordered = sorted(grids.values(), key=lambda some: -some[0].shape[0] * some[0].shape[1])
    pairs = []
    for count, some in zip(counts, ordered):  # noqa: B905 - Python 3.7
        channels = [one.shape[-1] if one.ndim == 3 else 0 for one in some]
        if channels == [4 * count, scored * count]:
            pairs.append((some[0], some[1]))
        elif channels == [scored * count, 4 * count]:
            pairs.append((some[1], some[0]))
    if len(pairs) != len(counts) or len(ordered) != len(counts):
        wanted = ", ".join(f"{4 * count} and {scored * count}" for count in counts)
        shapes = ", ".join(str(list(one.shape)) for one in outputs)
        raise ValueError(f"the anchors ask for {len(counts)} grids with channels {wanted}; the outputs are {shapes}")
    return pairs


def _sigmoid(numbers: np.ndarray) -> np.ndarray:
    return np.float32(0.5) * (1 + np.tanh(numbers * np.float32(0.5)))


def _softmax(numbers: np.ndarray) -> np.ndarray:
    powers = np.exp(numbers - numbers.max(axis=-1, keepdims=True, initial=-np.inf))
    return powers / powers.sum(axis=-1, keepdims=True)


DECODERS: dict[str, Decoder] = {"yolov8": decode_yolov8, "ssd": decode_ssd}


def load_decoder(name: str) -> Decoder:
    """Return the decoder of a name, or the function `decode` of the Python file at the path `name`, which is run.

    Raises:
        ValueError: if there is none.
    """
    if name in DECODERS:
        return DECODERS[name]
    if not name.endswith(".py") or not os.path.isfile(name):
        raise ValueError(f"the decoder must be {', '.join(DECODERS)}, or the path of a .py file, got {name}")
    spec = importlib.util.spec_from_file_location("own_decoder", name)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
        decode: Decoder = module.decode
    except Exception as error:
        raise ValueError(f"{name} must define decode(outputs, meta): {type(error).__name__}: {error}") from None
    return decode


def fit_frame(size: tuple[int, int], image: tuple[int, int], fit: str) -> tuple[float, float, float, float]:
    """Return how an image lies in the network's input: its scale along x and y, and its left and top edge, in pixels.

    Args:
        size: height and width of the input.
        image: height and width of the image.
        fit: stretch or letterbox.

    Raises:
        ValueError: for another fit.
    """
    (height, width), (image_height, image_width) = size, image
    if fit == "stretch" or size == image:
        return width / image_width, height / image_height, 0.0, 0.0
    if fit != "letterbox":
        raise ValueError(f"boxes need fit stretch or letterbox, got {fit}")
    new_height, new_width = letterbox_size(size, image)
    left, top = (width - new_width) // 2, (height - new_height) // 2
    return new_width / image_width, new_height / image_height, float(left), float(top)


def letterbox_size(size: tuple[int, int], image: tuple[int, int]) -> tuple[int, int]:
    """Return height and width of an image that fills the input `size` along one side, aspect ratio kept."""
    (height, width), (image_height, image_width) = size, image
    if image_height * width >= image_width * height:
        return height, max(1, (image_width * height + image_height // 2) // image_height)
    return max(1, (image_height * width + image_width // 2) // image_width), width


def to_image(boxes: np.ndarray, size: tuple[int, int], image: tuple[int, int], fit: str) -> np.ndarray:
    """Return boxes, float32[n, 6] in pixels of the input, in pixels of the image and cut at its edges; as fit_frame."""
    scale_x, scale_y, left, top = fit_frame(size, image, fit)
    moved = boxes.copy()
    moved[:, 0:4:2] = np.clip((boxes[:, 0:4:2] - left) / scale_x, 0, image[1])
    moved[:, 1:4:2] = np.clip((boxes[:, 1:4:2] - top) / scale_y, 0, image[0])
    return moved


COLOURS = (
    (66, 133, 244),
    (52, 168, 83),
    (234, 67, 53),
    (251, 188, 5),
    (171, 71, 188),
    (0, 172, 193),
)  # red, green, blue


def draw_boxes(image: np.ndarray, boxes: np.ndarray, classes: list[str]) -> np.ndarray:
    """Return a copy of uint8[h, w, 3], blue-green-red, with boxes, float32[n, 6], and their classes and scores."""
    image = image.copy()
    thick = max(1, round(max(image.shape[:2]) / 300))
    for left, top, right, bottom, score, kind in boxes.tolist():
        colour = COLOURS[int(kind) % len(COLOURS)][::-1]
        cv2.rectangle(image, (round(left), round(top)), (round(right), round(bottom)), colour, thick)
        text = f"{classes[int(kind)] if int(kind) < len(classes) else int(kind)} {score:.2f}"
        place = (round(left), max(round(top) - 3, 9))
        cv2.putText(image, text, place, cv2.FONT_HERSHEY_SIMPLEX, 0.35 * thick, colour, thick, cv2.LINE_AA)
    return image
