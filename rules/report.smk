"""What the build leaves becomes pictures and tables, which `snakemake report_inputs --report FILE` puts into one file.

REQUIRED: the files of all stages and of the config's targets. PROVIDES: <build>/report/, with a folder a target; and
<build>/throughput_{target}.json. Captions stand in report/, the doctor's pictures are flagged where its rule is.
"""

import json
import os
import sys


report: "../report/workflow.rst"


MEASURED = {
    "float": measured("train"),
    "ptq": measured("quantize"),
    "qat": measured("finetune") if config["finetune"]["epochs"] else [],
}
MODELS = [
    getattr(rules, name).output.model
    for name in ("train", "quantize", "finetune")
    if workflow.is_rule(name)
]
NETWORK = (
    config["model"]["file"]
    or f"MobileNet v1 {config['model']['alpha']} at {config['model']['input_size']} pixels"
)
THREAD_COUNTS = [
    count
    for count in (1, 2, 4, 8, 16)
    if count <= min(os.cpu_count() or 1, config["package"]["images"])
]


rule throughput:
    input:
        card="<build>/target_{target}/MANIFEST.sha256",
        code=code("target_src/app_mt.py"),
    output:
        sweep="<build>/throughput_{target}.json",
    log:
        "<logs>/throughput_{target}.log",
    conda:
        ENV
    threads: max(THREAD_COUNTS)
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        counts=",".join(map(str, THREAD_COUNTS)),
    message:
        "throughput of the app in target_{wildcards.target} with {params.counts} threads"
    shell:
        "output=$(realpath {output.sweep}); log=$(realpath {log}); cd $(dirname {input.card}) &&"
        " python app_mt.py --threads 1 --sweep {params.counts} --json $output &> $log"


rule report_accuracy:
    input:
        **MEASURED,
        val=records("val"),
        script="scripts/report_accuracy.py",
        code=code("scripts/report_accuracy.py"),
    output:
        training=report(
            "<build>/report/training_float.svg",
            caption="../report/training.rst",
            category="2 Training",
            labels={"figure": "1 training of the float model"},
        ),
        finetuning=report(
            "<build>/report/training_qat.svg",
            caption="../report/training.rst",
            category="2 Training",
            labels={"figure": "2 fine-tuning"},
        ),
        confusion_float=report(
            "<build>/report/confusion_float.svg",
            caption="../report/confusion.rst",
            category="3 Classes",
            labels={"figure": "1 confusion matrix", "stage": "1 float model"},
        ),
        confusion_ptq=report(
            "<build>/report/confusion_ptq.svg",
            caption="../report/confusion.rst",
            category="3 Classes",
            labels={"figure": "1 confusion matrix", "stage": "2 quantized"},
        ),
        confusion_qat=report(
            "<build>/report/confusion_qat.svg",
            caption="../report/confusion.rst",
            category="3 Classes",
            labels={"figure": "1 confusion matrix", "stage": "3 fine-tuned"},
        ),
        change_ptq=report(
            "<build>/report/change_ptq.svg",
            caption="../report/change.rst",
            category="3 Classes",
            labels={"figure": "2 what changed", "stage": "2 quantized"},
        ),
        change_qat=report(
            "<build>/report/change_qat.svg",
            caption="../report/change.rst",
            category="3 Classes",
            labels={"figure": "2 what changed", "stage": "3 fine-tuned"},
        ),
        classes=report(
            "<build>/report/classes.html",
            caption="../report/classes.rst",
            category="3 Classes",
            labels={"figure": "3 accuracy by class", "stage": "all"},
        ),
        flips_ptq=report(
            "<build>/report/flips_ptq.svg",
            caption="../report/flips.rst",
            category="4 Flipped images",
            labels={"figure": "1 float model to quantized"},
        ),
        flips_qat=report(
            "<build>/report/flips_qat.svg",
            caption="../report/flips.rst",
            category="4 Flipped images",
            labels={"figure": "2 float model to fine-tuned"},
        ),
    log:
        "<logs>/report_accuracy.log",
    conda:
        ENV
    resources:
        mem_mb=1000,
        runtime=10,
    message:
        "pictures of training, classes and flipped images"
    shell:
        "python {input.script} --float {input.float} --ptq {input.ptq} --qat {input.qat}"
        " --records $(dirname {input.val}) --output $(dirname {output.classes}) &> {log:q}"


rule report_target:
    input:
        **MEASURED,
        run="<build>/run_{target}.json",
        sweep="<build>/throughput_{target}.json",
        xmodel="<build>/compiled_model_{target}/mobilenet.xmodel",
        summary=(
            "<build>/compiled_model_{target}/summary.json"
            if TOOLCHAIN["compile"] == vitis_ai.SOFTDPU
            else []
        ),
        inspect="<build>/inspect_{target}.json",
        labels="<records>/tfrec_val/labels.txt",
        script="scripts/report_target.py",
        code=code("scripts/report_target.py"),
    output:
        ladder=report(
            "<build>/report/{target}/ladder.svg",
            caption="../report/ladder.rst",
            category="1 Accuracy",
            labels={"figure": "accuracy at every stage, {target}", "as": "chart"},
        ),
        table=report(
            "<build>/report/{target}/ladder.html",
            caption="../report/ladder.rst",
            category="1 Accuracy",
            labels={"figure": "accuracy at every stage, {target}", "as": "table"},
        ),
        confusion=report(
            "<build>/report/{target}/confusion.svg",
            caption="../report/confusion.rst",
            category="3 Classes",
            labels={"figure": "1 confusion matrix", "stage": "4 on {target}"},
        ),
        operations=report(
            "<build>/report/{target}/operations.svg",
            caption="../report/compiled.rst",
            category="6 Compiler",
            labels={"figure": "operations of {target}", "as": "chart"},
        ),
        compiled=report(
            "<build>/report/{target}/compiled.html",
            caption="../report/compiled.rst",
            category="6 Compiler",
            labels={"figure": "operations of {target}", "as": "table"},
        ),
        throughput=report(
            "<build>/report/{target}/throughput.svg",
            caption="../report/throughput.rst",
            category="7 Speed",
            labels={"figure": "throughput by threads, {target}"},
        ),
    log:
        "<logs>/report_{target}.log",
    conda:
        ENV
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        build=f"{NETWORK}, {DATASET['kind'].replace('_', ' ')}",
        summary=lambda wildcards, input: f"--summary {input.summary}"
        * bool(input.summary),
    message:
        "pictures of {wildcards.target}"
    shell:
        "python {input.script} --target {wildcards.target} --build {params.build:q} --float {input.float} --ptq {input.ptq} --qat {input.qat}"
        " --run {input.run} --sweep {input.sweep} --xmodel {input.xmodel} {params.summary} --inspect {input.inspect}"
        " --labels {input.labels} --output $(dirname {output.ladder}) &> {log:q}"


rule report_build:
    input:
        **MEASURED,
        models=MODELS,
        xmodels=collect(
            "<build>/compiled_model_{target}/mobilenet.xmodel",
            target=config["targets"],
        ),
        cards=collect(
            "<build>/target_{target}/MANIFEST.sha256", target=config["targets"]
        ),
        records=[records("train"), records("val")],
        script="scripts/report_build.py",
        code=code("scripts/report_build.py"),
    output:
        costs=report(
            "<build>/report/costs.svg",
            caption="../report/costs.rst",
            category="8 Build",
            labels={"figure": "1 time and memory by rule", "as": "chart"},
        ),
        table=report(
            "<build>/report/costs.html",
            caption="../report/costs.rst",
            category="8 Build",
            labels={"figure": "1 time and memory by rule", "as": "table"},
        ),
        provenance=report(
            "<build>/report/provenance.html",
            caption="../report/provenance.rst",
            category="8 Build",
            labels={"figure": "2 where it comes from", "as": "table"},
        ),
    log:
        "<logs>/report_build.log",
    localrule: True
    conda:
        ENV
    params:
        config=json.dumps(config, sort_keys=True),
        benchmarks=f"{LOGS}/benchmarks",
    message:
        "what the rules took, and where the build comes from"
    shell:
        "python {input.script} --config {params.config:q} --benchmarks {params.benchmarks} --manifests {input.records}"
        " --files {input.models} {input.float} {input.ptq} {input.qat} {input.xmodels} {input.cards}"
        " --output $(dirname {output.costs}) &> {log:q}"


REPORT = [
    *rules.report_accuracy.output,
    *rules.report_build.output,
    *rules.doctor.output,
    *collect(rules.report_target.output, target=config["targets"]),
]


rule report_inputs:
    input:
        REPORT,
    localrule: True
    message:
        "the report's pictures are drawn"


# `snakemake --report FILE` without a target takes what `all` names, so the pictures belong to it then.
REPORTING = any(word.split("=")[0] == "--report" for word in sys.argv)

if REPORTING and not all(Path(file).is_file() for file in REPORT):
    raise SystemExit(
        "error: the report's pictures are not drawn yet: run `make report`, or `snakemake -j4 report_inputs` first"
    )
