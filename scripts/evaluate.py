r"""Evaluate a float or quantized .h5 model on all validation records and write its metrics as JSON.

Example:
    python scripts/evaluate.py --model build/quant_model/quant_model.h5 --val-records build/tfrec_val \
        --output build/quant_model/metrics.json
"""

from __future__ import annotations

import argparse

from softdpu.dataset import options
from softdpu.output.cli import program
from softdpu.training import common, quantization, quantizers


@program
def main() -> None:
    """Parse the command line and evaluate."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True, help="the .h5 model")
    common.add_data_arguments(parser, train=False)
    quantizers.add_argument(parser)
    parser.add_argument("--output", required=True, help="path of the JSON file")
    parser.add_argument("--threads", type=options.positive, default=1, help="threads to compute with (default: 1)")
    quantization.evaluate_model(parser.parse_args())


if __name__ == "__main__":
    raise SystemExit(main())
