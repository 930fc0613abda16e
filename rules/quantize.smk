"""A float model becomes an int8 model by calibration alone (PTQ).

REQUIRED: <float_model>/float_model.h5 and the records. PROVIDES: <quant_model>/quant_model.h5 with metrics.json,
predictions.csv and the positions of every tensor beside it; on request <build>/doctor/, which shows layer by layer what
quantization does to the float model, with pictures.
"""


rule quantize:
    input:
        train=records("train"),
        val=records("val"),
        model="<float_model>/float_model.h5",
        script="scripts/quantize.py",
        code=code("scripts/quantize.py"),
        tools=AMD_TOOLS["quantize"],
    output:
        model="<quant_model>/quant_model.h5",
        metrics="<quant_model>/metrics.json",
        predictions=f"<quant_model>/{TASK.predictions}",
        positions="<quant_model>/quant_model.positions.json",
    log:
        "<logs>/quantize.log",
    benchmark:
        "<logs>/benchmarks/quantize.tsv"
    conda:
        ENV_OF["quantize"]
    container:
        vitis_ai.find_container(config, "quantize")
    threads: config["train"]["threads"]
    resources:
        mem_mb=lambda wildcards, attempt: attempt * 2500,
        runtime=20,
        gpu=min(1, config["cluster"]["gpus"]),
    params:
        python=[*vitis_ai.make_command(config, "quantize"), "python"],
        train=subpath(input.train, parent=True),
        val=subpath(input.val, parent=True),
        recipe=options(vitis_ai.make_quantizer_options(config, "quantize")),
        threads=config["train"]["threads"],
        fit=IMAGES,
    message:
        f"quantize after training, recipe {config['quantize']['recipe']}, and measure"
    shell:
        "{params.python:q} {input.script:q}"
        " --model {input.model:q}"
        " --train-records {params.train:q}"
        " --val-records {params.val:q}"
        " {params.fit:q}"
        " {params.recipe:q}"
        " --threads {params.threads:q}"
        " --output {output.model:q}"
        " &> {log:q}"


rule doctor:
    input:
        train=records("train"),
        model="<float_model>/float_model.h5",
        script="scripts/doctor.py",
        code=code("scripts/doctor.py"),
    output:
        **pictures("doctor"),
        found="<build>/doctor/doctor.json",
    log:
        "<logs>/doctor.log",
    conda:
        ENV
    threads: config["train"]["threads"]
    resources:
        mem_mb=lambda wildcards, attempt: attempt * 2500,
        runtime=20,
        gpu=min(1, config["cluster"]["gpus"]),
    params:
        train=subpath(input.train, parent=True),
        folder=subpath(output.found, parent=True),
        threads=config["train"]["threads"],
        fit=INPUTS,
    message:
        "why the float model loses accuracy when it is quantized"
    shell:
        "python {input.script:q} {input.model:q}"
        " --records {params.train:q}"
        " {params.fit:q}"
        " --threads {params.threads:q}"
        " --output {params.folder:q}"
        " &> {log:q}"
