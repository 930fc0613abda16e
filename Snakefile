"""From labelled images to an SD-card folder for a DPU board. Start reading at rules/common.smk; the rules follow the data."""

from snakemake.utils import min_version

min_version("9.20")


configfile: "config.yaml"


include: "rules/common.smk"
include: "rules/dataset.smk"
include: "rules/train.smk"
include: "rules/quantize.smk"
include: "rules/compile.smk"
include: "rules/package.smk"


rule all:
    default_target: True
    input:
        collect(rules.package.output, target=config["targets"]),
        collect(
            "build/{result}_{target}.json",
            result=["inspect", "ladder"],
            target=config["targets"],
        ),
    localrule: True
