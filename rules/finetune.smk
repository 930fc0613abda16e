"""A float model becomes an int8 model by fine-tuning (QAT).

REQUIRED: <float_model>/float_model.h5 and the records. PROVIDES: <quant_ft_model>/quant_ft.h5 with metrics.json,
predictions.csv, history.csv and the positions of every tensor beside it. With `finetune.epochs: 0` nothing is trained:
the model of <quant_model>/, quantized after training, is what is compiled, without a history.csv.
"""

if config["finetune"]["epochs"] == 0:

    rule finetune:
        input:
            model="<quant_model>/quant_model.h5",
            metrics="<quant_model>/metrics.json",
            predictions=f"<quant_model>/{TASK.predictions}",
            positions="<quant_model>/quant_model.positions.json",
        output:
            model="<quant_ft_model>/quant_ft.h5",
            metrics="<quant_ft_model>/metrics.json",
            predictions=f"<quant_ft_model>/{TASK.predictions}",
            positions="<quant_ft_model>/quant_ft.positions.json",
        log:
            "<logs>/finetune.log",
        localrule: True
        conda:
            ENV
        message:
            "no fine-tuning: the quantized model is what is compiled"
        shell:
            "(cp {input.model:q} {output.model:q}"
            " && cp {input.metrics:q} {output.metrics:q}"
            " && cp {input.predictions:q} {output.predictions:q}"
            " && cp {input.positions:q} {output.positions:q})"
            " &> {log:q}"

else:

    rule finetune:
        input:
            train=records("train"),
            val=records("val"),
            model="<float_model>/float_model.h5",
            script="scripts/finetune.py",
            code=code("scripts/finetune.py"),
            tools=AMD_TOOLS["finetune"],
        output:
            model="<quant_ft_model>/quant_ft.h5",
            metrics="<quant_ft_model>/metrics.json",
            predictions=f"<quant_ft_model>/{TASK.predictions}",
            history="<quant_ft_model>/history.csv",
            positions="<quant_ft_model>/quant_ft.positions.json",
        log:
            "<logs>/finetune.log",
        benchmark:
            "<logs>/benchmarks/finetune.tsv"
        conda:
            ENV_OF["finetune"]
        container:
            vitis_ai.find_container(config, "finetune")
        threads: config["train"]["threads"]
        resources:
            mem_mb=lambda wildcards, attempt: attempt
            * requests.estimate_memory(config, "finetune"),
            runtime=lambda wildcards, attempt: attempt
            * requests.estimate_minutes(config, "finetune"),
            gpu=config["cluster"]["gpus"],
        params:
            python=vitis_ai.start_python(config, "finetune"),
            tools=vitis_ai.make_command(config, "finetune"),
            train=subpath(input.train, parent=True),
            val=subpath(input.val, parent=True),
            folder=subpath(output.model, parent=True),
            calibration=options(vitis_ai.make_quantizer_options(config, "finetune")),
            hyperparameters=options(config["finetune"]),
            seed=config["train"]["seed"],
            threads=config["train"]["threads"],
            strategy=config["train"]["strategy"],
            fit=IMAGES,
            tensorboard=f"{LOGS}/tensorboard/finetune",
        message:
            "fine-tune the quantized model, and measure"
        shell:
            "{params.python:q} {input.script:q}"
            " --model {input.model:q}"
            " --train-records {params.train:q}"
            " --val-records {params.val:q}"
            " {params.fit:q}"
            " {params.calibration:q}"
            " {params.hyperparameters:q}"
            " --seed {params.seed:q}"
            " --threads {params.threads:q}"
            " --strategy {params.strategy:q}"
            " --checkpoints {params.folder:q}/checkpoint"
            " --tensorboard {params.tensorboard:q}"
            " --output {output.model:q}"
            " &> {log:q}"
