#!/usr/bin/env python3
"""Run a folder of images through any network on a DPU with one runner per thread; print ranges of outputs and speed.

The same file runs on a board with AMD's `xir` and `vart` and on a PC with softdpu's. Nothing is made of the outputs:
with --outputs they are written as they are. Options, images, threads and checks are in card.py.
"""

from __future__ import annotations

import argparse
import sys
from typing import Any

import numpy as np

import card
from card import DIVIDER


def run_dpu(runner: Any, run: card.Run) -> None:
    """Run batches on one runner until there are no more; a result is a copy of an image's outputs."""
    for batch in card.finished(runner, run):
        run.store(batch, [[output.copy() for output in outputs] for outputs in zip(*batch.outputs)])


def app(options: argparse.Namespace) -> dict[str, Any]:
    """Do what the command line asks for, print the results and return them."""
    names, runners, preprocess, images = card.prepare(options)
    report: dict[str, Any] = {"model": options.model, "images": len(names), "threads": options.threads}
    if options.check:
        report["check"] = card.check(options.model, runners[0], preprocess)
    if not options.end_to_end:
        images.load()
    print("Starting", options.threads, "threads...")
    run = card.run_threads(run_dpu, runners[: options.threads], images, options.seconds)

    tensors = runners[0].get_output_tensors()
    print(DIVIDER)
    report["outputs"] = [describe(tensor, [found[i] for found in run.results]) for i, tensor in enumerate(tensors)]
    print(DIVIDER)
    card.print_speed(run)
    if options.outputs:
        write_outputs(options.outputs, names, tensors, run.results)
    return card.complete(report, run, run_dpu, runners, images, options)


def describe(tensor: Any, found: list[np.ndarray]) -> dict[str, Any]:
    """Print and return an output's name, shape, and the range of its real numbers over all images."""
    real = [numbers.astype(np.float32) * card.step_of(tensor) for numbers in found]
    low, high = float(min(one.min() for one in real)), float(max(one.max() for one in real))
    shape = list(found[0].shape)
    print(card.printable(f"Output {tensor.name}: {'x'.join(map(str, shape))}, from {low:g} to {high:g}"))
    return {"name": tensor.name, "shape": shape, "least": low, "most": high}


def write_outputs(path: str, names: list[str], tensors: list[Any], results: list[Any]) -> None:
    """Write images and outputs (names), steps (what 1 stands for), output_0, output_1, ... [images, ...] as .npz."""
    arrays: dict[str, Any] = {f"output_{i}": np.stack([found[i] for found in results]) for i in range(len(tensors))}
    arrays.update(images=np.array(names), outputs=np.array([tensor.name for tensor in tensors]))
    arrays.update(steps=np.array([card.step_of(tensor) for tensor in tensors]))
    with card.whole_file(path) as file:
        np.savez(file, **arrays)


def main(arguments: list[str] | None = None) -> int:
    """Run the program and return its exit code."""
    parser = card.option_parser("Run a folder of images through a network on the DPU.", "mobilenet.xmodel")
    parser.add_argument("--outputs", metavar="FILE.npz", help="write the outputs of all images to FILE.npz")
    return card.run_app(app, parser.parse_args(arguments))


if __name__ == "__main__":
    sys.exit(main())
