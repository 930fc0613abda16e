r"""Quantize a float model to int8 after training (PTQ) and evaluate it; writes metrics.json beside the model.

Example:
    python scripts/quantize.py --model build/float_model/float_model.h5 --train-records build/tfrec_train \
        --val-records build/tfrec_val --calib-images 256 --output build/quant_model/quant_model.h5
"""

from __future__ import annotations

import argparse

from softdpu.dataset import options
from softdpu.output.cli import program
from softdpu.training import common, quantization


@program
def main() -> None:
    """Parse the command line and quantize."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True, help="the float .h5 model")
    common.add_data_arguments(parser)
    quantization.add_quantizer_arguments(parser)
    parser.add_argument("--output", required=True, help="path of the quantized .h5 model")
    parser.add_argument("--seed", type=int, default=1, help="of whatever is random in the quantizer (default: 1)")
    parser.add_argument("--threads", type=options.positive, default=1, help="threads to compute with (default: 1)")
    quantization.quantize(parser.parse_args())


if __name__ == "__main__":
    raise SystemExit(main())
