#!/usr/bin/env python3
"""Find a class for each pixel of a folder of images on a DPU with one runner per thread; print mean IoU and throughput.

The same file runs on a board with AMD's `xir` and `vart` and on a PC with softdpu's. The network gives a number for
each class and pixel. masks/ holds what is right: for images/x.jpg the PNG masks/x.png of class indices, of the size of
the network's output; 255 stands for pixels that do not count. Options, images, threads and checks are in card.py.
"""

from __future__ import annotations

import argparse
import os
import sys
from typing import Any

import cv2
import numpy as np

import card
from card import DIVIDER

IGNORED = 255


def run_dpu(runner: Any, run: card.Run) -> None:
    """Run batches on one runner; the class of a pixel is the position of the largest of its numbers."""
    for batch in card.finished(runner, run):
        run.store(batch, list(batch.outputs[0].argmax(axis=-1).astype(np.uint8)))


def app(options: argparse.Namespace) -> dict[str, Any]:
    """Do what the command line asks for, print the results and return them."""
    names, runners, preprocess, images = card.prepare(options)
    tensors = runners[0].get_output_tensors()
    shape = list(tensors[0].dims)
    if len(tensors) != 1 or len(shape) != 4:
        raise card.CardError(
            f"{options.model} gives {[list(one.dims) for one in tensors]}; expected a vector per pixel"
        )
    folder = options.masks or default_masks(options.model)
    masks = [read_mask(folder, name, shape[1:]) for name in names] if folder else []
    report: dict[str, Any] = {"model": options.model, "images": len(names), "threads": options.threads}
    if options.check:
        report["check"] = card.check(options.model, runners[0], preprocess)
    if not options.end_to_end:
        print("Pre-processing", len(names), "images...")
        images.load()
    print("Starting", options.threads, "threads...")
    run = card.run_threads(run_dpu, runners[: options.threads], images, options.seconds)

    print(DIVIDER)
    if masks:
        report.update(measure(masks, run.results, shape[3]))
        print(f"Mean IoU: {report['mean_iou']:.4f}, pixel accuracy: {report['accuracy']:.4f}")
        print(DIVIDER)
    if options.save:
        os.makedirs(options.save, exist_ok=True)
        for name, found in zip(names, run.results):
            cv2.imwrite(os.path.join(options.save, mask_name(name)), found)
    card.print_speed(run)
    return card.complete(report, run, run_dpu, runners, images, options)


def default_masks(model: str) -> str:
    """Return the folder of masks beside a model, "" where there is none."""
    folder = card.beside(model, "masks")
    return folder if os.path.isdir(folder) else ""


def mask_name(name: str) -> str:
    """Return the name of the mask of an image."""
    return os.path.splitext(name)[0] + ".png"


def read_mask(folder: str, name: str, shape: list[int]) -> np.ndarray:
    """Return the mask of an image, uint8[height, width] with classes below the last number of `shape`, or IGNORED."""
    path = os.path.join(folder, mask_name(name))
    if not os.path.isfile(path):
        raise card.CardError(f"no mask {path} for the image {name}; name the folder of masks with --masks")
    mask = card.read_image(path, cv2.IMREAD_UNCHANGED)
    if mask.ndim != 2 or mask.dtype != np.uint8:
        raise card.CardError(f"{path} is no mask; expected a grey PNG of class indices")
    if list(mask.shape) != shape[:2]:
        height, width = mask.shape
        raise card.CardError(f"{path} is {width}x{height} pixels, the network's output {shape[1]}x{shape[0]}")
    wrong = mask[(mask >= shape[2]) & (mask != IGNORED)]
    if wrong.size:
        raise card.CardError(f"{path} has the value {wrong[0]}; expected 0 to {shape[2] - 1}, and {IGNORED} for none")
    return mask


def measure(masks: list[np.ndarray], found: list[np.ndarray], classes: int) -> dict[str, Any]:
    """Return mean intersection over union, share of right pixels, and the first by class (None without pixels)."""
    matrix = np.zeros((classes, classes), np.int64)
    for mask, one in zip(masks, found):
        counted = mask != IGNORED
        places = mask[counted].astype(np.int64) * classes + one[counted]
        matrix += np.bincount(places, minlength=classes * classes).reshape(classes, classes)
    right, union = np.diag(matrix), matrix.sum(axis=0) + matrix.sum(axis=1) - np.diag(matrix)
    overlaps = [float(right[i] / union[i]) if union[i] else None for i in range(classes)]
    known = [one for one in overlaps if one is not None]
    accuracy = float(np.trace(matrix) / max(matrix.sum(), 1))
    return {"mean_iou": float(np.mean(known)) if known else 0.0, "accuracy": accuracy, "iou": overlaps}


def main(arguments: list[str] | None = None) -> int:
    """Run the program and return its exit code."""
    parser = card.option_parser("Find a class for each pixel of a folder of images on the DPU.", "mobilenet.xmodel")
    parser.add_argument("--masks", metavar="FOLDER", help="what is right. Default is masks, if it is there")
    parser.add_argument("--save", metavar="FOLDER", help="write the masks that were found to FOLDER")
    return card.run_app(app, parser.parse_args(arguments))


if __name__ == "__main__":
    sys.exit(main())
