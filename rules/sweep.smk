"""The variants of a sweep, each with its own rules and folders, and what compares them.

REQUIRED: the records, the rules of the plain build. PROVIDES: <build>/<variant>/ and <logs>/<variant>/ as variant.smk
fills them, <build>/sweep/table.csv, table.json and sweep.svg, and the name sweep.
"""

from softdpu.sweep import variants

with one_line():
    VARIANTS = variants.expand(
        config,
        ROOT / "schemas/config.schema.yaml",
        {name: workflow.pathvars.apply(f"<{name}>") for name in variants.FOLDERS},
    )
    variants.check_names(VARIANTS, [str(f) for r in workflow.rules for f in r.output])


COMPARED = [f"{v.name}/{target}" for v in VARIANTS for target in v.config["targets"]]


for variant in VARIANTS:
    module_name = f"variant_{variant.name}"
    prefix = f"{variant.name}_"

    module:
        name: module_name
        snakefile:
            "variant.smk"
        config:
            variant.config

    use rule * from module_name as prefix*


rule compare_variants:
    input:
        [variants.list_results(BUILD, compared) for compared in COMPARED],
        script="scripts/compare_variants.py",
        code=code("scripts/compare_variants.py"),
    output:
        csv="<build>/sweep/table.csv",
        json="<build>/sweep/table.json",
        picture="<build>/sweep/sweep.svg",
    log:
        "<logs>/sweep.log",
    localrule: True
    conda:
        ENV
    params:
        compared=COMPARED,
        build=subpath(output.csv, ancestor=2),
        folder=subpath(output.csv, parent=True),
        task=options(TASK_OPTION),
    message:
        "compare the variants"
    shell:
        "python {input.script:q} {params.compared:q}"
        " --build {params.build:q}"
        " {params.task:q}"
        " --output {params.folder:q}"
        " &> {log:q}"


rule sweep:
    input:
        lambda wildcards: require(
            VARIANTS,
            "no variants are named; see config/sweep.yaml, and run: snakemake sweep --configfile config/sweep.yaml",
        ),
        rules.compare_variants.output,
    localrule: True
