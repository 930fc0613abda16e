"""An int8 model becomes an .xmodel for a board.

REQUIRED: <float_model>/float_model.h5, <quant_ft_model>/quant_ft.h5. PROVIDES: <build>/inspect_{target}.json,
which says as soon as there is a float model which layers the DPU will not take, and what to change;
<build>/compiled_model_{target}/mobilenet.xmodel, with our own compiler also summary.json, which says where each layer runs;
and <build>/predict_{target}.json, which says how fast it will be on the board.
"""


rule inspect:
    input:
        model="<float_model>/float_model.h5",
        script="scripts/inspect_model.py",
        code=code("scripts/inspect_model.py"),
    output:
        "<build>/inspect_{target}.json",
    log:
        "<logs>/inspect_{target}.log",
    localrule: True
    conda:
        ENV
    params:
        vitis_ai=options(config["compile"]),
    message:
        "which layers of the float model the DPU of {wildcards.target} takes"
    shell:
        "python {input.script:q} {input.model:q}"
        " --target {wildcards.target:q}"
        " {params.vitis_ai:q}"
        " --output {output:q}"
        " &> {log:q}"


if TOOLCHAIN["compile"] == vitis_ai.VITIS_AI:

    rule arch:
        output:
            "<build>/compiled_model_{target}/arch.json",
        log:
            "<logs>/arch_{target}.log",
        localrule: True
        conda:
            ENV
        params:
            arch=lambda wildcards: vitis_ai.describe_arch(config, wildcards.target),
        message:
            "the DPU of {wildcards.target} as an arch.json for AMD's compiler"
        shell:
            "echo {params.arch:q} >{output:q} 2> {log:q}"

    rule compile:
        input:
            model="<quant_ft_model>/quant_ft.h5",
            arch=lambda wildcards: (
                []
                if vitis_ai.find_arch_file(wildcards.target)
                else "<build>/compiled_model_{target}/arch.json"
            ),
            tools=AMD_TOOLS["compile"],
        output:
            xmodel="<build>/compiled_model_{target}/mobilenet.xmodel",
        log:
            "<logs>/compile_{target}.log",
        benchmark:
            "<logs>/benchmarks/compile_{target}.tsv"
        group:
            "target"
        container:
            lambda wildcards: vitis_ai.find_container(
                config, "compile", wildcards.target
            )
        threads: 1
        resources:
            mem_mb=lambda wildcards, attempt: attempt * 4000,
            runtime=30,
        params:
            compiler=lambda wildcards: [
                *vitis_ai.make_command(config, "compile", wildcards.target),
                "vai_c_tensorflow2",
            ],
            arch=lambda wildcards: (
                vitis_ai.find_arch_file(wildcards.target)
                or f"{BUILD}/compiled_model_{wildcards.target}/arch.json"
            ),
            folder=subpath(output.xmodel, parent=True),
        message:
            "compile for {wildcards.target} with AMD's compiler"
        shell:
            "{params.compiler:q}"
            " --model {input.model:q}"
            " --arch {params.arch:q}"
            " --output_dir {params.folder:q}"
            " --net_name mobilenet"
            " &> {log:q}"

else:

    rule compile:
        input:
            model="<quant_ft_model>/quant_ft.h5",
            script="scripts/compile.py",
            code=code("scripts/compile.py"),
        output:
            xmodel="<build>/compiled_model_{target}/mobilenet.xmodel",
            summary="<build>/compiled_model_{target}/summary.json",
        log:
            "<logs>/compile_{target}.log",
        benchmark:
            "<logs>/benchmarks/compile_{target}.tsv"
        group:
            "target"
        conda:
            ENV
        threads: 1
        resources:
            mem_mb=lambda wildcards, attempt: attempt * 1000,
            runtime=10,
        params:
            vitis_ai=options(config["compile"]),
        message:
            "compile for {wildcards.target}"
        shell:
            "python {input.script:q}"
            " --model {input.model:q}"
            " --target {wildcards.target:q}"
            " {params.vitis_ai:q}"
            " --summary {output.summary:q}"
            " --output {output.xmodel:q}"
            " &> {log:q}"


rule predict:
    input:
        model="<build>/compiled_model_{target}/mobilenet.xmodel",
        script="scripts/predict.py",
        constants="src/softdpu/predict/data/constants.csv",
        code=code("scripts/predict.py"),
    output:
        "<build>/predict_{target}.json",
    log:
        "<logs>/predict_{target}.log",
    localrule: True
    conda:
        ENV
    params:
        vitis_ai=options(config["compile"]),
    message:
        "frames/s to expect on {wildcards.target}"
    shell:
        "python {input.script:q} {input.model:q}"
        " --target {wildcards.target:q}"
        " {params.vitis_ai:q}"
        " --output {output:q}"
        " &> {log:q}"
