"""Print what a finished build took, by rule, and how long Snakemake takes to find nothing to do, beside a bare start.

Run it in the project's folder after `make target_zcu102`:
    python benchmarks/build_time.py target_zcu102
    python benchmarks/build_time.py --logs build/quick/logs --configfile config/quick.yaml
"""

from __future__ import annotations

import argparse
import csv
import os
import platform
import subprocess
import time
from pathlib import Path


def rules(folder: Path) -> None:
    """Print wall time, processor time and peak memory of every rule that kept a benchmark file."""
    print(f"{'rule':<24}{'seconds':>9}{'processor':>11}{'MiB':>8}")
    rows = {path.stem: next(csv.DictReader(path.open(), delimiter="\t")) for path in sorted(folder.glob("*.tsv"))}
    for name, row in rows.items():
        print(f"{name:<24}{float(row['s']):>9.1f}{float(row['cpu_time']):>11.1f}{float(row['max_rss']):>8.0f}")
    total = sum(float(row["s"]) for row in rows.values())
    peak = max((float(row["max_rss"]) for row in rows.values()), default=0.0)
    print(f"{'sum, largest':<24}{total:>9.1f}{'':>11}{peak:>8.0f}")


def processor() -> str:
    """Return one line on this machine's processor: its name, cores, and the widest vectors that it computes with."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    known = {name.strip(): value.strip() for name, _, value in (line.partition(":") for line in reversed(lines))}
    flags = known.get("flags", known.get("Features", "")).split()
    widest = next((flag for flag in ("avx512f", "avx2", "avx", "asimd") if flag in flags), "unknown vectors")
    return f"{known.get('model name', platform.machine())}, {os.cpu_count()} cores, {widest}"


def fastest(command: list[str], times: int = 3) -> float:
    """Return the shortest wall time of a command, in seconds."""
    taken = []
    for _ in range(times):
        start = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True)
        taken.append(time.perf_counter() - start)
    return min(taken)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("target", nargs="?", default="target_zcu102", help="that was built (default: target_zcu102)")
    parser.add_argument("--logs", type=Path, default=Path("logs"), help="of that build (default: logs)")
    parser.add_argument("--configfile", help="that it was built with (default: config.yaml alone)")
    args = parser.parse_args()
    print(processor())
    rules(args.logs / "benchmarks")
    idle = ["snakemake", "-n", args.target, *(["--configfile", args.configfile] if args.configfile else [])]
    if b"Nothing to be done" not in subprocess.run(idle, stdout=subprocess.PIPE, stderr=subprocess.STDOUT).stdout:
        raise SystemExit(f"error: {args.target} is not built; build it first")
    found, bare = fastest(idle), fastest(["snakemake", "--version"])
    print(f"snakemake -n {args.target}: {found:.2f} s, {found / bare:.1f} times `snakemake --version` ({bare:.2f} s)")


if __name__ == "__main__":
    main()
