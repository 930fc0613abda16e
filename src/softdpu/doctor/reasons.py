"""From numbers to words: which layers cost the most, and why."""

from __future__ import annotations

import numpy as np

from softdpu.doctor.examine import Examination, LayerState

WORST = 5
HEALTHY = 20.0  # dB: the noise has a hundredth of the output's power, which moves hardly an answer
STRETCHED = 4.0  # the largest channel against the median one
COARSE_BIAS = 4.0  # steps of the result that half a step of the bias is worth


def find_worst(found: Examination) -> list[str]:
    """Return the names of the layers that cost the most when each alone is quantized, the worst first."""
    return sorted(found.before, key=lambda name: found.before[name].alone_sqnr)[:WORST]


def find_stretching_dead(found: Examination) -> list[str]:
    """Return the layers whose dead channels need a larger range than their live ones, most lost bits first."""
    names = [name for name, dead in found.dead.items() if dead.largest > dead.rest]
    return sorted(names, key=lambda name: found.dead[name].rest / found.dead[name].largest)


def is_healthy(found: Examination) -> bool:
    """Return whether AMD's recipe alone serves this network: no dead channel costs bits, and the output has 20 dB."""
    return not find_stretching_dead(found) and found.output_sqnr[0] >= HEALTHY


def diagnose(found: Examination) -> list[str]:
    """Return the network's diagnosis, one sentence per item."""
    before, after = found.output_sqnr
    lines = [f"The output's signal-to-noise ratio is {before:.1f} dB with AMD's recipe and {after:.1f} dB rescued."]
    stretching = find_stretching_dead(found)
    if is_healthy(found):
        lines.insert(
            0, "Nothing is wrong: this network can be quantized as it is. The layers named cost most, but little."
        )
    elif not stretching and after >= HEALTHY:
        lines.append("No dead channels are in the way; the recipe `rescue` makes this network healthy.")
    elif not stretching:
        lines.append("No dead channels are in the way: look at the layers named first, then fine-tune.")
    names = [name for name in found.before if name in stretching]
    if names:
        lines.append(
            f"Cause: dead channels take the weight range of {_and(names)}: their outputs are constant, so their "
            "weights do nothing, yet the one scale of the tensor must cover them."
        )
    starved = [name for name in names if name in found.starved_by]
    if starved:
        sources = _and([found.starved_by[name] for name in starved])
        lines.append(
            f"Cause of that: dead channels of {sources}, so that {_and(starved)} read constants there and their "
            "BatchNormalization divides by almost nothing."
        )
    rest = [name for name in found.dead if name not in names and name not in found.starved_by.values()]
    if rest:
        lines.append(f"Dead channels without a larger range, which cost little: {_and(rest)}.")
    return lines


def list_reasons(found: Examination, name: str) -> list[str]:
    """Return why a layer loses accuracy, in words."""
    layer, lines = found.before[name], []
    dead = found.dead.get(name)
    if dead is not None and dead.largest > dead.rest:
        why = "BatchNormalization variance near zero" if dead.normalized_away else "constant on the images"
        is_dead, reach = ("is dead", "reaches") if len(dead.channels) == 1 else ("are dead", "reach")
        lines.append(
            f"{_channels(dead.channels)} {is_dead} ({why}) and {reach} {dead.largest:.3g}, the live ones "
            f"only {dead.rest:.3g}: {np.log2(dead.largest / dead.rest):.1f} bits of every live weight are lost"
        )
    elif layer.ranges.max() > STRETCHED * max(float(np.median(layer.ranges)), 1e-30):
        lines.append(
            f"channel {layer.stretching_channel} reaches {layer.ranges.max():.3g} and stretches the range, half of "
            f"the channels stay below {np.median(layer.ranges):.3g}: their weights have few steps"
        )
    lines += _bias(layer)
    if layer.output_pos is not None and _measure_clipping(layer) > 0.01:
        lines.append(f"its output clips {_measure_clipping(layer):.0%} of the values at position {layer.output_pos}")
    if not lines:
        lines.append(f"no single channel stands out; the weights have {layer.weight_sqnr:.1f} dB in eight bits")
    return lines


def _bias(layer: LayerState) -> list[str]:
    if layer.bias_pos is None or layer.output_pos is None:
        return []
    steps = 2.0 ** (layer.output_pos - layer.bias_pos - 1)
    if steps < COARSE_BIAS:
        return []
    return [
        f"its bias reaches {layer.bias_max:.3g}, so that eight bits leave steps of {2.0**-layer.bias_pos:g}: "
        f"an error of up to {steps:g} steps of the output"
    ]


def _measure_clipping(layer: LayerState) -> float:
    assert layer.output_pos is not None
    return float(np.mean((layer.sample > 127.5 * 2.0**-layer.output_pos) & (layer.sample > 0)))


def _channels(numbers: list[int]) -> str:
    shown = ", ".join(map(str, numbers[:8])) + (", ..." if len(numbers) > 8 else "")
    return f"channel {shown}" if len(numbers) == 1 else f"{len(numbers)} channels ({shown})"


def _and(names: list[str]) -> str:
    return names[0] if len(names) == 1 else ", ".join(names[:-1]) + " and " + names[-1]
