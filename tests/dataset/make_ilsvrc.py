"""Make synthetic tars in the layout of ILSVRC2012: a training tar of one tar a class, a validation tar, val.txt.

The images are noisy JPEGs of ImageNet's sizes, each with a comment of its own, so that no two files are equal though
only a few are ever encoded. With --odd the kinds of file that ImageNet really contains are among them.

Example:
    python tests/dataset/make_ilsvrc.py --output build/synthetic --classes 10 --megabytes 1000
"""

from __future__ import annotations

import argparse
import io
import struct
import tarfile
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

SIZES = ((375, 500), (500, 375), (333, 500), (500, 500))


def synset(label: int) -> str:
    """Return the made-up synset of a class; sorted by label."""
    return f"n{1440764 + 9973 * label:08d}"


def base_jpegs(count: int, kilobytes: float, random: np.random.Generator) -> list[bytes]:
    """Encode some images whose files have about that size."""
    images = []
    for i in range(count):
        height, width = (max(16, round(side * min(1.0, (kilobytes / 100) ** 0.5))) for side in SIZES[i % len(SIZES)])
        colour = random.integers(0, 256, (6, 6, 3)).astype(np.float32)
        smooth = cv2.resize(colour, (width, height), interpolation=cv2.INTER_CUBIC)
        noise = random.normal(0, 14, (height, width, 3)).astype(np.float32)
        pixels = np.clip(smooth + noise, 0, 255).astype(np.uint8)
        quality = next(
            (q for q in range(96, 40, -4) if len(_jpeg(pixels, q)) < kilobytes * 1024),
            40,
        )
        images.append(_jpeg(pixels, quality))
    return images


def _jpeg(pixels: np.ndarray, quality: int) -> bytes:
    return cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes()


def with_segment(jpeg: bytes, marker: int, content: bytes) -> bytes:
    """Return a JPEG with one more segment after its start."""
    return jpeg[:2] + struct.pack(">BBH", 0xFF, marker, 2 + len(content)) + content + jpeg[2:]


def with_exif(jpeg: bytes, orientation: int) -> bytes:
    """Return a JPEG with an EXIF orientation, 1 to 8."""
    tiff = b"II*\0" + struct.pack("<IHHHIHHI", 8, 1, 0x0112, 3, 1, orientation, 0, 0)
    return with_segment(jpeg, 0xE1, b"Exif\0\0" + tiff)


def odd_files(jpeg: bytes) -> dict[str, bytes]:
    """Return what ImageNet also contains: name -> file."""
    pixels = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
    cmyk = io.BytesIO()
    Image.fromarray(pixels[:, :, ::-1]).convert("CMYK").save(cmyk, "JPEG")
    return {
        "cmyk": cmyk.getvalue(),
        "png": cv2.imencode(".png", pixels)[1].tobytes(),
        "grey": _jpeg(pixels[:, :, 0], 90),
        "rotated": with_exif(jpeg, 6),
    }


def add(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    """Add one plain file."""
    info = tarfile.TarInfo(name)
    info.size = len(data)
    tar.addfile(info, io.BytesIO(data))


def make(output: Path, classes: int, images: int, val_images: int, kilobytes: float, odd: bool = False) -> None:
    """Write ILSVRC2012_img_train.tar, ILSVRC2012_img_val.tar and val.txt.

    Args:
        output: folder.
        classes: number of synsets.
        images: of each class for training.
        val_images: of each class for validation.
        kilobytes: about the size of an image.
        odd: the first images of the first class are odd_files.
    """
    output.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(1)
    jpegs = base_jpegs(8, kilobytes, random)
    with tarfile.open(output / "ILSVRC2012_img_train.tar", "w") as outer:
        for label in random.permutation(classes):  # the order in the tar means nothing
            inner = io.BytesIO()
            with tarfile.open(fileobj=inner, mode="w") as tar:
                special = list(odd_files(jpegs[0]).values()) if odd and label == 0 else []
                for i in range(images):
                    plain = with_segment(jpegs[i % 8], 0xFE, f"{label} {i}".encode())
                    add(tar, f"{synset(label)}_{i}.JPEG", special[i] if i < len(special) else plain)
            add(outer, synset(label) + ".tar", inner.getvalue())
    labels = random.permutation(np.repeat(np.arange(classes), val_images))
    names = [f"ILSVRC2012_val_{i + 1:08d}.JPEG" for i in range(len(labels))]
    with tarfile.open(output / "ILSVRC2012_img_val.tar", "w") as tar:
        for i, name in enumerate(names):
            add(tar, name, with_segment(jpegs[i % 8], 0xFE, f"val {i}".encode()))
    (output / "val.txt").write_text("".join(f"{name} {label}\n" for name, label in zip(names, labels, strict=True)))


def main() -> None:
    """Parse the command line and make the tars."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, required=True, help="folder for the two tars and val.txt")
    parser.add_argument("--classes", type=int, default=10, help="number of synsets (default: 10)")
    parser.add_argument("--megabytes", type=float, default=100, help="size of the training tar (default: 100)")
    parser.add_argument("--kilobytes", type=float, default=110, help="size of an image (default: 110, as ImageNet's)")
    parser.add_argument("--val-images", type=int, default=50, help="validation images a class (default: 50)")
    parser.add_argument("--odd", action="store_true", help="with CMYK, PNG, grey and rotated files")
    args = parser.parse_args()
    size = np.mean([len(jpeg) + 1024 for jpeg in base_jpegs(8, args.kilobytes, np.random.default_rng(1))])
    images = max(1, round(args.megabytes * 1e6 / size / args.classes))
    make(args.output, args.classes, images, args.val_images, args.kilobytes, args.odd)


if __name__ == "__main__":
    main()
