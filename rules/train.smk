"""Records become a float model.

REQUIRED: the records; with `model.file` those to validate with, and that file. PROVIDES: <float_model>/float_model.h5,
and beside it metrics.json, the file of the task (predictions.csv: the class of every validation image) and history.csv (the numbers of every
epoch); TensorBoard's logs in <logs>/tensorboard/float.
"""

if config["model"]["file"]:

    rule train:
        input:
            val=records("val"),
            labels="<records>/tfrec_val/labels.txt",
            own=config["model"]["file"],
            script="scripts/import_model.py",
            code=code("scripts/import_model.py"),
        output:
            model="<float_model>/float_model.h5",
            metrics="<float_model>/metrics.json",
            predictions=f"<float_model>/{TASK.predictions}",
        log:
            "<logs>/train.log",
        benchmark:
            "<logs>/benchmarks/train.tsv"
        conda:
            ENV
        threads: config["train"]["threads"]
        resources:
            mem_mb=lambda wildcards, attempt: attempt * 2500,
            runtime=20,
        params:
            val=subpath(input.val, parent=True),
            size="x".join(map(str, height_and_width(config["model"]["input_size"]))),
            threads=config["train"]["threads"],
            fit=IMAGES,
            outputs=options({"outputs": config["model"]["outputs"]}),
        message:
            "take {input.own} as the float model, and measure"
        shell:
            "python {input.script:q}"
            " --model {input.own:q}"
            " --val-records {params.val:q}"
            " --labels {input.labels:q}"
            " --size {params.size:q}"
            " {params.fit:q}"
            " --threads {params.threads:q}"
            " --output {output.model:q}"
            " {params.outputs:q}"
            " &> {log:q}"

else:

    rule train:
        input:
            train=records("train"),
            val=records("val"),
            labels="<records>/tfrec_train/labels.txt",
            weights=(
                []
                if config["model"]["weights"] in (None, "imagenet")
                else [config["model"]["weights"]]
            ),
            script="scripts/train.py",
            code=code("scripts/train.py"),
            tools=AMD_TOOLS["train"],
        output:
            model="<float_model>/float_model.h5",
            metrics="<float_model>/metrics.json",
            predictions=f"<float_model>/{TASK.predictions}",
            history="<float_model>/history.csv",
        log:
            "<logs>/train.log",
        benchmark:
            "<logs>/benchmarks/train.tsv"
        conda:
            ENV_OF["train"]
        container:
            vitis_ai.find_container(config, "train")
        threads: config["train"]["threads"]
        resources:
            mem_mb=lambda wildcards, attempt: attempt
            * requests.estimate_memory(config, "train"),
            runtime=lambda wildcards, attempt: attempt
            * requests.estimate_minutes(config, "train"),
            gpu=config["cluster"]["gpus"],
        params:
            python=vitis_ai.start_python(config, "train"),
            tools=vitis_ai.make_command(config, "train"),
            train=subpath(input.train, parent=True),
            val=subpath(input.val, parent=True),
            folder=subpath(output.model, parent=True),
            model=config["model"],
            hyperparameters=options(config["train"]),
            start=options(
                {
                    key: config["model"][key]
                    for key in ("dropout", "weights", "freeze_base", "bn_momentum")
                }
            ),
            fit=IMAGES,
            tensorboard=f"{LOGS}/tensorboard/float",
        message:
            f"train {TASK.network} {{params.model[alpha]}} at {{params.model[input_size]}}x{{params.model[input_size]}}"
        shell:
            "{params.python:q} {input.script:q}"
            " --train-records {params.train:q}"
            " --val-records {params.val:q}"
            " {params.fit:q}"
            " --labels {input.labels:q}"
            " --size {params.model[input_size]:q}"
            " --alpha {params.model[alpha]:q}"
            " {params.start:q}"
            " {params.hyperparameters:q}"
            " --tensorboard {params.tensorboard:q}"
            " --output {output.model:q}"
            " --checkpoints {params.folder:q}/checkpoint"
            " &> {log:q}"
