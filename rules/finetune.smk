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
            predictions="<quant_model>/predictions.csv",
            positions="<quant_model>/quant_model.positions.json",
        output:
            model="<quant_ft_model>/quant_ft.h5",
            metrics="<quant_ft_model>/metrics.json",
            predictions="<quant_ft_model>/predictions.csv",
            positions="<quant_ft_model>/quant_ft.positions.json",
        log:
            "<logs>/finetune.log",
        localrule: True
        conda:
            ENV
        message:
            "no fine-tuning: the quantized model is what is compiled"
        shell:
            "(cp {input.model} {output.model} && cp {input.metrics} {output.metrics} &&"
            " cp {input.predictions} {output.predictions} && cp {input.positions} {output.positions}) &> {log:q}"

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
            predictions="<quant_ft_model>/predictions.csv",
            history="<quant_ft_model>/history.csv",
            positions="<quant_ft_model>/quant_ft.positions.json",
        log:
            "<logs>/finetune.log",
        benchmark:
            "<logs>/benchmarks/finetune.tsv"
        conda:
            ENV_OF["finetune"]
        container:
            vitis_ai.container(config, "finetune")
        threads: config["train"]["threads"]
        resources:
            mem_mb=lambda wildcards, attempt: attempt
            * requests.memory(config, "finetune"),
            runtime=lambda wildcards, attempt: attempt
            * requests.minutes(config, "finetune"),
            gpu=config["cluster"]["gpus"],
        params:
            launch=launch,
            run=vitis_ai.command(config, "finetune"),
            calibration=options(vitis_ai.quantizer_options(config, "finetune")),
            recipe=options(config["finetune"]),
            seed=config["train"]["seed"],
            threads=config["train"]["threads"],
            strategy=config["train"]["strategy"],
            fit=IMAGES,
            tensorboard=f"{LOGS}/tensorboard/finetune",
        message:
            "fine-tune the quantized model, and measure"
        shell:
            "{params.launch}{params.run}python {input.script} --model {input.model} --train-records $(dirname {input.train}) --val-records $(dirname {input.val})"
            " {params.fit} {params.calibration} {params.recipe} --seed {params.seed} --threads {params.threads}"
            " --strategy {params.strategy} --checkpoints $(dirname {output.model})/checkpoint"
            " --tensorboard {params.tensorboard} --output {output.model} &> {log:q}"
