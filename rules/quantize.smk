"""A float model becomes an int8 model by calibration alone (PTQ).

REQUIRED: <float_model>/float_model.h5 and the records. PROVIDES: <quant_model>/quant_model.h5 with metrics.json,
predictions.csv and the positions of every tensor beside it; on request <build>/doctor/, which tells layer by layer what
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
        predictions="<quant_model>/predictions.csv",
        positions="<quant_model>/quant_model.positions.json",
    log:
        "<logs>/quantize.log",
    benchmark:
        "<logs>/benchmarks/quantize.tsv"
    conda:
        ENV_OF["quantize"]
    container:
        vitis_ai.container(config, "quantize")
    threads: config["train"]["threads"]
    resources:
        mem_mb=lambda wildcards, attempt: attempt * 2500,
        runtime=20,
        gpu=min(1, config["cluster"]["gpus"]),
    params:
        run=vitis_ai.command(config, "quantize"),
        recipe=options(vitis_ai.quantizer_options(config, "quantize")),
        threads=config["train"]["threads"],
        fit=IMAGES,
    message:
        f"quantize after training, recipe {config['quantize']['recipe']}, and measure"
    shell:
        "{params.run}python {input.script} --model {input.model} --train-records $(dirname {input.train}) --val-records $(dirname {input.val})"
        " {params.fit} {params.recipe} --threads {params.threads} --output {output.model} &> {log:q}"


rule doctor:
    input:
        train=records("train"),
        model="<float_model>/float_model.h5",
        script="scripts/doctor.py",
        code=code("scripts/doctor.py"),
    output:
        found="<build>/doctor/doctor.json",
        sqnr=report(
            "<build>/doctor/sqnr.svg",
            caption="../report/sqnr.rst",
            category="5 Layers",
            labels={"figure": "1 signal to noise, layer by layer"},
        ),
        cost=report(
            "<build>/doctor/cost.svg",
            caption="../report/cost.rst",
            category="5 Layers",
            labels={"figure": "2 what each layer costs"},
        ),
        ranges=report(
            "<build>/doctor/ranges.svg",
            caption="../report/ranges.rst",
            category="5 Layers",
            labels={"figure": "3 ranges of the weights"},
        ),
        worst=report(
            "<build>/doctor/worst.svg",
            caption="../report/worst.rst",
            category="5 Layers",
            labels={"figure": "4 the worst layers"},
        ),
        table=report(
            "<build>/doctor/layers.html",
            caption="../report/layers.rst",
            category="5 Layers",
            labels={"figure": "5 all layers in numbers"},
        ),
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
        threads=config["train"]["threads"],
        fit=IMAGES,
    message:
        "why the float model loses accuracy when it is quantized"
    shell:
        "python {input.script} {input.model} --records $(dirname {input.train}) {params.fit} --threads {params.threads}"
        " --output $(dirname {output.found}) &> {log:q}"
