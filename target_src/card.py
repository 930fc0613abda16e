"""What every app of a card folder needs: options, images, threads, --sweep, results as JSON.

The model and its runners are in runners.py, --check is in checking.py. The files run on a board with AMD's modules and
on a PC with softdpu's, and need Python 3.7 or later, numpy and OpenCV. Beside the .xmodel is preprocess.json: how an
image is fitted and scaled.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import itertools
import json
import os
import sys
import threading
import time
import zlib
from typing import Any, Callable, Iterator

MOST_PIXELS = 1 << 26  # of an image; more is a damaged header, or more memory than a board has
os.environ.setdefault("OPENCV_IO_MAX_IMAGE_PIXELS", str(MOST_PIXELS))  # OpenCV reads it when it is imported

import cv2  # noqa: E402
import numpy as np  # noqa: E402

from checking import beside, check, read_json  # noqa: E402
from runners import CardError, create_runners, new_buffers, one_line, open_model, printable, type_of  # noqa: E402

# of checking.py and runners.py, for apps
__all__ = ["CardError", "beside", "check", "create_runners", "open_model", "printable", "read_json", "type_of"]

DIVIDER = "-----------------------------------------------"
JOBS_IN_FLIGHT = 3  # per runner: one computes, one waits for it, one is being filled
TOO_LARGE = f"{{}} has more than {MOST_PIXELS} pixels, as stored or when fitted; remove it from the folder"
TO_UNIT_RANGE = {"order": "rgb", "divide": [127.5] * 3, "subtract": [1.0] * 3}  # to -1..1


def option_parser(description: str, model: str) -> argparse.ArgumentParser:
    """Return a parser with the options of every app; `model` is the default name of the .xmodel."""
    parser = argparse.ArgumentParser(description=description)
    add = parser.add_argument
    add("-d", "--image_dir", default="images", help="Path to folder of images. Default is images")
    add("-t", "--threads", type=int, default=1, help="Number of threads. Default is 1")
    add("-m", "--model", default=model, help=f"Path of .xmodel. Default is {model}")
    add("--check", action="store_true", help="first compare with the vectors in golden/, bit for bit")
    add("--end_to_end", action="store_true", help="time decoding and pre-processing too")
    add("--seconds", type=float, default=0.0, metavar="N", help="run the images again and again for N seconds")
    add("--sweep", type=thread_counts, default=[], metavar="1,2,4,6", help="print FPS by number of threads")
    add("--json", metavar="FILE", help="write the results to FILE")
    return parser


def thread_counts(text: str) -> list[int]:
    """Return the numbers in a text like 1,2,4,6."""
    return [int(number) for number in text.split(",")]


def run_app(app: Callable[[Any], dict[str, Any]], options: Any) -> int:
    """Call `app` and write its report; return 0, or 1 for a mistake or a difference; Ctrl-C leaves with 130."""
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="backslashreplace")  # names that the terminal's encoding does not have
    try:
        report = app(options)
        if options.json:
            write_json(options.json, report)
    except (CardError, OSError) as error:
        print("error:", one_line(error), file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.stdout.flush()
        os._exit(130)  # without waiting for jobs that still run
    return 1 if report["changed"] or report.get("check", {}).get("faults") else 0


def list_images(options: Any) -> list[str]:
    """Return the names of the images in --image_dir, sorted; there are as many as threads or more."""
    folder = options.image_dir
    if not os.path.isdir(folder):
        raise CardError(f"no such folder: {folder}; name the folder of images with --image_dir")
    names = sorted(name for name in os.listdir(folder) if not name.startswith("."))
    total = len(names)
    if total == 0:
        raise CardError(f"no images in {folder}; expected files named <label>_image<i>.<ext>")
    for count in [options.threads, *options.sweep]:
        if not 1 <= count <= total:
            raise CardError(f"the number of threads must be 1 to {total} for {total} images, got {count}")
    return names


def read_image(path: str, how: int = cv2.IMREAD_COLOR) -> np.ndarray:
    """Return uint8[h, w, 3], blue-green-red; the file is read here because OpenCV takes no name that is not UTF-8."""
    if os.path.exists(path) and not os.path.isfile(path):
        raise CardError(f"{path} is not a file; remove it from the folder")  # to read a pipe would wait for ever
    try:
        with open(path, "rb") as file:
            data = file.read()
        image = None if is_cut_png(data) else cv2.imdecode(np.frombuffer(data, np.uint8), how)
    except (cv2.error, ValueError) as error:
        if "PIXELS" in str(error):
            raise CardError(TOO_LARGE.format(path)) from None
        image = None
    if image is None:
        raise CardError(f"{path} is not an image that OpenCV can read; remove it from the folder")
    return image


def is_cut_png(data: bytes) -> bool:
    """Return whether a part of a PNG is longer than the file; OpenCV makes room for it, up to 2 GiB, before looking."""
    place = 8 if data.startswith(b"\x89PNG") else len(data)
    while place + 8 <= len(data) and data[place + 4 : place + 8] != b"IEND":
        place += int.from_bytes(data[place : place + 4], "big") + 12
    return place > len(data)


class Preprocess:
    """Image file to the input, int8[height, width, 3]: fit, order red-green-blue, then a table scales and quantizes.

    An input of float32, of a network that begins on the CPU, takes the scaled numbers as they are.
    """

    def __init__(self, tensor: Any, settings: dict[str, Any]) -> None:
        self.height, self.width = tensor.dims[1:3]
        self.fit = settings.get("fit", "stretch")
        if self.fit not in ("stretch", "crop", "letterbox") or (self.fit == "crop" and self.height != self.width):
            raise CardError(
                f"preprocess.json: fit must be stretch, letterbox, or crop for a square input, got {self.fit!r}"
            )
        step, divide, subtract = read_scaling(settings.get("scaling", TO_UNIT_RANGE))
        self.order = slice(None, None, step)
        real = np.arange(256, dtype=np.float32)[:, None] / divide - subtract
        self.dtype = type_of(tensor)
        if self.dtype == np.int8:
            scaled = np.floor(real * np.float32(2.0 ** tensor.get_attr("fix_point")) + np.float32(0.5))
            real = np.clip(scaled, -128, 127)
        self.table = real.astype(self.dtype)[:, None, self.order].copy()  # a column per channel
        self.kinds = [((self.height, self.width, 3), self.dtype)]

    def fill(self, path: str, outputs: list[np.ndarray]) -> None:
        """Read the image at `path` into the only input, [[height, width, 3]]."""
        self(path, outputs[0])

    def __call__(self, path: str, output: np.ndarray) -> None:
        """Read the image at `path` into `output`, [height, width, 3]."""
        output[...] = cv2.LUT(self.fitted(read_image(path), path), self.table)[:, :, self.order]

    def fitted(self, image: np.ndarray, path: str) -> np.ndarray:
        """Bring uint8[h, w, 3] to the height and width of the network's input."""
        height, width = image.shape[:2]
        if (height, width) == (self.height, self.width):
            return image
        if self.fit == "stretch":
            return cv2.resize(image, (self.width, self.height), interpolation=cv2.INTER_CUBIC)
        if self.fit == "letterbox":
            return self.letterboxed(image)
        short, least = self.height * 256 // 224, min(height, width)
        new_width, new_height = width * short // least, height * short // least
        if new_width * new_height > MOST_PIXELS:
            raise CardError(TOO_LARGE.format(path))
        image = cv2.resize(image, (new_width, new_height), interpolation=cv2.INTER_CUBIC)
        top, left = (new_height - self.height) // 2, (new_width - self.width) // 2
        return image[top : top + self.height, left : left + self.width]

    def letterboxed(self, image: np.ndarray) -> np.ndarray:
        """Return uint8[height, width, 3] with uint8[h, w, 3] in the middle of grey, which fills it along one side."""
        height, width = image.shape[:2]
        new_height, new_width = self.height, self.width
        if height * self.width >= width * self.height:
            new_width = max(1, (width * self.height + height // 2) // height)
        else:
            new_height = max(1, (height * self.width + width // 2) // width)
        fitted = np.full((self.height, self.width, 3), 114, np.uint8)
        top, left = (self.height - new_height) // 2, (self.width - new_width) // 2
        resized = cv2.resize(image, (new_width, new_height), interpolation=cv2.INTER_CUBIC)
        fitted[top : top + new_height, left : left + new_width] = resized
        return fitted


def read_scaling(scaling: Any) -> tuple[int, np.ndarray, np.ndarray]:
    """Return the step from OpenCV's blue-green-red to the network's channels, divisors and offsets, float32[3]."""
    try:
        step = {"rgb": -1, "bgr": 1}[scaling["order"]]
        divide, subtract = np.array([scaling["divide"], scaling["subtract"]], np.float64)
        if divide.shape != (3,) or not (abs(divide) > 1e-9).all() or not (abs(divide) + abs(subtract) < 1e30).all():
            raise ValueError
    except (KeyError, TypeError, ValueError, OverflowError):
        raise CardError(
            'preprocess.json: scaling must hold order, "rgb" or "bgr", divide, 3 numbers that are not 0, and subtract, '
            f"3 numbers; got {json.dumps(scaling)[:200]}; copy it again"
        ) from None
    return step, divide.astype(np.float32), subtract.astype(np.float32)


class Images:
    """The images of a run as the inputs have them: pre-processed once by load(), else whenever they are asked for."""

    def __init__(self, folder: str, names: list[str], preprocess: Any) -> None:
        self.paths, self.preprocess = [os.path.join(folder, name) for name in names], preprocess
        self.loaded: list[np.ndarray] | None = None

    def load(self) -> None:
        """Read and pre-process all of them into memory, [images, ...] for each input."""
        loaded = [np.empty([len(self.paths), *shape], dtype) for shape, dtype in self.preprocess.kinds]
        for i, path in enumerate(self.paths):
            self.preprocess.fill(path, [array[i] for array in loaded])
        self.loaded = loaded

    def fill(self, indexes: range, spare: list[np.ndarray]) -> list[np.ndarray]:
        """Return [batch, ...] for each input that begin with these images: views of what is loaded, or `spare`."""
        if self.loaded is None:
            for i, path in enumerate(self.paths[indexes.start : indexes.stop]):
                self.preprocess.fill(path, [array[i] for array in spare])
            return spare
        found = [array[indexes.start : indexes.stop] for array in self.loaded]
        if len(indexes) == len(spare[0]):
            return found
        for array, values in zip(spare, found):
            array[: len(indexes)] = values
        return spare


class Batch:
    """One job for a runner: which images, its input and its output buffers."""

    def __init__(self, runner: Any) -> None:
        self.spare, self.outputs = new_buffers(runner.get_input_tensors()), new_buffers(runner.get_output_tensors())
        self.inputs, self.indexes = self.spare, range(0)


class Run:
    """Hands every image to the threads, again and again for the given seconds, and keeps what they made of it."""

    def __init__(self, images: Images, seconds: float) -> None:
        self.images, self.total = images, len(images.paths)
        self.results: list[Any] = [None] * self.total
        self.checksums: list[Any] = [None] * self.total
        self.frames = self.changed = self.position = 0
        self.deadline = time.time() + seconds
        self.seconds = self.fps = 0.0
        self.lock, self.stop = threading.Lock(), threading.Event()

    def batches(self, runner: Any) -> Iterator[Batch]:
        """Yield batches for this runner; each is written again when JOBS_IN_FLIGHT - 1 others have come."""
        for batch in itertools.cycle([Batch(runner) for _ in range(JOBS_IN_FLIGHT)]):
            with self.lock:
                if self.position == self.total and time.time() < self.deadline:
                    self.position = 0
                first = self.total if self.stop.is_set() else self.position
                self.position = min(first + len(batch.spare[0]), self.total)
                batch.indexes = range(first, self.position)
            if not batch.indexes:
                return
            batch.inputs = self.images.fill(batch.indexes, batch.spare)
            yield batch

    def store(self, batch: Batch, results: list[Any]) -> None:
        """Keep one result per image, and count the images whose outputs are not those of the run before."""
        checksums = [[zlib.crc32(output) for output in outputs] for outputs in zip(*batch.outputs)]
        with self.lock:
            self.frames += len(batch.indexes)
            for index, checksum, result in zip(batch.indexes, checksums, results):
                self.changed += self.checksums[index] not in (None, checksum)
                self.checksums[index], self.results[index] = checksum, result


def finished(runner: Any, run: Run) -> Iterator[Batch]:
    """Yield batches whose outputs one runner has computed; while it computes one, the next are filled."""
    jobs: collections.deque[Any] = collections.deque()
    for batch in run.batches(runner):
        jobs.append((runner.execute_async(batch.inputs, batch.outputs), batch))
        if len(jobs) == JOBS_IN_FLIGHT:
            yield wait(runner, *jobs.popleft())
    for job, batch in jobs:
        yield wait(runner, job, batch)


def wait(runner: Any, job: Any, batch: Batch) -> Batch:
    """Wait for a job and return its batch."""
    if runner.wait(job):
        raise CardError("the DPU runner reports a failed job")
    return batch


def prepare(options: Any) -> tuple[list[str], list[Any], Any, Images]:
    """Return names of images, runners, pre-processing and images, as the options of every app ask for."""
    names = list_images(options)
    print("Found", len(names), "images in", printable(options.image_dir))
    graph, subgraphs = open_model(options.model)
    print("Found", len(subgraphs), "subgraphs in", printable(options.model))
    settings = read_json(beside(options.model, "preprocess.json"))
    of_images = settings.get("fit") != "arrays"
    runners = create_runners(graph, subgraphs, options.model, max([options.threads, *options.sweep]), of_images)
    tensors = runners[0].get_input_tensors()
    preprocess: Any
    if of_images:
        preprocess = Preprocess(tensors[0], settings)
    else:
        from arrays import Arrays  # on cards of app_raw.py alone

        preprocess = Arrays(tensors, settings)
    return names, runners, preprocess, Images(options.image_dir, names, preprocess)


def complete(
    report: dict[str, Any], run: Run, run_dpu: Callable[..., None], runners: list[Any], images: Images, options: Any
) -> dict[str, Any]:
    """Print what --seconds and --sweep ask for; return the report with it, the speed and checksums of all outputs."""
    if options.seconds:
        print("Repeated runs:", run.changed, "results changed")
    if options.sweep:
        report["sweep"] = sweep(run_dpu, runners, images, options)
    report.update(fps=run.fps, frames=run.frames, seconds=run.seconds, changed=run.changed)
    report["end_to_end"] = options.end_to_end
    names = [tensor.name for tensor in runners[0].get_output_tensors()]
    order = sorted(range(len(names)), key=names.__getitem__)  # runners have an order of their own
    for path, found in zip(images.paths, run.checksums):
        report.setdefault("checksums", {})[os.path.basename(path)] = [found[i] for i in order]
    return report


def run_threads(run_dpu: Callable[[Any, Run], None], runners: list[Any], images: Images, seconds: float) -> Run:
    """Call `run_dpu(runner, run)` in one thread per runner, and time them."""
    run, errors = Run(images, seconds), []

    def work(runner: Any) -> None:
        try:
            run_dpu(runner, run)
        except BaseException as error:
            errors.append(error)
            run.stop.set()

    threads = [threading.Thread(target=work, args=(runner,), daemon=True) for runner in runners]
    start = time.time()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    run.seconds = max(time.time() - start, 1e-9)
    run.fps = run.frames / run.seconds
    if errors:
        raise errors[0] if isinstance(errors[0], CardError) else CardError(f"the run failed: {one_line(errors[0])}")
    return run


def print_speed(run: Run) -> None:
    """Print the lines with the frames per second."""
    print(f"FPS: {run.fps:.2f}, total frames: {run.frames}, total time: {run.seconds:.3f} seconds")
    print(DIVIDER)


def sweep(run_dpu: Callable[[Any, Run], None], runners: list[Any], images: Images, options: Any) -> list[Any]:
    """Print the table of throughput by number of threads, measured for --seconds each (at least 1): its rows."""
    print("Threads        FPS   Speed-up")
    rows: list[Any] = []
    for count in options.sweep:
        run = run_threads(run_dpu, runners[:count], images, max(options.seconds, 1.0))
        rows.append({"threads": count, "fps": run.fps})
        print(f"{count:7d} {run.fps:10.2f} {run.fps / rows[0]['fps']:9.2f}x")
    print(DIVIDER)
    return rows


def step_of(tensor: Any) -> float:
    """Return what 1 of an output stands for: 2**-fix_point of int8; 1 where the network ends on the CPU."""
    return 2.0 ** -tensor.get_attr("fix_point") if type_of(tensor) == np.int8 else 1.0


def write_json(path: str, value: Any) -> None:
    """Write `value` to the file at `path`, whole or not at all."""
    with whole_file(path) as file:
        file.write(json.dumps(value, indent=1, sort_keys=True).encode("utf-8"))


@contextlib.contextmanager
def whole_file(path: str) -> Iterator[Any]:
    """Yield a binary file that becomes the one at `path` when the block ends, following links; a device itself."""
    special = os.path.exists(path) and not os.path.isfile(path)
    final = path if special else os.path.realpath(path)
    part = path if special else final + ".part"
    with open(part, "wb") as file:
        yield file
    if not special:
        os.replace(part, final)
