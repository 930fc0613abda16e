"""What tasks are to training and evaluation: a module for each, found by the task's name."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from softdpu import tasks
from softdpu.training.task import TrainingTask

if TYPE_CHECKING:
    from softdpu.training.common import Data

# By name, the class, "module:name"; it is imported when it is asked for.
TASKS = {
    "classification": "softdpu.training.tasks.classification:Classification",
    "segmentation": "softdpu.training.tasks.segmentation:Segmentation",
    "detection": "softdpu.training.tasks.detection:Detection",
    "none": "softdpu.training.tasks.comparison:Comparison",
}


def find(name: str, data: Data) -> TrainingTask:
    """Return what training and evaluation need of a task, on some common.Data.

    Raises:
        SoftdpuError: if there is no such task.
    """
    module, _, kind = TASKS[tasks.find(name).name].partition(":")
    found: TrainingTask = getattr(importlib.import_module(module), kind).of(data)
    return found
