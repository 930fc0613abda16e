"""What the report shows of one target: its ladder, what was compiled for it, a classifier's errors, throughput.

REQUIRED: what the stages measured, and the rules of package.smk. PROVIDES: <build>/report/{target}/, and MEASURED: by
stage, what it says of itself.
"""

from softdpu.report.figures import keep_measured

MEASURED = {
    "float": keep_measured(rules.train.output),
    "ptq": keep_measured(rules.quantize.output),
    "qat": keep_measured(rules.finetune.output) if config["finetune"]["epochs"] else [],
}
NETWORK = (
    config["model"]["file"]
    or f"{TASK.network} {config['model']['alpha']} at {config['model']['input_size']} pixels"
)


rule report_target:
    input:
        **MEASURED,
        run=rules.ladder.input.target,
        sweep="<build>/throughput_{target}.json",
        xmodel="<build>/compiled_model_{target}/mobilenet.xmodel",
        summary=getattr(rules.compile.output, "summary", []),
        inspect="<build>/inspect_{target}.json",
        predict="<build>/predict_{target}.json",
        labels="<records>/tfrec_val/labels.txt",
        exported=list(EXPORTED.values()),
        script="scripts/report_target.py",
        code=code("scripts/report_target.py"),
    output:
        **pictures("report_target"),
    log:
        "<logs>/report_{target}.log",
    conda:
        ENV
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        build=lambda wildcards: f"{NETWORK}, {DATASET['kind'].replace('_', ' ')}",
        option="--summary" if OURS["compile"] else [],
        exported="--exported" if EXPORTED else [],
        task=options(TASK_OPTION),
        folder=subpath(output.ladder, parent=True),
    message:
        "pictures of {wildcards.target}"
    shell:
        "python {input.script:q}"
        " --target {wildcards.target:q}"
        " --build {params.build:q}"
        " --float {input.float:q}"
        " --ptq {input.ptq:q}"
        " --qat {input.qat:q}"
        " --run {input.run:q}"
        " --sweep {input.sweep:q}"
        " --xmodel {input.xmodel:q}"
        " {params.option:q} {input.summary:q}"
        " --inspect {input.inspect:q}"
        " --predict {input.predict:q}"
        " --labels {input.labels:q}"
        " {params.exported:q} {input.exported:q}"
        " {params.task:q}"
        " --output {params.folder:q}"
        " &> {log:q}"
