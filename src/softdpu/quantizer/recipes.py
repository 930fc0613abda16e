"""Recipes: what may act on a model besides AMD's own rules, at three points of the quantization."""

from __future__ import annotations

import importlib
import re
from typing import Any, Callable  # noqa: UP035 - not generic in collections.abc before Python 3.9

from softdpu.keras2.api import keras
from softdpu.quantizer.errors import QuantizerError
from softdpu.quantizer.keras_graph import Graph


class Recipe:
    """AMD's recipe, which adds nothing; other recipes override some of the points.

    Attributes:
        wants_data: the calibration data are needed after calibration, and are held in memory until then.
    """

    wants_data = False

    @classmethod
    def from_text(cls, text: str) -> Recipe:
        """Return the recipe that a name asks for with `text`, its `+step` and `-step`, behind it.

        Raises:
            QuantizerError: for a step that the recipe does not have.
        """
        if text:
            raise QuantizerError(f"recipe {text}: this recipe has no steps to add or leave out")
        return cls()

    def before_float_transforms(self, graph: Graph) -> None:
        """Look at the float graph as the user gave it."""

    def after_float_transforms(self, graph: Graph) -> None:
        """Change the optimized float graph, before it is quantized."""

    def after_calibration(self, model: keras.Model, batches: list[Any], refine: Callable[[], None]) -> None:
        """Change weights, biases or positions of the calibrated model, before the position rules are applied.

        Args:
            batches: the calibration data, if they are wanted.
            refine: applies the position rules to the model.
        """


# By name, the class, "module:name"; it is imported when it is asked for. `register` adds one.
RECIPES = {"vitis": "softdpu.quantizer.recipes:Recipe", "rescue": "softdpu.rescue:Rescue"}


def register(name: str, place: str) -> None:
    """Add a recipe under a name of letters and digits; `place` is "module:name" of a class derived from Recipe."""
    RECIPES[name] = place


def find(recipe: str | Recipe) -> Recipe:
    """Return the recipe of a name, which may have `+step` and `-step` behind it, or the recipe itself if it is one.

    Raises:
        QuantizerError: for a name that is not in RECIPES, or a step that the recipe does not have.
    """
    if isinstance(recipe, Recipe):
        return recipe
    name = re.split("[+-]", recipe, maxsplit=1)[0]
    if name not in RECIPES:
        raise QuantizerError(f"recipe {recipe}: expected one of {', '.join(RECIPES)}")
    module, _, kind = RECIPES[name].partition(":")
    made: Recipe = getattr(importlib.import_module(module), kind).from_text(recipe[len(name) :])
    return made
