"""Decoders against slow references written from the definitions, box by box in plain Python."""

from __future__ import annotations

import math

import numpy as np
import pytest

from softdpu.detection import decoders

BINS = 16


def sigmoid(x):
    return 1 / (1 + math.exp(-x))


def softmax(row):
    powers = [math.exp(x - max(row)) for x in row]
    return [power / sum(powers) for power in powers]


def overlap(a, b):
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    common = max(width, 0) * max(height, 0)
    return common / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - common)


def suppress_slowly(boxes, limit):
    kept = []
    for box in sorted(boxes, key=lambda box: -box[4]):
        if all(box[5] != other[5] or overlap(box, other) <= limit for other in kept):
            kept.append(box)
    return kept


def yolo_slowly(heads, size, classes, least):
    boxes = []
    for sides, kinds in heads:
        rows, columns = kinds.shape[:2]
        stride = size[0] / rows
        for row in range(rows):
            for column in range(columns):
                distances = []
                for side in range(4):
                    shares = softmax([float(x) for x in sides[row, column, side * BINS : (side + 1) * BINS]])
                    distances.append(stride * sum(i * share for i, share in enumerate(shares)))
                x, y = (column + 0.5) * stride, (row + 0.5) * stride
                for kind in range(classes):
                    score = sigmoid(float(kinds[row, column, kind]))
                    if score > least:
                        left, top, right, bottom = distances
                        boxes.append([x - left, y - top, x + right, y + bottom, score, kind])
    return boxes


def heads(size, classes, seed=0):
    rng = np.random.default_rng(seed)
    found = []
    for stride in (8, 16, 32):
        rows, columns = size[0] // stride, size[1] // stride
        sides = rng.normal(0, 3, (rows, columns, 4 * BINS)).astype(np.float32)
        found.append((sides, rng.normal(-2, 3, (rows, columns, classes)).astype(np.float32)))
    return found


@pytest.mark.parametrize("size", [(64, 64), (32, 96)], ids=["square", "wide"])
@pytest.mark.parametrize("form", ["apart", "joint", "classes first", "other order"])
def test_yolov8_is_what_the_definition_gives(size, form):
    classes = 5
    some = heads(size, classes)
    outputs = {
        "apart": [one for pair in some for one in pair],
        "joint": [np.concatenate(pair, axis=-1) for pair in some],
        "classes first": [one for pair in some for one in pair[::-1]],
        "other order": [pair[i] for i in (1, 0) for pair in some[::-1]],
    }[form]
    meta = {"classes": list("abcde"), "input": list(size), "score": 0.3, "most": 10000}
    found = decoders.find_boxes(outputs, {**meta, "iou": 1.0})
    expected = sorted(yolo_slowly(some, size, classes, 0.3), key=lambda box: -box[4])
    assert len(found) == len(expected) > 20
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)
    kept = decoders.find_boxes(outputs, {**meta, "iou": 0.4})
    expected = suppress_slowly(expected, 0.4)
    assert 10 < len(kept) == len(expected) < len(found)
    np.testing.assert_allclose(kept, expected, rtol=1e-4, atol=1e-4)


def ssd_slowly(heads, anchors, meta, classes):
    height, width = meta["input"]
    boxes = []
    for (offsets, kinds), shapes in zip(heads, anchors, strict=True):
        rows, columns = offsets.shape[:2]
        for row in range(rows):
            for column in range(columns):
                for i, (wide, high) in enumerate(shapes):
                    moved = [float(x) for x in offsets[row, column, 4 * i : 4 * i + 4]]
                    if meta["order"] == "yxhw":
                        moved = [moved[1], moved[0], moved[3], moved[2]]
                    moved = [one * factor for one, factor in zip(moved, meta["variances"], strict=True)]
                    x = (column + 0.5) / columns + moved[0] * wide
                    y = (row + 0.5) / rows + moved[1] * high
                    w, h = wide * math.exp(moved[2]), high * math.exp(moved[3])
                    count = classes + meta["background"]
                    numbers = [float(one) for one in kinds[row, column, count * i : count * (i + 1)]]
                    scores = softmax(numbers) if meta["activation"] == "softmax" else [sigmoid(one) for one in numbers]
                    for kind, score in enumerate(scores[meta["background"] :]):
                        if score > meta["score"]:
                            corners = [(x - w / 2) * width, (y - h / 2) * height, (x + w / 2) * width]
                            boxes.append([*corners, (y + h / 2) * height, score, kind])
    return boxes


@pytest.mark.parametrize("order", ["xywh", "yxhw"])
@pytest.mark.parametrize(("activation", "background"), [("softmax", True), ("sigmoid", False)])
def test_ssd_is_what_the_definition_gives(order, activation, background):
    classes, rng = 4, np.random.default_rng(1)
    grids = [{"sizes": [0.2, 0.3], "ratios": [1.0, 2.0, 0.5]}, {"boxes": [[0.5, 0.4], [0.9, 0.8]]}]
    anchors = [
        [(0.2, 0.2), (0.2 * 2**0.5, 0.2 / 2**0.5), (0.2 * 0.5**0.5, 0.2 / 0.5**0.5), (0.3, 0.3)],
        [(0.5, 0.4), (0.9, 0.8)],
    ]
    meta = {
        "decoder": "ssd", "classes": list("abcd"), "input": [48, 64], "score": 0.3, "iou": 1.0, "most": 10000,
        "anchors": grids, "order": order, "activation": activation, "background": background,
        "variances": [0.1, 0.1, 0.2, 0.2],
    }  # fmt: skip
    some = []
    for (rows, columns), shapes in zip([(6, 8), (3, 4)], anchors, strict=True):
        offsets = rng.normal(0, 2, (rows, columns, 4 * len(shapes))).astype(np.float32)
        some.append(
            (offsets, rng.normal(0, 2, (rows, columns, (classes + background) * len(shapes))).astype(np.float32))
        )
    found = decoders.find_boxes([one for pair in some[::-1] for one in pair], meta)
    expected = sorted(ssd_slowly(some, anchors, meta, classes), key=lambda box: -box[4])
    assert len(found) == len(expected) > 50
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


def test_hostile_numbers_give_no_box_and_no_warning(recwarn):
    outputs = [np.full((2, 2, 64 + 3), np.inf, np.float32)]
    outputs.append(np.full((1, 1, 64 + 3), -1e30, np.float32))
    outputs.append(np.full((4, 4, 64 + 3), 1e30, np.float32))
    found = decoders.find_boxes(outputs, {"classes": list("abc"), "input": [32, 32]})
    assert np.isfinite(found).all()
    assert not recwarn.list


def test_shapes_that_do_not_fit_are_one_line():
    meta = {"classes": list("abc"), "input": [32, 32]}
    with pytest.raises(ValueError, match=r"67 channels, or 64 and 3.*\[4, 4, 65\].*grid \[4, 4\]"):
        decoders.find_boxes([np.zeros((4, 4, 65), np.float32)], meta)
    with pytest.raises(ValueError, match=r"1 grids with channels 4 and 4; the outputs are \[4, 4, 65\]"):
        ssd = {**meta, "decoder": "ssd", "anchors": [{"sizes": [0.1]}]}
        decoders.find_boxes([np.zeros((4, 4, 65), np.float32)], ssd)


def test_a_decoder_of_the_users(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(
        "import numpy as np\n"
        "def decode(outputs, meta):\n"
        "    x = float(outputs[0].max())\n"
        "    return np.array([[x, 0, x + 9, 9, 0.5, 1], [x + 1, 0, x + 10, 9, 0.9, 1], [0, 0, 1, 1, 0.0001, 0]])\n"
    )
    decode = decoders.load_decoder(str(path))
    found = decoders.find_boxes([np.full((1, 1, 1), 3, np.float32)], {"classes": ["a", "b"], "input": [16, 16]}, decode)
    np.testing.assert_allclose(found, [[4, 0, 13, 9, 0.9, 1]])
    path.write_text("def other(): pass\n")
    with pytest.raises(ValueError, match="must define decode"):
        decoders.load_decoder(str(path))
    with pytest.raises(ValueError, match=r"yolov8, ssd, or the path of a \.py file, got yolov5"):
        decoders.load_decoder("yolov5")
    with pytest.raises(ValueError, match=r"must return \[boxes, 6\], it returned \[7\]"):
        decoders.find_boxes([], {"classes": ["a"], "input": [16, 16]}, lambda outputs, meta: np.ones(7))


@pytest.mark.parametrize("fit", ["stretch", "letterbox"])
@pytest.mark.parametrize("image", [(40, 100), (100, 40), (64, 64), (7, 300)])
def test_boxes_go_back_to_the_image(fit, image):
    size, rng = (64, 96), np.random.default_rng(3)
    corners = np.sort(rng.uniform(0, 1, (50, 2, 2)), axis=1).reshape(50, 4) * np.tile([image[1], image[0]], 2)
    scale_x, scale_y, left, top = decoders.fit_frame(size, image, fit)
    moved = np.column_stack([corners * np.tile([scale_x, scale_y], 2) + np.tile([left, top], 2), np.ones((50, 2))])
    assert moved[:, 2].max() <= size[1] and moved[:, 3].max() <= size[0] and moved[:, :4].min() >= 0
    back = decoders.to_image(moved, size, image, fit)
    np.testing.assert_allclose(back[:, :4], corners, atol=1e-6)
