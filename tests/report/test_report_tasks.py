"""The report of other tasks than classification: masks, boxes, metrics and outputs, drawn from small made files."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from record_tools import write_records

sys.path.insert(0, str(Path(__file__).parent))
from test_report_pictures import cells, texts

from softdpu import tasks
from softdpu.dataset import example, images, tfrecord
from softdpu.dataset.box_labels import Boxes, pack
from softdpu.errors import SoftdpuError
from softdpu.numbers.segmentation import IGNORED
from softdpu.package.ladder import Step
from softdpu.report import boxes, curves, figures, masks, metrics, outputs, sections
from softdpu.training import results

NAMES = ["ground", "Füße", "猫 & <b>"]
HISTORY = {key: [0.5, 0.25] for key in ("loss", "accuracy", "val_loss", "val_accuracy", "lr")}


def pictures(path: Path) -> list[ElementTree.Element]:
    return list(ElementTree.parse(path).iter("{http://www.w3.org/2000/svg}image"))


def write_masks(path: Path, truth: np.ndarray, found: np.ndarray) -> Path:
    np.savez_compressed(path, places=np.arange(len(truth)) * 2, truth=truth, found=found)
    return path


@pytest.fixture
def records(tmp_path: Path) -> Path:
    """Six images with three classes in their labels.txt."""
    random = np.random.default_rng(1)
    jpegs = [images.encode_jpeg(random.integers(0, 256, (20, 30, 3)).astype(np.uint8)) for _ in range(6)]
    write_records(tmp_path / "val/data_0.tfrecord", [(0, data) for data in jpegs])
    (tmp_path / "val/labels.txt").write_text("\n".join(NAMES) + "\n", encoding="utf-8")
    return tmp_path / "val"


@pytest.fixture
def truth() -> np.ndarray:
    random = np.random.default_rng(2)
    found = random.integers(0, 3, (3, 8, 12)).astype(np.uint8)
    found[0, :4] = IGNORED
    return found


def test_masks_are_drawn_beside_the_images_with_the_share_that_is_right(
    tmp_path: Path, records: Path, truth: np.ndarray
) -> None:
    wrong = truth.copy()
    wrong[truth == IGNORED] = 1
    wrong[1, :2] = (wrong[1, :2] + 1) % 3
    paths = {"float": write_masks(tmp_path / "f.npz", truth, np.where(truth == IGNORED, 0, truth))}
    paths["ptq"] = write_masks(tmp_path / "p.npz", truth, wrong)
    for name in ("a.svg", "b.svg"):
        masks.draw(paths, records, tmp_path / name)
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()
    assert len(pictures(tmp_path / "a.svg")) == 3 * 4, "image, true mask and two stages of three images"
    shown = texts(tmp_path / "a.svg")
    assert {"image", "true mask", "float model", "quantized", *NAMES, "does not count"} <= set(shown)
    assert shown.count("100.0 % right") == 5 and shown.count("75.0 % right") == 1


def test_a_pixel_has_the_colour_of_its_class() -> None:
    painted = masks._paint(np.array([[0, 1], [IGNORED, 200]], np.uint8))
    assert painted.shape == (2, 2, 3) and tuple(painted[1, 0]) == (255, 255, 255)
    assert [tuple(pixel) for pixel in painted[0]] == [masks._choose_colour(0), masks._choose_colour(1)]


def test_many_classes_have_colours_of_their_own(tmp_path: Path, records: Path) -> None:
    assert len({masks._choose_colour(label) for label in range(64)}) == 64
    truth = (np.arange(3 * 100) % 60).reshape(3, 10, 10).astype(np.uint8)
    masks.draw({"qat": write_masks(tmp_path / "q.npz", truth, truth)}, records, tmp_path / "m.svg")
    shown = texts(tmp_path / "m.svg")
    assert "class 19" in shown and "class 20" not in shown and "and 40 classes more" in shown


def test_masks_of_other_images_or_no_masks_are_told(tmp_path: Path, records: Path, truth: np.ndarray) -> None:
    good = write_masks(tmp_path / "f.npz", truth, truth)
    other = write_masks(tmp_path / "o.npz", truth[::-1], truth)
    with pytest.raises(SoftdpuError, match=r"o.npz has masks of other images than .*f.npz; build both again"):
        masks.draw({"float": good, "ptq": other}, records, tmp_path / "x.svg")
    few = tmp_path / "few"
    write_records(few / "data_0.tfrecord", [(0, images.encode_jpeg(np.zeros((4, 4, 3), np.uint8)))])
    with pytest.raises(SoftdpuError, match=r"few holds 1 images, the masks are of more"):
        masks.draw({"float": good}, few, tmp_path / "x.svg")
    bad = [b"", b"no zip", good.read_bytes()[:200], good.read_bytes()[:-10]]
    for number, data in enumerate(bad):
        path = tmp_path / f"bad{number}.npz"
        path.write_bytes(data)
        with pytest.raises(SoftdpuError, match=rf"bad{number}.npz: expected masks of validation images"):
            masks.read_masks(path)
    np.savez(tmp_path / "types.npz", places=[0], truth=np.zeros((1, 2, 2)), found=np.zeros((1, 2, 2)))
    np.savez(tmp_path / "keys.npz", places=[0])
    np.save(tmp_path / "array.npy", np.zeros(3))
    for name in ("types.npz", "keys.npz", "array.npy", "none.npz"):
        with pytest.raises(SoftdpuError, match=rf"{name}: expected masks of validation images"):
            masks.read_masks(tmp_path / name)
    masks.draw({}, records, tmp_path / "none.svg")
    assert "This build has no such stage (float model)" in " ".join(texts(tmp_path / "none.svg"))


def test_boxes_are_drawn_for_every_stage(tmp_path: Path) -> None:
    corners = np.array([[0.1, 0.1, 0.5, 0.5]], np.float32)
    target = pack(Boxes(corners, np.array([1]), np.array([False])))
    jpeg = images.encode_jpeg(np.full((20, 30, 3), 90, np.uint8))
    (tmp_path / "val").mkdir()
    with open(tmp_path / "val/data_0.tfrecord", "wb") as file:
        for _ in range(3):
            tfrecord.append(file, example.encode(example.Record(0, 20, 30, 3, jpeg, target)))
    (tmp_path / "val/labels.txt").write_text("disc\nsquare\n")
    (tmp_path / "boxes.csv").write_text("image,left,top,right,bottom,score,class\n1,0.1,0.1,0.5,0.5,0.9,1\n")
    boxes.draw({"float": tmp_path / "boxes.csv"}, tmp_path / "val", tmp_path / "b.svg")
    assert len(pictures(tmp_path / "b.svg")) == 3 * 2
    assert {"labels", "float model"} <= set(texts(tmp_path / "b.svg"))
    (tmp_path / "boxes.csv").write_text("image,left,top,right,bottom,score,class\n9,0.1,0.1,0.5,0.5,0.9,1\n")
    with pytest.raises(SoftdpuError, match=r"boxes.csv: expected the boxes of the validation images"):
        boxes.draw({"float": tmp_path / "boxes.csv"}, tmp_path / "val", tmp_path / "b.svg")


def test_metrics_of_every_stage_as_chart_and_table(tmp_path: Path) -> None:
    steps = {"float": Step("float model", 0.9, 50, (0.95,)), "ptq": Step("quantized", 0.89, 50, (0.945,))}
    steps["target"] = Step("on target", 0.8912, 10, (0.94,))
    metrics.draw_metrics(tmp_path / "l.svg", steps, tasks.SEGMENTATION, "U-Net <1>, zcu102")
    shown = texts(tmp_path / "l.svg")
    assert {"90.00", "95.00", "89.12", "mean IoU", "pixel accuracy", "U-Net <1>, zcu102"} <= set(shown)
    assert shown.count("not in this build") == 1
    metrics.write_metrics(tmp_path / "l.html", steps, tasks.SEGMENTATION, "U-Net", [Step("tflite", 0.889, 50, (0.9,))])
    rows = {row[0]: row[1:] for row in cells(tmp_path / "l.html")}
    assert rows["stage"] == ["mean IoU, %", "pixel accuracy, %", "images", "mean IoU to the float model, points"]
    assert rows["quantized"] == ["89.00", "94.50", "50", "-1.00"]
    assert rows["on target"] == ["89.12", "94.00", "10", ""], "other images give no distance"
    assert rows["exported: tflite"] == ["88.90", "90.00", "50", "-1.10"]


@pytest.mark.parametrize(
    ("task", "metric"),
    [
        (tasks.SEGMENTATION, {"iou": [[0.5, 0.75, None], [0.5, 0.5, None]]}),
        (tasks.DETECTION, {"by_class": [dict(zip(NAMES, found, strict=True)) for found in ([0.5, 0.75, None],) * 2]}),
    ],
)
def test_each_class_at_every_stage(tmp_path: Path, task: tasks.Task, metric: dict[str, list]) -> None:
    [(key, values)] = metric.items()
    paths = {"float": tmp_path / "f.json", "ptq": tmp_path / "p.json"}
    for path, value in zip(paths.values(), values, strict=True):
        path.write_text(json.dumps({key: value}))
    metrics.write_classes(tmp_path / "c.html", paths, NAMES, task)
    head, *rows = cells(tmp_path / "c.html")
    assert head == ["class", "float model, %", "quantized, %", "quantized, points"]
    assert {tuple(row) for row in rows} >= {("ground", "50.00", "50.00", "+0.00"), ("猫 & <b>", "", "", "")}
    if task == tasks.SEGMENTATION:
        assert rows[0] == ["Füße", "75.00", "50.00", "-25.00"], "the class that lost most stands first"
    for bad in ("{}", f'{{"{key}": [2.0]}}', f'{{"{key}": [NaN]}}', f'{{"{key}": 5}}', "[]"):
        paths["ptq"].write_text(bad)
        with pytest.raises(SoftdpuError, match=r"p.json: expected"):
            metrics.write_classes(tmp_path / "c.html", paths, NAMES, task)


def near(sqnr: float, images: int = 10, names: tuple[str, ...] = ("boxes", "scores")) -> dict[str, object]:
    found = [{"name": name, "sqnr": sqnr + i, "cosine": 0.99 - i / 100} for i, name in enumerate(names)]
    return {"images": images, "outputs": found}


def test_outputs_of_every_stage_as_chart_and_table(tmp_path: Path) -> None:
    held = {"float": {"images": 10, "outputs": [{"name": "boxes"}, {"name": "scores"}]}}
    held.update(ptq=near(20.0), target=near(21.5, images=4))
    paths = {stage: tmp_path / f"{stage}.json" for stage in held}
    for stage, path in paths.items():
        path.write_text(json.dumps(held[stage]))
    found = outputs.read_outputs_of(paths)
    assert list(found) == ["ptq", "target"], "the float network is the measure"
    outputs.draw_outputs(tmp_path / "o.svg", found, "my.onnx, zcu102")
    expected = {"boxes", "scores", "quantized", "on target", "signal to noise, dB", "cosine", "my.onnx, zcu102"}
    assert expected <= set(texts(tmp_path / "o.svg"))
    outputs.write_outputs(tmp_path / "o.html", found, "my.onnx")
    rows = cells(tmp_path / "o.html")
    assert rows[1:3] == [
        ["boxes", "quantized", "20.00", "0.990000", "10"],
        ["boxes", "on target", "21.50", "0.990000", "4"],
    ]
    assert len(rows) == 5
    paths["ptq"].write_text(json.dumps(near(float("inf"))))
    with pytest.raises(SoftdpuError, match=r"ptq.json: expected signal to noise of each output"):
        outputs.read_outputs_of(paths)
    outputs.draw_outputs(tmp_path / "none.svg", {}, "my.onnx")
    assert "This build has no such stage (quantized)" in " ".join(texts(tmp_path / "none.svg"))


def test_of_many_outputs_those_with_the_most_noise_are_drawn(tmp_path: Path) -> None:
    names = tuple(f"output {i}" for i in range(40))
    (tmp_path / "p.json").write_text(json.dumps(near(10.0, names=names)))
    found = outputs.read_outputs_of({"ptq": tmp_path / "p.json"})
    outputs.draw_outputs(tmp_path / "o.svg", found, "net")
    shown = texts(tmp_path / "o.svg")
    assert "output 23" in shown and "output 24" not in shown
    assert any(f"the {outputs.SHOWN} of 40 outputs with the most noise" in text for text in shown)
    outputs.write_outputs(tmp_path / "o.html", found, "net")
    assert len(cells(tmp_path / "o.html")) == 41


def test_signal_to_noise_of_images_is_drawn_and_the_worst_named(tmp_path: Path) -> None:
    lines = [f"{i},{name},{20 + i + 5 * (name == 'b,c')},0.9" for i in range(5) for name in ("a", "b,c")]
    (tmp_path / "s.csv").write_text("\n".join(["image,output,sqnr,cosine", *lines, ""]))
    (tmp_path / "float.csv").write_text("image,output,sqnr,cosine\n")
    found = outputs.read_images(tmp_path / "s.csv")
    assert found["b,c"].tolist() == [25, 26, 27, 28, 29]
    outputs.draw_images(tmp_path / "i.svg", {"float": tmp_path / "float.csv", "ptq": tmp_path / "s.csv"})
    assert {"a", "b,c", "quantized: worst image 0, 20.0 dB in a"} <= set(texts(tmp_path / "i.svg"))
    for bad in ("", "image,output,sqnr,cosine\n1,a\n", "image,output,sqnr,cosine\n1,a,nan,1\n"):
        (tmp_path / "s.csv").write_text(bad)
        if bad:
            with pytest.raises(SoftdpuError, match=r"s.csv: expected signal to noise by image and output"):
                outputs.read_images(tmp_path / "s.csv")
        else:
            assert outputs.read_images(tmp_path / "s.csv") == {}


def drawn(folder: Path) -> set[str]:
    return {f"report/{path.name}" for path in folder.iterdir()}


def planned(task: str) -> set[str]:
    return {figure.file for figure in figures.list_figures("report_accuracy", task)}


def test_the_section_of_segmentation_is_what_the_table_of_figures_says(
    tmp_path: Path, records: Path, truth: np.ndarray
) -> None:
    for name in ("float", "ptq"):
        (tmp_path / name).mkdir()
        write_masks(tmp_path / name / "predictions.npz", truth, truth)
        (tmp_path / name / "metrics.json").write_text(json.dumps({"iou": [0.5, 0.5, 0.5]}))
    results.write_history(tmp_path / "float/history.csv", HISTORY, 2)
    measured = {name: sorted((tmp_path / name).iterdir()) for name in ("float", "ptq")}
    sections.draw_accuracy({**measured, "qat": []}, records, tmp_path / "out", tasks.SEGMENTATION)
    assert drawn(tmp_path / "out") == planned("segmentation")
    assert "pixel accuracy, %" in texts(tmp_path / "out/training_float.svg")
    assert "Nothing was trained" in " ".join(texts(tmp_path / "out/training_qat.svg"))


def test_the_mean_overlap_of_every_epoch_is_kept_and_drawn(tmp_path: Path) -> None:
    overlaps = {"mean_iou": [0.1, 0.2], "val_mean_iou": [0.3, 0.4]}
    start = {"loss": 1.0, "accuracy": 0.5, "mean_iou": 0.05}
    results.write_history(tmp_path / "history.csv", {**HISTORY, **overlaps}, 2, start)
    epochs = results.read_history(tmp_path / "history.csv")
    assert [epoch.val_mean_iou for epoch in epochs] == [0.05, 0.3, 0.4]
    assert [epoch.mean_iou for epoch in epochs[1:]] == [0.1, 0.2] and epochs[2].kept
    curves.draw_curves(tmp_path / "curves.svg", epochs, "float", tasks.SEGMENTATION)
    assert "mean IoU, %" in texts(tmp_path / "curves.svg")


def test_the_section_of_the_task_none_is_what_the_table_of_figures_says(tmp_path: Path) -> None:
    (tmp_path / "similarity.csv").write_text("image,output,sqnr,cosine\n0,a,20.0,0.9\n")
    sections.draw_accuracy({"ptq": [tmp_path / "similarity.csv"]}, tmp_path, tmp_path / "out", tasks.NONE)
    assert drawn(tmp_path / "out") == planned("none")


def test_every_task_has_its_figures_with_captions() -> None:
    root = Path(__file__).parents[2]
    assert set(figures.OF_TASK) == set(tasks.TASKS)
    for task in tasks.TASKS:
        for rule in ("doctor", "report_accuracy", "report_target", "report_build"):
            found = figures.list_figures(rule, task)
            assert found and len({figure.output for figure in found}) == len({figure.file for figure in found})
            assert all((root / f"report/{figure.caption}.rst").is_file() for figure in found)
