"""Images with boxes, in the folders that YOLO's and COCO's tools have.

YOLO: root/images/<split> and root/labels/<split>, or root/<split>/images and root/<split>/labels; root/classes.txt,
a class a line, or root/data.yaml. COCO: root/<split>.json, root/annotations/<split>.json or instances_<split>*.json
there, or root/<split>/_annotations.coco.json, with the images in root/images/<split>, root/<split>, root/<split>2017 or
beside the json. The split val may also be called valid.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from softdpu.dataset import labels
from softdpu.dataset.box_labels import Boxes, pack, read_coco, read_yolo
from softdpu.dataset.listed import SUFFIXES, ListedImages, list_images
from softdpu.dataset.source import RawImage
from softdpu.errors import SoftdpuError
from softdpu.output.files import PathLike

CLASSES, DATA = "classes.txt", "data.yaml"
_NAMES = {"train": ("train",), "val": ("val", "valid")}


class Found(NamedTuple):
    """One split: the names of the classes, and for each image file its boxes."""

    classes: list[str]
    images: list[tuple[Path, Boxes]]


class BoxFolder(ListedImages):
    """One split of a folder of images with boxes."""

    def __init__(self, root: PathLike, split: str, shards: int) -> None:
        """Read all label files of a split.

        Args:
            root: of the folder, see above.
            split: "train" or "val".
            shards: over how many files the records are spread.

        Raises:
            SoftdpuError: if there are no images or label files, or one of these is not right.
        """
        folder = Path(root)
        if not folder.is_dir():
            raise SoftdpuError(f"the folder of images {root} does not exist (dataset.path)")
        found = _find_coco(folder, split) or _find_yolo(folder, split)
        self.classes = found.classes
        self._boxes = [boxes for _, boxes in found.images]
        super().__init__(folder, [(path, i) for i, (path, _) in enumerate(found.images)], shards)

    def _describe(self, name: str, path: Path, label: int, data: bytes) -> RawImage:
        boxes = self._boxes[label]  # the number of the image stands where a class has its label
        present = tuple(int(kind) for kind in boxes.classes)
        return RawImage(name, 0, data, target=pack(boxes), present=present)


def _find_coco(root: Path, split: str) -> Found | None:
    """Return a split that a COCO json describes, None where there is no such file."""
    for name in _NAMES[split]:
        files = [root / f"{name}.json", root / "annotations" / f"{name}.json", root / name / "_annotations.coco.json"]
        files += sorted((root / "annotations").glob(f"instances_{name}*.json"))
        for path in filter(Path.is_file, files):
            coco = read_coco(path)
            folders = [root / "images" / name, root / name, root / f"{name}2017", root / "images", path.parent]
            images = [(_find_image(image.name, folders, path), image.boxes) for image in coco.images]
            if not images:
                raise SoftdpuError(f"{path} names no images")
            return Found(coco.classes, images)
    return None


def _find_image(name: str, folders: list[Path], json: Path) -> Path:
    for folder in folders:
        if (folder / name).is_file():
            return folder / name
    looked = ", ".join(str(folder) for folder in folders)
    raise SoftdpuError(f"{json} names the image {name}, which is in none of {looked}")


def _find_yolo(root: Path, split: str) -> Found:
    for name in _NAMES[split]:
        for images, texts in (
            (root / "images" / name, root / "labels" / name),
            (root / name / "images", root / name / "labels"),
        ):
            if images.is_dir():
                classes = read_classes(root)
                found = []
                for path in list_images(images):
                    text = texts / path.relative_to(images).with_suffix(".txt")
                    found.append((path, read_yolo(text, len(classes))))
                if not found:
                    raise SoftdpuError(f"{images} holds no images: {', '.join(SUFFIXES)}")
                return Found(classes, found)
    raise SoftdpuError(
        f"{root} holds no {split} images with boxes: expected images/{split} and labels/{split}, {split}/images and"
        f" {split}/labels, or a COCO json such as annotations/{split}.json (dataset.path)"
    )


def read_classes(root: Path) -> list[str]:
    """Return the names of the classes from classes.txt, or from names in data.yaml.

    Raises:
        SoftdpuError: if neither is there, or it has no names.
    """
    if (root / CLASSES).is_file():
        names = [name for name in labels.read(root / CLASSES) if name.strip()]
    elif (root / DATA).is_file():
        names = _read_yaml(root / DATA)
    else:
        raise SoftdpuError(f"{root} needs {CLASSES}, the name of a class in each line, or {DATA} with names")
    if not names:
        raise SoftdpuError(f"{root} names no classes in {CLASSES} or {DATA}")
    return names


def _read_yaml(path: Path) -> list[str]:
    try:
        import yaml

        found = yaml.safe_load(path.read_bytes())
        names = found["names"]
        if isinstance(names, dict):
            names = [names[i] for i in range(len(names))]
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise TypeError("names is no list of names")
    except ImportError:
        raise SoftdpuError(f"{path} is read by the package pyyaml; or write {CLASSES}, a class in each line") from None
    except (yaml.YAMLError, KeyError, TypeError, ValueError, RecursionError) as error:
        line = " ".join(str(error).split())
        raise SoftdpuError(f"{path}: expected names, a list of the classes ({line}); or write {CLASSES}") from None
    return names
