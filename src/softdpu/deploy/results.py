"""A board's results against the PC's for the same card folder, and its throughput beside AMD's published one."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from softdpu.errors import SoftdpuError
from softdpu.numbers import boards
from softdpu.output.text import one_line

_PUBLISHED = Path(__file__).parents[1] / "numbers/data/published_fps.csv"


@dataclass(frozen=True)
class Published:
    """AMD's throughput of a MobileNet v1 of its model zoo on a board, images per second; ImageNet's 1000 classes."""

    board: str
    vitis_ai: str
    alpha: float
    input_size: int
    one_thread: float
    many_threads: float
    model: str


def read(path: Path) -> dict[str, Any]:
    """Return the JSON that the app wrote to `path`.

    Raises:
        SoftdpuError: no such file, or it is none of the app's.
    """
    try:
        report = json.loads(path.read_text(encoding="utf-8"))
        return check(report, str(path))
    except (OSError, ValueError, RecursionError) as error:
        raise SoftdpuError(f"{path}: expected the app's results ({error}); run the app on the PC again") from None


def check(report: Any, name: str) -> dict[str, Any]:
    """Return `report` if it has what a comparison needs.

    Raises:
        SoftdpuError: it has not.
    """
    problem = _find_problem(report)
    if problem:
        raise SoftdpuError(
            f"{name}: expected the app's results with '{problem}'; run the app of this card folder again"
        )
    return dict(report)


def _find_problem(report: Any) -> str:
    """Return the key whose value is missing or none that the app writes, "" if all are as they should be."""
    if not isinstance(report, dict):
        return "accuracy"
    classified = "checksums" not in report
    if classified and not (_is_number(report.get("accuracy")) and 0 <= report["accuracy"] <= 1):
        return "accuracy"
    if not _is_count(report.get("images")):
        return "images"
    key, is_result = ("classes", _is_class) if classified else ("checksums", _is_checksums)
    results = report.get(key)
    if not isinstance(results, dict) or not all(map(is_result, results.values())):
        return key
    if not _is_throughput(report):
        return "threads" if not _is_count(report.get("threads")) else "fps"
    rows = report.get("sweep")
    if rows is not None and not (isinstance(rows, list) and all(map(_is_throughput, rows))):
        return "sweep"
    found = report.get("check")
    faults = found.get("faults") if isinstance(found, dict) else [] if found is None else None
    if not isinstance(faults, list) or not all(isinstance(fault, str) for fault in faults):
        return "check"
    return ""


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and abs(value) < 1e12  # not for NaN, nor for bool


def _is_count(value: Any, least: int = 1) -> bool:
    return type(value) is int and least <= value < 1 << 31


def _is_class(value: Any) -> bool:
    return _is_count(value, 0)


def _is_checksums(values: Any) -> bool:
    return isinstance(values, list) and all(type(value) is int and 0 <= value < 1 << 32 for value in values)


def _is_throughput(row: Any) -> bool:
    return isinstance(row, dict) and _is_count(row.get("threads")) and _is_number(row.get("fps")) and row["fps"] >= 0


def compare(board: Mapping[str, Any], pc: Mapping[str, Any]) -> dict[str, Any]:
    """Return whether two results of the app are the same, and the images whose classes differ, in the app's order.

    Apps that find no classes give checksums of all outputs instead, and these are compared.

    Raises:
        SoftdpuError: they are of different images.
    """
    key = "classes" if "classes" in pc else "checksums"
    mine, theirs = board.get(key, {}), pc[key]
    if set(mine) != set(theirs):
        only = sorted(set(mine) ^ set(theirs))[0]
        raise SoftdpuError(
            f"the board ran {len(mine)} images and the PC {len(theirs)}, {only} on one of them only: remove pictures"
            " that are not of this folder from images/ on the board, and run the PC's app again (run_<board>)"
        )
    different = [name for name in sorted(mine) if mine[name] != theirs[name]]
    first = different[0] if different else None
    return {
        "compared": key,
        **(_compare_accuracies(board, pc) if key == "classes" else {}),
        "different": different,
        "first_different": {"image": first, "board": mine[first], "pc": theirs[first]} if first else None,
        "images": len(mine),
    }


def _compare_accuracies(board: Mapping[str, Any], pc: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "accuracy": {"board": board["accuracy"], "pc": pc["accuracy"]},
        "accuracy_equal": board["accuracy"] == pc["accuracy"],
    }


def read_published(board: str, alpha: float, input_size: int) -> list[Published]:
    """Return AMD's numbers for a MobileNet v1 on a board, by Vitis AI version; none where AMD published none."""
    with open(_PUBLISHED, encoding="utf-8", newline="") as file:
        rows = [
            Published(
                row["board"],
                row["vitis_ai"],
                float(row["alpha"]),
                int(row["input_size"]),
                float(row["one_thread"]),
                float(row["many_threads"]),
                row["model"],
            )
            for row in csv.DictReader(file)
        ]
    return [row for row in rows if (row.board, row.alpha, row.input_size) == (board, alpha, input_size)]


def list_throughput(report: Mapping[str, Any]) -> list[dict[str, float]]:
    """Return [{"threads", "fps"}]: the rows of the app's sweep, or its one run where there was none."""
    return list(report.get("sweep") or [{"threads": report["threads"], "fps": report["fps"]}])


def find_closest(rows: list[Published], vitis_ai: str) -> Published | None:
    """Return the numbers of the board's Vitis AI version, else the newest."""
    return next((row for row in rows if row.vitis_ai == vitis_ai), rows[-1] if rows else None)


def show_text(found: Mapping[str, Any], network: str, target: str, amd: Published | None) -> Iterator[str]:
    """Yield the lines for people: accuracies, the first image that differs, throughput beside AMD's."""
    if "accuracy" in found:
        accuracy = found["accuracy"]
        verdict = "equal" if found["accuracy_equal"] else "NOT EQUAL"
        yield f"Accuracy: {accuracy['board']:.4f} on the board, {accuracy['pc']:.4f} on the PC: {verdict}"
    first = found["first_different"]
    if found["compared"] == "checksums":
        name = f", first {one_line(first['image'], 300)}" if first else ""
        yield f"Outputs: {len(found['different'])} of {found['images']} images differ{name}"
    elif first:
        name = one_line(first["image"], 300)
        yield (
            f"Classes: {len(found['different'])} of {found['images']} images differ, first {name}: class"
            f" {first['board']} on the board, {first['pc']} on the PC"
        )
    else:
        yield f"Classes: all {found['images']} images get the same class"
    yield "Threads        FPS  AMD's FPS"
    rows = found["throughput"]
    cores = boards.find_target(target).cores
    many = max(rows, key=lambda row: row["fps"]) if amd else None
    for row in rows:
        number = amd and (amd.one_thread if row["threads"] == 1 else amd.many_threads if row is many else None)
        yield f"{row['threads']:7d} {row['fps']:10.2f} {f'{number:10.2f}' if number else '         -'}"
    if amd:
        yield (
            f"AMD's numbers: model zoo of Vitis AI {amd.vitis_ai}, {amd.model} on {target}, one and many threads, with"
            " reading and preparing the images in C++ and 1000 classes"
        )
    elif found["runs_on"] == "DPU":
        yield f"AMD published no throughput of {network} on {target} ({cores} DPU cores)."
    else:
        yield "This ran on the board's Arm CPU. AMD's numbers are of the DPU."


def as_json(amd: Published | None) -> dict[str, Any] | None:
    """Return AMD's numbers as a JSON object."""
    return asdict(amd) if amd else None
