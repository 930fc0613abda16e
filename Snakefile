"""From labelled images to an SD-card folder for a DPU board. Start reading at rules/common.smk; the rules follow the data."""

from pathlib import Path

from snakemake.utils import min_version

from softdpu.build import clock, config as configuration, ctrl_c, images, locks
from softdpu.build.stop import one_line
from softdpu.output import files

min_version("9.20")


configfile: "config.yaml"


pathvars:
    build="build",
    records="<build>",
    float_model="<build>/float_model",
    quant_model="<build>/quant_model",
    quant_ft_model="<build>/quant_ft_model",
    logs=images.choose_logs(config),


with one_line():
    files.refuse_full_disk(Path.cwd())
    configuration.refuse_doubled_keys(["config.yaml", *workflow.overwrite_configfiles])
    configuration.complete(
        config, Path(workflow.basedir) / "schemas/config.schema.yaml"
    )


include: "rules/common.smk"
include: "rules/dataset.smk"
include: "rules/train.smk"
include: "rules/quantize.smk"
include: "rules/finetune.smk"
include: "rules/compile.smk"
include: "rules/export.smk"
include: "rules/package.smk"
include: "rules/report_target.smk"
include: "rules/report.smk"
include: "rules/targets.smk"
include: "rules/deploy.smk"
include: "rules/sweep.smk"
include: "rules/checks.smk"
include: "rules/preflight.smk"


onstart:
    if not workflow.non_local_exec:
        ctrl_c.reach_every_job()
    check_machine(workflow.dag.needrun_jobs())
    if any(job.output for job in workflow.dag.needrun_jobs()):
        with one_line():
            locks.hold(Path(BUILD))
            images.claim_folder(Path(BUILD), DATASET)
            inputs = [
                file for job in workflow.dag.needrun_jobs() for file in job.input
            ]
            if note := clock.bring_back(map(Path, inputs)):
                logger.warning(f"note: {note}")


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
    localrule: True
