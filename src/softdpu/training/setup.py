"""How a training runs beside its recipe: on which devices, in which precision, with which checkpoints."""

from __future__ import annotations

import argparse
from dataclasses import dataclass

from softdpu.training import checkpoints, devices
from softdpu.training.batches import deterministic
from softdpu.training.devices import ONE, Devices
from softdpu.training.recipe import Recipe


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


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of devices and checkpoints."""
    devices.add_arguments(parser)
    checkpoints.add_arguments(parser)


def begin(args: argparse.Namespace, recipe: Recipe) -> Setup:
    """Make TensorFlow repeatable and return how this command line trains; call it before anything is computed.

    Raises:
        SoftdpuError: if a worker is missing, or does another training than the others.
    """
    deterministic(recipe.seed, recipe.threads)
    chosen = devices.choose(args.strategy, args.worker_timeout)
    precision = getattr(args, "mixed_precision", None)
    if chosen.workers == 1 and not args.checkpoints:
        return Setup(chosen, precision=precision)
    known = checkpoints.facts(args)
    store = checkpoints.Store(args.checkpoints, known, chosen.chief) if args.checkpoints else None
    with devices.told(chosen):
        devices.agree(chosen, {**known, "the checkpoint": store.fingerprint() if store else "none"})
    return Setup(chosen, store, precision)
