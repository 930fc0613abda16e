r"""Take a trained classifier, .h5, .keras or .onnx, as the float model, and evaluate it; writes metrics.json beside it.

Example:
    python scripts/import_model.py --model my.keras --val-records build/tfrec_val --labels build/tfrec_val/labels.txt \
        --scaling unit --output build/float_model/float_model.h5
"""

from __future__ import annotations

import argparse
from pathlib import Path

from softdpu.commands import import_model as command
from softdpu.commands.options import add_data
from softdpu.dataset import options
from softdpu.output.cli import program


@program
def main() -> None:
    """Parse the command line and import."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True, help="the .h5 of Keras 2 or 3, the .keras or the .onnx")
    add_data(parser, train=False)
    parser.add_argument("--labels", required=True, metavar="TXT", help="labels.txt of the records, a class a line")
    parser.add_argument(
        "--size", type=options.positive, default=224, help="of the input, where the file leaves it open (default: 224)"
    )
    parser.add_argument("--outputs", nargs="+", metavar="NAME", help="tensors where an .onnx ends (default: its own)")
    parser.add_argument("--output", required=True, help="path of the float .h5 model")
    parser.add_argument("--threads", type=options.positive, default=1, help="threads to compute with (default: 1)")
    command.import_model(parser.parse_args())


if __name__ == "__main__":
    raise SystemExit(main())
