r"""Make the folder for the SD card: app, model, images, golden vectors, README.txt and MANIFEST.sha256.

Example:
    python scripts/package.py --model build/compiled_model_zcu102/mobilenet.xmodel --records build/tfrec_val \
        --app target_src/app_mt.py --images 500 --target zcu102 --output build/target_zcu102
"""

from __future__ import annotations

from softdpu.commands import package as command
from softdpu.output.cli import script

main = script(command.add_arguments, __doc__)

if __name__ == "__main__":
    raise SystemExit(main())
