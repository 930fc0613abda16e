"""Say why a float model loses accuracy when it is quantized: a table, doctor.json and pictures.

Example:
    python scripts/doctor.py build/float_model/float_model.h5 --records build/tfrec_train --output build/doctor
"""

from __future__ import annotations

import argparse

from softdpu.dataset import options
from softdpu.output.cli import program


@program
def main() -> None:
    """Parse the command line and examine."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", help="the float .h5 model")
    parser.add_argument("--records", metavar="DIR", help="folder with .tfrecord files; without it random images")
    parser.add_argument(
        "--calib-images", type=options.positive, default=128, help="images to calibrate with (default: 128)"
    )
    parser.add_argument("--fit", choices=("stretch", "crop"), default="stretch", help="how an image becomes a square")
    options.add_scaling_argument(parser)
    parser.add_argument("--threads", type=options.positive, default=1, help="threads to compute with (default: 1)")
    parser.add_argument("--output", required=True, metavar="DIR", help="folder for doctor.json and the pictures")
    args = parser.parse_args()
    from softdpu.commands.doctor import doctor  # after --help, which needs no TensorFlow

    doctor(args)


if __name__ == "__main__":
    raise SystemExit(main())
