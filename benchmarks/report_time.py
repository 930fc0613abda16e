"""How long the report takes after a finished build in this folder, beside the jobs of that build.

Example:
    snakemake -j4 target_zcu102 && python benchmarks/report_time.py
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import time
from pathlib import Path

from softdpu.report.costs import read_costs

DRAWN = ("doctor", "throughput", "report_accuracy", "report_target", "report_build")
BAR = 60.0  # seconds
LARGEST = 15e6  # bytes


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=2, help="jobs at once (default: 2)")
    parser.add_argument("--benchmarks", type=Path, default=Path("logs/benchmarks"), help="of the build that is there")
    args = parser.parse_args()
    output = Path("build/report.html")
    start, load = time.monotonic(), os.getloadavg()[0]
    for command in (
        ["snakemake", f"-j{args.jobs}", "report_inputs", "--forcerun", *DRAWN],
        ["snakemake", "--report", str(output)],
    ):
        subprocess.run(command, check=True, capture_output=True)
    wall = time.monotonic() - start
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    jobs = sum(cost.seconds for cost in read_costs(args.benchmarks.glob("*.tsv")))
    print(
        f"report: {wall:.1f} s on the clock, {used.ru_utime + used.ru_stime:.1f} s of the processor (bar: {BAR:.0f} s)"
    )
    print(f"the machine's load was {load:.1f} on {os.cpu_count()} cores; the jobs of the build took {jobs:.1f} s,")
    print(
        f"{jobs / wall:.1f} times as long; {output}: {output.stat().st_size / 1e6:.1f} MB (bar: {LARGEST / 1e6:.0f} MB)"
    )


if __name__ == "__main__":
    main()
