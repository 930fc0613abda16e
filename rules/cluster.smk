"""What a build looks at on a Slurm cluster: before its first job whether the cluster is there, after a failure why.

REQUIRED: nothing. PROVIDES: check_cluster() and explain_failure(), which do nothing for a build on this machine.
"""

import sys

from softdpu.output import files
from softdpu.build.cluster import slurm


def partitions(jobs):
    """Return the partitions that jobs ask for, None for the cluster's default, and no partition if none runs there."""
    if not workflow.non_local_exec:
        return set()
    submitted = [job for job in jobs if not job.is_local]
    return {job.resources.get("slurm_partition") for job in submitted}


def check_cluster(jobs):
    """Stop a build on a cluster that is not there, before its first job."""
    try:
        if asked := partitions(jobs):
            slurm.check(asked)
    except SoftdpuError as error:
        raise SystemExit(f"error: {error}")


def explain_failure(jobs):
    """Tell what no log can tell: that the disk is full, or that a node does not see the folder."""
    try:
        files.refuse_full_disk(Path.cwd())
        for line in slurm.unseen(Path.cwd(), sys.executable, partitions(jobs)):
            logger.error(f"error: {line}")
    except SoftdpuError as error:
        logger.error(f"error: {error}")
