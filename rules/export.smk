"""The fine-tuned network becomes files for other int8 devices: QDQ ONNX for NPUs, .tflite for LiteRT.

REQUIRED: <quant_ft_model>/quant_ft.h5, the validation records. PROVIDES: <build>/export/mobilenet.xint8.onnx,
mobilenet.vint8.onnx and mobilenet.tflite, beside each a .json with its check against the DPU's numbers and its accuracy;
EXPORTED: those of the config, if they are made with the target, by format.
"""

import os
import re

SUFFIX_OF = {"xint8": "xint8.onnx", "vint8": "vint8.onnx", "tflite": "tflite"}
EXPORTED = (
    {
        form: f"<build>/export/mobilenet.{suffix}.json"
        for form, suffix in SUFFIX_OF.items()
    }
    if config["export"] == "with_target"
    else {}
)


rule export_file:
    input:
        model="<quant_ft_model>/quant_ft.h5",
        val=records("val"),
        script="scripts/export.py",
        code=code("scripts/export.py"),
    output:
        file="<build>/export/mobilenet.{form}",
        report="<build>/export/mobilenet.{form}.json",
    log:
        "<logs>/export_{form}.log",
    benchmark:
        "<logs>/benchmarks/export_{form}.tsv"
    wildcard_constraints:
        form="|".join(map(re.escape, SUFFIX_OF.values())),
    conda:
        ENV
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: attempt * 2000,
        runtime=60,
    params:
        form=lambda wildcards: wildcards.form.split(".")[0],
        # Boxes, and outputs of which nothing is said, are not measured.
        val=lambda wildcards, input: (
            [
                "--records",
                os.path.dirname(input.val),
                *as_options({**SCALED, **TASK_OPTION}),
            ]
            if TASK in (tasks.CLASSIFICATION, tasks.SEGMENTATION)
            else []
        ),
    message:
        "export the network as {params.form}, check it and measure it"
    shell:
        "python {input.script:q} {input.model:q}"
        " --format {params.form:q}"
        " --check"
        " {params.val:q}"
        " --report {output.report:q}"
        " --output {output.file:q}"
        " &> {log:q}"
