"""What a network is for: a row for each task, read when a build is planned, so it imports next to nothing.

What a task does stands under its name, by stage: where records come from in dataset/make.py (SOURCES), loss and metric
in training/tasks (TASKS), what else lies on the card in package/truths.py (TRUTHS), what the report draws in
report/figures.py (OF_TASK). docs/extending.md adds one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Mapping  # noqa: UP035 - Python 3.7 of AMD's containers

from softdpu.errors import SoftdpuError


@dataclass(frozen=True)
class Metric:
    """A number that is measured at every stage.

    Attributes:
        key: its name in metrics.json and in the app's JSON, where it is a share, 0..1.
        title: what people call it.
    """

    key: str
    title: str


@dataclass(frozen=True)
class Task:
    """A task.

    Attributes:
        name: as the config has it.
        sources: by dataset.kind, the kind of source that makes its records (dataset.make.SOURCES).
        metrics: what the ladder shows, the first the one that counts; none where outputs are compared with float.
        app: the program for the board, in target_src/.
        predictions: the file that every stage writes beside metrics.json for the report.
        network: what is trained where no model.file is named; "" where nothing can be.
        labelled: whether records hold what is right.
        results: name of the file of results that the app's option of that name writes ("outputs.npz": --outputs), which
            are measured on the PC (package/measure.py, MEASURES); "" where the app measures.
        helpers: programs and files that lie on its card beside those of every task.
        label_files: suffixes of the files that say what is right, beside those of images.
        ordered: whether the card names the outputs in the order of the quantized model.
    """

    name: str
    sources: Mapping[str, str]
    metrics: tuple[Metric, ...]
    app: str
    predictions: str
    network: str = ""
    labelled: bool = True
    results: str = ""
    helpers: tuple[str, ...] = ()
    label_files: tuple[str, ...] = ()
    ordered: bool = False


ARRAYS = "arrays"  # dataset.kind of what is no image, and --fit of its records
_SOURCES = ("fashion_mnist", "image_folder", "imagenet")

CLASSIFICATION = Task(
    "classification",
    {kind: kind for kind in _SOURCES},
    (Metric("accuracy", "accuracy"),),
    "app_mt.py",
    "predictions.csv",
    network="MobileNet v1",
)
NONE = Task(
    "none",
    {**{kind: kind for kind in _SOURCES}, "image_folder": "image_files", ARRAYS: "array_files"},
    (),
    "app_raw.py",
    "similarity.csv",
    labelled=False,
    results="outputs.npz",
    helpers=("arrays.py",),
)

SEGMENTATION = Task(
    "segmentation",
    {"image_folder": "mask_folder", "shapes": "mask_folder"},
    (Metric("mean_iou", "mean IoU"), Metric("accuracy", "pixel accuracy")),
    "app_seg.py",
    "predictions.npz",
    network="U-Net",
)

DETECTION = Task(
    "detection",
    {"image_folder": "box_folder", "shapes": "box_folder"},
    (Metric("map50_95", "mAP50-95"), Metric("map50", "mAP50")),
    "app_det.py",
    "boxes.csv",
    network="a small YOLO",
    results="boxes.json",
    helpers=("decoders.py",),
    label_files=(".txt", ".json", ".yaml"),
    ordered=True,
)

TASKS = {task.name: task for task in (CLASSIFICATION, SEGMENTATION, DETECTION, NONE)}


def find(name: str) -> Task:
    """Return the task of a name.

    Raises:
        SoftdpuError: if there is none.
    """
    if name not in TASKS:
        raise SoftdpuError(f"the task must be one of {', '.join(TASKS)}, got {name} (task)")
    return TASKS[name]


def check_fit(name: str, fit: str) -> None:
    """See that a task takes records of arrays, where these are what a network is fed.

    Raises:
        SoftdpuError: if it takes images only.
    """
    if fit == ARRAYS and ARRAYS not in find(name).sources:
        raise SoftdpuError(f"--fit arrays is for --task {NONE.name}, got --task {name}; give that task, or another fit")
