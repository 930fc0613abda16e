"""How much of the runner's speed app_mt.py passes on, and what its pre-processing by table gains.

Each figure is a ratio of two measurements of the same run, best of several rounds in turn:
  app / bare loop: images per second of the app's threads over those of a loop that only submits and waits;
  table / float: images per second of the app's pre-processing over the same arithmetic in float.

Example:
    python benchmarks/app_speed.py build/target_zcu102 --threads 1,2
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import sys
import threading
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from softdpu.numbers import fixed_point
from softdpu.output.cli import program
from softdpu.package import check, network


def load_app(folder: Path) -> Any:
    spec = importlib.util.spec_from_file_location("app_mt", folder / "app_mt.py")
    assert spec is not None and spec.loader is not None
    app = importlib.util.module_from_spec(spec)
    sys.path.insert(0, str(folder))  # card.py
    spec.loader.exec_module(app)
    return app


def float_preprocess(path: str, output: np.ndarray, position: int) -> None:
    image = cv2.cvtColor(cv2.imread(path), cv2.COLOR_BGR2RGB)
    real = image.astype(np.float32) / np.float32(127.5) - np.float32(1)
    output[...] = fixed_point.quantize(real, position, fixed_point.HALF_UP)


def images_a_second(function: Any, images: int) -> float:
    start = time.perf_counter()
    function()
    return images / (time.perf_counter() - start)


def bare_loop(runners: list[Any], pixels: np.ndarray) -> None:
    """Submit and wait, two jobs in flight, each thread its own part of the images."""

    def work(runner: Any, part: np.ndarray) -> None:
        shape = tuple(runner.get_output_tensors()[0].dims)
        outputs = [np.zeros(shape, np.int8) for _ in range(2)]
        last = None
        for i in range(0, len(part) - shape[0] + 1, shape[0]):
            job = runner.execute_async([part[i : i + shape[0]]], [outputs[i // shape[0] % 2]])
            if last is not None:
                runner.wait(last)
            last = job
        if last is not None:
            runner.wait(last)

    parts = np.array_split(pixels, len(runners))
    threads = [threading.Thread(target=work, args=pair) for pair in zip(runners, parts, strict=True)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


@program
def main() -> None:
    """Parse the command line, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="a card folder")
    parser.add_argument("--threads", default="1,2", help="numbers of threads (default: 1,2)")
    parser.add_argument("--rounds", type=int, default=7, help="the best of so many is taken (default: 7)")
    parser.add_argument("--json", type=Path, help="write the figures here too")
    args = parser.parse_args()
    app = load_app(args.folder)
    model = network.read(args.folder / "mobilenet.xmodel")
    counts = [int(number) for number in args.threads.split(",")]
    runners = [check.create_runner(model) for _ in range(max(counts))]
    tensor = runners[0].get_input_tensors()[0]
    preprocess = app.card.Preprocess(tensor, json.loads((args.folder / "preprocess.json").read_text()))
    paths = [str(path) for path in sorted((args.folder / "images").iterdir())]
    pixels = np.empty([len(paths), *tensor.dims[1:]], np.int8)
    images = app.card.Images(str(args.folder / "images"), [Path(path).name for path in paths], preprocess)
    images.load()
    position = int(tensor.get_attr("fix_point"))

    def every(function: Any, *more: Any) -> Any:
        return lambda: [function(path, output, *more) for path, output in zip(paths, pixels, strict=True)]

    pairs = {"table / float pre-processing": (every(preprocess), every(float_preprocess, position))}
    for count in counts:
        some = runners[:count]
        pairs[f"app / bare loop, {count} threads"] = (
            lambda some=some: app.card.run_threads(app.run_dpu, some, images, 0.0),
            lambda some=some: bare_loop(some, pixels),
        )
    figures = {}
    for name, (ours, peer) in pairs.items():
        best = [0.0, 0.0]
        for _ in range(args.rounds):
            for i, function in enumerate((ours, peer)):
                best[i] = max(best[i], images_a_second(function, len(paths)))
        figures[name] = best[0] / best[1]
        print(f"{name:<32} {best[0]:>9.0f} / {best[1]:<9.0f} images/s = {figures[name]:.2f}")
    if args.json:
        args.json.write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    raise SystemExit(main())
