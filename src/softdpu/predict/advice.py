"""Plain words: which layers cost most, and what would help."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from softdpu.numbers.boards import Dpu
from softdpu.predict.equations import count_bank_bytes, count_steps
from softdpu.predict.layers import Layer
from softdpu.predict.predict import Prediction

MOST = 3


def find_costly(prediction: Prediction) -> list[dict[str, Any]]:
    """Return the layers that take most time: name, milliseconds, share, bound, and what would help."""
    layers = [layer for work in prediction.works for layer in work.layers]
    rows = prediction.layers()
    whole = sum(row["milliseconds"] for row in rows) or 1.0
    places = sorted(range(len(rows)), key=lambda place: -rows[place]["milliseconds"])[:MOST]
    return [
        {
            "name": rows[place]["name"],
            "milliseconds": rows[place]["milliseconds"],
            "share": round(rows[place]["milliseconds"] / whole, 3),
            "bound": rows[place]["bound"],
            "help": suggest(layers[place], rows[place], prediction.target.dpu),
        }
        for place in places
    ]


def suggest(layer: Layer, row: dict[str, Any], dpu: Dpu) -> list[str]:
    """Return what would make a layer faster, most likely first."""
    height, width, channels = layer.output
    found = []
    if row["bound"] in ("load", "save"):
        if row["weight_bytes"] > (row["dram_bytes"] or 1) / 2:
            where = "only once" if height * width == 1 else "little"
            found.append(
                f"{row['weight_bytes'] / 1e6:.1f} MB of weights are loaded for every frame, and a {height}x{width} map "
                f"uses each {where}: fewer channels or units here, or global pooling before a dense layer"
            )
        else:
            found.append(
                f"feature maps of {(row['load_bytes'] + row['save_bytes']) / 1e6:.1f} MB pass through DRAM, as they do "
                f"not stay in the {count_bank_bytes(dpu) // 1024} KiB on the chip: a smaller image, or fewer channels"
            )
    elif row["bound"] == "multiply":
        found += _multiply(layer, dpu)
    elif row["bound"] == "dw/pool engine":
        found.append(
            f"this engine computes {dpu.alu_pixel} pixels at once, the multiplying engine {dpu.pixel} with "
            f"{dpu.input_channel} times as many products: a smaller kernel, fewer channels, or a smaller image"
        )
    else:
        found.append("starting the layer takes longer than its work: fewer and wider layers")
    unused = count_steps(channels, dpu.output_channel) * dpu.output_channel - channels
    if unused and row["bound"] in ("multiply", "dw/pool engine"):
        cost = f"{channels} output channels cost as much as {channels + unused}"
        found.insert(0, f"{cost}: make them a multiple of {dpu.output_channel}")
    return found


def _multiply(layer: Layer, dpu: Dpu) -> list[str]:
    height, inputs = layer.output[0], layer.source[2]
    window = layer.kernel[0] * layer.kernel[1]
    found = []
    if count_steps(inputs, dpu.input_channel) * window < dpu.pixel:
        found.append(
            f"a value needs only {inputs * window} products, and {dpu.output_channel} values leave the engine per "
            "cycle at most: fewer output channels, or a smaller image"
        )
    elif inputs % dpu.input_channel and inputs > dpu.input_channel:
        full = count_steps(inputs, dpu.input_channel) * dpu.input_channel
        found.append(f"{inputs} input channels cost as much as {full}: make them a multiple of {dpu.input_channel}")
    rows = count_steps(height, dpu.pixel) * dpu.pixel
    if height < rows and height / rows < 0.95:
        found.append(f"{height} rows cost as much as {rows}: an image size that makes them a multiple of {dpu.pixel}")
    return found or ["the multiplying engine is busy as it should be: a smaller image, fewer channels, or pruning"]


def list_faster_boards(prediction: Prediction, others: Sequence[Prediction]) -> list[str]:
    """Return a line for each board that would be faster with the most threads asked for."""
    if not prediction.speeds:
        return []
    now = max(speed.app.value for speed in prediction.speeds)
    lines = []
    for other in others:
        best = max((speed.app.value for speed in other.speeds), default=0.0)
        if other.target.name != prediction.target.name and best > now * 1.05:
            lines.append(f"{other.target.title} ({other.target.name}): {best:.0f} instead of {now:.0f} frames/s")
    return lines
