"""Where the images of a build come from: the files that its records depend on, and the options of make_records.py.

A `dataset` here is that section of a complete configuration.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from softdpu import tasks
from softdpu.dataset.folder import count_folders
from softdpu.dataset.imagenet import count_val_shards
from softdpu.errors import SoftdpuError
from softdpu.output import files
from softdpu.own_model import scaling_text

FASHION_MNIST = "data/fashion_mnist"
FASHION_MNIST_FILES = [
    f"{FASHION_MNIST}/{part}-ubyte.gz"
    for part in ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1")
]
GROUND_TRUTH = "data/imagenet/val.txt"
OF_FOLDERS = ("image_folder", tasks.ARRAYS)  # kinds that name a folder, whose files are too many to list

SOURCE = "dataset.json"  # in the build's folder: whose images its records hold


def name_shapes(task: str) -> str:
    """Return the folder that rule draw_shapes draws into, which writes classes.txt last."""
    return f"data/shapes_{task}"


def choose_logs(config: Mapping[str, Any]) -> str:
    """Return the folder of logs and benchmarks of a build: below its own folder if it has one (pathvars.build)."""
    build = (config.get("pathvars") or {}).get("build", "build")
    return "logs" if build == "build" else "<build>/logs"


def claim_folder(folder: Path, dataset: Mapping[str, Any]) -> None:
    """Write down whose images a build's folder holds.

    Raises:
        SoftdpuError: if its records are of other images, which this build would replace.
    """
    keys = ("kind", "path") if dataset["kind"] in OF_FOLDERS else ("kind", "train_tar", "val_tar")
    now = {key: dataset[key] for key in keys if dataset[key] is not None}
    file = folder / SOURCE
    try:
        before = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        before = now
    if before != now and isinstance(before, dict):
        old, new = (" ".join(map(str, source.values())) for source in (before, now))
        raise SoftdpuError(
            f"{folder} holds the build of {old}, and this one is of {new}: give it a folder of its own,"
            f" --config pathvars='{{build: {folder}/mine}}', or delete {file} to have the old records replaced"
        )
    files.write_json(file, now)


def count_shards(dataset: Mapping[str, Any], split: str) -> int:
    """Return the number of record files of a split, train or val."""
    if dataset["kind"] != "imagenet":
        return int(dataset[f"{split}_shards"])
    if split == "train":
        return int(dataset["classes"])
    return count_val_shards(GROUND_TRUTH, dataset["classes"], dataset["images_per_shard"])


def check_task(config: Mapping[str, Any]) -> None:
    """See that a complete configuration's task can be done with its data and its training.

    Raises:
        SoftdpuError: naming the key to change.
    """
    task, kind = tasks.find(config["task"]), config["dataset"]["kind"]
    if kind not in task.sources:
        raise SoftdpuError(
            f"config: task {task.name} takes dataset.kind {' or '.join(task.sources)}, got {kind} (dataset.kind)"
        )
    if task == tasks.SEGMENTATION:
        _check_segmentation(config)
    if not task.network and not config["model"]["file"]:
        raise SoftdpuError(f"config: task {task.name} has no network to train; name a trained one (model.file)")
    if not task.labelled and config["finetune"]["epochs"]:
        raise SoftdpuError(f"config: task {task.name} trains nothing; set finetune.epochs: 0 (finetune.epochs)")
    if config["variants"] and not task.metrics:
        raise SoftdpuError(f"config: variants compares a metric; task {task.name} has none, so leave it out (variants)")
    if "x" in str(config["model"]["input_size"]) and not config["model"]["file"]:
        raise SoftdpuError(
            f"config: model.input_size {config['model']['input_size']} needs a model.file; the network that is trained"
            " here takes a square, such as 64"
        )


def _check_segmentation(config: Mapping[str, Any]) -> None:
    from softdpu.dataset import mask_folder  # slow to import, and few builds need it

    if config["dataset"]["fit"] != "stretch":
        raise SoftdpuError("config: task segmentation takes dataset.fit: stretch, so that masks fit their images")
    for stage in ("train", "finetune"):
        if config[stage]["augment"]["crop"]:
            raise SoftdpuError(f"config: task segmentation cannot crop; leave out {stage}.augment.crop")
    if config["dataset"]["kind"] != "shapes":
        mask_folder.check(Path(config["dataset"]["path"]))


def describe_inputs(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options that say how a record becomes what the network takes, of a complete configuration.

    Raises:
        SoftdpuError: if a model.file cannot be used, or model.preprocess is given for what is no image.
    """
    if config["dataset"]["kind"] != tasks.ARRAYS:
        return {"fit": config["dataset"]["fit"], "scaling": scaling_text(config["model"])}
    if config["model"]["preprocess"]:
        raise SoftdpuError(
            "config: dataset.kind arrays holds the numbers that the network takes, so nothing is scaled; leave out"
            " model.preprocess"
        )
    return {"fit": tasks.ARRAYS}


def count_classes(config: Mapping[str, Any]) -> int | None:
    """Return how many classes the images are of; None where that is not known before the records are made."""
    dataset = config["dataset"]
    if config["task"] == tasks.SEGMENTATION.name:
        from softdpu.dataset import drawn_shapes, mask_folder  # slow to import, and few builds need them

        if dataset["kind"] == "shapes":
            return len(drawn_shapes.MASK_CLASSES)
        return config["segmentation"]["classes"] or mask_folder.count_classes(Path(dataset["path"]))
    if config["task"] != tasks.CLASSIFICATION.name:
        return None
    if dataset["kind"] == "fashion_mnist":
        return 10
    if dataset["kind"] == "imagenet":
        return int(dataset["classes"])
    return count_folders(dataset["path"])


def list_sources(dataset: Mapping[str, Any], task: str, split: str) -> list[str]:
    """Return the files that a split's records are made from; of a folder of images none, for they are too many."""
    if dataset["kind"] == "fashion_mnist":
        return FASHION_MNIST_FILES
    if dataset["kind"] in OF_FOLDERS:
        return []
    if dataset["kind"] == "shapes":
        return [f"{name_shapes(task)}/classes.txt"]
    return [dataset["train_tar"]] if split == "train" else [dataset["val_tar"], dataset["train_tar"], GROUND_TRUTH]


def choose_source(config: Mapping[str, Any], split: str) -> dict[str, Any]:
    """Return the options of make_records.py for a split of a complete configuration, by name."""
    dataset = config["dataset"]
    kind = tasks.find(config["task"]).sources[dataset["kind"]]
    chosen: dict[str, Any] = {"kind": kind, "split": split, "max_pixels": dataset["max_pixels"]}
    if dataset["kind"] == "fashion_mnist":
        chosen.update(source=FASHION_MNIST, images=dataset[f"{split}_images"], jpeg_quality=dataset["jpeg_quality"])
    elif dataset["kind"] == "shapes":
        chosen.update(source=name_shapes(config["task"]))
    elif dataset["kind"] in OF_FOLDERS:
        chosen.update(source=dataset["path"], val_share=dataset["val_share"], seed=dataset["seed"])
        if config["task"] == tasks.SEGMENTATION.name:
            chosen["classes"] = config["segmentation"]["classes"]
    else:
        chosen.update(source=dataset[f"{split}_tar"], classes=dataset["classes"])
        if split == "val":
            chosen.update(train_source=dataset["train_tar"], ground_truth=GROUND_TRUTH)
            chosen.update(images_per_shard=dataset["images_per_shard"])
        return chosen
    return {**chosen, "shards": count_shards(dataset, split)}
