"""The float network: MobileNet v1 without its top, average pooling, dropout, and a dense head of logits."""

from __future__ import annotations

import os
from dataclasses import dataclass

from softdpu.errors import SoftdpuError
from softdpu.keras2 import door
from softdpu.output.text import one_line
from softdpu.training.batches import keras

ALPHAS = (0.25, 0.5, 0.75, 1.0)
MIN_SIZE = 32
IMAGENET = "imagenet"
BN_MOMENTUM = 0.99  # Keras' own


@dataclass(frozen=True)
class Network:
    """What `build_mobilenet` takes, with the same meanings."""

    classes: int
    size: int = 224
    alpha: float = 1.0
    dropout: float = 0.001
    weights: str | None = None
    freeze_base: bool = False
    bn_momentum: float = BN_MOMENTUM

    def build(self) -> keras.Model:
        """Return the network; raises as `build_mobilenet`."""
        return build_mobilenet(**vars(self))


def build_mobilenet(
    classes: int,
    size: int,
    alpha: float = 1.0,
    dropout: float = 0.001,
    weights: str | None = None,
    freeze_base: bool = False,
    bn_momentum: float = BN_MOMENTUM,
) -> keras.Model:
    """Build the tutorial's network; its output is logits, so that nothing but the DPU's layers is in the graph.

    Args:
        classes: number of outputs.
        size: of the square input, in pixels.
        alpha: MobileNet's width.
        dropout: share of features dropped in training.
        weights: None (random), "imagenet" (Keras downloads them) or the path of an .h5 file in Keras' layout.
        freeze_base: train the head alone.
        bn_momentum: of the means and variances that BatchNormalization keeps for evaluation, in 0..1. After a few
            hundred steps Keras' 0.99 still holds those of an earlier network; 0.9 follows faster.

    Raises:
        SoftdpuError: if MobileNet has no such alpha or size, or the weights cannot be had or do not fit.
    """
    if alpha not in ALPHAS:
        raise SoftdpuError(f"MobileNet's alpha must be one of {', '.join(map(str, ALPHAS))}, got {alpha} (model.alpha)")
    if size < MIN_SIZE:
        raise SoftdpuError(f"MobileNet's input must be at least {MIN_SIZE} pixels, got {size} (model.input_size)")
    if classes < 1:
        raise SoftdpuError(f"the model needs at least 1 class, got {classes}")
    if not 0 <= dropout < 1:
        raise SoftdpuError(f"dropout must be from 0 to less than 1, got {dropout} (model.dropout)")
    if freeze_base and weights is None:
        raise SoftdpuError("a frozen base needs weights (model.freeze_base with model.weights: imagenet or a path)")
    if weights not in (None, IMAGENET) and not os.path.isfile(str(weights)):
        raise SoftdpuError(
            f"the weights {weights} do not exist; model.weights is null, imagenet, or the path of an .h5"
        )
    base = _build_base(size, alpha, weights)
    base.trainable = not freeze_base
    for layer in base.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = bn_momentum
    features = keras.layers.Dropout(dropout, name="dropout")(base.output)
    logits = keras.layers.Dense(classes, name="logits")(features)
    return keras.Model(base.input, logits, name="mobilenet")


def _build_base(size: int, alpha: float, weights: str | None) -> keras.Model:
    own = weights not in (None, IMAGENET)
    try:
        base = keras.applications.MobileNet(
            input_shape=(size, size, 3), alpha=alpha, include_top=False, weights=None if own else weights, pooling="avg"
        )
    except Exception as error:
        if weights is None:
            raise
        raise _explain_unfit(weights, error, "without a network, fetch the file elsewhere and name its path") from None
    if own:
        load_weights(base, str(weights), f"alpha is {alpha}")
    return base


def load_weights(model: keras.Model, path: str, hint: str) -> None:
    """Put the weights of an .h5 in Keras' layout into a model, once the file is checked (keras2.door).

    Raises:
        SoftdpuError: if the file is refused or its weights do not fit, with the hint.
    """
    try:
        door.check_weights_file(path)
        model.load_weights(path)
    except Exception as error:  # whatever Keras raises over the weights of another network
        raise _explain_unfit(path, error, hint) from None


def _explain_unfit(weights: str, error: Exception, hint: str) -> SoftdpuError:
    return SoftdpuError(
        f"MobileNet does not take the weights '{weights}': {one_line(error, 600)}; {hint} (model.weights)"
    )
