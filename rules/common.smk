"""What all rules share.

PROVIDES: the checked config, the constraints on wildcards, and functions that name inputs and options.
"""

import shlex
import time
from pathlib import Path

from softdpu import boards, build_lock, config as configuration
from softdpu.errors import SoftdpuError
from softdpu.sources import sources

ROOT = Path(workflow.basedir)
ENV = "../envs/softdpu.yaml"
STARTED = time.time()

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


def known_target(wildcards):
    """Tell which targets there are, instead of Snakemake's message that no rule makes this one."""
    try:
        boards.target(wildcards.name)
    except SoftdpuError as error:
        raise SystemExit(f"error: {error}")
    return []


def code(script):
    """Return the script and every file of ours that it imports."""
    return sources(ROOT / script, ROOT)


def option(name, value):
    """Return a command-line option with its value, quoted for the shell, or nothing for null."""
    return "" if value is None else f"{name} {shlex.quote(str(value))}"


def weights_file():
    """Return the file of pretrained weights as an input of training, if the config names one."""
    weights = config["model"]["weights"]
    return [] if weights in (None, "imagenet") else [weights]


FASHION_MNIST = collect(
    "data/fashion_mnist/{part}-ubyte.gz",
    part=[
        "train-images-idx3",
        "train-labels-idx1",
        "t10k-images-idx3",
        "t10k-labels-idx1",
    ],
)


def shards(split):
    """Return the number of record files of a split."""
    return config["dataset"][f"{split}_shards"]


def records(split):
    """Return the record files of a split, and the manifest that is written when all of them are."""
    return collect(
        "build/tfrec_{split}/data_{shard}.tfrecord",
        split=split,
        shard=range(shards(split)),
    ) + [f"build/tfrec_{split}/manifest.json"]
