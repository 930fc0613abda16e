#!/usr/bin/env python3
"""Classify a folder of images on a DPU with one runner a thread; print accuracy and throughput.

The same file runs on a board with AMD's `xir` and `vart` and on a PC with softdpu's. It needs Python 3.7 or later,
numpy and OpenCV. Image files are named `<label>_<anything>`, the label being the number of the class. Beside the
.xmodel it looks for preprocess.json (how an image is fitted to the network), labels.txt (names of the classes) and
golden/ (vectors for --check).
"""

from __future__ import annotations

import argparse
import collections
import hashlib
import json
import os
import sys
import threading
import time
from typing import Any, Callable

import cv2
import numpy as np
import vart
import xir

DIVIDER = "-----------------------------------------------"
JOBS_IN_FLIGHT = 3  # a runner: one computes, one waits for it, one is being filled
SOFTWARE_RUNNER = "libvart-softdpu-runner.so"


class AppError(Exception):
    """A mistake of the user's or a broken file, told in one line."""


def open_model(path: str) -> tuple[Any, list[Any]]:
    """Return the graph in the .xmodel at `path` and its DPU subgraphs, which live no longer than the graph."""
    if not os.path.isfile(path):
        raise AppError(f"no such model: {path}; name an .xmodel with --model")
    if os.path.getsize(path) == 0:
        raise AppError(f"{path} is empty; copy the .xmodel again")
    try:
        graph = xir.Graph.deserialize(path)
        root = graph.get_root_subgraph()
        children = [] if root.is_leaf else root.toposort_child_subgraph()
    except Exception as error:
        raise AppError(f"{path} cannot be read ({one_line(error)}); copy or compile the .xmodel again") from error
    return graph, [one for one in children if one.has_attr("device") and one.get_attr("device").upper() == "DPU"]


def create_runners(subgraphs: list[Any], path: str, count: int) -> list[Any]:
    """Return `count` runners of the model's one DPU subgraph."""
    if len(subgraphs) != 1:
        raise AppError(f"{path} has {len(subgraphs)} DPU subgraphs; this app runs models that have exactly one")
    runner_map = subgraphs[0].get_attr("runner") if subgraphs[0].has_attr("runner") else {}
    if SOFTWARE_RUNNER in (runner_map or {}).values() and not getattr(vart, "__softdpu__", False):
        raise AppError(
            f"{path} holds no DPU instructions: softdpu compiled it for its software DPU, which runs on a PC only; "
            "for a board build it again with `toolchain: vitis-ai` in config.yaml"
        )
    try:
        runners = [vart.Runner.create_runner(subgraphs[0], "run") for _ in range(count)]
    except Exception as error:
        raise AppError(f"no runner for {path}: {one_line(error)}") from error
    shapes = [list(tensor.dims) for tensor in runners[0].get_input_tensors()]
    if len(shapes) != 1 or len(shapes[0]) != 4 or shapes[0][3] != 3:
        raise AppError(f"{path} takes {shapes}; this app feeds one colour image, [batch, height, width, 3]")
    return runners


def new_buffers(tensors: list[Any]) -> list[np.ndarray]:
    """Return one int8 array a tensor, of the shape that the runner asks for."""
    return [np.zeros(tuple(tensor.dims), np.int8) for tensor in tensors]


class Preprocess:
    """Image file to int8[height, width, 3]: fit, order red-green-blue, then a table scales and quantizes."""

    def __init__(self, tensor: Any, settings: dict[str, Any]) -> None:
        self.height, self.width = tensor.dims[1:3]
        self.fit = settings.get("fit", "stretch")
        if self.fit not in ("stretch", "crop") or (self.fit == "crop" and self.height != self.width):
            raise AppError(f"preprocess.json: fit must be stretch, or crop for a square input, got {self.fit!r}")
        how = settings.get("scaling", {"order": "rgb", "divide": [127.5] * 3, "subtract": [1.0] * 3})  # to -1..1
        self.order = slice(None, None, 1 if how["order"] == "bgr" else -1)  # OpenCV's images are bgr
        real = np.arange(256, dtype=np.float32)[:, None] / np.float32(how["divide"]) - np.float32(how["subtract"])
        scaled = np.floor(real * np.float32(2.0 ** tensor.get_attr("fix_point")) + np.float32(0.5))
        self.table = np.clip(scaled, -128, 127).astype(np.int8)[:, None, self.order].copy()  # a column a channel

    def __call__(self, path: str, output: np.ndarray) -> None:
        """Read the image at `path` into `output`, int8[height, width, 3]."""
        image = cv2.imread(path, cv2.IMREAD_COLOR)
        if image is None:
            raise AppError(f"{path} is not an image that OpenCV can read; remove it from the folder")
        output[...] = cv2.LUT(self.fitted(image), self.table)[:, :, self.order]

    def fitted(self, image: np.ndarray) -> np.ndarray:
        """Bring uint8[h, w, 3] to the height and width of the network's input."""
        height, width = image.shape[:2]
        if (height, width) == (self.height, self.width):
            return image
        if self.fit == "stretch":
            return cv2.resize(image, (self.width, self.height), interpolation=cv2.INTER_CUBIC)
        short, least = self.height * 256 // 224, min(height, width)
        new_width, new_height = width * short // least, height * short // least
        image = cv2.resize(image, (new_width, new_height), interpolation=cv2.INTER_CUBIC)
        top, left = (new_height - self.height) // 2, (new_width - self.width) // 2
        return image[top : top + self.height, left : left + self.width]


def list_images(folder: str) -> tuple[list[str], list[int]]:
    """Return the names of the images in `folder`, sorted, and their labels."""
    if not os.path.isdir(folder):
        raise AppError(f"no such folder: {folder}; name the folder of images with --image_dir")
    names = sorted(name for name in os.listdir(folder) if not name.startswith("."))
    if not names:
        raise AppError(f"no images in {folder}; expected files named <label>_image<i>.<ext>")
    labels = [name.split("_", 1)[0] if "_" in name else "" for name in names]
    for name, label in zip(names, labels):
        if not (label.isascii() and label.isdigit()):
            path = os.path.join(folder, name)
            raise AppError(f"no label in the name of {path}; expected <label>_image<i>.<ext>, the label a number")
    return names, [int(label) for label in labels]


class Feed:
    """Hands batches to the threads: every image once or, given seconds, again and again until they are over."""

    def __init__(self, paths: list[str], preprocess: Preprocess, pixels: np.ndarray | None, seconds: float) -> None:
        """Take images from `pixels`, int8[images, h, w, 3]; if None, read and preprocess them in the threads."""
        self.paths, self.preprocess, self.pixels = paths, preprocess, pixels
        self.deadline = time.time() + seconds
        self.position = 0
        self.lock, self.stop = threading.Lock(), threading.Event()

    def take(self, batch: int) -> range:
        """Return the indexes of the next images, at most `batch`; empty at the end."""
        with self.lock:
            if self.position == len(self.paths) and time.time() < self.deadline:
                self.position = 0
            first = len(self.paths) if self.stop.is_set() else self.position
            self.position = min(first + batch, len(self.paths))
            return range(first, self.position)

    def fill(self, indexes: range, spare: np.ndarray) -> np.ndarray:
        """Return int8[batch, h, w, 3] that begins with these images: a view of the pixels, or `spare`."""
        if self.pixels is not None and len(indexes) == len(spare):
            return self.pixels[indexes.start : indexes.stop]
        for image, index in zip(spare, indexes):
            if self.pixels is None:
                self.preprocess(self.paths[index], image)
            else:
                image[...] = self.pixels[index]
        return spare


class Results:
    """The first output tensor of every image, and how many repeated runs of an image gave other numbers."""

    def __init__(self, images: int, shape: list[int]) -> None:
        self.outputs = np.zeros([images, *shape], np.int8)
        self.seen = np.zeros(images, bool)
        self.frames = self.changed = 0
        self.seconds = self.fps = 0.0
        self.lock = threading.Lock()

    def store(self, indexes: range, outputs: np.ndarray) -> None:
        """Keep int8[batch, ...], the outputs of one job."""
        with self.lock:
            self.frames += len(indexes)
            for index, output in zip(indexes, outputs):
                self.changed += int(self.seen[index] and not np.array_equal(self.outputs[index], output))
                self.outputs[index], self.seen[index] = output, True


def drive(runner: Any, feed: Feed, results: Results) -> None:
    """Run batches through one runner until the feed is empty, a few jobs at a time."""
    inputs, outputs = runner.get_input_tensors(), runner.get_output_tensors()
    free = [(new_buffers(inputs)[0], new_buffers(outputs)) for _ in range(JOBS_IN_FLIGHT)]
    running: collections.deque[Any] = collections.deque()
    indexes = feed.take(inputs[0].dims[0])
    while indexes or running:
        if indexes and free:
            spare, buffers = free.pop()
            batch = feed.fill(indexes, spare)
            running.append((runner.execute_async([batch], buffers), batch, spare, buffers, indexes))
            indexes = feed.take(inputs[0].dims[0])
            continue
        job, _, spare, buffers, done = running.popleft()
        if runner.wait(job):
            raise AppError("the DPU runner reports a failed job")
        results.store(done, buffers[0])
        free.append((spare, buffers))


def run_threads(runners: list[Any], feed: Feed) -> Results:
    """Run the whole feed with one thread a runner, and time it."""
    results = Results(len(feed.paths), runners[0].get_output_tensors()[0].dims[1:])
    errors = []

    def work(runner: Any) -> None:
        try:
            drive(runner, feed, results)
        except BaseException as error:
            errors.append(error)
            feed.stop.set()

    threads = [threading.Thread(target=work, args=(runner,), daemon=True) for runner in runners]
    start = time.time()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    results.seconds = max(time.time() - start, 1e-9)
    results.fps = results.frames / results.seconds
    if errors:
        raise errors[0] if isinstance(errors[0], AppError) else AppError(f"the run failed: {one_line(errors[0])}")
    return results


def check(model: str, runner: Any, preprocess: Preprocess) -> dict[str, Any]:
    """Compare with the vectors in golden/, bit for bit, and print and return who is at fault.

    Images that become other pixels: the preprocessing. Another .xmodel file: the model. The right file that makes
    other outputs of the stored inputs: the board (on a PC: the software DPU).
    """
    golden = read_json(beside(model, "golden", "golden.json"))
    if not golden:
        raise AppError(f"--check needs {beside(model, 'golden', 'golden.json')}; make the card folder again")
    inputs, outputs = new_buffers(runner.get_input_tensors()), new_buffers(runner.get_output_tensors())
    with open(model, "rb") as file:
        same_model = hashlib.sha256(file.read()).hexdigest() == golden["model_sha256"]
    shapes = [list(inputs[0].shape[1:]), list(outputs[0].shape[1:])]
    if shapes != [golden["input"], golden["output"]]:
        raise AppError(f"model at fault: input and output are {shapes}, golden/ was made for another {model}")
    images = wrong_pixels = wrong_outputs = 0
    for vector in golden["vectors"]:
        source = read_vector(beside(model, "golden", vector["input"]), golden["input"])
        expected = read_vector(beside(model, "golden", vector["expected"]), golden["output"])
        if vector["image"]:
            preprocess(beside(model, vector["image"]), inputs[0][0])
            images += 1
            wrong_pixels += int(np.sum(inputs[0][0] != source))
        inputs[0][...] = source  # in every place of the batch
        if runner.wait(runner.execute_async(inputs, outputs)):
            raise AppError("board at fault: the DPU runner reports a failed job")
        wrong_outputs += int(np.sum(outputs[0] != expected))
    print(f"Check preprocessing: {images} images, {wrong_pixels} differences")
    print(f"Check model: {'the packaged file' if same_model else 'not the file that golden/ was made from'}")
    print(f"Check outputs: {len(golden['vectors'])} vectors, {wrong_outputs} differences")
    at_fault = {"preprocessing": wrong_pixels > 0, "model": not same_model, "board": same_model and wrong_outputs > 0}
    faults = [name for name, fault in at_fault.items() if fault]
    print("Check: " + (f"at fault: {', '.join(faults)}" if faults else "0 differences"))
    return {"wrong_pixels": wrong_pixels, "wrong_outputs": wrong_outputs, "same_model": same_model, "faults": faults}


def read_vector(path: str, shape: list[int]) -> np.ndarray:
    """Return the int8[shape] of a raw file in golden/."""
    data = np.fromfile(path, np.int8) if os.path.isfile(path) else np.zeros(0, np.int8)
    if data.size != np.prod(shape):
        raise AppError(f"{path} is missing or damaged; copy golden/ again")
    return data.reshape(shape)


def one_line(error: BaseException) -> str:
    """Return what an exception says, as one line."""
    return " ".join(str(error).split()) or type(error).__name__


def beside(model: str, *names: str) -> str:
    """Return the path of a file in the folder of the .xmodel."""
    return os.path.join(os.path.dirname(model), *names)


def read_json(path: str) -> dict[str, Any]:
    """Return the JSON object in the file at `path`, {} if there is no file."""
    if not os.path.isfile(path):
        return {}
    try:
        with open(path, encoding="utf-8") as file:
            return dict(json.load(file))
    except (ValueError, TypeError) as error:
        raise AppError(f"{path} is no JSON object ({one_line(error)}); copy it again") from error


def print_classes(model: str, names: list[str], labels: list[int], classes: list[int]) -> None:
    """Print the class of every image, by its name in labels.txt if there is one."""
    texts = {}
    if os.path.isfile(beside(model, "labels.txt")):
        with open(beside(model, "labels.txt"), encoding="utf-8") as file:
            texts = dict(enumerate(file.read().splitlines()))
    for name, label, found in zip(names, labels, classes):
        verdict = "right" if label == found else f"wrong, it is {texts.get(label, label)}"
        print(f"{name}: {texts.get(found, found)} ({verdict})")


def sweep(counts: list[int], timed: Callable[[int, float], Results], seconds: float) -> list[dict[str, float]]:
    """Print the table of throughput by number of threads, measured for `seconds` each, and return its rows."""
    print("Threads        FPS   Speed-up")
    rows: list[dict[str, float]] = []
    for count in counts:
        rows.append({"threads": count, "fps": timed(count, seconds).fps})
        print(f"{count:7d} {rows[-1]['fps']:10.2f} {rows[-1]['fps'] / rows[0]['fps']:9.2f}x")
    print(DIVIDER)
    return rows


def app(options: argparse.Namespace) -> dict[str, Any]:
    """Do what the command line asks for, print the results and return them."""
    names, labels = list_images(options.image_dir)
    total = len(names)
    for count in [options.threads, *options.sweep]:
        if not 1 <= count <= total:
            raise AppError(f"the number of threads must be 1 to {total} for {total} images, got {count}")
    print("Found", total, "images - processing", total, "of them")
    _graph, subgraphs = open_model(options.model)
    print("Found", len(subgraphs), "subgraphs in", options.model)
    runners = create_runners(subgraphs, options.model, max([options.threads, *options.sweep]))
    tensor = runners[0].get_input_tensors()[0]
    preprocess = Preprocess(tensor, read_json(beside(options.model, "preprocess.json")))
    report: dict[str, Any] = {"model": options.model, "images": total, "threads": options.threads}
    if options.check:
        report["check"] = check(options.model, runners[0], preprocess)

    paths, pixels = [os.path.join(options.image_dir, name) for name in names], None
    if not options.end_to_end:
        print("Pre-processing", total, "images...")
        pixels = np.empty([total, *tensor.dims[1:]], np.int8)
        for path, image in zip(paths, pixels):
            preprocess(path, image)

    def timed(threads: int, seconds: float) -> Results:
        return run_threads(runners[:threads], Feed(paths, preprocess, pixels, seconds))

    print("Starting", options.threads, "threads...")
    results = timed(options.threads, options.seconds)
    classes = [int(np.argmax(output)) for output in results.outputs]
    correct = sum(label == found for label, found in zip(labels, classes))
    if options.verbose:
        print_classes(options.model, names, labels, classes)
    print(DIVIDER)
    print(f"Correct:{correct}, Wrong:{total - correct}, Accuracy:{correct / total:.4f}")
    print(DIVIDER)
    print(f"FPS: {results.fps:.2f}, total frames: {results.frames}, total time: {results.seconds:.3f} seconds")
    print(DIVIDER)
    if options.seconds:
        print("Repeated runs:", results.changed, "results changed")
    if options.sweep:
        report["sweep"] = sweep(options.sweep, timed, max(options.seconds, 1.0))
    report.update(correct=correct, wrong=total - correct, accuracy=correct / total, end_to_end=options.end_to_end)
    report.update(fps=results.fps, frames=results.frames, seconds=results.seconds, changed=results.changed)
    report["classes"] = dict(zip(names, classes))
    return report


def thread_counts(text: str) -> list[int]:
    """Return the numbers in a text like 1,2,4,6."""
    return [int(number) for number in text.split(",")]


def parse_arguments(arguments: list[str] | None) -> argparse.Namespace:
    """Return the command line's options."""
    parser = argparse.ArgumentParser(description="Classify a folder of images on the DPU; print accuracy and FPS.")
    add = parser.add_argument
    add("-d", "--image_dir", default="images", help="Path to folder of images. Default is images")
    add("-t", "--threads", type=int, default=1, help="Number of threads. Default is 1")
    add("-m", "--model", default="mobilenet.xmodel", help="Path of .xmodel. Default is mobilenet.xmodel")
    add("--check", action="store_true", help="first compare with the vectors in golden/, bit for bit")
    add("--end_to_end", action="store_true", help="time decoding and pre-processing too")
    add("--seconds", type=float, default=0.0, metavar="N", help="run the images again and again for N seconds")
    add("--sweep", type=thread_counts, default=[], metavar="1,2,4,6", help="print FPS by number of threads")
    add("--json", metavar="FILE", help="write the results to FILE")
    add("--verbose", action="store_true", help="print the class of every image")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> int:
    """Run the program; return 0, or 1 for a mistake (told in one line) or a difference; Ctrl-C leaves with 130."""
    options = parse_arguments(arguments)
    header = f" --image_dir :  {options.image_dir}\n --threads   :  {options.threads}\n --model     :  {options.model}"
    print(f"{DIVIDER}\nCommand line options:\n{header}\n{DIVIDER}")
    try:
        report = app(options)
        if options.json:
            with open(options.json + ".part", "w", encoding="utf-8") as file:
                json.dump(report, file, indent=1, sort_keys=True)
            os.replace(options.json + ".part", options.json)
    except (AppError, OSError) as error:
        print("error:", one_line(error), file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.stdout.flush()
        os._exit(130)  # without waiting for jobs that still run
    return 1 if report["changed"] or report.get("check", {}).get("faults") else 0


if __name__ == "__main__":
    sys.exit(main())
