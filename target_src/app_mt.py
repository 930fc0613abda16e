#!/usr/bin/env python3
"""Classify a folder of images on a DPU with one runner per thread; print accuracy and throughput.

The same file runs on a board with AMD's `xir` and `vart` and on a PC with softdpu's. Image files are named
`<label>_<anything>`, the label being the number of the class. Options, images, threads and checks are in card.py.
"""

from __future__ import annotations

import argparse
import os
import sys
from typing import Any

import numpy as np

import card
from card import DIVIDER


def run_dpu(runner: Any, run: card.Run) -> None:
    """Run batches on one runner; the class of an image is the position of the largest of its outputs."""
    for batch in card.finished(runner, run):
        run.store(batch, [int(np.argmax(output)) for output in batch.outputs[0]])


def labels_of(names: list[str], folder: str) -> list[int]:
    """Return the labels that images have in their names, <label>_<anything>."""
    labels = [name.split("_", 1)[0] if "_" in name else "" for name in names]
    for name, label in zip(names, labels):
        if not (label.isascii() and label.isdigit()):
            path = os.path.join(folder, name)
            raise card.CardError(f"no label in the name of {path}; expected <label>_image<i>.<ext>, the label a number")
    return [int(label) for label in labels]


def app(options: argparse.Namespace) -> dict[str, Any]:
    """Do what the command line asks for, print the results and return them."""
    names = card.list_images(options)
    labels = labels_of(names, options.image_dir)
    total = len(names)
    print("Found", total, "images - processing", total, "of them")

    graph, subgraphs = card.open_model(options.model)
    print("Found", len(subgraphs), "subgraphs in", card.printable(options.model))
    runners = card.create_runners(graph, subgraphs, options.model, max([options.threads, *options.sweep]))

    settings = card.read_json(card.beside(options.model, "preprocess.json"))
    preprocess = card.Preprocess(runners[0].get_input_tensors()[0], settings)
    images = card.Images(options.image_dir, names, preprocess)
    report: dict[str, Any] = {"model": options.model, "images": total, "threads": options.threads}
    if options.check:
        report["check"] = card.check(options.model, runners[0], preprocess)
    if not options.end_to_end:
        print("Pre-processing", total, "images...")
        images.load()

    print("Starting", options.threads, "threads...")
    run = card.run_threads(run_dpu, runners[: options.threads], images, options.seconds)

    classes = run.results
    correct = sum(label == found for label, found in zip(labels, classes))
    if options.verbose:
        print_classes(options.model, names, labels, classes)
    print(DIVIDER)
    print(f"Correct:{correct}, Wrong:{total - correct}, Accuracy:{correct / total:.4f}")
    print(DIVIDER)
    card.print_speed(run)
    if options.seconds:
        print("Repeated runs:", run.changed, "results changed")
    if options.sweep:
        report["sweep"] = card.sweep(run_dpu, runners, images, options)
    report.update(correct=correct, wrong=total - correct, accuracy=correct / total, end_to_end=options.end_to_end)
    report.update(fps=run.fps, frames=run.frames, seconds=run.seconds, changed=run.changed)
    report["classes"] = dict(zip(names, classes))
    return report


def print_classes(model: str, names: list[str], labels: list[int], classes: list[int]) -> None:
    """Print the class of every image, by its name in labels.txt if there is one."""
    texts = {}
    if os.path.isfile(card.beside(model, "labels.txt")):
        with open(card.beside(model, "labels.txt"), encoding="utf-8", errors="backslashreplace") as file:
            texts = dict(enumerate(file.read().split("\n")))
    for name, label, found in zip(names, labels, classes):
        verdict = "right" if label == found else f"wrong, it is {texts.get(label, label)}"
        print(card.printable(f"{name}: {texts.get(found, found)} ({verdict})"))


def main(arguments: list[str] | None = None) -> int:
    """Run the program and return its exit code."""
    parser = card.option_parser("Classify a folder of images on the DPU; print accuracy and FPS.", "mobilenet.xmodel")
    parser.add_argument("--verbose", action="store_true", help="print the class of every image")
    options = parser.parse_args(arguments)
    print(DIVIDER)
    print("Command line options:")
    print(" --image_dir : ", card.printable(options.image_dir))
    print(" --threads   : ", options.threads)
    print(" --model     : ", card.printable(options.model))
    print(DIVIDER)
    return card.run_app(app, options)


if __name__ == "__main__":
    sys.exit(main())
