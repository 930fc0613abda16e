"""From labelled images to an SD-card folder for a DPU board. Start reading at rules/common.smk; the rules follow the data."""

from pathlib import Path

from snakemake.utils import min_version

from softdpu.build import locks as build_lock, config as configuration
from softdpu.output import files
from softdpu.errors import SoftdpuError

min_version("9.20")


configfile: "config.yaml"


pathvars:
    build="build",
    records="<build>",
    float_model="<build>/float_model",
    quant_model="<build>/quant_model",
    quant_ft_model="<build>/quant_ft_model",
    logs="logs",


try:
    files.refuse_full_disk(Path.cwd())
    configuration.refuse_doubled_keys(["config.yaml", *workflow.overwrite_configfiles])
    configuration.complete(
        config, Path(workflow.basedir) / "schemas/config.schema.yaml"
    )
except SoftdpuError as error:
    raise SystemExit(f"error: {error}")


include: "rules/common.smk"
include: "rules/dataset.smk"
include: "rules/train.smk"
include: "rules/quantize.smk"
include: "rules/finetune.smk"
include: "rules/compile.smk"
include: "rules/package.smk"
include: "rules/report.smk"
include: "rules/targets.smk"
include: "rules/deploy.smk"
include: "rules/sweep.smk"
include: "rules/cluster.smk"
include: "rules/preflight.smk"


if build_lock.clear_stale(Path(".snakemake")):
    logger.info("The last build in this folder was killed; its lock is removed.")


onstart:
    check_machine(workflow.dag.needrun_jobs())
    check_cluster(workflow.dag.needrun_jobs())
    build_lock.hold(Path(".snakemake"))


onerror:
    explain_failure(workflow.dag.needrun_jobs())


rule all:
    default_target: True
    input:
        collect(rules.package.output, target=config["targets"]),
        collect(
            "<build>/{result}_{target}.json",
            result=["inspect", "ladder"],
            target=config["targets"],
        ),
        REPORT if REPORTING else [],
    localrule: True
