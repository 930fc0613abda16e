"""An int8 model becomes an .xmodel for a board.

REQUIRED: build/quant_ft_model/quant_ft.h5. PROVIDES: build/compiled_model_{target}/mobilenet.xmodel and summary.json,
which says for every layer where it runs and why.
"""


rule compile:
    input:
        model="build/quant_ft_model/quant_ft.h5",
        script="scripts/compile.py",
        code=code("scripts/compile.py"),
    output:
        xmodel="build/compiled_model_{target}/mobilenet.xmodel",
        summary="build/compiled_model_{target}/summary.json",
    log:
        "logs/compile_{target}.log",
    benchmark:
        "logs/benchmarks/compile_{target}.tsv"
    conda:
        ENV
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        vitis_ai=options(config["compile"]),
    message:
        "compile for {wildcards.target}"
    shell:
        "python {input.script} --model {input.model} --target {wildcards.target} {params.vitis_ai}"
        " --summary {output.summary} --output {output.xmodel} 2>&1 | tee {log:q}"
