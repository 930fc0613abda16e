"""Measure how fast one core makes records of ImageNet's training tar, and compute the job of the real 147 GB from it.

A synthetic tar of JPEGs is made first. The peer is sha256sum of the same tar in the same run: less than reading and
checking every byte once cannot be done. Times are processor seconds, so another load on the machine counts little.

Example:
    python benchmarks/records_scale.py --work build/benchmark
"""

from __future__ import annotations

import argparse
import os
import resource
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
REAL_GB = 147.0
SHARDS = 1050  # a training shard per class, 50 of validation
CLASSES = 10


def processor(*command: str) -> float:
    """Return the processor seconds of a command."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"error: {' '.join(command)} failed:\n{done.stderr[-2000:]}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--work", type=Path, default=ROOT / "build/benchmark", help="folder for the tar and the records"
    )
    parser.add_argument("--megabytes", type=int, default=500, help="size of the tar (default: 500)")
    args = parser.parse_args()
    shutil.rmtree(args.work, ignore_errors=True)
    tar = args.work / "tars/ILSVRC2012_img_train.tar"
    size = ("--megabytes", str(args.megabytes), "--val-images", "1")
    processor(sys.executable, "tests/dataset/make_ilsvrc.py", "--output", str(tar.parent), *size)
    records = args.work / "records"
    make = (sys.executable, "scripts/make_records.py", "--kind", "imagenet", "--split", "train", "--source", str(tar))
    options = ("--classes", str(CLASSES), "--output", str(records))
    seconds = sum(processor(*make, *options, "--shard", str(shard)) for shard in range(CLASSES))
    start = processor(*make, "--help")
    peer = processor("sha256sum", str(tar))
    gb = tar.stat().st_size / 1e9
    rate = gb / (seconds - CLASSES * start)
    grown = sum(path.stat().st_size for path in records.glob("*.tfrecord")) / tar.stat().st_size
    hours = (REAL_GB / rate + SHARDS * start) / 3600
    before = f"{start:.2f} s per shard before its first image"
    print(f"{gb:.2f} GB in {CLASSES} shards: {seconds:.2f} s of one core, {before}")
    print(f"{1000 * rate:.0f} MB/s per core, {seconds / peer:.2f} times as long as sha256sum ({peer:.2f} s)")
    print(f"{REAL_GB:.0f} GB in {SHARDS} shards: {hours:.2f} core hours, and {REAL_GB * grown:.0f} GB of records")
    for cores in (1, 2, 16, 100):
        disk = REAL_GB / (hours / cores * 3600)
        print(f"  {cores:>3} cores: {60 * hours / cores:>5.1f} minutes, the disk reads and writes {disk:.2f} GB/s each")
    shutil.rmtree(args.work)


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main()
