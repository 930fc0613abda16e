#!/usr/bin/env python3
"""Find boxes in a folder of images on a DPU with one runner per thread; print how many, throughput and mAP.

The same file runs on a board with AMD's `xir` and `vart` and on a PC with softdpu's. The network's outputs become boxes
in decoders.py, as detection.json beside the .xmodel says. Options, images, threads and checks are in card.py.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import sys
from typing import Any

import numpy as np

import card
import decoders
from card import DIVIDER

SETTINGS = "detection.json"


class Finder:
    """What makes boxes of a network's outputs: the decoder and its settings, the outputs in the decoder's order."""

    def __init__(self, model: str, runner: Any, fit: str) -> None:
        self.meta, self.fit = card.read_json(card.beside(model, SETTINGS)), fit
        self.size = tuple(runner.get_input_tensors()[0].dims[1:3])
        self.meta["input"] = list(self.size)
        tensors = {tensor.name: i for i, tensor in enumerate(runner.get_output_tensors())}
        names = self.meta.get("outputs")
        self.order = [
            tensors[name]
            for name in (names if isinstance(names, list) and sorted(map(str, names)) == sorted(tensors) else tensors)
        ]
        self.steps = [card.step_of(tensor) for tensor in runner.get_output_tensors()]
        name = self.meta.get("decoder", decoders.DEFAULTS["decoder"])
        try:
            decoders.check_meta(self.meta)
            self.decode = decoders.load_decoder(card.beside(model, name) if name.endswith(".py") else name)
        except ValueError as error:
            raise card.CardError(f"{card.beside(model, SETTINGS)}: {error}; copy it again") from None

    def __call__(self, outputs: list[np.ndarray]) -> np.ndarray:
        """Return the boxes of one image, float32[n, 6] in pixels of the input, from the runner's outputs for it."""
        real = [outputs[i].astype(np.float32) * np.float32(self.steps[i]) for i in self.order]
        try:
            return decoders.find_boxes(real, self.meta, self.decode)
        except ValueError as error:
            raise card.CardError(f"{SETTINGS}: {error}") from None


def app(options: argparse.Namespace) -> dict[str, Any]:
    """Do what the command line asks for, print the results and return them."""
    names, runners, preprocess, images = card.prepare(options)
    find = Finder(options.model, runners[0], preprocess.fit)
    report: dict[str, Any] = {"model": options.model, "images": len(names), "threads": options.threads}
    if options.check:
        report["check"] = card.check(options.model, runners[0], preprocess)
    if not options.end_to_end:
        images.load()

    def run_dpu(runner: Any, run: card.Run) -> None:
        for batch in card.finished(runner, run):
            run.store(batch, [find(list(outputs)) for _, *outputs in zip(batch.indexes, *batch.outputs)])

    print("Starting", options.threads, "threads...")
    run = card.run_threads(run_dpu, runners[: options.threads], images, options.seconds)
    print(DIVIDER)
    found = [to_image(boxes, path, find) for boxes, path in zip(run.results, images.paths)]
    shown = [boxes[boxes[:, 4] > find.meta.get("show", decoders.DEFAULTS["show"])] for boxes in found]
    report["boxes"] = sum(map(len, shown))
    print(f"Detections: {report['boxes']} boxes in {len(names)} images")
    truth = card.read_json(options.labels) if options.labels else {}
    rows = as_coco(names, found, truth)
    if options.boxes:
        card.write_json(options.boxes, rows)
    if options.labels:
        report.update(measure(rows, truth, options.labels))
    if options.draw:
        draw(options.draw, images.paths, shown, find.meta["classes"])
    print(DIVIDER)
    card.print_speed(run)
    return card.complete(report, run, run_dpu, runners, images, options)


def to_image(boxes: np.ndarray, path: str, find: Finder) -> np.ndarray:
    """Return boxes in pixels of the image file, whatever its size."""
    height, width = card.read_image(path).shape[:2]
    try:
        return decoders.to_image(boxes, find.size, (height, width), find.fit)
    except ValueError as error:
        raise card.CardError(f"preprocess.json: {error}") from None


def as_coco(names: list[str], found: list[np.ndarray], truth: dict[str, Any]) -> list[dict[str, Any]]:
    """Return boxes as COCO's json of results has them; an image has its number in the labels, or one of its own."""
    ids = {one["file_name"]: one["id"] for one in truth.get("images", [])}
    rows = []
    for i, (name, boxes) in enumerate(zip(names, found)):
        for left, top, right, bottom, score, kind in boxes.tolist():
            row = {"image_id": ids.get(name, len(ids) + i + 1), "file_name": name, "category_id": int(kind) + 1}
            rows.append({**row, "bbox": [left, top, right - left, bottom - top], "score": score})
    return rows


def measure(rows: list[dict[str, Any]], truth: dict[str, Any], path: str) -> dict[str, Any]:
    """Print and return mAP by pycocotools, where it is installed."""
    try:
        from pycocotools.coco import COCO
        from pycocotools.cocoeval import COCOeval
    except ImportError:
        print("mAP needs the package pycocotools; write the boxes with --boxes and measure them elsewhere")
        return {}
    known = {one["id"] for one in truth.get("images", [])}
    rows = [row for row in rows if row["image_id"] in known]
    if not truth.get("annotations"):
        raise card.CardError(f"{path} holds no annotations; name the COCO json of these images with --labels")
    if not rows:
        return {"map50": 0.0, "map50_95": 0.0}
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO(path)
        judge = COCOeval(coco, coco.loadRes(rows), "bbox")
        judge.evaluate()
        judge.accumulate()
        judge.summarize()
    print(f"mAP50: {judge.stats[1]:.4f}, mAP50-95: {judge.stats[0]:.4f}")
    return {"map50": float(judge.stats[1]), "map50_95": float(judge.stats[0])}


def draw(folder: str, paths: list[str], found: list[np.ndarray], classes: list[str]) -> None:
    """Write the images with their boxes to a folder."""
    os.makedirs(folder, exist_ok=True)
    for path, boxes in zip(paths, found):
        image = decoders.draw_boxes(card.read_image(path), boxes, classes)
        name = os.path.splitext(os.path.basename(path))[0] + ".png"
        with card.whole_file(os.path.join(folder, name)) as file:
            file.write(card.cv2.imencode(".png", image)[1].tobytes())


def main(arguments: list[str] | None = None) -> int:
    """Run the program and return its exit code."""
    parser = card.option_parser("Find boxes in a folder of images on the DPU; print mAP and FPS.", "mobilenet.xmodel")
    parser.add_argument("--labels", metavar="FILE", help="measure mAP against this COCO json, such as labels.json")
    parser.add_argument("--boxes", metavar="FILE", help="write the boxes to FILE, as COCO's json of results")
    parser.add_argument("--draw", metavar="FOLDER", help="write the images with their boxes to FOLDER")
    return card.run_app(app, parser.parse_args(arguments))


if __name__ == "__main__":
    sys.exit(main())
