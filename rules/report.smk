"""What the build leaves becomes pictures and tables, which `snakemake report_inputs --report FILE` puts into one file.

REQUIRED: the files of all stages and of the config's targets. PROVIDES: <build>/report/. What is shown, and where, is a
table in src/softdpu/report/figures.py, the captions are in report/; what is drawn for each target is in
report_target.smk, for each layer in quantize.smk.
"""

import json


report: "../report/workflow.rst"


rule report_accuracy:
    input:
        **MEASURED,
        val=records("val"),
        script="scripts/report_accuracy.py",
        code=code("scripts/report_accuracy.py"),
    output:
        **pictures("report_accuracy"),
    log:
        "<logs>/report_accuracy.log",
    conda:
        ENV
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        val=subpath(input.val, parent=True),
        folder=subpath(output[0], parent=True),
        task=options(TASK_OPTION),
    message:
        "pictures of training, classes and images"
    shell:
        "python {input.script:q}"
        " --float {input.float:q}"
        " --ptq {input.ptq:q}"
        " --qat {input.qat:q}"
        " --records {params.val:q}"
        " {params.task:q}"
        " --output {params.folder:q}"
        " &> {log:q}"


rule report_build:
    input:
        **MEASURED,
        models=[
            getattr(rules, name).output.model
            for name in ("train", "quantize", "finetune")
        ],
        xmodels=collect(rules.compile.output.xmodel, target=config["targets"]),
        cards=collect(
            "<build>/target_{target}/MANIFEST.sha256", target=config["targets"]
        ),
        records=[records("train"), records("val")],
        script="scripts/report_build.py",
        code=code("scripts/report_build.py"),
    output:
        **pictures("report_build"),
    log:
        "<logs>/report_build.log",
    localrule: True
    conda:
        ENV
    params:
        config=lambda wildcards: json.dumps(config, sort_keys=True),
        benchmarks=f"{LOGS}/benchmarks",
        folder=subpath(output.costs, parent=True),
    message:
        "what the rules took, and the provenance of the build"
    shell:
        "python {input.script:q}"
        " --config {params.config:q}"
        " --benchmarks {params.benchmarks:q}"
        " --manifests {input.records:q}"
        " --files {input.models:q} {input.float:q} {input.ptq:q} {input.qat:q} {input.xmodels:q} {input.cards:q}"
        " --output {params.folder:q}"
        " &> {log:q}"


rule report_inputs:
    input:
        rules.report_accuracy.output,
        rules.report_build.output,
        rules.doctor.output,
        collect(rules.report_target.output, target=config["targets"]),
    localrule: True
    message:
        "the report's pictures are drawn"
