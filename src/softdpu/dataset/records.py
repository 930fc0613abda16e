"""A source becomes record files: one file a shard with a report beside it, and one manifest for the whole split.

Shard i of a split is `data_<i>.tfrecord`, the tutorial's name. Its bytes depend on the source and the settings only,
not on how many shards are written at once, nor in which order.
"""

from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

from softdpu.dataset import arrays, example, images, labels, tfrecord
from softdpu.dataset.source import Source
from softdpu.errors import SoftdpuError
from softdpu.output.files import PathLike, expecting, whole_file, write_json

MANIFEST = "manifest.json"


def name_shard(folder: PathLike, shard: int, suffix: str = ".tfrecord") -> Path:
    """Return the path of a shard's records, or with suffix ".json" of its report."""
    return Path(folder) / f"data_{shard}{suffix}"


def write_shard(
    source: Source,
    shard: int,
    folder: PathLike,
    verify: bool = False,
    seen: Callable[[], object] = lambda: None,
    max_pixels: int = images.MAX_PIXELS,
) -> None:
    """Write the records of one shard and, last, its report.

    Broken images are left out and named in the report; `merge` decides whether there are too many of them.

    Args:
        source: one split.
        shard: 0..source.shards-1.
        folder: of the split, such as build/tfrec_train.
        verify: decode every image instead of checking its structure.
        seen: is called after each image, for a progress bar.
        max_pixels: an image that declares more is left out without decoding it.

    Raises:
        SoftdpuError: if the source is broken, or the disk is full.
    """
    path = name_shard(folder, shard)
    try:
        for old in path.parent.glob(f".part-*-data_{shard}.*"):  # of a build that was killed
            old.unlink()
        with whole_file(path) as part, open(part, "wb", buffering=1 << 20) as file:
            report = _write_records(source, shard, file, verify, seen, max_pixels)
        write_json(name_shard(folder, shard, ".json"), {"records": path.name, **report})
    except OSError as error:
        raise SoftdpuError(f"cannot write {path}: {error.strerror}; nothing is left half written") from None


def _write_records(
    source: Source, shard: int, file: BinaryIO, verify: bool, seen: Callable[[], object], max_pixels: int
) -> dict[str, Any]:
    counts: Counter[int] = Counter()
    converted: dict[str, str] = {}
    skipped: dict[str, str] = {}
    names: set[str] = set()
    written = 0
    for raw in source.read(shard):
        if raw.name in names:
            raise SoftdpuError(f"{raw.name} occurs twice in shard {shard}; every image needs a name of its own")
        names.add(raw.name)
        seen()
        try:
            if raw.problem:
                raise ValueError(raw.problem)
            image = check_arrays(raw.data) if raw.arrays else images.to_record(raw.data, verify, max_pixels)
        except ValueError as error:
            skipped[raw.name] = str(error)
            continue
        if image.converted:
            converted[raw.name] = image.converted
        record = example.Record(raw.label, image.height, image.width, image.chans, image.data, raw.target)
        tfrecord.append(file, example.encode(record))
        counts.update((raw.label,) if raw.present is None else raw.present)
        written += 1
    return {
        "classes": source.classes,
        "counts": {source.classes[label]: counts[label] for label in sorted(counts)},
        "images": written,
        "converted": converted,
        "skipped": skipped,
        "sources": [source_file._asdict() for source_file in source.files(shard)],
    }


def check_arrays(data: bytes) -> images.RecordImage:
    """Return what a record holds of a .npz of arrays, which has no size in pixels; raises ValueError if it is none."""
    arrays.read(data)
    return images.RecordImage(0, 0, 0, data, "")


def merge(folder: PathLike, shards: int, max_skipped: float = 0.01) -> dict[str, Any]:
    """Join the reports of all shards of a split to manifest.json and write labels.txt, one class a line.

    Args:
        folder: of the split.
        shards: how many it has.
        max_skipped: share of broken images, 0..1, above which the data set is refused.

    Raises:
        SoftdpuError: if a shard is missing, or too many images are broken, or there is none at all.
    """
    manifest: dict[str, Any] = {
        "images": 0, "classes": [], "counts": {}, "converted": {}, "skipped": {}, "sources": [], "shards": {}
    }  # fmt: skip
    sources: dict[str, dict[str, Any]] = {}
    for shard in range(shards):
        path = name_shard(folder, shard, ".json")
        try:
            report = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError) as error:
            raise SoftdpuError(
                f"cannot read {path}, the report of shard {shard}: {error}; write the shard again"
            ) from None
        with expecting(path, f"the report of shard {shard}"):
            manifest["classes"] = report["classes"]
            if not isinstance(report["classes"], list) or not all(isinstance(name, str) for name in report["classes"]):
                raise TypeError("classes are a list of names")
            if type(report["images"]) is not int or not 0 <= report["images"] < 1 << 40:
                raise TypeError(f"{report['images']} images")
            manifest["images"] += report["images"]
            manifest["shards"][report["records"]] = report["images"]
            for name, count in report["counts"].items():
                manifest["counts"][name] = manifest["counts"].get(name, 0) + count
            for key in ("converted", "skipped"):
                manifest[key].update(report[key])
            sources.update({source["name"]: source for source in report["sources"]})
    manifest["sources"] = list(sources.values())
    skipped, total = len(manifest["skipped"]), len(manifest["skipped"]) + manifest["images"]
    if not manifest["images"] or skipped > max_skipped * total:
        first = "; ".join(f"{name}: {why}" for name, why in list(manifest["skipped"].items())[:3])
        raise SoftdpuError(
            f"{folder}: {skipped} of {total} images are broken, at most {max_skipped:.2%} are allowed"
            f" (dataset.max_skipped), and one must be whole. The first: {first}"
        )
    if skipped:
        logging.warning("%s: %d of %d images are broken and left out, see %s", folder, skipped, total, MANIFEST)
    labels.write(Path(folder) / labels.LABELS, manifest["classes"])
    write_json(Path(folder) / MANIFEST, manifest)
    return manifest
