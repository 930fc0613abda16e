from __future__ import annotations

import cv2
import numpy as np
import pytest
from make_ilsvrc import base_jpegs, odd_files, with_exif, with_segment

from softdpu.dataset import images, preprocess

JPEG = base_jpegs(1, 20, np.random.default_rng(2))[0]
PIXELS = preprocess.decode(JPEG)
HEIGHT, WIDTH = PIXELS.shape[:2]


def encode(suffix: str) -> bytes:
    return cv2.imencode(suffix, PIXELS)[1].tobytes()


def test_a_plain_jpeg_is_kept_byte_for_byte() -> None:
    assert images.to_record(JPEG, verify=True) == (HEIGHT, WIDTH, 3, JPEG, "")
    progressive = cv2.imencode(".jpg", PIXELS, [cv2.IMWRITE_JPEG_PROGRESSIVE, 1, cv2.IMWRITE_JPEG_RST_INTERVAL, 2])[1]
    assert images.to_record(progressive.tobytes()) == (HEIGHT, WIDTH, 3, progressive.tobytes(), "")
    padded = JPEG[:2] + b"\xff\xff\xff" + JPEG[3:] + b"rubbish after the end"  # fill bytes before a marker
    assert images.to_record(padded) == (HEIGHT, WIDTH, 3, padded, "")
    upright = with_exif(JPEG, 1)
    assert images.to_record(upright).data == upright
    broken_exif = with_segment(JPEG, 0xE1, b"Exif\0\0II*\0rubbish")
    assert images.to_record(broken_exif).data == broken_exif


@pytest.mark.parametrize(
    ("name", "why"),
    [("cmyk", "CMYK JPEG"), ("png", "PNG"), ("grey", "grey JPEG"), ("rotated", "EXIF orientation 6")],
)
def test_what_imagenet_contains_becomes_a_jpeg_of_three_channels(name: str, why: str) -> None:
    data = odd_files(JPEG)[name]
    image = images.to_record(data)
    expected = preprocess.decode(data)
    assert image.converted == why and image.chans == 3
    assert expected.shape == (image.height, image.width, 3)
    assert (image.height, image.width) == ((WIDTH, HEIGHT) if name == "rotated" else (HEIGHT, WIDTH))
    decoded = preprocess.decode(image.data)
    assert images.to_record(image.data).converted == ""
    assert np.abs(decoded.astype(int) - expected).mean() < 1


@pytest.mark.parametrize("orientation", range(2, 9))
def test_every_rotation_is_done(orientation: int) -> None:
    image = images.to_record(with_exif(JPEG, orientation))
    turned = {
        2: PIXELS[:, ::-1],
        3: PIXELS[::-1, ::-1],
        4: PIXELS[::-1],
        5: PIXELS.transpose(1, 0, 2),
        6: np.rot90(PIXELS, -1),
        7: PIXELS[::-1, ::-1].transpose(1, 0, 2),
        8: np.rot90(PIXELS),
    }[orientation]
    assert (image.height, image.width) == turned.shape[:2]
    assert np.abs(preprocess.decode(image.data).astype(int) - turned).mean() < 1


@pytest.mark.parametrize(("suffix", "kind"), [(".bmp", "BMP"), (".webp", "WebP"), (".png", "PNG")])
def test_other_formats(suffix: str, kind: str) -> None:
    image = images.to_record(encode(suffix))
    assert image.converted == kind and image.data[:2] == b"\xff\xd8"


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "the file is empty"),
        (b"<html>not found</html>", "not an image"),
        (JPEG[:1], "not an image"),
        (JPEG[:2], "broken at byte 2 of 2"),
        (JPEG[:400], "broken at byte"),
        (JPEG[:-2], "cut off after"),
        (JPEG[: len(JPEG) // 2], "cut off after"),
        (JPEG[:5000] + bytes(len(JPEG) - 5000), "cut off after"),
        (JPEG[:2] + bytes(range(256)), "broken at byte 2"),
        (odd_files(JPEG)["png"][:100], "a PNG that is cut off after 100 bytes"),
        (JPEG[:2] + b"\xff\xda\x00\x02" + b"\xff\xd9", "without a size"),
    ],
)
def test_broken_files_are_refused(data: bytes, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        images.to_record(data)


def test_no_bytes_crash_it() -> None:
    """Cuts and flipped bytes anywhere end as an image or a ValueError, never as another error."""
    random = np.random.default_rng(0)
    small = base_jpegs(1, 2, random)[0]
    for source in (small, odd_files(small)["png"], odd_files(small)["cmyk"], with_exif(small, 6)):
        for _ in range(150):
            data = bytearray(source[: random.integers(1, len(source) + 1)])
            for place in random.integers(0, min(len(data), 700), 3):
                data[place] = random.integers(256)
            try:
                image = images.to_record(bytes(data), verify=True)
            except ValueError:
                continue
            assert image.chans == 3 and image.height > 0 and image.width > 0
