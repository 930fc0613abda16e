r"""Make TFRecords of one split of a data set: all shards and the manifest, or one shard with its report.

Example:
    python scripts/make_records.py --kind fashion_mnist --source data/fashion_mnist --split val --shards 2 \
        --output build/tfrec_val
    ... --shard 0      writes build/tfrec_val/data_0.tfrecord and data_0.json alone; merge_records.py joins the reports
"""

from __future__ import annotations

from softdpu.commands import records as command
from softdpu.output.cli import script

main = script(command.add_arguments, __doc__)

if __name__ == "__main__":
    raise SystemExit(main())
