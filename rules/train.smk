"""Records become a float model.

REQUIRED: the records, or of them those to validate with and the file that `model.file` names. PROVIDES: <float_model>/float_model.h5, and beside it metrics.json, predictions.csv (the
class of every validation image) and history.csv (the numbers of every epoch);
TensorBoard's logs in <logs>/tensorboard/float.
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
            predictions="<float_model>/predictions.csv",
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
            size=config["model"]["input_size"],
            threads=config["train"]["threads"],
            fit=IMAGES,
        message:
            "take {input.own} as the float model, and measure"
        shell:
            "python {input.script} --model {input.own:q} --val-records $(dirname {input.val}) --labels {input.labels}"
            " --size {params.size} {params.fit} --threads {params.threads} --output {output.model} &> {log:q}"

else:

    rule train:
        input:
            train=records("train"),
            val=records("val"),
            labels="<records>/tfrec_train/labels.txt",
            weights=weights_file(),
            script="scripts/train.py",
            code=code("scripts/train.py"),
            tools=AMD_TOOLS["train"],
        output:
            model="<float_model>/float_model.h5",
            metrics="<float_model>/metrics.json",
            predictions="<float_model>/predictions.csv",
            history="<float_model>/history.csv",
        log:
            "<logs>/train.log",
        benchmark:
            "<logs>/benchmarks/train.tsv"
        conda:
            ENV_OF["train"]
        container:
            vitis_ai.container(config, "train")
        threads: config["train"]["threads"]
        resources:
            mem_mb=lambda wildcards, attempt: attempt * requests.memory(config, "train"),
            runtime=lambda wildcards, attempt: attempt
            * requests.minutes(config, "train"),
            gpu=config["cluster"]["gpus"],
        params:
            launch=launch,
            run=vitis_ai.command(config, "train"),
            model=config["model"],
            recipe=options(config["train"]),
            start=options(
                {
                    key: config["model"][key]
                    for key in ("dropout", "weights", "freeze_base", "bn_momentum")
                }
            ),
            fit=IMAGES,
            tensorboard=f"{LOGS}/tensorboard/float",
        message:
            "train MobileNet {params.model[alpha]} at {params.model[input_size]}x{params.model[input_size]}"
        shell:
            "{params.launch}{params.run}python {input.script} --train-records $(dirname {input.train}) --val-records $(dirname {input.val}) {params.fit}"
            " --classes $(wc -l <{input.labels}) --size {params.model[input_size]} --alpha {params.model[alpha]}"
            " {params.start} {params.recipe} --tensorboard {params.tensorboard} --output {output.model}"
            " --checkpoints $(dirname {output.model})/checkpoint"
            " &> {log:q}"
