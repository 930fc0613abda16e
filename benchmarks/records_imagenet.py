"""How long and in how much memory ImageNet's training tar becomes records, against benchmarks/records_baseline.py.

Synthetic tars of three sizes are made first. Prints for each: seconds of the whole process, images per second, and the
peak memory of the process with its workers (the sum of their resident sizes, shared pages counted in each) beyond that
of a Python that has only imported the same modules; at 1 GB also the baseline and the ratio.

Example:
    python benchmarks/records_imagenet.py --work build/benchmark
"""

from __future__ import annotations

import argparse
import os
import resource
import shutil
import subprocess
import sys
import time
from pathlib import Path

import psutil

ROOT = Path(__file__).parents[1]
IMPORTS = "import softdpu.dataset.make, softdpu.output.cli, multiprocessing.pool, concurrent.futures.process"


def run(command: list[str]) -> tuple[float, float, int]:
    """Return the seconds of a command, those of processor time, and the peak of its memory in bytes."""
    os.sync()  # what was written before must not slow it down
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    start = time.perf_counter()
    process = psutil.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    peak = 0
    while process.poll() is None:
        peak = max(peak, memory(process))
        time.sleep(0.02)
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} failed with {process.returncode}")
    seconds, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    return seconds, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, peak


def memory(process: psutil.Process) -> int:
    total = 0
    try:
        for one in [process, *process.children(recursive=True)]:
            total += one.memory_info().rss
    except psutil.Error:  # it has just ended
        pass
    return total


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, default=ROOT / "build/benchmark", help="folder for tars and records")
    parser.add_argument("--jobs", type=int, default=2, help="shards to write at once (default: 2)")
    parser.add_argument("--megabytes", type=int, nargs="*", default=[200, 1000, 2000], help="sizes of the training tar")
    args = parser.parse_args()
    _, _, imports = run([sys.executable, "-c", IMPORTS + "; import time; time.sleep(0.3)"])
    for megabytes in args.megabytes:
        shutil.rmtree(args.work, ignore_errors=True)
        tars, archive = args.work / "tars", args.work / "tars/ILSVRC2012_img_train.tar"
        size = ["--megabytes", str(megabytes * 1.05), "--val-images", "1"]
        run([sys.executable, "tests/dataset/make_ilsvrc.py", "--output", str(tars), *size])
        ours = ["scripts/make_records.py", "--kind", "imagenet", "--split", "train", "--classes", "10"]
        ours += ["--source", str(archive), "--output", str(args.work / "records"), "--jobs", str(args.jobs)]
        seconds, cpu, peak = run([sys.executable, *ours])
        more = f"{(peak - imports) / 2**20:.0f} MiB more than the imports' {imports / 2**20:.0f} MiB"
        print(f"{archive.stat().st_size / 1e9:.2f} GB: {seconds:.2f} s ({cpu:.2f} s of processor), {more}", flush=True)
        if megabytes == 1000:
            baseline = ["benchmarks/records_baseline.py", str(archive), str(args.work / "baseline"), "10"]
            slow, slow_cpu, _ = run([sys.executable, *baseline])
            print(
                f"  extract to disk, then TensorFlow: {slow:.2f} s ({slow_cpu:.2f} s of processor):"
                f" {slow / seconds:.1f} times as long",
                flush=True,
            )
    shutil.rmtree(args.work)


if __name__ == "__main__":
    main()
