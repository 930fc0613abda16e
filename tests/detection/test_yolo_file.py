"""An .onnx as YOLOv8's export gives it, cut where `softdpu import --list` suggests: the decoder does the rest."""

from __future__ import annotations

import numpy as np
import onnxruntime
from yolo_graph import write_yolo

from softdpu.detection import decoders
from softdpu.onnx_import.convert import import_onnx
from softdpu.onnx_import.listing import listing

SIZE, CLASSES = 64, 3


def test_what_is_cut_off_is_what_the_decoder_does(tmp_path):
    path = tmp_path / "yolo.onnx"
    ends = write_yolo(path, SIZE, CLASSES)
    assert listing(path).cut == ends
    model = import_onnx(path, ends).model
    image = np.random.default_rng(1).random((1, SIZE, SIZE, 3)).astype(np.float32)
    outputs = [np.asarray(one)[0] for one in model.predict_on_batch(image)]
    meta = {"classes": list("abc"), "input": [SIZE, SIZE], "score": 0.0, "iou": 1.0, "most": 10**6}
    found = decoders.find_boxes(outputs, meta)

    session = onnxruntime.InferenceSession(path)
    (whole,) = session.run(None, {"images": image.transpose(0, 3, 1, 2)})
    x, y, width, height = whole[0, :4]
    corners = np.stack([x - width / 2, y - height / 2, x + width / 2, y + height / 2], axis=1)
    expected = np.concatenate(
        [np.column_stack([corners, whole[0, 4 + kind], np.full(len(corners), kind)]) for kind in range(CLASSES)]
    )
    assert len(found) == len(expected) == CLASSES * (8 * 8 + 4 * 4 + 2 * 2)

    for kind in range(CLASSES):
        one, other = (table[table[:, 5] == kind] for table in (found, expected))
        one, other = (table[np.argsort(table[:, 4])] for table in (one, other))
        np.testing.assert_allclose(one, other, rtol=1e-3, atol=2e-3)
