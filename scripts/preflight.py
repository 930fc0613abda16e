r"""Tell what a build with AMD's tools needs, what of it is there, and how to get the rest (then with exit code 1).

Example:
    python scripts/preflight.py --settings '{"toolchain": "vitis-ai", "targets": ["zcu102"]}'
"""

from __future__ import annotations

import argparse
from typing import Any

from softdpu.build import preflight
from softdpu.errors import SoftdpuError
from softdpu.output.cli import new_parser, program


def _settings(text: str) -> dict[str, Any]:
    try:
        return preflight.read_settings(text)
    except SoftdpuError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


@program
def main() -> None:
    """Parse the command line and look at the machine."""
    parser = new_parser(__doc__)
    parser.add_argument(
        "--settings",
        required=True,
        type=_settings,
        metavar="JSON",
        help="the keys toolchain, targets, compile and vitis_ai of the configuration",
    )
    parser.add_argument("--apptainer", action="store_true", help="Snakemake runs with --sdm apptainer")
    parser.add_argument("--build", default="build", metavar="DIR", help="folder of the build (default: build)")
    args = parser.parse_args()
    preflight.require(args.settings, preflight.Machine(args.apptainer), args.build)


if __name__ == "__main__":
    raise SystemExit(main())
