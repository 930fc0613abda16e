"""What can be fetched, by the kind of data set."""

from __future__ import annotations

from collections.abc import Callable

from softdpu.dataset import fashion_mnist, imagenet

KINDS: dict[str, Callable[..., str]] = {"fashion_mnist": fashion_mnist.fetch, "imagenet": imagenet.fetch_ground_truth}
