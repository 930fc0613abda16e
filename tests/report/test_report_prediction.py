"""The report's page of the prediction shows what its JSON file says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from softdpu.errors import SoftdpuError
from softdpu.numbers import boards
from softdpu.predict import predict_network
from softdpu.predict.layers import Layer
from softdpu.predict.network import Network
from softdpu.predict.predict import Prediction
from softdpu.predict.text import as_dict
from softdpu.report.predicted import write_prediction


def page(folder: Path, value: dict[str, Any] | None) -> str:
    source = folder / "predict_zcu102.json" if value is not None else None
    if source:
        source.write_text(json.dumps(value))
    write_prediction(folder / "predicted.html", source)
    return (folder / "predicted.html").read_text()


def test_numbers_layers_and_advice(tmp_path: Path) -> None:
    layer = Layer("first <conv>", "conv", (64, 64, 3), (64, 64, 24), (3, 3), weights=672, sources=("image",))
    network = Network(((layer,),), 0, 64 * 64, 64 * 64 * 3)
    value = as_dict(predict_network("small.xmodel", network, boards.find_target("zcu102"), (1, 6)))
    text = page(tmp_path, value)
    assert "first &lt;conv&gt;" in text and "24 output channels cost as much as 32" in text
    assert f"{value['layers'][0]['cycles']:,}" in text
    for row in value["fps"]:
        assert f"{row['app']['value']:,.0f} ({row['app']['low']:,.0f} to {row['app']['high']:,.0f})" in text


def test_a_board_that_is_not_modelled_and_a_build_without_prediction(tmp_path: Path) -> None:
    assert "not modelled" in page(tmp_path, as_dict(Prediction("small.xmodel", boards.find_target("vck190"))))
    assert "no prediction" in page(tmp_path, None)
    (tmp_path / "broken.json").write_text("{")
    with pytest.raises(SoftdpuError, match=r"broken\.json"):
        write_prediction(tmp_path / "predicted.html", tmp_path / "broken.json")
