r"""Evaluate a float or quantized .h5 model on all validation records and write its metrics as JSON.

Example:
    python scripts/evaluate.py --model build/quant_model/quant_model.h5 --val-records build/tfrec_val \
        --output build/quant_model/metrics.json
"""

from __future__ import annotations

import argparse

from softdpu.commands import evaluate
from softdpu.output.cli import program


@program
def main() -> None:
    """Parse the command line and evaluate."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    evaluate.add_arguments(parser)
    evaluate.run(parser.parse_args())


if __name__ == "__main__":
    raise SystemExit(main())
