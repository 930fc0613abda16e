"""What all rules share.

REQUIRED: the complete config. PROVIDES: the constraints on wildcards, the folders, and functions that name inputs and options.
A rule names files by the pathvars of the Snakefile, such as "<build>/run_{target}.json", so that the variants of a sweep
run the same rules in folders of their own. Where Snakemake replaces none (params, Python), the constants below stand.
"""

import shlex
from pathlib import Path

from softdpu.numbers import boards
from softdpu.build import preflight, vitis_ai
from softdpu.build.cluster import requests
from softdpu.dataset.folder import state
from softdpu.dataset.imagenet import val_shards
from softdpu.errors import SoftdpuError
from softdpu.own_model import scaling_text
from softdpu.build.sources import sources

ROOT = Path(workflow.basedir)
ENV = "../envs/softdpu.yaml"

BUILD, LOGS = map(workflow.pathvars.apply, ["<build>", "<logs>"])
# Whose programs run, by stage; AMD's tools bring an environment of their own.
TOOLCHAIN = vitis_ai.stages(config["toolchain"])
ENV_OF = {
    stage: ENV if whose == vitis_ai.SOFTDPU else None
    for stage, whose in TOOLCHAIN.items()
}
AMD_TOOLS = {
    stage: [] if whose == vitis_ai.SOFTDPU else ["envs/vitis_ai.sh"]
    for stage, whose in TOOLCHAIN.items()
}


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


def any_variants(wildcards):
    """Tell how to name variants, instead of comparing none."""
    if not VARIANTS:
        raise SystemExit(
            "error: no variants are named; see config/sweep.yaml, and run: snakemake sweep --configfile config/sweep.yaml"
        )
    return []


APPTAINER = any(
    method.name == "APPTAINER"
    for method in workflow.deployment_settings.deployment_method
)


def check_machine(jobs):
    """Stop before the first job if one of them runs AMD's tools and something that they need is missing."""
    jobs = list(jobs)
    if not any("envs/vitis_ai.sh" in map(str, job.input) for job in jobs):
        return
    named = {job.wildcards.target for job in jobs if "target" in job.wildcards.keys()}
    configs = [
        {**settings, "targets": sorted({settings["targets"][0], *named})}
        for settings in [config, *(variant.config for variant in VARIANTS)]
    ]
    try:
        preflight.before_build(configs, preflight.Machine(APPTAINER), BUILD)
    except SoftdpuError as error:
        raise SystemExit(f"error: {error}")


def code(script):
    """Return the script and every file of ours that it imports."""
    return sources(ROOT / script, ROOT)


def options(values):
    """Return a section of the config as command-line options: flags for true, nothing for null, false and []."""
    words = []
    for key, value in sorted(values.items()):
        name = f"--{key.replace('_', '-')}"
        if isinstance(value, dict):
            words.append(
                options({f"{key}_{inner}": content for inner, content in value.items()})
            )
        elif value is True:
            words.append(name)
        elif value is not None and value is not False and value != []:
            words.append(
                shlex.join(
                    [name, *map(str, value if isinstance(value, list) else [value])]
                )
            )
    return " ".join(filter(None, words))


def launch(wildcards, resources):
    """Return what starts training on several machines, such as `srun --ntasks 2 `, from the resources mpi and tasks."""
    mpi = resources.get("mpi")
    return f"{mpi} --ntasks {resources.tasks} " if mpi else ""


def weights_file():
    """Return the file of pretrained weights as an input of training, if the config names one."""
    weights = config["model"]["weights"]
    return [] if weights in (None, "imagenet") else [weights]


def measured(rule_name):
    """Return what a stage tells of itself: metrics.json, predictions.csv, history.csv; [] if there is no such rule."""
    told = ("metrics.json", "predictions.csv", "history.csv")
    if not workflow.is_rule(rule_name):
        return []
    output = getattr(rules, rule_name).output
    return [file for file in output if Path(file).name in told]


DATASET = config["dataset"]
FASHION_MNIST = collect(
    "data/fashion_mnist/{part}-ubyte.gz",
    part=[
        "train-images-idx3",
        "train-labels-idx1",
        "t10k-images-idx3",
        "t10k-labels-idx1",
    ],
)
GROUND_TRUTH = "data/imagenet/val.txt"


# How an image becomes what the network takes.
IMAGES = options(
    {
        "fit": DATASET["fit"],
        "scaling": scaling_text(config["model"]["file"], config["model"]["preprocess"]),
    }
)


def shards(split):
    """Return the number of record files of a split."""
    if DATASET["kind"] != "imagenet":
        return DATASET[f"{split}_shards"]
    if split == "train":
        return DATASET["classes"]
    given = GROUND_TRUTH if Path(GROUND_TRUTH).is_file() else None
    return val_shards(given, DATASET["classes"], DATASET["images_per_shard"])


def records(split):
    """Return the manifest of a split's records, which is written when all of them are; it lies in their folder."""
    return f"<records>/tfrec_{split}/manifest.json"


def source_files(wildcards):
    """Return the files that a split's records are made from; those of a folder are params, see source_options."""
    tars = [DATASET["val_tar"], DATASET["train_tar"], GROUND_TRUTH]
    if DATASET["kind"] == "imagenet":
        return tars if wildcards.split == "val" else tars[1:2]
    return FASHION_MNIST if DATASET["kind"] == "fashion_mnist" else []


def source_options(wildcards):
    """Return the options that tell make_records.py what to read."""
    if DATASET["kind"] == "fashion_mnist":
        chosen = {
            "source": "data/fashion_mnist",
            "images": DATASET[f"{wildcards.split}_images"],
        }
        chosen.update(
            shards=shards(wildcards.split), jpeg_quality=DATASET["jpeg_quality"]
        )
    elif DATASET["kind"] == "image_folder":
        chosen = {"source": DATASET["path"], "shards": shards(wildcards.split)}
        chosen.update(val_share=DATASET["val_share"], seed=DATASET["seed"])
    else:
        chosen = {
            "source": DATASET[f"{wildcards.split}_tar"],
            "classes": DATASET["classes"],
        }
        if wildcards.split == "val":
            chosen.update(train_source=DATASET["train_tar"], ground_truth=GROUND_TRUTH)
            chosen.update(images_per_shard=DATASET["images_per_shard"])
    return options({"kind": DATASET["kind"], "split": wildcards.split, **chosen})
