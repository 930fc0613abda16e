"""Recipes: what may act on a model besides AMD's own rules, at two points of the quantization."""

from __future__ import annotations

from typing import Any

import tf_keras as keras

from softdpu.quantizer.errors import QuantizerError
from softdpu.quantizer.graph import Graph


class Recipe:
    """AMD's recipe, which adds nothing; other recipes override one or both points."""

    def after_float_transforms(self, graph: Graph) -> None:
        """Change the optimized float graph, before it is quantized."""

    def after_calibration(self, model: keras.Model, dataset: Any, batch_size: int | None, steps: int | None) -> None:
        """Change weights, biases or positions of the calibrated model, before the position rules are applied."""


RECIPES: dict[str, type[Recipe]] = {"vitis": Recipe}


def find(name: str) -> Recipe:
    """Return the recipe of a name.

    Raises:
        QuantizerError: for a name that is not in RECIPES.
    """
    if name not in RECIPES:
        raise QuantizerError(f"recipe {name}: expected one of {', '.join(RECIPES)}")
    return RECIPES[name]()
