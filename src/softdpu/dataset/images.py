"""Image files as people have them, made what a record holds: a JPEG of three channels that every decoder reads alike.

A JPEG with three components and no EXIF rotation is kept byte for byte. Everything else that OpenCV decodes (other
formats, whatever the file is called; CMYK; grey; rotated) is decoded once and stored as a JPEG of quality 100.
"""

from __future__ import annotations

import struct
import warnings
from typing import NamedTuple

import cv2
import numpy as np
from PIL import Image

from softdpu.dataset import preprocess

QUALITY = 100
MAX_PIXELS = 1 << 26  # by default: 200 MB when decoded
_FORMATS = {b"\x89PNG": "PNG", b"BM": "BMP", b"RIFF": "WebP", b"GIF8": "GIF", b"II*\0": "TIFF", b"MM\0*": "TIFF"}
_EXIF_ORIENTATION = 0x0112
_FRAME_MARKERS = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_NO_LENGTH = frozenset([0x01, *range(0xD0, 0xD9)])
_START_OF_SCAN = 0xDA


class RecordImage(NamedTuple):
    """The image of a record: size in pixels, channels, JPEG bytes, and why it is not the source's own file or ""."""

    height: int
    width: int
    chans: int
    data: bytes
    converted: str


class _JpegHeader(NamedTuple):
    height: int
    width: int
    components: int
    exif: bytes


def to_record(data: bytes, verify: bool = False, max_pixels: int = MAX_PIXELS) -> RecordImage:
    """Check an image file and bring it to the form of a record.

    Args:
        data: of the file, any format that OpenCV reads.
        verify: also decode the files that are kept as they are; otherwise only their structure is checked, which is
            some hundred times faster and finds empty, foreign and cut off files.
        max_pixels: that the file may declare; what declares more is not decoded.

    Raises:
        ValueError: if the file is broken, no image, or too large.
    """
    if not data:
        raise ValueError("the file is empty")
    preprocess.refuse_too_large(data, min(max_pixels, preprocess.MOST_PIXELS))
    if data[:2] != b"\xff\xd8":
        kind = next((name for start, name in _FORMATS.items() if data.startswith(start)), "another format")
        return _convert(data, kind)
    header = _jpeg_header(data)
    if header.components == 4:
        return _convert(data, "CMYK JPEG")
    if header.components == 1:
        return _convert(data, "grey JPEG")
    if header.components != 3:
        raise ValueError(f"a JPEG of {header.components} components")
    orientation = _orientation(header.exif)
    if orientation != 1:
        return _convert(data, f"EXIF orientation {orientation}")
    if verify:
        preprocess.decode(data)
    return RecordImage(header.height, header.width, 3, data, "")


def encode_jpeg(image: np.ndarray, quality: int = QUALITY) -> bytes:
    """Encode uint8[h, w, 3] (blue, green, red) as a JPEG without chroma subsampling."""
    flags = [cv2.IMWRITE_JPEG_QUALITY, quality, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444]
    return cv2.imencode(".jpg", image, flags)[1].tobytes()


def _convert(data: bytes, why: str) -> RecordImage:
    image = preprocess.decode(data)
    return RecordImage(image.shape[0], image.shape[1], 3, encode_jpeg(image), why)


def _jpeg_header(data: bytes) -> _JpegHeader:
    """Walk the segments of a JPEG up to its first scan. Source: ITU-T T.81, annex B."""
    frame = None
    exif = b""
    position = 2
    while True:
        if position + 4 > len(data) or data[position] != 0xFF:
            raise ValueError(f"a JPEG that is broken at byte {position} of {len(data)}")
        marker = data[position + 1]
        if marker == 0xFF or marker in _NO_LENGTH:
            position += 1 if marker == 0xFF else 2
            continue
        (length,) = struct.unpack_from(">H", data, position + 2)
        if marker in _FRAME_MARKERS and length >= 8 and position + 10 <= len(data):
            frame = struct.unpack_from(">HHB", data, position + 5)
        elif marker == 0xE1 and data[position + 4 : position + 10] == b"Exif\0\0":
            exif = data[position + 4 : position + 2 + length]
        position += 2 + length
        if marker == _START_OF_SCAN:
            break
    if frame is None or not frame[0] or not frame[1]:
        raise ValueError("a JPEG without a size")
    if data.find(b"\xff\xd9", position) < 0:
        raise ValueError(f"a JPEG that is cut off after {len(data)} bytes")
    return _JpegHeader(frame[0], frame[1], frame[2], exif)


def _orientation(segment: bytes) -> int:
    """Return the EXIF orientation 1..8 of an APP1 segment; 1, upright, if it has none that makes sense."""
    if not segment:
        return 1
    exif = Image.Exif()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            exif.load(segment)
            value = exif.get(_EXIF_ORIENTATION, 1)
    except Exception:  # cameras write broken EXIF; decoders then show the image as it is
        return 1
    return value if value in range(2, 9) else 1
