"""The report's pictures and tables: right numbers, any names, any number of classes, the same bytes again."""

from __future__ import annotations

import hashlib
import html
import json
import math
import re
from pathlib import Path
from statistics import NormalDist
from xml.etree import ElementTree

import numpy as np
import pytest
from record_tools import write_records

from softdpu.dataset import images
from softdpu.errors import SoftdpuError
from softdpu.output.pictures import HATCHES, choose_bar_style, choose_line_style, printable
from softdpu.package.ladder import Step
from softdpu.report import confusion, costs, curves, dag, flips, ladder, provenance, sections, speed, stages
from softdpu.training import results
from softdpu.training.results import Predictions

NAMES = ["Füße", "猫 & <b>", "$x$ \x07"]
STAGES = {"float": "float_model", "ptq": "quant_model", "qat": "quant_ft_model"}


def texts(path: Path) -> list[str]:
    """Return the texts of an SVG, which must be well-formed."""
    return ["".join(node.itertext()) for node in ElementTree.parse(path).iter("{http://www.w3.org/2000/svg}text")]


def cells(path: Path) -> list[list[str]]:
    """Return the rows of all tables of a page."""
    rows = re.findall(r"<tr>(.*?)</tr>", path.read_text(encoding="utf-8"), re.DOTALL)
    return [[html.unescape(cell) for cell in re.findall(r"<t[dh][^>]*>(.*?)</t[dh]>", row, re.DOTALL)] for row in rows]


def predictions(classes: int, count: int, wrong: float, seed: int) -> Predictions:
    random = np.random.default_rng(seed)
    labels = np.arange(count) % classes
    other = np.where(random.random(count) < wrong, random.integers(0, classes, count), labels)
    return Predictions(labels, other, random.random(count))


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files of three stages on 60 images of three classes with difficult names."""
    folder = tmp_path_factory.mktemp("build")
    random = np.random.default_rng(1)
    shapes = [(9, 130 if i == 0 else 11, 3) for i in range(60)]
    jpegs = [images.encode_jpeg(random.integers(0, 256, shape).astype(np.uint8)) for shape in shapes]
    write_records(folder / "val/data_0.tfrecord", [(i % 3, data) for i, data in enumerate(jpegs)])
    (folder / "val/labels.txt").write_text("\n".join(NAMES) + "\n", encoding="utf-8")
    for seed, name in enumerate(STAGES.values()):
        (folder / name).mkdir()
        found = predictions(3, 60, 0.3, seed)
        results.write_predictions(folder / name / "predictions.csv", found)
        metrics = {"accuracy": float((found.labels == found.classes).mean()), "images": 60, "loss": 1.0}
        (folder / name / "metrics.json").write_text(json.dumps(metrics))
        if name != "quant_model":
            history = {key: [0.5, 0.25] for key in ("loss", "accuracy", "val_loss", "val_accuracy", "lr")}
            results.write_history(folder / name / "history.csv", history, 2, {"loss": 2.0, "accuracy": 0.1})
    return folder


def measured(built: Path) -> dict[str, list[Path]]:
    return {stage: sorted((built / name).iterdir()) for stage, name in STAGES.items()}


def test_the_accuracy_section_is_whole_and_the_same_bytes_again(built: Path, tmp_path: Path) -> None:
    for name in ("a", "b"):
        sections.draw_accuracy(measured(built), built / "val", tmp_path / name)
    files = sorted(path.name for path in (tmp_path / "a").iterdir())
    assert files == [
        "change_ptq.svg", "change_qat.svg", "classes.html", "confusion_float.svg", "confusion_ptq.svg",
        "confusion_qat.svg", "flips_ptq.svg", "flips_qat.svg", "training_float.svg", "training_qat.svg",
    ]  # fmt: skip
    for name in files:
        data = (tmp_path / "a" / name).read_bytes()
        assert data == (tmp_path / "b" / name).read_bytes(), name
        assert not re.search(rb"(href|src)=.(?!#|data:)", data), "nothing is loaded from elsewhere"
    for name in ("confusion_float.svg", "change_ptq.svg", "flips_ptq.svg"):
        shown = " ".join(texts(tmp_path / "a" / name))
        assert "Füße" in shown and "猫 & <b>" in shown and "$x$ \\x07" in shown, name


def test_a_missing_stage_is_told_where_its_pictures_would_be(built: Path, tmp_path: Path) -> None:
    files = {**measured(built), "qat": [], "float": [p for p in measured(built)["float"] if p.suffix == ".json"]}
    files["float"].append(built / "float_model/predictions.csv")
    sections.draw_accuracy(files, built / "val", tmp_path)
    for name in ("confusion_qat.svg", "change_qat.svg", "flips_qat.svg"):
        assert "This build has no such stage (fine-tuned)" in " ".join(texts(tmp_path / name)), name
    for name in ("training_float.svg", "training_qat.svg"):
        assert "Nothing was trained" in " ".join(texts(tmp_path / name)), name
    assert "fine-tuned, %" not in cells(tmp_path / "classes.html")[0]
    sections.draw_accuracy({stage: [] for stage in STAGES}, built / "val", tmp_path / "none")
    assert "no such stage (float model)" in " ".join(texts(tmp_path / "none/change_ptq.svg"))


def test_the_matrix_counts_images(tmp_path: Path) -> None:
    found = predictions(4, 200, 0.4, 5)
    counts = confusion.count_pairs(found, 4)
    for true in range(4):
        for said in range(4):
            assert counts[true, said] == sum(
                a == true and b == said for a, b in zip(found.labels, found.classes, strict=True)
            )
    confusion.draw_matrix(tmp_path / "m.svg", found, [], 4, "ptq")
    shown = texts(tmp_path / "m.svg")
    assert f"Quantized: {np.trace(counts)} of 200 images are right" in shown
    assert shown.count("class 3") == 2
    for number in counts[counts > 0]:
        assert str(number) in shown


def test_what_changed_is_counted(tmp_path: Path) -> None:
    before, after = predictions(4, 300, 0.3, 1), predictions(4, 300, 0.3, 2)
    triples = list(zip(before.labels, before.classes, after.classes, strict=True))
    lost = sum(label == old != new for label, old, new in triples)
    won = sum(label == new != old for label, old, new in triples)
    changed = sum(old != new for _, old, new in triples)
    confusion.draw_change(tmp_path / "c.svg", before, after, [], 4, ("float", "ptq"))
    shown = " ".join(texts(tmp_path / "c.svg"))
    assert f"{changed} images changed class," in shown
    assert f"{lost} from right to wrong, {won} from wrong to right" in shown
    assert sum(map(len, flips.find_flips(before, after).values())) == changed
    confusion.write_table(tmp_path / "t.html", {"float": before, "ptq": after}, [], 4)
    rows = {row[0]: row for row in cells(tmp_path / "t.html")[1:]}
    right = [sum(label == said == 2 for label, said in zip(p.labels, p.classes, strict=True)) for p in (before, after)]
    assert rows["class 2"][2:] == [
        f"{100 * right[0] / 75:.2f}",
        f"{100 * right[1] / 75:.2f}",
        f"{right[1] - right[0]:+d}",
    ]


def test_a_thousand_classes_stay_readable(tmp_path: Path) -> None:
    before, after = predictions(1000, 5000, 0.3, 1), predictions(1000, 5000, 0.35, 2)
    names = [f"n{i:08d} a rather long name of a class" for i in range(1000)]
    confusion.draw_matrix(tmp_path / "m.svg", before, names, 1000, "float")
    confusion.draw_change(tmp_path / "c.svg", before, after, names, 1000, ("float", "ptq"))
    for name in ("m.svg", "c.svg"):
        shown = texts(tmp_path / name)
        assert sum(text.startswith("n0") for text in shown) == 2 * confusion.WORST
        assert shown.count("all others") == 2
        assert any(re.search("the 20 classes with the most .*, of 1,000", text) for text in shown)
        assert (tmp_path / name).stat().st_size < 500_000
    counts = confusion.count_pairs(before, 1000)
    chosen = confusion.find_worst_classes(counts.sum(axis=0))
    assert confusion.fold(counts, chosen).sum() == 5000
    assert confusion.fold(counts, chosen)[3, 5] == counts[chosen[3], chosen[5]]
    confusion.write_table(tmp_path / "t.html", {"float": before, "ptq": after}, names, 1000)
    assert len(cells(tmp_path / "t.html")) == 1001


def test_one_class_only(tmp_path: Path) -> None:
    same = predictions(1, 7, 0.0, 1)
    confusion.draw_matrix(tmp_path / "m.svg", same, ["only"], 1, "float")
    confusion.draw_change(tmp_path / "c.svg", same, same, ["only"], 1, ("float", "ptq"))
    confusion.write_table(tmp_path / "t.html", {"float": same}, ["only"], 1)
    assert "Float model: 7 of 7 images are right" in texts(tmp_path / "m.svg")
    assert any("0 images changed class" in text for text in texts(tmp_path / "c.svg"))
    assert cells(tmp_path / "t.html")[1] == ["only", "7", "100.00"]


def test_the_contact_sheet_shows_images_with_both_labels(built: Path, tmp_path: Path) -> None:
    before, after = (
        results.read_predictions(built / name / "predictions.csv") for name in ("float_model", "quant_model")
    )
    flips.draw_sheet(tmp_path / "f.svg", built / "val", before, after, NAMES, 3, ("float", "ptq"))
    groups = flips.find_flips(before, after)
    expected = sum(min(len(some), flips.ROWS[name] * flips.COLUMNS) for name, some in groups.items())
    tree = ElementTree.parse(tmp_path / "f.svg")
    assert len(list(tree.iter("{http://www.w3.org/2000/svg}image"))) == expected > 5
    shown = texts(tmp_path / "f.svg")
    assert sum(text.startswith("it is: ") for text in shown) == expected
    first = groups["from right to wrong"][0]
    assert f"✓ float model: {printable(NAMES[before.classes[first]])}" in shown
    assert f"✗ quantized: {printable(NAMES[after.classes[first]])}" in shown
    flips.draw_sheet(tmp_path / "none.svg", built / "val", before, before, NAMES, 3, ("float", "ptq"))
    assert any("0 images changed class" in text for text in texts(tmp_path / "none.svg"))
    with pytest.raises(SoftdpuError, match=r"holds 60 images, the predictions are of 6; build the models again"):
        few = Predictions(*(column[:6] for column in before))
        flips.draw_sheet(tmp_path / "x.svg", built / "val", few, few, NAMES, 3, ("float", "ptq"))


def test_curves_name_the_epoch_that_was_kept(built: Path, tmp_path: Path) -> None:
    epochs = results.read_history(built / "quant_ft_model/history.csv")
    assert [epoch.number for epoch in epochs] == [0, 1, 2]
    assert math.isnan(epochs[0].loss) and epochs[0].val_accuracy == 0.1 and epochs[2].kept
    curves.draw_curves(tmp_path / "c.svg", epochs, "Fine-tuning")
    assert "Fine-tuning: the model has the weights of epoch 2" in texts(tmp_path / "c.svg")
    curves.draw_curves(tmp_path / "d.svg", [epochs[0]._replace(kept=True), epochs[1]], "Fine-tuning")
    assert "Fine-tuning: the model has the weights of before training" in texts(tmp_path / "d.svg")


def test_the_ladder_shows_every_stage_and_amds(tmp_path: Path) -> None:
    steps = {"float": Step("float model", 0.8942, 10000), "target": Step("on target", 0.894, 500)}
    ladder.draw_ladder(tmp_path / "l.svg", steps, "MobileNet")
    shown = texts(tmp_path / "l.svg")
    assert {"89.42", "89.40", "≈ 85", "≈ 65", "83.2", "accuracy (top-1), %"} <= set(shown)
    assert shown.count("not in this build") == 2
    ladder.write_ladder(tmp_path / "l.html", steps, "MobileNet")
    rows = {row[0]: row for row in cells(tmp_path / "l.html")}
    assert rows["quantized"][1] == "not in this build"
    half = 100 * NormalDist().inv_cdf(0.975) * math.sqrt(0.894 * 0.106 / 500)
    assert float(rows["on target"][2]) == pytest.approx(half, abs=0.006)
    assert rows["on target"][4] == "", "other images give no distance"
    ladder.write_ladder(tmp_path / "e.html", steps, "MobileNet", [Step("tflite", 0.8912, 10000)])
    assert {row[0]: row for row in cells(tmp_path / "e.html")}["exported: tflite"][1:5:3] == ["89.12", "-0.30"]


def test_costs_add_up_the_jobs_of_a_rule(tmp_path: Path) -> None:
    head = "s\th:m:s\tmax_rss\tmax_vms\tmax_uss\tmax_pss\tio_in\tio_out\tmean_load\tcpu_time\n"
    for name, seconds, memory, cpu in (("train", 60.5, "1500.25", 90), ("r_0", 2, "80", 1), ("r_1", 3, "90", "NA")):
        row = f"{seconds}\t0:00:01\t{memory}\t1\t1\t1\t0\t0\t50\t{cpu}\n"
        (tmp_path / f"{name}.tsv").write_text(head + row)
    found = costs.read_costs(tmp_path.glob("*.tsv"))
    assert [cost.name for cost in found] == ["train", "r"]
    assert (found[1].jobs, found[1].seconds, found[1].peak_mib) == (2, 5, 90)
    costs.draw_costs(tmp_path / "c.svg", found)
    assert "r (2 jobs)" in texts(tmp_path / "c.svg")
    costs.draw_costs(tmp_path / "none.svg", [])
    assert "There are no benchmark files" in " ".join(texts(tmp_path / "none.svg"))
    (tmp_path / "bad.tsv").write_text("a\tb\n1\t2\n")
    with pytest.raises(SoftdpuError, match=r"bad.tsv: expected a benchmark file of Snakemake"):
        costs.read_costs(tmp_path.glob("*.tsv"))


def test_provenance_tells_files_and_configuration(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text(
        json.dumps({"sources": [{"name": "猫.tar", "size": 1234567, "sha256": "ab"}]})
    )
    (tmp_path / "model.h5").write_bytes(b"model")
    provenance.write_provenance(
        tmp_path / "p.html", {"train": {"epochs": 3}}, [tmp_path / "manifest.json"], [tmp_path / "model.h5"]
    )
    rows = cells(tmp_path / "p.html")
    assert ["猫.tar", "1,234,567", "ab"] in rows
    assert [str(tmp_path / "model.h5"), "5", hashlib.sha256(b"model").hexdigest()] in rows
    assert [row[0] for row in rows[:2]] and rows[0][0] == "git revision"
    assert "train:\n  epochs: 3" in (tmp_path / "p.html").read_text(encoding="utf-8")


def test_throughput(tmp_path: Path) -> None:
    (tmp_path / "s.json").write_text(json.dumps({"sweep": [{"threads": 1, "fps": 3000}, {"threads": 2, "fps": 5500}]}))
    speed.draw_throughput(tmp_path / "s.svg", speed.read_sweep(tmp_path / "s.json"), "zcu102")
    assert {"3,000", "5,500", "throughput, images per second"} <= set(texts(tmp_path / "s.svg"))
    (tmp_path / "n.json").write_text("{}")
    with pytest.raises(SoftdpuError, match=r"n.json holds no table of throughput; run app_mt.py with --sweep"):
        speed.read_sweep(tmp_path / "n.json")


def test_predictions_of_other_images_are_refused(built: Path, tmp_path: Path) -> None:
    results.write_predictions(tmp_path / "other.csv", predictions(3, 59, 0.1, 1))
    with pytest.raises(SoftdpuError, match=r"other.csv is of other images than .*predictions.csv: 59 and 60 labels"):
        stages.read_stages({"float": built / "float_model/predictions.csv", "ptq": tmp_path / "other.csv"})


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (None, "cannot be read"),
        ("a,b\n", "expected the columns label, predicted, confidence, got a, b"),
        ("label,predicted,confidence\n1,x,0.5\n", "expected a label, a class and a confidence a line"),
        ("label,predicted,confidence\n1\n", "expected a label, a class and a confidence a line"),
        ("", "predictions.csv"),
    ],
)
def test_a_broken_file_of_predictions_is_told(tmp_path: Path, content: str | None, told: str) -> None:
    path = tmp_path / "predictions.csv"
    if content is not None:
        path.write_text(content)
    with pytest.raises(SoftdpuError, match=told):
        results.read_predictions(path)


def test_predictions_come_back(tmp_path: Path) -> None:
    found = predictions(5, 40, 0.5, 3)
    results.write_predictions(tmp_path / "p.csv", found)
    back = results.read_predictions(tmp_path / "p.csv")
    np.testing.assert_array_equal(back.labels, found.labels)
    np.testing.assert_array_equal(back.classes, found.classes)
    np.testing.assert_allclose(back.confidence, found.confidence, atol=5e-5)


def test_series_differ_without_colour() -> None:
    lines = [(choose_line_style(i)["marker"], choose_line_style(i)["linestyle"]) for i in range(6)]
    assert len({marker for marker, _ in lines}) == 6 and len({dash for _, dash in lines[:4]}) == 4
    assert len({choose_bar_style(i)["hatch"] for i in range(len(HATCHES))}) == len(HATCHES)


GRAPH = """digraph snakemake_dag {
	0[label = "target", color = "0.1 0.6 0.85", style="rounded"];
	1[label = "compile", color = "0.2 0.6 0.85", style="rounded"];
	2[label = "train", color = "0.3 0.6 0.85", style="rounded"];
	1 -> 0
	2 -> 0
	2 -> 1
}"""


def test_the_graph_loses_the_arrows_that_follow_from_others(tmp_path: Path) -> None:
    graph = dag.read_graph(GRAPH)
    assert graph == {"target": set(), "compile": {"target"}, "train": {"compile", "target"}}
    assert dag.reduce_graph(graph) == {"target": set(), "compile": {"target"}, "train": {"compile"}}
    text = dag.as_dot(dag.reduce_graph(graph))
    assert '"train" -> "compile";' in text and '"train" -> "target";' not in text
    with pytest.raises(SoftdpuError, match=r"expected the graph that `snakemake target_zcu102 --rulegraph` prints"):
        dag.draw_dag("Nothing to be done", tmp_path / "x.svg")
