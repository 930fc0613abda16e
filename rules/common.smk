"""What all rules share.

REQUIRED: the complete config. PROVIDES: the constraints on wildcards, the build's folders, whose programs run by stage,
and functions that name inputs, options and the report's pictures.
A rule names files by the pathvars of the Snakefile, such as "<build>/run_{target}.json", so that the variants of a sweep
run the same rules in folders of their own. Where Snakemake replaces none (params, Python), the constants below stand.
In shell commands every value is quoted by `:q`; options are lists of words, so that each word is quoted by itself.
"""

from pathlib import Path

from softdpu.build import boxes, images, vitis_ai
from softdpu.build.cluster import requests
from softdpu import tasks
from softdpu.build.options import as_options
from softdpu.output.sources import sources
from softdpu.build.stop import one_line, require
from softdpu.numbers import boards
from softdpu.own_model import height_and_width
from softdpu.report.figures import list_figures

ROOT = Path(workflow.basedir)
ENV = "../envs/softdpu.yaml"
BUILD, LOGS = map(workflow.pathvars.apply, ["<build>", "<logs>"])
DATASET = config["dataset"]
TASK = tasks.find(config["task"])

# Whose programs run, by stage; AMD's tools bring an environment of their own.
TOOLCHAIN = vitis_ai.find_toolchains(config["toolchain"])
OURS = {stage: whose == vitis_ai.SOFTDPU for stage, whose in TOOLCHAIN.items()}
ENV_OF = {stage: ENV if ours else None for stage, ours in OURS.items()}
AMD_TOOLS = {
    stage: [] if ours else ["envs/vitis_ai.sh"] for stage, ours in OURS.items()
}


wildcard_constraints:
    target="|".join(boards.list_targets()),
    split="train|val",
    shard=r"\d+",


def code(script):
    """Return the script and every file of ours that it imports."""
    return sources(ROOT / script, ROOT)


def options(values):
    """Return params that hold settings as options; a function, so that Snakemake looks for no wildcards in them."""
    words = as_options(values)
    return lambda wildcards: words


def records(split):
    """Return the manifest of a split's records, which is written when all of them are; it lies in their folder."""
    return f"<records>/tfrec_{split}/manifest.json"


def pictures(rule_name):
    """Return the outputs of a rule that draws for the report, flagged with their places there."""
    return {
        figure.output: report(
            f"<build>/{figure.file}",
            caption=f"../report/{figure.caption}.rst",
            category=figure.category,
            labels=figure.labels,
        )
        for figure in list_figures(rule_name, TASK.name)
    }


# How a record becomes what the network takes; and also what the network is for, if that is another task.
SCALED = images.describe_inputs(config)
TASK_OPTION = {} if TASK == tasks.CLASSIFICATION else {"task": TASK.name}
BOXES = {"detection": boxes.as_text(config["detection"])} if TASK.ordered else {}
INPUTS = options(SCALED)
IMAGES = options({**SCALED, **TASK_OPTION, **BOXES})
