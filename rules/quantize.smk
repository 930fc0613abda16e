"""A float model becomes an int8 model, by calibration alone (PTQ) and by fine-tuning (QAT).

REQUIRED: build/float_model/float_model.h5 and the records. PROVIDES: build/quant_model/quant_model.h5 and
build/quant_ft_model/quant_ft.h5, each with metrics.json and the positions of every tensor beside it.
"""


rule quantize:
    input:
        train=records("train"),
        val=records("val"),
        model="build/float_model/float_model.h5",
        script="scripts/quantize.py",
        code=code("scripts/quantize.py"),
    output:
        model="build/quant_model/quant_model.h5",
        metrics="build/quant_model/metrics.json",
        positions="build/quant_model/quant_model.positions.json",
    log:
        "logs/quantize.log",
    benchmark:
        "logs/benchmarks/quantize.tsv"
    conda:
        ENV
    threads: config["train"]["threads"]
    resources:
        mem_mb=2500,
        runtime=20,
    params:
        recipe=config["quantize"],
        threads=config["train"]["threads"],
    message:
        "quantize with {params.recipe[calib_images]} calibration images, recipe {params.recipe[recipe]}"
    shell:
        "python {input.script} --model {input.model} --train-records build/tfrec_train --val-records build/tfrec_val"
        " --recipe {params.recipe[recipe]} --calib-images {params.recipe[calib_images]}"
        " --calib-batch {params.recipe[batch_size]} --threads {params.threads}"
        " --output {output.model} 2>&1 | tee {log:q}"


rule finetune:
    input:
        train=records("train"),
        val=records("val"),
        model="build/float_model/float_model.h5",
        script="scripts/finetune.py",
        code=code("scripts/finetune.py"),
    output:
        model="build/quant_ft_model/quant_ft.h5",
        metrics="build/quant_ft_model/metrics.json",
        positions="build/quant_ft_model/quant_ft.positions.json",
    log:
        "logs/finetune.log",
    benchmark:
        "logs/benchmarks/finetune.tsv"
    conda:
        ENV
    threads: config["train"]["threads"]
    resources:
        mem_mb=3500,
        runtime=60,
    params:
        calibration=config["quantize"],
        recipe=config["finetune"],
        seed=config["train"]["seed"],
        threads=config["train"]["threads"],
    message:
        "fine-tune the quantized model, {params.recipe[epochs]} epochs"
    shell:
        "python {input.script} --model {input.model} --train-records build/tfrec_train --val-records build/tfrec_val"
        " --recipe {params.calibration[recipe]} --calib-images {params.calibration[calib_images]}"
        " --calib-batch {params.calibration[batch_size]} --epochs {params.recipe[epochs]}"
        " --batch-size {params.recipe[batch_size]} --learning-rate {params.recipe[learning_rate]}"
        " --seed {params.seed} --threads {params.threads} --tensorboard logs/tensorboard/finetune"
        " --output {output.model} 2>&1 | tee {log:q}"
