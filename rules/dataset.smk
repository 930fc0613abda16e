"""Images become records.

REQUIRED: what config.yaml's section dataset names. PROVIDES: <records>/tfrec_train/ and tfrec_val/, each with its
shards data_<i>.tfrecord, labels.txt and manifest.json; inspect_records draws <build>/inspect_train.png and _val.png.
"""

from softdpu.dataset.listed import ARRAY_SUFFIXES, SUFFIXES, state


rule fetch_data:
    input:
        script="scripts/fetch_data.py",
        code=code("scripts/fetch_data.py"),
    output:
        images.FASHION_MNIST_FILES,
    log:
        "<logs>/fetch_data.log",
    localrule: True
    conda:
        ENV
    params:
        folder=subpath(output[0], parent=True),
        source=options({"folder": DATASET["path"]}),
    message:
        "Fashion-MNIST into data/fashion_mnist"
    shell:
        "python {input.script:q}"
        " --output {params.folder:q}"
        " {params.source:q}"
        " &> {log:q}"


rule draw_shapes:
    input:
        script="scripts/draw_shapes.py",
        code=code("scripts/draw_shapes.py"),
    output:
        f"{images.name_shapes(TASK.name)}/classes.txt",
    log:
        "<logs>/draw_shapes.log",
    conda:
        ENV
    resources:
        mem_mb=500,
        runtime=10,
    params:
        folder=subpath(output[0], parent=True),
        task=TASK.name,
        counts=options({key: DATASET[key] for key in ("train_images", "val_images")}),
    message:
        "draw shapes for {params.task} into {params.folder}"
    shell:
        "python {input.script:q}"
        " --task {params.task:q}"
        " --output {params.folder:q}"
        " {params.counts:q}"
        " &> {log:q}"


rule fetch_ground_truth:
    input:
        [DATASET["ground_truth"]] if DATASET["ground_truth"] else [],
        script="scripts/fetch_data.py",
        code=code("scripts/fetch_data.py"),
    output:
        images.GROUND_TRUTH,
    log:
        "<logs>/fetch_ground_truth.log",
    localrule: True
    conda:
        ENV
    params:
        source=options({"folder": DATASET["ground_truth"]}),
    message:
        "ImageNet's ground truth into {output}"
    shell:
        "python {input.script:q}"
        " --kind imagenet"
        " --output {output:q}"
        " {params.source:q}"
        " &> {log:q}"


rule records_shard:
    input:
        lambda wildcards: images.list_sources(DATASET, TASK.name, wildcards.split),
        script="scripts/make_records.py",
        code=code("scripts/make_records.py"),
    output:
        records="<records>/tfrec_{split}/data_{shard}.tfrecord",
        summary="<records>/tfrec_{split}/data_{shard}.json",
    log:
        "<logs>/records_{split}_{shard}.log",
    benchmark:
        "<logs>/benchmarks/records_{split}_{shard}.tsv"
    conda:
        ENV
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: attempt * 500,
        runtime=30,
    params:
        source=lambda wildcards: as_options(
            images.choose_source(config, wildcards.split)
        ),
        # The files of a folder are too many to list; their names, sizes and times make one number.
        state=lambda wildcards: (
            state(DATASET["path"], (*SUFFIXES, *ARRAY_SUFFIXES, *TASK.label_files))
            if DATASET["kind"] in images.OF_FOLDERS
            else ""
        ),
        folder=subpath(output.records, parent=True),
    message:
        "records of the {wildcards.split} images, shard {wildcards.shard}"
    shell:
        "python {input.script:q}"
        " {params.source:q}"
        " --shard {wildcards.shard:q}"
        " --output {params.folder:q}"
        " &> {log:q}"


rule records_manifest:
    input:
        lambda wildcards: collect(
            "<records>/tfrec_{split}/data_{shard}.{kind}",
            split=wildcards.split,
            shard=range(images.count_shards(DATASET, wildcards.split)),
            kind=["tfrecord", "json"],
        ),
        script="scripts/merge_records.py",
        code=code("scripts/merge_records.py"),
    output:
        manifest="<records>/tfrec_{split}/manifest.json",
        labels="<records>/tfrec_{split}/labels.txt",
    log:
        "<logs>/records_{split}.log",
    localrule: True
    conda:
        ENV
    params:
        shards=lambda wildcards: images.count_shards(DATASET, wildcards.split),
        skipped=DATASET["max_skipped"],
        folder=subpath(output.manifest, parent=True),
    message:
        "manifest of the {wildcards.split} records"
    shell:
        "python {input.script:q}"
        " --records {params.folder:q}"
        " --shards {params.shards:q}"
        " --max-skipped {params.skipped:q}"
        " &> {log:q}"


rule contact_sheet:
    input:
        records=lambda wildcards: records(wildcards.split),
        script="scripts/inspect_records.py",
        code=code("scripts/inspect_records.py"),
    output:
        "<build>/inspect_{split}.png",
    log:
        "<logs>/inspect_{split}.log",
    localrule: True
    conda:
        ENV
    params:
        records=subpath(input.records, parent=True),
    message:
        "contact sheet of the {wildcards.split} records"
    shell:
        "python {input.script:q}"
        " --records {params.records:q}"
        " --output {output:q}"
        " &> {log:q}"


rule inspect_records:
    input:
        collect("<build>/inspect_{split}.png", split=["train", "val"]),
    localrule: True
