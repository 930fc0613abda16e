r"""Make the folder for the SD card: app, model, images, golden vectors, README.txt and MANIFEST.sha256.

Example:
    python scripts/package.py --model build/compiled_model_zcu102/mobilenet.xmodel --records build/tfrec_val \
        --app target_src/app_mt.py --images 500 --target zcu102 --output build/target_zcu102
"""

from __future__ import annotations

import argparse

from softdpu.output.cli import program
from softdpu.package import card


@program
def main() -> None:
    """Parse the command line and make the folder."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    card.add_arguments(parser)
    card.build(parser.parse_args())


if __name__ == "__main__":
    raise SystemExit(main())
