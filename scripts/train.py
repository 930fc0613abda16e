r"""Train MobileNet v1 on record files; keeps the best epoch as .h5 and writes metrics.json beside it.

Example:
    python scripts/train.py --train-records build/tfrec_train --val-records build/tfrec_val --classes 10 --size 64 \
        --alpha 0.25 --epochs 3 --output build/float_model/float_model.h5 --tensorboard build/tb_logs
"""

from __future__ import annotations

from softdpu.commands import train as command
from softdpu.output.cli import script

main = script(command.add_arguments, __doc__)

if __name__ == "__main__":
    raise SystemExit(main())
