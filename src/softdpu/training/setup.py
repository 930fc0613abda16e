"""How a training runs beside its hyperparameters: on which devices, in which precision, with which checkpoints."""

from __future__ import annotations

from dataclasses import dataclass

from softdpu.output.files import PathLike
from softdpu.training import checkpoints, devices
from softdpu.training.batches import make_repeatable
from softdpu.training.devices import ONE, Devices
from softdpu.training.hyperparameters import Hyperparameters


@dataclass(frozen=True)
class Surroundings:
    """What a training is asked to run on.

    Attributes:
        strategy: one of devices.STRATEGIES.
        worker_timeout: seconds to wait for other workers at the start.
        checkpoints: folder for a checkpoint after each epoch, None for none.
        mixed_precision: float16 or bfloat16, None for float32.
    """

    strategy: str = devices.AUTO
    worker_timeout: int = devices.TIMEOUT
    checkpoints: PathLike | None = None
    mixed_precision: str | None = None


@dataclass(frozen=True)
class Setup:
    """How a training runs.

    Attributes:
        devices: what the network is trained on.
        store: its checkpoints, None for none.
        precision: float16 or bfloat16 for mixed precision, None for float32.
    """

    devices: Devices = ONE
    store: checkpoints.Store | None = None
    precision: str | None = None

    def end(self) -> None:
        """Remove the checkpoint, now that the output is written, and let all workers end together."""
        if self.store is not None:
            self.store.remove()
        devices.wait_for_all(self.devices)


def begin(job: object, hyperparameters: Hyperparameters, wanted: Surroundings) -> Setup:
    """Make TensorFlow repeatable and return how a training runs; call it before anything is computed.

    Args:
        job: the dataclass with all that the training was asked for; the same on all workers and in a checkpoint.
        hyperparameters: its numbers.
        wanted: what it runs on.

    Raises:
        SoftdpuError: if a worker is missing, or does another training than the others.
    """
    make_repeatable(hyperparameters.seed, hyperparameters.threads)
    chosen = devices.choose(wanted.strategy, wanted.worker_timeout)
    if chosen.workers == 1 and not wanted.checkpoints:
        return Setup(chosen, precision=wanted.mixed_precision)
    known = checkpoints.collect_facts(job)
    store = checkpoints.Store(wanted.checkpoints, known, chosen.chief) if wanted.checkpoints else None
    with devices.explain_lost_workers(chosen):
        devices.agree(chosen, {**known, "the checkpoint": store.fingerprint() if store else "none"})
    return Setup(chosen, store, wanted.mixed_precision)
