"""The equations against counting, one step of the hardware after another; the networks against their papers."""

from __future__ import annotations

import itertools
import math
import sys
from pathlib import Path

import numpy as np
import pytest

from softdpu.numbers import boards
from softdpu.predict import MODELLED, predict_network
from softdpu.predict.equations import compute_times, count_bank_bytes, count_work, read_constants
from softdpu.predict.layers import Layer, sort_by_run
from softdpu.predict.network import Network
from softdpu.predict.predict import Prediction
from softdpu.predict.threads import App, compute_rate

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))
import published_networks

B4096 = boards.find_target("zcu102", "3.0").dpu
SIZES = ("B512", "B800", "B1024", "B1152", "B1600", "B2304", "B3136", "B4096")


def dpu_of(size: str) -> boards.Dpu:
    return next(dpu for dpu in boards.list_dpus() if dpu.name == f"DPUCZDX8G_ISA1_{size}")


def counted(layer: Layer, dpu: boards.Dpu) -> int:
    """Count the cycles of a convolution: every step that the loops of the engine take."""
    height, width, channels = layer.output
    cycles = 0
    for _rows, _column, _out in itertools.product(
        range(0, height, dpu.pixel), range(width), range(0, channels, dpu.output_channel)
    ):
        taken = sum(
            1 for _ in itertools.product(range(math.prod(layer.kernel)), range(0, layer.source[2], dpu.input_channel))
        )
        cycles += max(taken, dpu.pixel)
    return cycles


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("shape", [(7, 5, 20, 33, 3), (16, 9, 48, 16, 1), (1, 1, 1000, 10, 1), (9, 9, 3, 17, 5)])
def test_convolution_as_counted(size: str, shape: tuple[int, ...]) -> None:
    height, width, inputs, outputs, kernel = shape
    dpu = dpu_of(size)
    before = Layer("before", "pool", (height, width, inputs), (height, width, inputs), sources=("image",))
    layer = Layer(
        "conv", "conv", (height, width, inputs), (height, width, outputs), (kernel, kernel), sources=("before",)
    )
    work = count_work([before, layer], dpu)
    assert work.multiply[1] == counted(layer, dpu)
    assert work.engine[1] == work.operands[1] == 0


def test_engine_for_pooling_as_counted() -> None:
    layer = Layer("pool", "pool", (14, 14, 40), (7, 7, 40), (3, 3), 2, sources=("image",))
    steps = itertools.product(range(0, 7, 4), range(7), range(0, 40, 16), range(9))
    assert count_work([layer], B4096).engine[0] == sum(1 for _ in steps)


def test_first_layer_packs_its_columns() -> None:
    first = Layer("a", "conv", (16, 16, 3), (16, 16, 16), (5, 5), sources=("image",))
    later = Layer("b", "conv", (16, 16, 3), (16, 16, 16), (5, 5), sources=("a",))
    work = count_work([first, later], B4096)
    assert list(work.multiply) == [2 * 16 * max(1 * 5, 8), 2 * 16 * 25]  # 5 columns of 3 channels are one step of 16


def test_feature_maps_stay_only_where_they_fit_and_the_reader_is_next() -> None:
    assert count_bank_bytes(B4096) == 512 * 1024
    small, large = (32, 32, 64), (128, 128, 64)
    for size, stays in ((small, True), (large, False)):
        chain = [
            Layer("a", "conv", (*size[:2], 3), size, weights=7, sources=("image",)),
            Layer("b", "conv", size, size, weights=9, sources=("a",)),
        ]
        work = count_work(chain, B4096)
        whole = math.prod(size)
        assert list(work.load) == [size[0] * size[1] * 3, 0 if stays else whole]
        assert list(work.save) == [0 if stays else whole, whole]  # the last map leaves the DPU
        assert list(work.weights) == [7, 9]
    branched = [
        Layer("a", "conv", (32, 32, 3), small, sources=("image",)),
        Layer("b", "conv", small, small, sources=("a",)),
        Layer("sum", "eltwise", small, small, sources=("b", "a")),
    ]
    work = count_work(branched, B4096)
    assert list(work.save) == [32 * 32 * 64, 0, 32 * 32 * 64]  # a is read twice, so it is saved
    assert list(work.load) == [32 * 32 * 3, 0, 32 * 32 * 64]  # and loaded for the sum


def test_time_is_the_slower_of_engines_and_memory() -> None:
    layers = published_networks.networks()["vgg16"]()
    work, values = count_work(layers, B4096), dict(read_constants())
    times = compute_times(work, values, 1, 300)
    expected = []
    for place in range(len(work.layers)):
        busy = (work.multiply[place] / values["multiply_ceiling"] + work.engine[place] * values["engine_share"]) / 300e3
        moved = (work.load[place] + work.save[place] + work.weights[place]) / (values["bandwidth_isa1"] * 1e6)
        expected.append(max(busy, moved) + values["start_isa1"] / 1e3)
    np.testing.assert_allclose(times.total, expected)
    assert (
        compute_times(work, values, 1, 300, 3).total.sum()
        > compute_times(work, values, 1, 300, 2).total.sum()
        > sum(expected)
    )


def test_the_order_of_the_file_does_not_matter() -> None:
    layers = published_networks.networks()["resnet50"]()
    backwards = sort_by_run(layers[::-1])
    done: set[str] = set()
    for layer in backwards:
        assert all(source in done or not any(one.name == source for one in layers) for source in layer.sources)
        done.add(layer.name)
    assert len(backwards) == len(layers)


@pytest.mark.parametrize(
    ("name", "gop", "weights"),
    [  # operations and parameters of the papers and of AMD's table
        ("vgg16", 30.96, 138.4),
        ("resnet50", 7.7, 25.5),
        ("resnet50_slim", 6.97, 25.5),
        ("resnet101", 14.4, 44.5),
        ("resnet152", 21.83, 60.1),
        ("inception_v1", 3.0, 6.6),
        ("googlenet", 3.16, 7.0),
        ("inception_v3", 11.45, 23.8),
        ("mobilenet_v1", 1.14, 4.2),
        ("mobilenet_v1_05", 0.150, 1.33),
        ("mobilenet_v2", 0.602, 3.5),
        ("squeezenet", 0.76, 1.24),
    ],
)
def test_layer_tables_are_the_papers_networks(name: str, gop: float, weights: float) -> None:
    layers = published_networks.networks()[name]()
    counted = sum(layer.operations for layer in layers if layer.kind in ("conv", "dwconv"))
    assert counted / 1e9 == pytest.approx(gop, rel=0.03)
    assert sum(layer.weights for layer in layers) / 1e6 == pytest.approx(weights, rel=0.01)


def predicted(
    name: str, board: str, vitis_ai: str | None = None, threads: tuple[int, ...] = (1, 2, 4, 6)
) -> Prediction:
    layers = tuple(published_networks.networks()[name]())
    side = layers[0].source[0]
    network = Network((layers,), 0, side * side, side * side * 3)
    return predict_network(name, network, boards.find_target(board, vitis_ai), threads)


@pytest.mark.parametrize("vitis_ai", ["1.3", "1.4", "3.0"])
def test_the_tutorials_own_numbers_are_inside(vitis_ai: str) -> None:
    speeds = {speed.threads: speed.python for speed in predicted("mobilenet_v1", "zcu102", vitis_ai).speeds}
    assert speeds[1].low <= 194.12 <= speeds[1].high
    assert speeds[6].low <= 731.21 <= speeds[6].high


@pytest.mark.parametrize("board", MODELLED)
@pytest.mark.parametrize("name", sorted(published_networks.networks()))
def test_intervals_hold_their_value_and_threads_never_slow_down(name: str, board: str) -> None:
    found = predicted(name, board)
    for speed in found.speeds:
        for part in (speed.dpu, speed.app, speed.python):
            assert 0 < part.low < part.value < part.high
        assert speed.python.low < speed.app.value <= speed.dpu.value
    for kind in ("dpu", "app", "python"):
        values = [getattr(speed, kind).value for speed in found.speeds]
        assert values == sorted(values)
    rows = found.layers()
    assert found.latency_ms is not None
    assert sum(row["milliseconds"] for row in rows) == pytest.approx(found.latency_ms.value, rel=1e-3)
    assert all(0 < row["utilisation"] <= read_constants()["multiply_ceiling"] for row in rows if row["kind"] == "conv")


def test_threads_meet_the_smallest_bound() -> None:
    slow = App(processor=10.0, locked=4.0)
    assert compute_rate(lambda cores: 5.0, 3, 1, App()) == 200
    assert compute_rate(lambda cores: 5.0, 3, 1, slow) == pytest.approx(1000 / 15)
    assert compute_rate(lambda cores: 5.0, 3, 8, App()) == 600
    assert compute_rate(lambda cores: 5.0, 3, 8, App(processor=10.0)) == 400  # four processors
    assert compute_rate(lambda cores: 5.0, 3, 8, slow) == 250  # one thread at a time
    assert compute_rate(lambda cores: 5.0 * cores**2, 3, 8, App()) == 200  # a further core never does harm
