"""The comparison of variants: which are on the front, what the table and the picture hold."""

from __future__ import annotations

import csv
import json
import random
import re
from pathlib import Path
from xml.etree import ElementTree

import pytest

from softdpu.errors import SoftdpuError
from softdpu.sweep import compare
from softdpu.sweep.compare import COSTS, Row
from softdpu.sweep.variants import list_results
from softdpu.tasks import SEGMENTATION


def row(name: str, accuracy: float, size: int, operations: int, fps: float, images: int = 0) -> Row:
    stages = {"float model": accuracy, "fine-tuned": accuracy, "on target": accuracy}
    return Row(name, "zcu102", stages, accuracy, size, operations, fps, images)


def front_by_definition(rows: list[Row], cost: str) -> set[int]:
    """Every row that none beats, by comparing all with all."""
    attribute, _, _, more = COSTS[cost]

    def price(one: Row) -> float:
        return float(getattr(one, attribute)) * (-1 if more else 1)

    def beats(one: Row, other: Row) -> bool:
        no_worse = one.accuracy >= other.accuracy and price(one) <= price(other)
        return no_worse and (one.accuracy > other.accuracy or price(one) < price(other))

    return {i for i, one in enumerate(rows) if not any(beats(other, one) for other in rows)}


@pytest.mark.parametrize("cost", COSTS)
def test_the_front_is_what_no_other_row_beats(cost: str) -> None:
    for seed in range(300):
        draw = random.Random(seed)
        rows = [
            row(str(i), draw.randint(0, 5) / 5, draw.randint(1, 5), draw.randint(1, 5), draw.randint(1, 5))
            for i in range(draw.randint(1, 9))
        ]
        assert compare.find_front(rows, cost) == front_by_definition(rows, cost)


ROWS = [
    row("narrow", 0.90, 400_000, 7_000_000, 5000.0),
    row("wide", 0.92, 1_200_000, 25_000_000, 2000.0),
    row("bad & <slow>", 0.85, 1_300_000, 30_000_000, 1000.0),
]


@pytest.fixture
def compared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> tuple[Path, str]:
    found = {f"{one.variant}/{one.target}": one for one in ROWS}
    monkeypatch.setattr(compare, "read_row", lambda build, name, task: found[name])
    compare.compare(Path("build"), list(found), tmp_path / "sweep")
    return tmp_path / "sweep", capsys.readouterr().out


def test_the_table_is_printed_and_stored(compared: tuple[Path, str]) -> None:
    folder, printed = compared
    lines = printed.splitlines()
    assert re.fullmatch(r"narrow +zcu102 +90\.00 % +90\.00 % +391 +7\.0 +5,000 +size, operations, throughput", lines[1])
    assert lines[3].endswith("1,000")
    table = json.loads((folder / "table.json").read_text())["rows"]
    assert [entry["pareto"] for entry in table] == ["size operations throughput", "size operations throughput", ""]
    with open(folder / "table.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [entry["variant"] for entry in rows] == [one.variant for one in ROWS]
    assert float(rows[1]["fine-tuned"]) == 0.92 and int(rows[1]["bytes"]) == 1_200_000


def test_the_picture_names_variants_and_the_front(compared: tuple[Path, str]) -> None:
    tree = ElementTree.parse(compared[0] / "sweep.svg")
    texts = ["".join(node.itertext()).strip() for node in tree.iter("{http://www.w3.org/2000/svg}text")]
    assert texts.count("narrow") == texts.count("bad & <slow>") == len(COSTS)
    assert "Pareto front" in texts
    for _, label, _, _ in COSTS.values():
        assert label in texts


NOISY = [
    row("a", 0.900, 400_000, 7_000_000, 5000.0, 10_000),
    row("a again", 0.902, 400_000, 7_000_000, 4900.0, 10_000),
    row("dear luck", 0.904, 1_200_000, 25_000_000, 2000.0, 10_000),
    row("dear", 0.930, 1_500_000, 30_000_000, 1500.0, 10_000),
]


@pytest.mark.parametrize("cost", COSTS)
def test_noise_is_not_called_best(cost: str) -> None:
    found = compare.stand(NOISY, cost)
    names = {NOISY[index].variant for index in found.best}
    assert "dear luck" not in names  # 0.2 to 0.4 points more, at several times the cost
    assert "dear" in names and {"a again"} <= names
    assert {2, 3} <= found.front
    assert 2 not in found.ties[0] and found.ties[0] == [1]


def test_ties_are_said_and_equal_points_have_one_label(tmp_path: Path) -> None:
    standings = {cost: compare.stand(NOISY, cost) for cost in COSTS}
    lines = compare._show_text(NOISY, standings).splitlines()
    assert lines[1].endswith("size (= a again zcu102), operations (= a again zcu102), throughput (= a again zcu102)")
    assert lines[3].endswith("2,000") and "0.59 points" in lines[-1]
    compare.draw(tmp_path / "sweep.svg", NOISY, standings)
    tree = ElementTree.parse(tmp_path / "sweep.svg")
    places = {}
    for node in tree.iter("{http://www.w3.org/2000/svg}text"):
        places.setdefault("".join(node.itertext()).strip(), []).append(
            node.get("transform") or (node.get("x"), node.get("y"))
        )
    assert len(places["a"]) == len(places["a again"]) == len(COSTS)
    assert not set(places["a"]) & set(places["a again"])


def test_other_tasks_are_compared_by_their_first_metric(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ladder, run, _ = map(Path, list_results(str(tmp_path), "wide/zcu102"))
    steps = [("float model", 0.9), ("quantized", 0.875), ("on target", 0.75)]
    ladder.parent.mkdir(parents=True)
    ladder.write_text(
        json.dumps({"steps": [{"name": n, "mean_iou": v, "accuracy": 1, "images": 50} for n, v in steps]})
    )
    run.write_text('{"fps": 5.5}')
    monkeypatch.setattr(compare, "describe", lambda path: {"bytes": 100, "workload": 5})
    found = compare.read_row(tmp_path, "wide/zcu102", SEGMENTATION)
    assert (found.accuracy, found.accuracies["on target"], found.images, found.noise) == (0.875, 0.75, 50, 0.0)
    monkeypatch.setattr(compare, "read_row", lambda build, name, task: found)
    compare.compare(tmp_path, ["wide/zcu102"], tmp_path / "sweep", SEGMENTATION)
    assert json.loads((tmp_path / "sweep/table.json").read_text())["rows"][0]["mean_iou"] == 0.875
    picture = (tmp_path / "sweep/sweep.svg").read_text()
    assert "mean IoU of the compiled network, %" in picture and "95 % interval" not in picture


def test_a_missing_result_is_told(tmp_path: Path) -> None:
    with pytest.raises(SoftdpuError, match=r"ladder_zcu102\.json: expected JSON with steps"):
        compare.compare(tmp_path, ["wide/zcu102"], tmp_path)
