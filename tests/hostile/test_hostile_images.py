"""Images, records and labels that are broken or made to harm: refused in one line, in little time and memory."""

from __future__ import annotations

import io
import os
import struct
import subprocess
import sys
import zipfile
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from mutate import TEXTS, Door, mutate_bytes, seeded, tries

from softdpu.commands import values
from softdpu.dataset import arrays, example, images, labels, masks, preprocess, tfrecord
from softdpu.dataset.contact_sheet import draw_sheet
from softdpu.dataset.folder import ImageFolder
from softdpu.dataset.listed import state
from softdpu.dataset.make import Choice, make
from softdpu.dataset.pipeline import Reader
from softdpu.errors import SoftdpuError

PICTURE = np.random.default_rng(1).integers(0, 256, (24, 20, 3), np.uint8)
JPEG = images.encode_jpeg(PICTURE)
ENCODED = {
    kind: cv2.imencode(f".{kind}", PICTURE)[1].tobytes() for kind in ("jpg", "png", "bmp", "webp", "tiff", "gif")
}


def chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png_header(width: int, height: int) -> bytes:
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(bytes(10000))) + chunk(b"IEND", b"")


def jpeg_header(width: int, height: int, *, second: bool = False) -> bytes:
    at = JPEG.find(b"\xff\xc0")
    frame = JPEG[at : at + 5] + struct.pack(">HH", height, width) + JPEG[at + 9 : at + 19]
    return JPEG[:at] + (JPEG[at : at + 19] if second else b"") + frame + JPEG[at + 19 :]


BOMBS = {
    "jpeg": jpeg_header(30000, 30000),
    "jpeg of one row": jpeg_header(65535, 65535),
    "jpeg with a second frame": jpeg_header(30000, 30000, second=True),
    "jpeg with filling": JPEG[:2] + b"\xff" * 1000 + jpeg_header(30000, 30000)[2:],
    "jpeg with garbage": JPEG[:2] + b"\x01" * 1000 + jpeg_header(30000, 30000)[2:],
    "png": png_header(30000, 30000),
    "png of the largest": png_header(2**31 - 1, 2**31 - 1),
    "bmp": ENCODED["bmp"][:18] + struct.pack("<ii", 30000, 30000) + ENCODED["bmp"][26:],
    "bmp upside down": ENCODED["bmp"][:18] + struct.pack("<ii", 30000, -30000) + ENCODED["bmp"][26:],
    "gif": b"GIF89a" + struct.pack("<HH", 65000, 65000) + ENCODED["gif"][10:],
}
LONG_PARTS = {
    f"a PNG with {kind!r} of {length} bytes before {before!r}": data[:place]
    + struct.pack(">I", length)
    + kind
    + data[place:]
    for data in [ENCODED["png"]]
    for before in (b"IHDR", b"IDAT", b"IEND")
    for place in [data.index(before) - 4]
    for kind in (b"tEXt", b"IDAT", b"\0\0\0\0")
    for length in (1 << 20, (1 << 31) - 1, (1 << 32) - 1)
}
WATCH = """
import resource, sys
sys.path[:0] = [sys.argv[1]]
from test_hostile_images import BOMBS, LONG_PARTS
from softdpu.dataset import images, masks, masks, preprocess
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for name, data in [*BOMBS.items(), *LONG_PARTS.items()]:
    for call in (preprocess.decode, images.to_record, lambda data: images.to_record(data, True), masks.decode):
        try:
            call(data)
            print("taken:", name)
        except ValueError as error:
            assert "\\n" not in str(error)
import numpy as np
for shape in ((1, 20000, 3), (20000, 1, 3), (65535, 2, 3)):
    assert preprocess.fit_image(np.ones(shape, np.uint8), 224, 224, "crop").shape == (224, 224, 3)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) >> 10)
"""


def test_bombs_and_narrow_images_cost_little() -> None:
    command = [sys.executable, "-c", WATCH, str(Path(__file__).parent)]
    told = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout
    assert int(told) < 300, told


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_is_named(name: str) -> None:
    with pytest.raises(ValueError, match=r"declares .* pixels.*dataset.max_pixels|^a JPEG that is broken"):
        images.to_record(BOMBS[name])


@pytest.mark.parametrize("name", LONG_PARTS)
def test_a_part_that_is_longer_than_the_file_is_named(name: str) -> None:
    with pytest.raises(ValueError, match="a PNG that is cut off after"):
        images.to_record(LONG_PARTS[name])
    with pytest.raises(ValueError, match="holds no mask"):
        masks.decode(LONG_PARTS[name])


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_is_no_mask(name: str) -> None:
    with pytest.raises(ValueError, match="holds no mask"):
        masks.decode(BOMBS[name])


def test_the_limit_is_the_users() -> None:
    assert images.to_record(JPEG, max_pixels=480).height == 24
    with pytest.raises(ValueError, match="declares 480 pixels, 479 are allowed"):
        images.to_record(JPEG, max_pixels=479)
    for data in ENCODED.values():
        assert preprocess.declared_pixels(data) == 480


def fit_whole(image: np.ndarray, size: int) -> np.ndarray:
    """Resize the whole image, then cut: what the contract in preprocess says."""
    height, width = image.shape[:2]
    short, least = size * 256 // 224, min(height, width)
    resized = cv2.resize(image, (width * short // least, height * short // least), interpolation=cv2.INTER_CUBIC)
    top, left = (resized.shape[0] - size) // 2, (resized.shape[1] - size) // 2
    return resized[top : top + size, left : left + size]


def test_ordinary_images_keep_their_bits() -> None:
    rng = np.random.default_rng(2)
    for _ in range(150):
        height, width = rng.integers(1, 300, 2)
        size = int(rng.choice([16, 32, 96, 224]))
        image = rng.integers(0, 256, (height, width, 3), np.uint8)
        if (height, width) != (size, size):
            assert np.array_equal(preprocess.fit_image(image, size, size, "crop"), fit_whole(image, size))


@pytest.mark.parametrize("shape", [(2, 1400), (1400, 2), (3, 2222)])
def test_the_middle_that_is_cut_first_is_the_middle(shape: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    ramp = np.linspace(0, 255, max(shape)).astype(np.uint8)
    image = np.repeat(np.broadcast_to(ramp if shape[1] > shape[0] else ramp[:, None], shape)[..., None], 3, 2)
    whole = preprocess.fit_image(image, 32, 32, "crop").astype(int)
    monkeypatch.setattr(preprocess, "MOST_RESIZED", 1000)
    cut = preprocess.fit_image(image, 32, 32, "crop").astype(int)
    assert cut.shape == whole.shape and abs(cut - whole).max() <= 2


def test_no_image_gives_a_traceback() -> None:
    rng, door = seeded(5), Door("image", ValueError)
    for _ in range(tries(400)):
        data = mutate_bytes(rng.choice([*ENCODED.values(), *BOMBS.values()]), rng)
        door.attempt(lambda data=data: images.to_record(data, verify=True))  # type: ignore[misc]
    door.close()


def test_no_file_of_arrays_gives_a_traceback() -> None:
    rng, door = seeded(6), Door("arrays", ValueError)
    whole = [arrays.write({"a": PICTURE, "b": np.arange(5.0)})]
    for save in (np.savez, np.savez_compressed):
        file = io.BytesIO()
        save(file, a=PICTURE, b=np.array([object()], object))
        whole.append(file.getvalue())
    plain = io.BytesIO()
    np.save(plain, PICTURE)
    for i in range(tries(400)):
        data = mutate_bytes(rng.choice(whole), rng)
        if i % 2:  # the array itself, with right checksums around it
            file = io.BytesIO()
            with zipfile.ZipFile(file, "w", rng.choice((0, 8, 12, 14))) as archive:
                archive.writestr("a.npy", mutate_bytes(plain.getvalue(), rng))
            data = file.getvalue() if i % 4 == 1 else mutate_bytes(file.getvalue(), rng)
        door.attempt(lambda data=data: arrays.read(data))  # type: ignore[misc]
    door.close()


def records_of(folder: Path, data: list[bytes]) -> Path:
    folder.mkdir(exist_ok=True)
    with open(folder / "data_0.tfrecord", "wb") as file:
        for entry in data:
            tfrecord.append(file, entry)
    return folder


def encode(label: int) -> bytes:
    return example.encode(example.Record(label, 24, 20, 3, JPEG))


@pytest.mark.parametrize("label", [-1, -(2**63), 1 << 16, 2**63 - 1])
def test_a_label_that_no_class_has(tmp_path: Path, label: int) -> None:
    folder = records_of(tmp_path / "records", [encode(0), encode(label)])
    with pytest.raises(SoftdpuError, match=rf"the label must be 0 .*, it is {label}"):
        draw_sheet(folder, tmp_path / "sheet.png")
    assert not (tmp_path / "sheet.png").exists()


def test_no_record_gives_a_traceback(tmp_path: Path) -> None:
    rng, door = seeded(7), Door("record")
    whole = records_of(tmp_path / "whole", [encode(0), encode(1)])
    bytes_of_file = (whole / "data_0.tfrecord").read_bytes()
    folder = tmp_path / "records"

    def read() -> None:
        if rng.random() < 0.5:  # with right checksums, so that the content is looked at
            records_of(folder, [mutate_bytes(encode(1), rng)])
        else:
            folder.mkdir(exist_ok=True)
            (folder / "data_0.tfrecord").write_bytes(mutate_bytes(bytes_of_file, rng))
        reader = Reader([folder / "data_0.tfrecord"])
        for i in range(len(reader)):
            try:
                preprocess.load(reader[i].image, 32, 32, "crop")
            except ValueError as error:  # as the pipeline says it
                raise SoftdpuError(f"{reader.place(i)}: {error}") from None

    for _ in range(tries(400)):
        door.attempt(read)
    door.close()


NAMES = ["a\nb", "a\rb", "a\r", "a\u2028b", "a\x85b", "a\x0bb", "\x1b[31m", "tab\there", "é", os.fsdecode(b"\xff\xfe")]


def test_every_class_is_one_line(tmp_path: Path) -> None:
    labels.write(tmp_path / "labels.txt", NAMES)
    assert values.count_lines(str(tmp_path / "labels.txt")) == len(NAMES)
    read = labels.read(tmp_path / "labels.txt")
    assert read[0] == r"a\nb" and read[8] == "é" and len(read) == len(NAMES) == len(set(read))
    assert all(name.isprintable() for name in read)
    labels.write(tmp_path / "again.txt", read)
    assert (tmp_path / "again.txt").read_bytes() == (tmp_path / "labels.txt").read_bytes()


def test_labels_that_others_wrote(tmp_path: Path) -> None:
    path = tmp_path / "labels.txt"
    for data, names in (
        (b"a\r\nb\r\n", ["a", "b"]),
        (b"a\nb", ["a", "b"]),
        (b"a\n\nb\n", ["a", "", "b"]),
        (b"", []),
        (b"\xef\xbb\xbfa\n\xff\n", ["a", r"\xff"]),
        ("a\u2028b\x85c\n".encode(), [r"a\u2028b\x85c"]),
    ):
        path.write_bytes(data)
        assert labels.read(path) == names
    for wrong in (tmp_path, tmp_path / "none", Path("/dev/zero")):
        with pytest.raises(SoftdpuError, match=r"expected labels.txt"):
            labels.read(wrong)


def make_folder(root: Path, names: list[str]) -> None:
    for number, name in enumerate(names):
        (root / name).mkdir(parents=True)
        for i in range(2):
            (root / name / f"{number}{i}\udcff.jpg").write_bytes(JPEG)


def test_classes_of_odd_names_are_as_many_as_there_are(tmp_path: Path) -> None:
    make_folder(tmp_path / "images", NAMES)
    for split in ("train", "val"):
        make(Choice("image_folder", str(tmp_path / "images"), split), tmp_path / split)
        assert len(labels.read(tmp_path / split / "labels.txt")) == len(NAMES)
        draw_sheet(tmp_path / split, tmp_path / "sheet.png")
    assert len(state(tmp_path / "images")) == 64


def test_what_is_no_file_is_left_out(tmp_path: Path) -> None:
    make_folder(tmp_path / "images", ["train/a", "val/a"])
    os.mkfifo(tmp_path / "images/train/a/pipe.jpg")
    (tmp_path / "images/train/a/zero.jpg").symlink_to("/dev/zero")
    (tmp_path / "images/train/a/gone.jpg").symlink_to("gone")
    read = {raw.name: raw.problem for raw in ImageFolder(tmp_path / "images", "train", 1).read(0)}
    assert read["train/a/pipe.jpg"] == read["train/a/zero.jpg"] == "cannot be read: it is no file"
    assert "No such file" in read["train/a/gone.jpg"]


def test_no_labels_file_gives_a_traceback(tmp_path: Path) -> None:
    rng, door = seeded(8), Door("labels")
    path = tmp_path / "labels.txt"

    def read() -> None:
        if rng.random() < 0.5:
            names = [rng.choice((*TEXTS, *NAMES)) for _ in range(5)]
            labels.write(path, names)
            assert len(labels.read(path)) == 5
        else:
            path.write_bytes(mutate_bytes("cat\ndog\r\né\u2028\n".encode(), rng))
            assert all(name.isprintable() for name in labels.read(path))

    for _ in range(tries(300)):
        door.attempt(read)
    door.close()
