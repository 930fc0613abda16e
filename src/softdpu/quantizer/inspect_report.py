"""The text and the picture of an inspection, in the order of AMD's inspector."""

from __future__ import annotations

import dataclasses
import pprint
import textwrap
from collections import Counter

from softdpu.keras2.api import keras
from softdpu.output.files import PathLike

_WIDTH = 120
_COLUMNS = (12, 24, 24, 12, 48)
_DONE = "  All layers are supported and successfully mapped to DPU."


@dataclasses.dataclass
class InspectResult:
    """Where one layer would run.

    Attributes:
        id: its number in the model.
        device: INPUT, DPU, CPU, or "DPU,CPU" for a layer whose activation is on the CPU.
        notes: why, and what to change.
    """

    id: int
    device: str
    notes: list[str]

    def get_notes(self) -> list[str]:
        """Return `notes`."""
        return self.notes


def layer_type(layer: keras.layers.Layer) -> str:
    """Return the class of a layer, with its activation if it has one: Conv2D<relu>."""
    activation = layer.get_config().get("activation")
    if isinstance(activation, dict):
        activation = activation.get("class_name")
    return type(layer).__name__ + (f"<{activation}>" if activation else "")


def text(
    model: keras.Model, found: dict[keras.layers.Layer, InspectResult], target: str | None, verbose: int
) -> list[str]:
    """Return the lines for the screen.

    Args:
        found: by layer, in the model's order.
        target: name of the DPU, None if none was given.
        verbose: 1 shows the notes of layers on the DPU too.
    """
    last = len(found) - 1
    lines = ["[MODEL INFO]:", "_" * _WIDTH, f"Model Name: {model.name}", "_" * _WIDTH]
    lines += _row("ID", "Name", "Type", "Device", "Notes")
    lines.append("=" * _WIDTH)
    for layer, result in found.items():
        notes = "; ".join(result.notes) if _shown(result, verbose) else ""
        lines += _row(f"{result.id}/{last}", layer.name, layer_type(layer), result.device, notes)
        lines.append("-" * _WIDTH)
    kinds = Counter(layer_type(layer) for layer in found)
    devices = Counter(result.device for result in found.values())
    done = ["", _DONE] if set(devices) <= {"INPUT", "DPU"} else []
    lines += [
        *("=" * _WIDTH, "[SUMMARY INFO]:", f"- [Target Name]: {target}", f"- [Total Layers]: {len(found)}"),
        "- [Layer Types]: " + " ".join(f"{kind}({count})" for kind, count in kinds.items()),
        "- [Partition Results]: " + " ".join(f"{device}({count})" for device, count in devices.items()),
        *(*done, "=" * _WIDTH, "[NOTES INFO]:"),
    ]
    for layer, result in found.items():
        if result.notes and _shown(result, verbose):
            lines.append(
                f"- [{result.id}/{last}] Layer {layer.name} (Type:{layer_type(layer)}, Device:{result.device}):"
            )
            lines += [f"    * {note}" for note in result.notes]
    return [*lines, *done, "=" * _WIDTH]


def details(found: dict[keras.layers.Layer, InspectResult]) -> list[str]:
    """Return the lines that the file has besides: every layer with its notes and configuration."""
    lines = ["", "Detailed Model Info: ", ""]
    for layer, result in found.items():
        notes = [f"    {number}. {note}" for number, note in enumerate(result.notes, 1)] or ["    None"]
        lines += [f"Layer ID: {result.id}", f"Layer Name: {layer.name}", f"Layer Type: {type(layer).__name__}"]
        lines += [f"Device: {result.device}", "Notes: ", *notes, "Layer Config:"]
        lines += [*pprint.pformat(layer.get_config()).splitlines(), "_" * _WIDTH]
    return lines


def _shown(result: InspectResult, verbose: int) -> bool:
    return result.device != "DPU" or verbose >= 1


def _row(*fields: str) -> list[str]:
    columns = [textwrap.wrap(field, width - 1) or [""] for field, width in zip(fields, _COLUMNS)]  # noqa: B905
    height = max(len(column) for column in columns)
    cells = [column + [""] * (height - len(column)) for column in columns]
    return [
        "".join(f"{cell:<{width}}" for cell, width in zip(line, _COLUMNS)).rstrip()  # noqa: B905
        for line in zip(*cells)  # noqa: B905
    ]


def plot(
    model: keras.Model,
    found: dict[keras.layers.Layer, InspectResult],
    readers: dict[str, list[str]],
    path: PathLike,
) -> None:
    """Draw the layers as boxes from the input down, what is not on the DPU in another colour and with its reason.

    Args:
        readers: by a layer's name, the names of those that read it.
        path: of an .svg, .png or .pdf.
    """
    from softdpu.output import pictures  # Matplotlib, which not everyone who quantizes has

    names = [layer.name for layer in found]
    depth = dict.fromkeys(names, 0)
    for name in names:
        for reader in readers.get(name, []):
            depth[reader] = max(depth[reader], depth[name] + 1)
    lanes: dict[int, int] = {}
    place = {}
    for name in names:
        place[name] = lanes.get(depth[name], 0), depth[name]
        lanes[depth[name]] = place[name][0] + 1
    wide, high = max(lanes.values()), max(lanes) + 1
    with pictures.picture(path, 3.6 * wide + 3.0, 0.62 * high + 0.8) as figure:
        axes = figure.add_subplot()
        axes.set(
            xlim=(-0.5, wide - 0.5 + 0.8), ylim=(high - 0.4, -0.6), title=f"{model.name}: DPU (blue), CPU (orange)"
        )
        axes.set_axis_off()
        for name in names:
            for reader in readers.get(name, []):
                axes.plot(*zip(place[name], place[reader]), color=pictures.GREY, linewidth=0.8, zorder=1)  # noqa: B905
        for layer, result in found.items():
            colour = {"DPU": pictures.BLUE, "INPUT": pictures.BLACK}.get(result.device, pictures.ORANGE)
            x, y = place[layer.name]
            label = f"{pictures.printable(layer.name, 30)}  {layer_type(layer)[:24]}"
            box = {"boxstyle": "round,pad=0.3", "facecolor": "white", "edgecolor": colour, "linewidth": 1.4}
            axes.text(x, y, label, ha="center", va="center", fontsize=7, bbox=box, zorder=2)
            if "CPU" in result.device:
                why = textwrap.shorten("; ".join(result.notes), 90, placeholder="...")
                axes.text(x, y + 0.36, why, ha="center", va="center", fontsize=5, color=pictures.VERMILION, zorder=3)
