"""A source becomes record files: one file a shard with a report beside it, and one manifest for the whole split.

Shard i of a split is `data_<i>.tfrecord`, the tutorial's name. Its bytes depend on the source and the settings only,
not on how many shards are written at once, nor in which order.
"""

from __future__ import annotations

import json
import logging
from collections import Counter
from pathlib import Path
from typing import Any

from tqdm import tqdm

from softdpu.dataset import example, images, tfrecord
from softdpu.dataset.source import Source
from softdpu.errors import SoftdpuError
from softdpu.files import PathLike, whole_file, write_json, write_text

MANIFEST = "manifest.json"
LABELS = "labels.txt"


def shard_path(folder: PathLike, shard: int, suffix: str = ".tfrecord") -> Path:
    """Return the path of a shard's records, or with suffix ".json" of its report."""
    return Path(folder) / f"data_{shard}{suffix}"


def write_shard(source: Source, shard: int, folder: PathLike, verify: bool = False) -> dict[str, Any]:
    """Write the records of one shard and, last, its report.

    Broken images are left out and named in the report; `merge` decides whether there are too many of them.

    Args:
        source: one split.
        shard: 0..source.shards-1.
        folder: of the split, such as build/tfrec_train.
        verify: decode every image instead of checking its structure.

    Raises:
        SoftdpuError: if the source is broken, or the disk is full.
    """
    if not 0 <= shard < source.shards:
        raise SoftdpuError(f"the shard must be 0 to {source.shards - 1}, got {shard}")
    path = shard_path(folder, shard)
    counts: Counter[int] = Counter()
    converted, skipped = {}, {}
    names: set[str] = set()
    try:
        with whole_file(path) as part, open(part, "wb", buffering=1 << 20) as file:
            bar = tqdm(source.read(shard), total=source.count(shard), unit="image", desc=path.name, mininterval=1)
            for raw in bar:
                if raw.name in names:
                    raise SoftdpuError(f"{raw.name} occurs twice in shard {shard}; every image needs a name of its own")
                names.add(raw.name)
                try:
                    image = images.to_record(raw.data, verify)
                except ValueError as error:
                    skipped[raw.name] = str(error)
                    continue
                if image.converted:
                    converted[raw.name] = image.converted
                record = example.Record(raw.label, image.height, image.width, image.chans, image.data)
                tfrecord.append(file, example.encode(record))
                counts[raw.label] += 1
        report = {
            "records": path.name,
            "classes": source.classes,
            "counts": {source.classes[label]: counts[label] for label in sorted(counts)},
            "images": sum(counts.values()),
            "converted": converted,
            "skipped": skipped,
            "sources": [file._asdict() for file in source.files(shard)],
        }
        write_json(shard_path(folder, shard, ".json"), report)
    except OSError as error:
        raise SoftdpuError(f"cannot write {path}: {error.strerror}; nothing is left half written") from None
    return report


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
    for shard in range(shards):
        path = shard_path(folder, shard, ".json")
        try:
            report = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise SoftdpuError(
                f"cannot read {path}, the report of shard {shard}: {error}; write the shard again"
            ) from None
        manifest["classes"] = report["classes"]
        manifest["images"] += report["images"]
        manifest["shards"][report["records"]] = report["images"]
        for name, count in report["counts"].items():
            manifest["counts"][name] = manifest["counts"].get(name, 0) + count
        for key in ("converted", "skipped"):
            manifest[key].update(report[key])
        manifest["sources"] += [source for source in report["sources"] if source not in manifest["sources"]]
    skipped, total = len(manifest["skipped"]), len(manifest["skipped"]) + manifest["images"]
    if not manifest["images"] or skipped > max_skipped * total:
        first = "; ".join(f"{name}: {why}" for name, why in list(manifest["skipped"].items())[:3])
        raise SoftdpuError(
            f"{folder}: {skipped} of {total} images are broken, at most {max_skipped:.2%} are allowed"
            f" (dataset.max_skipped), and one must be whole. The first: {first}"
        )
    if skipped:
        logging.warning("%s: %d of %d images are broken and left out, see %s", folder, skipped, total, MANIFEST)
    write_text(Path(folder) / LABELS, "\n".join(manifest["classes"]) + "\n")
    write_json(Path(folder) / MANIFEST, manifest)
    return manifest
