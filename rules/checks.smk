"""What a build looks at before its first job, and after one has failed.

REQUIRED: the config, and VARIANTS of sweep.smk. PROVIDES: check_machine() and explain_failure() for the Snakefile.
"""

from softdpu.build import preflight
from softdpu.build.cluster import slurm
from softdpu.errors import SoftdpuError
from softdpu.output import files

APPTAINER = any(
    method.name == "APPTAINER"
    for method in workflow.deployment_settings.deployment_method
)


def list_partitions(jobs):
    """Return the partitions that jobs ask for, None for the cluster's default, and no partition if none runs there."""
    if not workflow.non_local_exec:
        return set()
    return {job.resources.get("slurm_partition") for job in jobs if not job.is_local}


def check_machine(jobs):
    """Stop before the first job if something is missing that the jobs need."""
    jobs = list(jobs)
    with one_line():
        if partitions := list_partitions(jobs):
            slurm.check(partitions)
        if any("envs/vitis_ai.sh" in map(str, job.input) for job in jobs):
            named = {job.wildcards.get("target") for job in jobs} - {None}
            configs = [config, *(variant.config for variant in VARIANTS)]
            preflight.check_before_build(
                [preflight.narrow(settings, named) for settings in configs],
                preflight.Machine(APPTAINER),
                BUILD,
            )


def explain_failure(jobs):
    """Say what no log can say: that the disk is full, or that a node does not see the folder."""
    try:
        files.refuse_full_disk(Path.cwd())
        for line in slurm.list_unseen(Path.cwd(), list_partitions(jobs)):
            logger.error(f"error: {line}")
    except SoftdpuError as error:
        logger.error(f"error: {error}")
