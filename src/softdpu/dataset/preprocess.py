"""From the bytes of an image file to what the network sees: one arithmetic for training and for the card.

This is the contract between the input pipeline and `card.py`, which repeats it with numpy and cv2 alone. On the
same bytes both give the same int8 tensor, bit for bit. Whole numbers only, until the very last step:

1. Decode: `cv2.imdecode(buffer, cv2.IMREAD_COLOR)`, which is what `cv2.imread(path)` does: uint8[h, w, 3] in the
   order blue, green, red; grey becomes three equal channels, alpha is dropped, an EXIF rotation is applied.
2. Fit to the input of the network, uint8 to uint8. An image that has the input's height and width already is left
   alone. Otherwise, always with `interpolation=cv2.INTER_CUBIC`:
   - `stretch`: `cv2.resize(image, (width, height))`, whatever the aspect ratio;
   - `crop` (square inputs): the short side becomes `short = size * 256 // 224`, so the image becomes
     `h * short // min(h, w)` by `w * short // min(h, w)`, and the middle of it is cut out, from row
     `(new_h - size) // 2` and column `(new_w - size) // 2`;
   - `letterbox`: resized to fill the input along one side, the aspect ratio kept, so that the other side is
     `(other * side + one // 2) // one`; it lies in the middle, above and left of it `(size - new) // 2` of grey 114.
3. Order: blue, green, red becomes red, green, blue.
4. Scale: `float32(v) / float32(127.5) - float32(1)`, two float32 operations, each pixel in -1..1. A network that was
   trained elsewhere may want other numbers, a divisor and a subtrahend a channel, and the order blue, green, red.
5. Quantize (by the input's position p): `floor(x * 2**p + 0.5)` saturated to -128..127. A pixel has only 256 values,
   so steps 4 and 5 are one table of 256 int8 numbers per channel: `table[image]`.

The images in a card's folder are the result of step 2 as PNG, so that no other JPEG decoder and no other resize on a
board can change a bit; images of any other size still work. The module runs on Python 3.7.
"""

from __future__ import annotations

import io
import struct
import warnings
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from softdpu import tasks

STRETCH = "stretch"
CROP = "crop"
LETTERBOX = "letterbox"
FITS = (STRETCH, CROP, LETTERBOX)
ALL = (*FITS, tasks.ARRAYS)  # arrays: what the network takes is no image (dataset/arrays.py)
GREY = 114  # around an image that does not fill the input, as YOLO has it
MOST_PIXELS = 1 << 27  # of an image, whatever the settings: 400 MB when decoded
MOST_RESIZED = 1 << 26
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_ALONE = frozenset([0x00, 0x01, 0xFF, *range(0xD0, 0xDA)])  # JPEG markers without a length


def declared_pixels(data: bytes) -> int:
    """Return how many pixels an image file says that it has, without decoding it; 0 where that is not known."""
    if data.startswith(b"\x89PNG") and data[12:16] == b"IHDR" and len(data) >= 24:
        width, height = struct.unpack_from(">II", data, 16)
        return int(width * height)
    if data.startswith(b"\xff\xd8"):
        return _jpeg_pixels(data)
    from PIL import Image  # not in every environment of AMD's tools, nor needed for records

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(io.BytesIO(data)) as image:
                return int(image.size[0] * image.size[1])
    except Image.DecompressionBombError:
        return 1 << 62
    except Exception:  # what Pillow does not know may still be one of OpenCV's formats
        return 0


def _jpeg_pixels(data: bytes) -> int:
    """Return the largest number of pixels of the frames before the first scan. Source: ITU-T T.81, annex B."""
    position, most = 2, 0
    while position >= 0 and position + 9 <= len(data):
        if data[position] != 0xFF or data[position + 1] in _ALONE:  # decoders look for the next marker
            position = data.find(b"\xff", position + 1)
            continue
        marker, length, height, width = struct.unpack_from(">xBHxHH", data, position)
        if marker in _FRAMES:
            most = max(most, (height or 0xFFFF) * width)  # no height: it comes behind the scan
        if marker == 0xDA:
            break
        position += 2 + length
    return most


def _is_cut_png(data: bytes) -> bool:
    """Return whether a part of a PNG is longer than the file; OpenCV makes room for it, up to 2 GiB, before looking."""
    place = 8 if data.startswith(b"\x89PNG") else len(data)
    while place + 8 <= len(data) and data[place + 4 : place + 8] != b"IEND":
        place += int.from_bytes(data[place : place + 4], "big") + 12
    return place > len(data)


def refuse_too_large(data: bytes, most: int) -> None:
    """Look at the sizes that an image file declares, without decoding it.

    Raises:
        ValueError: if it has more than `most` pixels, or parts that are longer than the file.
    """
    if _is_cut_png(data):
        raise ValueError(f"a PNG that is cut off after {len(data)} bytes")
    pixels = declared_pixels(data)
    if pixels > most:
        said = f"{pixels} pixels" if pixels < 1 << 60 else "far more pixels"
        raise ValueError(f"it declares {said}, {most} are allowed (dataset.max_pixels)")


def decode(data: bytes) -> np.ndarray:
    """Decode the bytes of a JPEG, PNG, BMP or WebP file to uint8[h, w, 3] in the order blue, green, red.

    Raises:
        ValueError: if OpenCV cannot decode them, or they declare more than MOST_PIXELS.
    """
    refuse_too_large(data, MOST_PIXELS)
    buffer = np.frombuffer(data, np.uint8)
    try:
        image = cv2.imdecode(buffer, cv2.IMREAD_COLOR) if buffer.size else None
    except cv2.error as error:
        raise ValueError(f"OpenCV cannot decode it: {error.err}") from None
    if image is None:
        raise ValueError(f"not an image that OpenCV can decode ({len(data)} bytes)")
    return image


def fit_side(image: np.ndarray, side: int, larger: int, shape: tuple[int, ...] | None = None) -> np.ndarray:
    """Return an image whose longer side has `side` pixels, as high by wide as `shape` is, by default its own.

    `larger` is OpenCV's interpolation for one that grows.
    """
    height, width = shape or image.shape[:2]
    scale = side / max(height, width)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA if scale < 1 else larger)


def short_side(size: int) -> int:
    """Return the length of the short side, in pixels, before a square of `size` is cut out: size * 256 // 224."""
    return size * 256 // 224


def resize_short_side(image: np.ndarray, size: int) -> np.ndarray:
    """Resize uint8[h, w, 3] bicubically so that its short side is `short_side(size)`, aspect ratio kept.

    Of an image so narrow that the result would have more than MOST_RESIZED pixels, such as 1x20000, the middle is cut
    out first: three squares, of which the network sees the middle one.
    """
    height, width = image.shape[:2]
    short = short_side(size)
    if max(height, width) * short // min(height, width) * short > MOST_RESIZED:
        length = 3 * min(height, width)
        top, left = max(0, height - length) // 2, max(0, width - length) // 2
        image = image[top : top + length, left : left + length]
        height, width = image.shape[:2]
    new_height, new_width = height * short // min(height, width), width * short // min(height, width)
    return cv2.resize(image, (new_width, new_height), interpolation=cv2.INTER_CUBIC)


def fit_image(image: np.ndarray, height: int, width: int, fit: str) -> np.ndarray:
    """Bring uint8[h, w, 3] to uint8[height, width, 3], step 2 above.

    Args:
        image: in any order of channels.
        height: of the network's input, in pixels.
        width: of the network's input, in pixels; equal to the height for `crop`.
        fit: STRETCH, CROP or LETTERBOX.

    Raises:
        ValueError: for another `fit`, or for `crop` to something that is not square.
    """
    if image.shape[:2] == (height, width):
        return image
    if fit == STRETCH:
        return cv2.resize(image, (width, height), interpolation=cv2.INTER_CUBIC)
    if fit == LETTERBOX:
        return letterbox(image, height, width)
    if fit != CROP or height != width:
        raise ValueError(f"fit must be stretch, letterbox, or crop to a square, got {fit} {height}x{width}")
    image = resize_short_side(image, height)
    top, left = (image.shape[0] - height) // 2, (image.shape[1] - width) // 2
    return image[top : top + height, left : left + width]


def letterbox(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """Return uint8[height, width, 3] with uint8[h, w, 3] in its middle, which fills it along one side."""
    old_height, old_width = image.shape[:2]
    new_height, new_width = height, width
    if old_height * width >= old_width * height:
        new_width = max(1, (old_width * height + old_height // 2) // old_height)
    else:
        new_height = max(1, (old_height * width + old_width // 2) // old_width)
    fitted = np.full((height, width, 3), GREY, np.uint8)
    top, left = (height - new_height) // 2, (width - new_width) // 2
    resized = cv2.resize(image, (new_width, new_height), interpolation=cv2.INTER_CUBIC)
    fitted[top : top + new_height, left : left + new_width] = resized
    return fitted


def load(data: bytes, height: int, width: int, fit: str) -> np.ndarray:
    """Do steps 1 to 3: the bytes of an image file to uint8[height, width, 3] in the order red, green, blue."""
    return cv2.cvtColor(fit_image(decode(data), height, width, fit), cv2.COLOR_BGR2RGB)


@dataclass(frozen=True)
class Scaling:
    """What a network's input is for a pixel v of 0..255: float32(v) / float32(divide) - float32(subtract), by channel.

    divide and subtract have three numbers, for the channels in the network's order: red, green, blue, or with `bgr`
    blue, green, red.
    """

    divide: tuple[float, float, float]
    subtract: tuple[float, float, float]
    bgr: bool = False

    def table(self) -> np.ndarray:
        """Return float32[256, 3], the input for each value of a pixel and each channel."""
        values = np.arange(256, dtype=np.float32)[:, None]
        return values / np.array(self.divide, np.float32) - np.array(self.subtract, np.float32)

    def then(self, factor: Any, offset: Any) -> Scaling:
        """Return this scaling with `* factor + offset` behind it, numbers or one for each channel."""
        factors, offsets = np.broadcast_to(factor, 3), np.broadcast_to(offset, 3)
        divide = tuple(float(d / f) for d, f in zip(self.divide, factors))  # noqa: B905 - strict is not in Python 3.7
        subtract = tuple(float(s * f - o) for s, f, o in zip(self.subtract, factors, offsets))  # noqa: B905
        return Scaling(divide, subtract, self.bgr)  # type: ignore[arg-type]

    def as_dict(self) -> dict[str, Any]:
        """Return what preprocess.json of a card says about it."""
        order = "bgr" if self.bgr else "rgb"
        return {"order": order, "divide": list(self.divide), "subtract": list(self.subtract)}

    def text(self) -> str:
        """Return it as text that `scaling` reads: its name, or order:divisors:subtrahends."""
        for name, known in SCALINGS.items():
            if np.array_equal(known.table(), self.table()) and known.bgr == self.bgr:
                return name
        numbers = (",".join(map(repr, values)) for values in (self.divide, self.subtract))
        return ":".join(["bgr" if self.bgr else "rgb", *numbers])


def _imagenet(mean: tuple[float, ...], deviation: tuple[float, ...]) -> Scaling:
    divide = tuple(255 * d for d in deviation)
    subtract = tuple(m / d for m, d in zip(mean, deviation))  # noqa: B905 - strict is not in Python 3.7
    return Scaling(divide, subtract)  # type: ignore[arg-type]


# The names of Keras' preprocess_input, and the two that self-made networks have.
SCALINGS = {
    "tf": Scaling((127.5, 127.5, 127.5), (1.0, 1.0, 1.0)),
    "unit": Scaling((255.0, 255.0, 255.0), (0.0, 0.0, 0.0)),
    "raw": Scaling((1.0, 1.0, 1.0), (0.0, 0.0, 0.0)),
    "torch": _imagenet((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "caffe": Scaling((1.0, 1.0, 1.0), (103.939, 116.779, 123.68), bgr=True),
}
TF = SCALINGS["tf"]


def scaling(text: str) -> Scaling:
    """Read a scaling: a name of SCALINGS, or order:divisors:subtrahends such as rgb:255,255,255:0.5,0.5,0.5.

    Raises:
        ValueError: if it is neither.
    """
    if text in SCALINGS:
        return SCALINGS[text]
    try:
        order, divide, subtract = text.split(":")
        found = from_dict(
            {"order": order, "divide": map(float, divide.split(",")), "subtract": map(float, subtract.split(","))}
        )
        if order not in ("rgb", "bgr") or {len(found.divide), len(found.subtract)} != {3} or 0 in found.divide:
            raise ValueError
    except ValueError:
        names = ", ".join(SCALINGS)
        raise ValueError(f"must be one of {names}, or such as rgb:255,255,255:0.5,0.5,0.5, got {text}") from None
    return found


def from_dict(values: dict[str, Any]) -> Scaling:
    """Return the scaling that preprocess.json of a card describes."""
    return Scaling(tuple(values["divide"]), tuple(values["subtract"]), values["order"] == "bgr")


def scale(image: np.ndarray, scaling: Scaling = TF) -> np.ndarray:
    """Return the network's input, float32[..., 3], of uint8[..., 3] pixels in the order red, green, blue (step 4)."""
    table = scaling.table()
    image = image[..., ::-1] if scaling.bgr else image
    if not image.size:  # a device's part of a small batch
        return np.zeros(image.shape, np.float32)
    pixels = np.ascontiguousarray(image)
    if (table == table[:, :1]).all():
        return cv2.LUT(pixels.reshape(-1, 1), table[:, :1].copy()).reshape(image.shape)
    return cv2.LUT(pixels.reshape(-1, 1, 3), table[np.newaxis]).reshape(image.shape)


def card_image(data: bytes, height: int, width: int, fit: str) -> bytes:
    """Return the PNG that stands on a card for the image file `data`: steps 1 and 2, stored without loss."""
    image = np.ascontiguousarray(fit_image(decode(data), height, width, fit))
    return cv2.imencode(".png", image, [cv2.IMWRITE_PNG_COMPRESSION, 9])[1].tobytes()
