"""The doctor's report: JSON, pictures, a page with tables and the text for the terminal."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from softdpu.doctor import plots, reasons
from softdpu.doctor.examine import Examination, LayerState
from softdpu.output.files import PathLike, write_json
from softdpu.output.pages import heading, note, table, write_page


def _describe_layer(state: LayerState) -> dict[str, Any]:
    return {
        "weight_range": float(state.ranges.max()),
        "weight_range_median_channel": float(np.median(state.ranges)),
        "stretching_channel": state.stretching_channel,
        "kernel_pos": state.kernel_pos,
        "bias_pos": state.bias_pos,
        "input_pos": state.input_pos,
        "output_pos": state.output_pos,
        "weight_sqnr_db": round(state.weight_sqnr, 3),
        "output_sqnr_db": round(state.output_sqnr, 3),
        "cosine": round(state.cosine, 6),
        "alone_output_sqnr_db": round(state.alone_sqnr, 3),
    }


def as_data(found: Examination) -> dict[str, Any]:
    """Return everything as plain data."""
    dead = {
        name: {
            "channels": item.channels,
            "near_zero_variance": item.normalized_away,
            "range": item.largest,
            "range_of_live_channels": item.rest,
        }
        for name, item in found.dead.items()
    }
    steps = [{key: value for key, value in step.items() if key != "seconds"} for step in found.steps]
    return {
        "diagnosis": reasons.diagnose(found),
        "output_sqnr_db": {"vitis": found.output_sqnr[0], "rescue": found.output_sqnr[1]},
        "worst": [{"layer": name, "reasons": reasons.list_reasons(found, name)} for name in reasons.find_worst(found)],
        "dead_channels": dead,
        "steps": steps,
        "layers": {
            name: {"vitis": _describe_layer(found.before[name]), "rescue": _describe_layer(found.after[name])}
            for name in found.before
        },
    }


def as_text(found: Examination) -> str:
    """Return the report for the terminal: a table of the layers, the worst ones with reasons, the diagnosis."""
    width = max([len(name) for name in found.before] + [5])
    head = f"{'layer':{width}}   range  channel dead pos  weights  output  cosine   alone   rescued: pos  output"
    lines = [head, "-" * len(head)]
    for name, state in found.before.items():
        dead = len(found.dead[name].channels) if name in found.dead else 0
        after = found.after[name]
        lines.append(
            f"{name:{width}} {state.ranges.max():7.3g} {state.stretching_channel:8d} {dead:4d} {state.kernel_pos:3d}"
            f" {state.weight_sqnr:8.1f} {state.output_sqnr:7.1f} {state.cosine:7.4f} {state.alone_sqnr:7.1f}"
            f" {after.kernel_pos:14d} {after.output_sqnr:7.1f}"
        )
    lines += ["(weights, output, alone: signal to quantization noise in dB; alone: of the network's output if only", ""]
    lines[-2] += " this layer were quantized)"
    for number, name in enumerate(reasons.find_worst(found), 1):
        lines.append(f"{number}. {name}: {'; '.join(reasons.list_reasons(found, name))}.")
    return "\n".join([*lines, "", *reasons.diagnose(found)])


def write_table(found: Examination, path: PathLike) -> None:
    """Write the diagnosis, the worst layers with reasons, and a table of all layers as an HTML page."""
    columns = ["layer", "largest |weight|", "its channel", "dead channels", "position", "weights, dB", "output, dB"]
    columns += ["cosine", "alone, dB", "position, rescued", "output, rescued, dB"]
    rows = []
    for name, state in found.before.items():
        after, dead = found.after[name], len(found.dead[name].channels) if name in found.dead else 0
        cells = [f"{state.ranges.max():.3g}", state.stretching_channel, dead, state.kernel_pos]
        cells += [f"{state.weight_sqnr:.1f}", f"{state.output_sqnr:.1f}", f"{state.cosine:.4f}"]
        rows.append([name, *cells, f"{state.alone_sqnr:.1f}", after.kernel_pos, f"{after.output_sqnr:.1f}"])
    worst = [(name, "; ".join(reasons.list_reasons(found, name))) for name in reasons.find_worst(found)]
    explained = (
        "dB: signal to quantization noise, of the weights, of the layer's output with all layers before it quantized"
        " too, and of the network's output if this layer alone were quantized. Where nothing else is said, by AMD's"
        " recipe."
    )
    blocks = [
        *map(note, reasons.diagnose(found)),
        heading("The layers that cost most"),
        table(["layer", "why"], worst),
    ]
    blocks += [heading("All layers"), table(columns, rows, range(1, len(columns))), note(explained)]
    write_page(path, "Layer by layer: what quantization does to the float model", blocks)


def write(found: Examination, folder: PathLike) -> list[str]:
    """Write doctor.json, a page with tables and the pictures into a folder and return the names of the files."""
    folder = Path(folder)
    names = [plots.draw_profile(found, folder), plots.draw_costs(found, folder), plots.draw_ranges(found, folder)]
    names.append(plots.draw_details(found, reasons.find_worst(found), folder))
    for name in dict.fromkeys([*reasons.find_worst(found), *reasons.find_stretching_dead(found)]):
        names += [plots.draw_weights(found, name, folder), plots.draw_activations(found, name, folder)]
    write_json(folder / "doctor.json", {**as_data(found), "pictures": names})
    write_table(found, folder / "layers.html")
    return ["doctor.json", "layers.html", *names]
