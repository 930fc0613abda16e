"""Images become records.

REQUIRED: what config.yaml's section dataset names. PROVIDES: build/tfrec_train/ and build/tfrec_val/, each with its
shards data_<i>.tfrecord, labels.txt and manifest.json.
"""

FASHION_MNIST = collect(
    "data/fashion_mnist/{part}-ubyte.gz",
    part=["train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1"],
)
SHARDS = {split: range(config["dataset"][f"{split}_shards"]) for split in ("train", "val")}


def records(split):
    """Return the record files of a split."""
    return collect("build/tfrec_{split}/data_{shard}.tfrecord", split=split, shard=SHARDS[split])


rule fetch_data:
    input:
        code=code("scripts/fetch_data.py"),
    output:
        FASHION_MNIST,
    log:
        "logs/fetch_data.log",
    conda:
        ENV
    params:
        folder=lambda wildcards: (
            f"--folder {config['dataset']['path']}" if config["dataset"]["path"] else ""
        ),
    localrule: True
    shell:
        "python {input.code[0]} --output data/fashion_mnist {params.folder} 2>&1 | tee {log}"
