"""card.py against files of other kinds than a card folder holds: one line each, nothing replaced, no waiting."""

from __future__ import annotations

import json
import os
import re
import resource
import struct
import threading
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from app_tools import expected_classes, start

SCALING = {"order": "rgb", "divide": [127.5] * 3, "subtract": [1.0] * 3}
BAD_SETTINGS = [
    *([], [["fit", "crop"]], 5, None, "fit", {"fit": 5}, {"fit": ["crop"]}, {"fit": {}}, {"fit": None}),
    *({"scaling": value} for value in (5, "raw", [], None, {}, {"order": "rgb"})),
    *({"scaling": {**SCALING, "order": value}} for value in ("xyz", "RGB", 5, None, ["rgb"], {})),
    *(
        {"scaling": {**SCALING, key: value}}
        for key in ("divide", "subtract")
        for value in (1.0, [], [1.0, 2.0], [1.0] * 4, ["a"] * 3, [None] * 3, [[1.0]] * 3, {}, "127", [float("nan")] * 3)
    ),
    *(
        {"scaling": {**SCALING, "divide": value}}
        for value in (0, [0, 1, 1], [0.0] * 3, [1e-300] * 3, [float("inf")] * 3)
    ),
    {"scaling": {**SCALING, "subtract": [1e39, 0, 0]}},
    {"scaling": {**SCALING, "subtract": [10**400, 0, 0]}},
]


@pytest.mark.parametrize("settings", BAD_SETTINGS, ids=lambda value: json.dumps(value)[:60])
def test_settings_of_other_types_are_refused_in_one_line(app, card, capsys, settings, recwarn):
    Path("preprocess.json").write_text(json.dumps(settings))
    assert app.main([]) == 1
    error = capsys.readouterr().err
    assert error.startswith("error: preprocess.json") and error.count("\n") == 1
    assert not recwarn.list


@pytest.mark.parametrize("text", [b"\xff\xfe", b"[" * 100_000, b'{"fit": "crop"', b""])
@pytest.mark.parametrize("name", ["preprocess.json", "golden/golden.json"])
def test_damaged_json_is_refused_in_one_line(app, golden, capsys, name, text):
    Path(name).write_bytes(text)
    assert app.main(["--check"]) == 1
    error = capsys.readouterr().err
    assert error.startswith(f"error: {name} is no JSON object") and error.count("\n") == 1


VECTOR = {"image": None, "input": "input_0.bin", "expected": "output_0.bin"}


@pytest.mark.parametrize(
    "change",
    [
        *({"vectors": value} for value in ([], {}, 5, None, "ab", [5], ["ab"], [[]], [{}])),
        *(
            {"vectors": [{**VECTOR, key: value}]}
            for key in ("input", "expected")
            for value in (5, None, [], "no.bin", "")
        ),
        *({"vectors": [{**VECTOR, "image": value}]} for value in (5, [], "no.png", "golden", "a\0b")),
        *({key: value} for key in ("input", "output") for value in (5, None, "abc", [1], [-12, -12, 3], {})),
    ],
    ids=lambda value: json.dumps(value)[:60],
)
def test_golden_vectors_of_other_types_are_refused_in_one_line(app, golden, capsys, change):
    text = json.loads((golden / "golden.json").read_text())
    (golden / "golden.json").write_text(json.dumps({**text, **change}))
    assert app.main(["--check"]) == 1
    error = capsys.readouterr().err
    assert error.startswith("error: ") and error.count("\n") == 1


@pytest.mark.parametrize("missing", ["model_sha256", "input", "output", "vectors"])
def test_golden_without_a_part_is_refused(app, golden, capsys, missing):
    text = json.loads((golden / "golden.json").read_text())
    del text[missing]
    (golden / "golden.json").write_text(json.dumps(text))
    assert app.main(["--check"]) == 1
    assert "golden.json does not hold model_sha256, input, output and vectors" in capsys.readouterr().err


def png_of(width, height):
    """A PNG file whose header promises so many pixels and that holds none."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")


@pytest.mark.parametrize("size", [(30_000, 30_000), (8193, 8193), (2**31 - 1, 2**31 - 1), (1_000_000, 1)])
@pytest.mark.parametrize("mode", [[], ["--end_to_end"]])
def test_an_image_with_a_huge_header_is_refused(card, size, mode):
    (card / "images" / "3_image3.png").write_bytes(png_of(*size))
    process = start(card, *mode, limit=1 << 31)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 1
    last = err.splitlines()[-1]  # libpng may print a line of its own before it
    assert last.startswith("error: images/3_image3.png ") and "remove it from the folder" in last
    assert "Traceback" not in err


@pytest.mark.parametrize("length", [1 << 20, (1 << 31) - 64, (1 << 31) - 1, (1 << 32) - 1])
@pytest.mark.parametrize("before", [b"IHDR", b"IDAT", b"IEND"])
@pytest.mark.parametrize("kind", [b"tEXt", b"IDAT", b"\0\0\0\0"])
def test_a_png_with_a_part_longer_than_the_file_takes_no_memory(helper, tmp_path, length, before, kind):
    data = png_of(8, 8)
    place = data.index(before) - 4
    (tmp_path / "a.png").write_bytes(data[:place] + struct.pack(">I", length) + kind + data[place:])
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(helper.CardError, match="is not an image that OpenCV can read"):
        helper.read_image(str(tmp_path / "a.png"))
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - most < 100 << 10


def test_a_long_thin_image_is_not_made_larger_than_memory(app, card, capsys):
    cv2.imwrite("images/3_image3.png", np.zeros((20_000, 1, 3), np.uint8))
    assert app.main([]) == 0  # stretched
    cv2.imwrite("images/3_image3.png", np.zeros((600_000, 1, 3), np.uint8))
    Path("preprocess.json").write_text('{"fit": "crop"}')
    assert app.main([]) == 1
    assert "images/3_image3.png has more than 67108864 pixels, as stored or when fitted" in capsys.readouterr().err


@pytest.mark.parametrize(
    "name", [b"3_\xff\xfe.png", b"3_\xe9t\xe9.png", "3_\u4f60\u597d.png".encode(), b"3_\x1b[31m\n.png"]
)
def test_any_file_name_works(app, card, fakes, capsys, name):
    os.rename(b"images/3_image3.png", b"images/" + name)
    assert app.main(["--verbose", "--json", "out.json"]) == 0
    classes = json.loads(Path("out.json").read_text())["classes"]
    assert classes == expected_classes(fakes, card)
    out = capsys.readouterr().out
    out.encode()
    assert "\x1b" not in out and len(re.findall(r"\((right|wrong)", out)) == 20


@pytest.mark.parametrize("mode", [[], ["--end_to_end"]])
@pytest.mark.parametrize("kind", ["fifo", "folder", "link to a fifo", "link to nothing"])
def test_what_is_no_file_among_the_images_is_refused_at_once(app, card, capsys, kind, mode):
    path = Path("images/3_image3.png")
    path.unlink()
    if kind == "folder":
        path.mkdir()
    else:
        os.mkfifo("pipe")
    if kind == "fifo":
        os.rename("pipe", path)
    if kind.startswith("link"):
        path.symlink_to(Path("pipe" if kind == "link to a fifo" else "nothing").absolute())
    assert app.main(mode) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "images/3_image3.png" in error


def test_class_names_that_are_not_utf_8_are_printed(app, card, capsys):
    Path("labels.txt").write_bytes(b"\n".join(b"class \xff\x1b%d" % i for i in range(10)))
    assert app.main(["--verbose"]) == 0
    out = capsys.readouterr().out
    assert "class \\xff\\x1b" in out and "\x1b" not in out


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_class_names_that_the_terminal_cannot_show_are_printed(card, monkeypatch, encoding):
    Path("labels.txt").write_text("\n".join("\u4f60\xe9" for _ in range(10)), encoding="utf-8")
    monkeypatch.setenv("PYTHONIOENCODING", encoding)
    process = start(card, "--verbose")
    out, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (0, "")
    assert ("\\u4f60" in out) == (encoding != "utf-8")


def test_json_follows_a_link(app, card):
    Path("elsewhere").mkdir()
    Path("elsewhere/real.json").write_text("old")
    Path("out.json").symlink_to("elsewhere/real.json")
    Path("new.json").symlink_to("elsewhere/new.json")
    for name in ("out.json", "new.json"):
        assert app.main(["--json", name]) == 0
        assert Path(name).is_symlink() and json.loads(Path(name).read_text())["images"] == 20
    assert sorted(path.name for path in Path("elsewhere").iterdir()) == ["new.json", "real.json"]


def test_json_is_written_to_a_pipe_and_a_device(app, card):
    os.mkfifo("pipe")
    texts = []
    reader = threading.Thread(target=lambda: texts.append(Path("pipe").read_text()))
    reader.start()
    assert app.main(["--json", "pipe"]) == 0
    reader.join(10)
    assert json.loads(texts[0])["images"] == 20 and Path("pipe").is_fifo()
    assert app.main(["--json", os.devnull]) == 0
    assert Path(os.devnull).is_char_device()
    assert not [path for path in card.iterdir() if path.suffix == ".part"]


def test_json_to_a_folder_is_refused(app, card, capsys):
    assert app.main(["--json", "images"]) == 1
    error = capsys.readouterr().err
    assert error.startswith("error: ") and "images" in error and error.count("\n") == 1
