"""Random networks of layers the DPU has and has not: the compiled file equals the front end's graph."""

from __future__ import annotations

from pathlib import Path

import pytest
from h5_models import H5Model
from test_layers_exact import compare


def grow(m: H5Model, layers: int) -> list[str]:
    """Add random layers behind random earlier ones; return those that nobody reads."""
    rng = m.rng
    size, channels = int(rng.integers(6, 12)), int(rng.integers(1, 5))
    made = {m.input((size, size, channels), int(rng.integers(3, 7))): channels}
    unread = set()
    for _ in range(layers):
        source = str(rng.choice(list(made)[-4:]))
        kind = int(rng.integers(0, 9))
        position = int(rng.integers(2, 6))
        kernel, outputs = int(rng.integers(1, 5)), int(rng.integers(1, 7))
        bias_position = int(rng.integers(4, 10))
        read = [source]
        if kind < 2:
            name = m.conv(source, (made[source], outputs), kernel, out=position, bias_position=bias_position)
        elif kind == 2:
            outputs = made[source]
            name = m.conv(source, (outputs, outputs), kernel, kind="DepthwiseConv2D", out=position)
        elif kind == 3:
            inner = m.conv(source, (made[source], outputs), kernel, out=None)
            name = m.relu(inner, position, 6.0 if rng.random() < 0.5 else None)
        elif kind == 4:
            outputs = made[source]
            config = {"pool_size": [kernel, kernel], "strides": [1, 1], "padding": "same"}
            name = m.wrapped("MaxPooling2D", [source], config, output_0_pos=position)
        elif kind == 5:
            read = [str(name) for name in rng.choice(list(made), 3)]
            outputs = sum(made[name] for name in read)
            name = m.wrapped("Concatenate", read, {"axis": -1}, output_0_pos=position)
        elif kind == 6:
            outputs = made[source]
            read = [name for name in made if made[name] == outputs][:3]
            total = m.wrapped("Add", read, {}) if len(read) > 1 else source
            name = m.relu(total, position)
        elif kind == 7:
            outputs = made[source]
            name = m.wrapped("Vitis>VitisSigmoid", [source], {}, output_0_pos=7)
        else:
            outputs = made[source]
            alpha = 26 / 256 if rng.random() < 0.5 else 0.5
            name = m.wrapped("LeakyReLU", [source], {"alpha": alpha}, output_0_pos=position)
        unread -= set(read)
        unread.add(name)
        made[name] = outputs
    return [*sorted(unread), m.conv(source, (made[source], 2), 1)]


@pytest.mark.parametrize("seed", range(16))
def test_random_network(seed: int, tmp_path: Path) -> None:
    model = H5Model(seed=seed)
    outputs = grow(model, layers=6 + seed)
    board, version = [("zcu102", "3.0"), ("zcu102", "2.0"), ("vck190", "3.0"), ("vek280", "3.5")][seed % 4]
    compare(model, outputs, tmp_path, board, version, varied=False)
