"""Print how long Snakemake plans a sweep of 20 variants for 8 boards on ImageNet, by the number of record files.

Nothing is built and no image is needed. Beside each time stands a plan of the plain build with as many shards for one
board, from the same run:
    python benchmarks/planning_scale.py
"""

from __future__ import annotations

import argparse
import itertools
import json
import resource
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
TARGETS = ["kv260", "ultra96v2", "u50", "vck190", "vek280", "zcu102", "zcu104", "zub1cg"]
ALPHAS = (0.25, 0.5, 0.75, 1.0)
SIZES = (128, 160, 192, 224, 256)
VAL_SHARDS = 50


def write_config(folder: Path, shards: int) -> None:
    """Write the configuration of `shards` training shards and 50 validation shards, and empty archives."""
    for name in ("train.tar", "val.tar"):
        (folder / name).touch()
    dataset = {"kind": "imagenet", "train_tar": "train.tar", "val_tar": "val.tar", "ground_truth": "val.tar"}
    variants = {
        f"a{100 * alpha:.0f}_{size}": {"model": {"alpha": alpha, "input_size": size}}
        for alpha, size in itertools.product(ALPHAS, SIZES)
    }
    # ImageNet has one training shard per class, and 50 validation images per class.
    config = {
        "dataset": {**dataset, "classes": shards, "images_per_shard": 50 * shards // VAL_SHARDS},
        "targets": TARGETS,
        "variants": variants,
    }
    (folder / "scale.json").write_text(json.dumps(config))


def plan(folder: Path, target: str) -> tuple[int, float, float, float]:
    """Return the jobs of `snakemake -n target`, the seconds and processor seconds that it took, and its peak MiB."""
    command = ["snakemake", "-n", target, "--configfile", "scale.json", "--quiet", "reason"]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    start = time.perf_counter()
    run = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    seconds = time.perf_counter() - start
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if run.returncode:
        raise SystemExit(f"error: {' '.join(command)} failed:\n{run.stderr[-2000:]}")
    jobs = next(int(line.split()[1]) for line in (run.stdout + run.stderr).splitlines() if line.startswith("total "))
    processor = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return jobs, seconds, processor, after.ru_maxrss / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shards", type=int, nargs="+", default=[100, 300, 1000], help="training shards")
    args = parser.parse_args()
    print(f"{'shards':>7}{'jobs':>7}{'seconds':>9}{'processor':>11}{'MiB':>6}   plain build: seconds, ratio")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for part in ("Snakefile", "config.yaml"):
            shutil.copy2(ROOT / part, folder)
        for part in ("rules", "schemas", "scripts", "envs", "profiles", "target_src", "src"):
            shutil.copytree(ROOT / part, folder / part, ignore=shutil.ignore_patterns("__pycache__"))
        for shards in sorted(args.shards):  # the peak is the largest child's so far, so it must grow
            write_config(folder, shards)
            _, plain, plain_processor, _ = plan(folder, "target_zcu102")
            jobs, seconds, processor, memory = plan(folder, "sweep")
            print(
                f"{shards:>7}{jobs:>7}{seconds:>9.1f}{processor:>11.1f}{memory:>6.0f}"
                f"   {plain:.1f}, {processor / plain_processor:.1f}"
            )


if __name__ == "__main__":
    main()
