"""An .xmodel becomes a folder for the SD card, which is then run on this machine.

REQUIRED: <build>/compiled_model_{target}/mobilenet.xmodel, the records, target_src/. PROVIDES:
<build>/target_{target}/ (the folder), run_{target}.json (the app's results), throughput_{target}.json (its speed by
threads), check_{target}.json (the results against the Keras model's) and ladder_{target}.json (the accuracies of all
stages); their names are in targets.smk.
"""

import os

from softdpu.package.manifest import HELPERS, find_missing_images, list_fixed

# The images' names hold their labels, which nobody knows before they are written. Listing those that an earlier build
# made and that are gone makes a deleted image a missing output.
CARD_FILES = list_fixed(
    config["package"]["golden"], TASK.app, TASK.helpers
) + find_missing_images(Path(BUILD).glob("target_*"), config["package"]["images"])
# What the app writes for `measure`, where it cannot measure itself.
RESULTS = (
    f"<build>/{Path(TASK.results).stem}_{{target}}{Path(TASK.results).suffix}"
    if TASK.results
    else []
)
THREAD_COUNTS = [
    count
    for count in (1, 2, 4, 8, 16)
    if count <= min(os.cpu_count() or 1, config["package"]["images"])
]


rule package:
    input:
        val=records("val"),
        xmodel="<build>/compiled_model_{target}/mobilenet.xmodel",
        app=f"target_src/{TASK.app}",
        helpers=[f"target_src/{name}" for name in (*HELPERS, *TASK.helpers)],
        network="<quant_ft_model>/quant_ft.h5" if TASK.ordered else [],
        script="scripts/package.py",
        code=code("scripts/package.py"),
    output:
        collect("<build>/target_{{target}}/{name}", name=CARD_FILES),
    log:
        "<logs>/package_{target}.log",
    benchmark:
        "<logs>/benchmarks/package_{target}.tsv"
    group:
        "target"
    conda:
        ENV
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: attempt * 1000,
        runtime=10,
    params:
        images=config["package"]["images"],
        golden=config["package"]["golden"],
        fit=IMAGES,
        vitis_ai=options(config["compile"]),
        network="--network" if TASK.ordered else [],
        val=subpath(input.val, parent=True),
        folder=subpath(output[0], parent=True),
    message:
        "package target_{wildcards.target} with {params.images} images"
    shell:
        "python {input.script:q}"
        " --model {input.xmodel:q}"
        " --records {params.val:q}"
        " {params.network:q} {input.network:q}"
        " --app {input.app:q}"
        " --images {params.images:q}"
        " --golden {params.golden:q}"
        " --target {wildcards.target:q}"
        " {params.vitis_ai:q}"
        " {params.fit:q}"
        " --output {params.folder:q}"
        " &> {log:q}"


rule run:
    input:
        card="<build>/target_{target}/MANIFEST.sha256",
        code=code(f"target_src/{TASK.app}"),
    output:
        run="<build>/run_{target}.json",
        results=RESULTS,
    log:
        "<logs>/run_{target}.log",
    benchmark:
        "<logs>/benchmarks/run_{target}.tsv"
    group:
        "target"
    conda:
        ENV
    threads: config["run"]["threads"]
    resources:
        mem_mb=lambda wildcards, attempt: attempt * 1000,
        runtime=20,
    params:
        card=subpath(input.card, parent=True),
        threads=config["run"]["threads"],
        app=TASK.app,
        # The app runs in its folder, so the path of its file of results is made a whole one.
        results=lambda wildcards, output: (
            [f"--{Path(TASK.results).stem}", os.path.abspath(output.results)]
            if RESULTS
            else []
        ),
    message:
        "run the app in target_{wildcards.target}"
    shell:
        'json="$(realpath {output.run:q})"'
        " && (cd {params.card:q} && python {params.app:q}"
        " --threads {params.threads:q}"
        " {params.results:q}"
        ' --json "$json")'
        " &> {log:q}"


if RESULTS:

    rule measure:
        input:
            card="<build>/target_{target}/MANIFEST.sha256",
            results=RESULTS,
            reference="<float_model>/float_model.h5",
            script="scripts/measure_target.py",
            code=code("scripts/measure_target.py"),
        output:
            "<build>/measured_{target}.json",
        log:
            "<logs>/measure_{target}.log",
        group:
            "target"
        conda:
            ENV
        threads: 1
        resources:
            mem_mb=lambda wildcards, attempt: attempt * 2000,
            runtime=20,
        params:
            task=TASK.name,
            card=subpath(input.card, parent=True),
        message:
            "measure what the app in target_{wildcards.target} has found"
        shell:
            "python {input.script:q}"
            " --task {params.task:q}"
            " --results {input.results:q}"
            " --card {params.card:q}"
            " --reference {input.reference:q}"
            " --output {output:q}"
            " &> {log:q}"


rule throughput:
    input:
        card="<build>/target_{target}/MANIFEST.sha256",
        code=code(f"target_src/{TASK.app}"),
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
        card=subpath(input.card, parent=True),
        counts=",".join(map(str, THREAD_COUNTS)),
        app=TASK.app,
    message:
        "throughput of the app in target_{wildcards.target} with {params.counts} threads"
    shell:
        'json="$(realpath {output.sweep:q})"'
        " && (cd {params.card:q} && python {params.app:q}"
        " --threads 1"
        " --sweep {params.counts:q}"
        ' --json "$json")'
        " &> {log:q}"


rule check:
    input:
        card="<build>/target_{target}/MANIFEST.sha256",
        model="<quant_ft_model>/quant_ft.h5",
        script="scripts/check_target.py",
        code=code("scripts/check_target.py"),
        app=code(f"target_src/{TASK.app}"),
    output:
        "<build>/check_{target}.json",
    log:
        "<logs>/check_{target}.log",
    group:
        "target"
    conda:
        ENV
    threads: config["run"]["threads"]
    resources:
        mem_mb=lambda wildcards, attempt: attempt * 2000,
        runtime=20,
    params:
        card=subpath(input.card, parent=True),
    message:
        "compare the app in target_{wildcards.target} with the Keras model"
    shell:
        "python {input.script:q}"
        " --target-dir {params.card:q}"
        " --model {input.model:q}"
        " --threads {threads:q}"
        " --output {output:q}"
        " &> {log:q}"


rule ladder:
    input:
        float="<float_model>/metrics.json",
        ptq="<quant_model>/metrics.json",
        qat="<quant_ft_model>/metrics.json" if config["finetune"]["epochs"] else [],
        target=f"<build>/{'measured' if RESULTS else 'run'}_{{target}}.json",
        exported=list(EXPORTED.values()),
        script="scripts/ladder.py",
        code=code("scripts/ladder.py"),
    output:
        "<build>/ladder_{target}.json",
    log:
        "<logs>/ladder_{target}.log",
    localrule: True
    conda:
        ENV
    params:
        card=f"{BUILD}/target_{{target}}",
        option="--qat" if config["finetune"]["epochs"] else [],
        exported="--exported" if EXPORTED else [],
        task=options(TASK_OPTION),
    message:
        "accuracy at every stage for {wildcards.target}"
    shell:
        "python {input.script:q}"
        " --float {input.float:q}"
        " --ptq {input.ptq:q}"
        " {params.option:q} {input.qat:q}"
        " --target {input.target:q}"
        " {params.exported:q} {input.exported:q}"
        " --folder {params.card:q}"
        " {params.task:q}"
        " --output {output:q}"
        " &> {log:q}"
