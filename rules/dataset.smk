"""Images become records.

REQUIRED: what config.yaml's section dataset names. PROVIDES: build/tfrec_train/ and build/tfrec_val/, each with its
shards data_<i>.tfrecord, labels.txt and manifest.json.
"""


rule fetch_data:
    input:
        script="scripts/fetch_data.py",
        code=code("scripts/fetch_data.py"),
    output:
        FASHION_MNIST,
    log:
        "logs/fetch_data.log",
    localrule: True
    conda:
        ENV
    params:
        folder=option("--folder", config["dataset"]["path"]),
    message:
        "Fashion-MNIST into data/fashion_mnist"
    shell:
        "python {input.script} --output data/fashion_mnist {params.folder} 2>&1 | tee {log:q}"


rule records_shard:
    input:
        FASHION_MNIST,
        script="scripts/make_records.py",
        code=code("scripts/make_records.py"),
    output:
        "build/tfrec_{split}/data_{shard}.tfrecord",
        "build/tfrec_{split}/data_{shard}.json",
    log:
        "logs/records_{split}_{shard}.log",
    benchmark:
        "logs/benchmarks/records_{split}_{shard}.tsv"
    conda:
        ENV
    resources:
        mem_mb=500,
        runtime=10,
    params:
        shards=lambda wildcards: shards(wildcards.split),
        images=lambda wildcards: option(
            "--images", config["dataset"][f"{wildcards.split}_images"]
        ),
        quality=config["dataset"]["jpeg_quality"],
    message:
        "records of the {wildcards.split} images, shard {wildcards.shard}"
    shell:
        "python {input.script} --kind fashion_mnist --source data/fashion_mnist --split {wildcards.split}"
        " --shards {params.shards} --shard {wildcards.shard} {params.images} --jpeg-quality {params.quality}"
        " --output build/tfrec_{wildcards.split} 2>&1 | tee {log:q}"


rule records_manifest:
    input:
        lambda wildcards: collect(
            "build/tfrec_{split}/data_{shard}.{kind}",
            split=wildcards.split,
            shard=range(shards(wildcards.split)),
            kind=["tfrecord", "json"],
        ),
        script="scripts/merge_records.py",
        code=code("scripts/merge_records.py"),
    output:
        "build/tfrec_{split}/manifest.json",
        "build/tfrec_{split}/labels.txt",
    log:
        "logs/records_{split}.log",
    localrule: True
    conda:
        ENV
    params:
        shards=lambda wildcards: shards(wildcards.split),
    message:
        "manifest of the {wildcards.split} records"
    shell:
        "python {input.script} --records build/tfrec_{wildcards.split} --shards {params.shards} 2>&1 | tee {log:q}"
