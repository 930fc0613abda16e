"""The report of a small build: made in one file, opened in a browser, every section with its figures."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import browser
import cv2
import numpy as np
import pytest
from workflow_tools import ROOT, copy_project, snakemake

from softdpu.report.dag import WHAT, read_graph

pytestmark = pytest.mark.slow

# How many pictures and tables each section has for one target.
SECTIONS = {
    "1 Accuracy": 2,
    "2 Training": 2,
    "3 Classes": 7,
    "4 Flipped images": 2,
    "5 Layers": 5,
    "6 Compiler": 2,
    "7 Speed": 2,
    "8 Build": 3,
}


@pytest.fixture(scope="module")
def report(built: Path) -> Path:
    """The report of the small build, as `make report` makes it."""
    commands = re.search(r"^report:.*\n((?:\t.*\n)+)", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert commands
    for command in re.findall(r"snakemake (.*)", commands[1]):
        run = snakemake(built, *command.replace("$(JOBS)", "2").split())
        assert run.returncode == 0, run.stdout[-5000:]
    return built / "build/report.html"


@pytest.fixture(scope="module")
def page(report: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[browser.Browser]:
    if browser.CHROMIUM is None:
        pytest.skip("Chromium is not installed")
    opened = browser.Browser(tmp_path_factory.mktemp("chromium"))
    try:
        opened.open(report.as_uri())
        opened.wait("document.querySelector('#app li') !== null")
        yield opened
    finally:
        opened.close()


def embedded(report: Path, name: str) -> dict[str, dict]:
    """Return a value that Snakemake's reporter writes into the page."""
    found = re.search(rf'<script id="{name}">\s*var {name} = (.*);', report.read_text(encoding="utf-8"))
    assert found
    return json.loads(found[1])


def test_it_is_one_small_file_with_every_result(report: Path) -> None:
    assert report.stat().st_size < 15_000_000
    categories = embedded(report, "categories")
    assert {name: sum(map(len, parts.values())) for name, parts in categories.items()} == SECTIONS
    for path, result in embedded(report, "results").items():
        assert "System Message" not in result["caption"] and len(result["caption"]) > 80, path
        assert result["data_uri"].startswith("data:"), path


def test_the_first_page_shows_the_graph_of_the_rules(page: browser.Browser) -> None:
    page.wait("document.querySelector('#app .vega-embed canvas, #app .vega-embed svg') !== null")
    assert "From labelled images to the SD-card folder" in page.run("document.querySelector('#app').innerText")
    assert not_blank(page.screenshot())


def test_every_section_shows_its_figures(page: browser.Browser, report: Path, tmp_path: Path) -> None:
    seen = set()
    for category, parts in embedded(report, "categories").items():
        page.run("app.setView({navbarMode: 'menu'})")
        item = f"[...document.querySelectorAll('li a')].find(a => a.innerText.trim() === {json.dumps(category)})"
        page.wait(f"{item} !== undefined")
        page.run(f"{item}.click()")
        page.wait("document.querySelector('tbody tr') !== null")
        expected = {path for paths in parts.values() for path in paths}
        choices = "document.querySelectorAll('fieldset label')"  # a switch between chart and table
        for choice in range(max(1, page.run(f"{choices}.length"))):
            page.run(f"({choices}[{choice}] || document.body).click()")
            for row in range(page.run("document.querySelectorAll('tbody tr').length")):
                page.run(f"document.querySelectorAll('tbody tr')[{row}].querySelector('[iconname=eye]').click()")
                seen.add(shown := page.run("app.state.resultPath"))
                assert shown in expected
                check_figure(page, shown)
        (tmp_path / f"{category[0]}.png").write_bytes(page.screenshot())
        assert not_blank(page.screenshot()), category
    assert seen == set(embedded(report, "results"))
    assert page.requests == [] and page.complaints == []


def test_the_browser_would_notice(page: browser.Browser, tmp_path: Path) -> None:
    (tmp_path / "bad.html").write_text(
        "<script>console.error('bad'); new Image().src = 'http://127.0.0.1:9/x.png'</script>"
    )
    page.open((tmp_path / "bad.html").as_uri())
    page.wait("true")
    assert page.requests == ["http://127.0.0.1:9/x.png"]
    assert any("bad" in complaint for complaint in page.complaints)


def check_figure(page: browser.Browser, path: str) -> None:
    """Wait until the picture or the table at `path` is drawn."""
    if path.endswith(".svg"):
        image = "document.querySelector('#app .p-3 > img')"
        page.wait(f"({image} || {{}}).complete === true")
        assert page.run(f"{image}.naturalWidth") > 200, path
    else:
        page.wait("(document.querySelector('#app iframe') || {src: ''}).src.startsWith('data:text/html')")
        content = "atob(document.querySelector('#app iframe').src.split('base64,')[1])"
        rows = f"new DOMParser().parseFromString({content}, 'text/html').querySelectorAll('tr').length"
        assert page.run(rows) > 1, path


def not_blank(png: bytes) -> bool:
    """Tell whether there is more than one colour right of the menu."""
    image = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_COLOR)
    return float(image[:, 450:].std()) > 5


def test_what_the_compiler_made_is_told(built: Path, report: Path) -> None:
    summary = json.loads((built / "build/compiled_model_zcu102/summary.json").read_text())
    text = (built / "build/report/zcu102/compiled.html").read_text(encoding="utf-8")
    for number in (summary["workload"], summary["workload_on_arch"], summary["parameter_bytes"]):
        assert f"<td>{number:,}</td>" in text
    assert summary["fingerprint"] in text and summary["dpu"] in text
    work = re.findall(
        r'<td>DPU</td><td class="number">([\d,]+)</td>', text.split("Operations of the compiled model")[1]
    )
    assert sum(int(number.replace(",", "")) for number in work) == summary["workload"]


def test_provenance_names_every_model(built: Path, report: Path) -> None:
    text = (built / "build/report/provenance.html").read_text(encoding="utf-8")
    for name in ("float_model.h5", "quant_model.h5", "quant_ft.h5", "mobilenet.xmodel", "MANIFEST.sha256"):
        assert name in text
    assert "train-images-idx3-ubyte.gz" in text and "input_size: 32" in text


def test_asked_for_before_the_build_it_names_the_picture_that_is_missing(tmp_path: Path) -> None:
    folder = copy_project(tmp_path / "new")
    run = snakemake(folder, "report_inputs", "--report", "build/report.html")
    assert run.returncode != 0
    assert "build/report/training_float.svg marked for report but does not exist." in run.stdout
    assert "Traceback" not in run.stdout
    assert not (folder / "build").exists()


def test_a_build_without_fine_tuning_reports_no_such_stage(built: Path) -> None:
    run = snakemake(built, "-n", "-p", "report_inputs", "--config", "finetune={epochs: 0}")
    assert run.returncode == 0, run.stdout[-3000:]
    commands = re.findall(r"python scripts/report_(?:accuracy|target)\.py .*", run.stdout)
    assert len(commands) == 2 and all(re.search(r"--qat +--(records|run)", command) for command in commands)


@pytest.mark.skipif(shutil.which("dot") is None, reason="graphviz is not installed")
def test_the_picture_of_the_rules_is_that_of_today(built: Path) -> None:
    rules = set(read_graph(snakemake(built, "target_zcu102", "--rulegraph").stdout))
    assert rules - set(WHAT) == {"target_zcu102"}, "describe the new rule in softdpu/report/dag.py"
    drawn = set(re.findall(r'font-weight="bold"[^>]*>([^<]+)<', (ROOT / "docs/pictures/dag.svg").read_text()))
    assert drawn == rules, "the rules changed: run `make pictures`"


def test_the_picture_of_the_ladder_has_the_numbers_of_the_readme() -> None:
    shown = re.findall(r">(\d\d\.\d\d)<", (ROOT / "docs/pictures/ladder.svg").read_text())
    told = re.findall(
        r"^(?:float model|quantized|fine-tuned|on target) +(\d+\.\d\d) %", (ROOT / "README.md").read_text(), re.M
    )
    assert shown == told and len(shown) == 4, "run `make pictures` after the build that the README shows"
