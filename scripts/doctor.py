"""Say why a float model loses accuracy when it is quantized: a table, doctor.json and pictures.

Example:
    python scripts/doctor.py build/float_model/float_model.h5 --records build/tfrec_train --output build/doctor
"""

from __future__ import annotations

from softdpu.commands import doctor
from softdpu.output.cli import script

main = script(doctor.add_arguments, __doc__)

if __name__ == "__main__":
    raise SystemExit(main())
