"""What all rules share.

PROVIDES: the checked config, the names of all targets, code(script) = the source files whose edit makes an output stale.
"""

from pathlib import Path

from softdpu import boards, build_lock, config as configuration
from softdpu.errors import SoftdpuError
from softdpu.sources import sources

ROOT = Path(workflow.basedir)
ENV = "../envs/softdpu.yaml"

try:
    configuration.check(config, ROOT / "schemas/config.schema.yaml")
    for name in config["targets"]:
        boards.target(name, config["compile"]["vitis_ai"])
except SoftdpuError as error:
    raise SystemExit(f"error: {error}")

if build_lock.clear_stale(Path(".snakemake")):
    logger.info("The last build in this folder was killed; its lock is removed.")


onstart:
    build_lock.hold(Path(".snakemake"))


wildcard_constraints:
    target="|".join(boards.target_names()),
    split="train|val",
    shard=r"\d+",


def code(script):
    """Return the script and every file of ours that it imports, relative to the project."""
    return [str(ROOT / path) if ROOT != Path.cwd() else path for path in sources(ROOT / script, ROOT)]
