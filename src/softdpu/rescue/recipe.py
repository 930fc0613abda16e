"""The recipe `rescue`: named steps, each kept only if it lowers the network's output error."""

from __future__ import annotations

import copy
import logging
import re
import time
from typing import Any, Callable  # noqa: UP035 - not generic in collections.abc before Python 3.9

import numpy as np

from softdpu.keras2.api import keras
from softdpu.keras2.kinds import CONVOLUTIONS
from softdpu.quantizer.errors import QuantizerError
from softdpu.quantizer.float_transforms import kernel_name
from softdpu.quantizer.keras_graph import Graph, Node
from softdpu.quantizer.recipes import Recipe
from softdpu.rescue import dead_channels, equalization
from softdpu.rescue.compensation import ErrorCompensation
from softdpu.rescue.network import Network, is_supported
from softdpu.rescue.position_search import PositionSearch
from softdpu.rescue.quantized_run import Hook, run_quantized
from softdpu.rescue.rounding import LearnedRounding

logger = logging.getLogger(__name__)

DEFAULT = ("bias_correction", "dead_channels", "equalization", "error_compensation")
LEARNING = ("error_compensation", "learned_rounding")  # they are judged by images that they have not seen


class Rescue(Recipe):
    """AMD's recipe, then the steps.

    Args:
        steps: names of STEPS to try, in any order.
        budget: seconds for learned rounding, which normally needs far less; a last resort, and announced.

    Attributes:
        report: for each step tried its name, the output error before and after, whether it was kept, and seconds.
    """

    wants_data = True

    def __init__(self, steps: tuple[str, ...] = DEFAULT, budget: float = 600.0) -> None:
        for name in steps:
            if name not in STEPS:
                raise QuantizerError(f"recipe rescue: there is no step {name}; the steps are {', '.join(STEPS)}")
        self.steps = tuple(steps)
        self.budget = budget
        self.report: list[dict[str, Any]] = []
        self._graph: Graph | None = None
        self.vanishing: dict[str, np.ndarray] = {}

    @classmethod
    def from_text(cls, text: str) -> Rescue:
        """Return the recipe of `rescue`, with `+step` and `-step` behind it: rescue-equalization+learned_rounding.

        Raises:
            QuantizerError: for an unknown step.
        """
        changes = re.findall(r"([+-])([^+-]*)", text)
        asked = cls(tuple(name for _, name in changes)).steps  # names are checked
        removed = {name for sign, name in changes if sign == "-"}
        return cls(tuple(name for name in STEPS if name in {*DEFAULT, *asked} - removed))

    def before_float_transforms(self, graph: Graph) -> None:
        """Take the BatchNormalization variances down, which folding removes."""
        self.vanishing = dead_channels.variances(graph)

    def after_float_transforms(self, graph: Graph) -> None:
        """Give every convolution a bias, which holds what is corrected, and keep the float network."""
        for node in graph.candidates():
            if node.class_name in CONVOLUTIONS and not node.config["use_bias"]:
                add_bias(node)
        self._graph = copy.deepcopy(graph)

    def after_calibration(self, model: keras.Model, batches: list[Any], refine: Callable[[], None]) -> None:
        """Try the steps, one after the other, on the calibrated model."""
        self.report = []
        if self._graph is None or not is_supported(model):
            logger.warning("recipe rescue: a model with BatchNormalization in training keeps AMD's positions")
            return
        refine()
        net = Network(model, self._graph.to_model(), batches, refine)
        Trial(self, net).run()


def add_bias(node: Node) -> None:
    """Add a bias of zeros to a convolution or Dense."""
    kernel = node.weights[kernel_name(node)]
    if node.class_name == "DepthwiseConv2D":
        channels = kernel.shape[2] * kernel.shape[3]
    else:
        channels = kernel.shape[2 if node.class_name == "Conv2DTranspose" else -1]
    node.config["use_bias"] = True
    node.weights["bias"] = np.zeros(channels, np.float32)


class Trial:
    """One run of the steps on one network."""

    def __init__(self, recipe: Rescue, net: Network) -> None:
        self.recipe = recipe
        self.net = net
        self.correct_biases = False
        self._judged = 0
        self._outputs = self._reached = run_quantized(net, correct=False, choose=False)

    def run(self) -> None:
        """Try every step of the recipe; one that does not lower the output error is undone, and the log says so."""
        logger.info("recipe rescue: output error of AMD's recipe %s", decibels(self.net.error(self._outputs)))
        for name, step in STEPS.items():
            if name in self.recipe.steps:
                self._try(name, step)

    def _try(self, name: str, step: Step) -> None:
        self._judged = self.net.held_out if name in LEARNING else 0
        start, before = time.perf_counter(), self.net.error(self._outputs, self._judged)
        snapshot, correct = self.net.snapshot(), self.correct_biases
        self._reached = self._outputs
        detail = step(self)
        after = self.net.error(self._reached, self._judged)
        kept = after < before and self.net.error(self._reached) < self.net.error(self._outputs)
        if kept:
            self._outputs = self._reached
        else:
            self.net.restore(snapshot)
            self.correct_biases = correct
        seconds = time.perf_counter() - start
        verdict = "kept" if kept else "undone, it does not lower the output error"
        logger.info("  %s: %s: %s -> %s, %s", name, detail, decibels(before), decibels(after), verdict)
        self.recipe.report.append(
            {"step": name, "detail": detail, "before": before, "after": after, "kept": kept, "seconds": seconds}
        )

    def measure(self, choose: bool, hook: Hook | None = None) -> None:
        """Bring the network to rest by the DPU's rules and measure it."""
        outputs = run_quantized(self.net, self.correct_biases, choose, hook)
        positions = self.net.positions()
        self.net.refine()
        if self.net.positions() != positions:
            outputs = run_quantized(self.net, self.correct_biases, choose=False)
            self.net.refine()
        self._reached = outputs

    def choose_anew(self) -> None:
        """Choose all positions anew after float weights have changed."""
        for item in self.net.weighted.values():
            item.choose_kernel_position()
            if item.float_bias is not None:
                item.choose_bias_position(item.float_bias)
        self.measure(choose=True)


def decibels(error: float) -> str:
    """Return a relative squared error as a signal-to-noise ratio in dB."""
    return f"{-10 * np.log10(max(error, 1e-30)):.2f} dB"


def _correct_biases(trial: Trial) -> str:
    trial.correct_biases = True
    trial.measure(choose=True)
    return f"{len(trial.net.weighted)} layers"


def _replace_dead_channels(trial: Trial) -> str:
    found = dead_channels.replace(trial.net, trial.recipe.vanishing)
    if not found:
        return "none found"
    trial.choose_anew()
    places = ", ".join(f"{len(dead.channels)} in {name}" for name, dead in found.items())
    return f"replaced {sum(len(dead.channels) for dead in found.values())} by their constants ({places})"


def _equalize(trial: Trial) -> str:
    count = equalization.equalize(trial.net)
    if not count:
        return "no pair of layers to equalize"
    trial.choose_anew()
    return f"{count} pairs of layers"


def _search_positions(trial: Trial) -> str:
    search = PositionSearch(trial.net)
    trial.measure(choose=False, hook=search)
    return f"{len(search.moved)} kernel positions moved"


def _compensate_errors(trial: Trial) -> str:
    compensation = ErrorCompensation(trial.net)
    trial.measure(choose=False, hook=compensation)
    return f"{compensation.layers} of {len(trial.net.weighted)} layers"


def _learn_rounding(trial: Trial) -> str:
    rounding = LearnedRounding(trial.net, trial.recipe.budget)
    trial.measure(choose=False, hook=rounding)
    if rounding.late:
        logger.warning(
            "recipe rescue: learned rounding ran out of its %g s; the result depends on this machine's speed. Not "
            "learned: %s",
            trial.recipe.budget,
            ", ".join(rounding.late),
        )
    return f"{rounding.layers} of {len(trial.net.weighted)} layers"


# In the order in which they are tried. Each changes the network, measures it and says what it did.
Step = Callable[[Trial], str]
STEPS: dict[str, Step] = {
    "bias_correction": _correct_biases,
    "dead_channels": _replace_dead_channels,
    "equalization": _equalize,
    "position_search": _search_positions,
    "error_compensation": _compensate_errors,
    "learned_rounding": _learn_rounding,
}
