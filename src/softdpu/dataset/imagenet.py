"""ImageNet as ILSVRC2012 hands it out: a training tar of one tar a class, a validation tar, and val.txt.

Labels are the places of the classes in the sorted list of all synsets of the training tar, as val.txt counts them
("ILSVRC2012_val_00000001.JPEG 65", the file of caffe_ilsvrc12.tar.gz).
"""

from __future__ import annotations

import hashlib
import re
import tarfile
import tempfile
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from softdpu.dataset.source import RawImage, SourceFile
from softdpu.dataset.tar import Member, Window, list_members, open_file
from softdpu.errors import SoftdpuError
from softdpu.output.files import PathLike, sha256, write_text
from softdpu.output.progress import tqdm

GROUND_TRUTH_URL = "http://dl.caffe.berkeleyvision.org/caffe_ilsvrc12.tar.gz"
GROUND_TRUTH = "val.txt"
# Of ILSVRC2012's val.txt as "name label" lines sorted by name.
GROUND_TRUTH_SHA256 = "4138c0cd92d2dffea9353a9339c9f352361b7c6c267d2ff989b366f154188257"
VAL_IMAGES_A_CLASS = 50
_SYNSET_TAR = re.compile(r"(?:\./)?(n\d{8})\.tar")
_TIMEOUT = 30  # seconds without a byte


def list_synset_tars(path: PathLike) -> dict[str, Window]:
    """Return where the tar of each synset lies in the training tar, sorted by synset.

    Raises:
        SoftdpuError: if it is no whole tar, holds anything else, or a synset twice.
    """
    found: dict[str, Window] = {}
    for member in list_members(open_file(Path(path))):
        match = _SYNSET_TAR.fullmatch(member.name)
        if match is None or member.problem:
            raise SoftdpuError(
                f"{path} must be ILSVRC2012_img_train.tar, a tar of one tar a class such as n01440764.tar; it holds"
                f" {member.name}{', ' + member.problem if member.problem else ''}"
            )
        if match[1] in found:
            raise SoftdpuError(f"{path} holds {match[1]}.tar twice")
        found[match[1]] = member.window
    if not found:
        raise SoftdpuError(f"{path} holds no classes")
    return dict(sorted(found.items()))


def choose_classes(synsets: dict[str, Window], classes: int | None, path: PathLike) -> list[str]:
    """Return the first so many synsets, all if None.

    Raises:
        SoftdpuError: if there are fewer.
    """
    if classes is not None and not 1 <= classes <= len(synsets):
        raise SoftdpuError(f"{path} has {len(synsets)} classes, {classes} were asked for (dataset.classes)")
    return list(synsets)[:classes]


class ImagenetTrain:
    """The training split: a shard is a class, read from the class's tar inside the training tar."""

    def __init__(self, path: PathLike, classes: int | None) -> None:
        """Open the training tar and take its first so many classes."""
        self._path = Path(path)
        synsets = list_synset_tars(path)
        self.classes = choose_classes(synsets, classes, path)
        self.shards = len(self.classes)
        self._tars = [synsets[name] for name in self.classes]

    def count(self, shard: int) -> int:
        """Return about how many images a class has, by the size of its first ones."""
        sizes = []
        for member in list_members(self._tars[shard]):
            sizes.append(member.window.size + 1024)
            if len(sizes) == 50:
                break
        return round(self._tars[shard].size / (sum(sizes) / len(sizes))) if sizes else 0

    def read(self, shard: int) -> Iterator[RawImage]:
        """Yield the images of one class in the order of its tar."""
        for member in list_members(self._tars[shard]):
            yield _make_raw(member, shard)

    def files(self, shard: int) -> list[SourceFile]:
        """Return the class's tar."""
        name = f"{self._path.name}/{self.classes[shard]}.tar"
        return [SourceFile(name, self._tars[shard].size, self._tars[shard].sha256())]


class ImagenetVal:
    """The validation split: the images of the first classes, in the order of val.txt."""

    def __init__(
        self, path: PathLike, ground_truth: PathLike, train_path: PathLike, classes: int | None, images_per_shard: int
    ) -> None:
        """Open the validation tar.

        Args:
            path: of ILSVRC2012_img_val.tar.
            ground_truth: val.txt, or a tar that holds it.
            train_path: of the training tar, which names the classes.
            classes: how many of the first to take; None takes all.
            images_per_shard: the last shard may have fewer.

        Raises:
            SoftdpuError: if the labels of val.txt and the classes of the training tar do not agree.
        """
        self._path, self._ground_truth = Path(path), Path(ground_truth)
        synsets = list_synset_tars(train_path)
        self.classes = choose_classes(synsets, classes, train_path)
        labels = read_ground_truth(ground_truth)
        present = sorted(set(labels.values()))
        if present[0] != 0 or present[-1] != len(synsets) - 1:
            raise SoftdpuError(
                f"the labels of {ground_truth} are {present[0]} to {present[-1]}, those of {train_path} are 0 to"
                f" {len(synsets) - 1}; they belong to different data sets or count differently"
            )
        missing = sorted(set(range(len(self.classes))) - set(present))
        if missing:
            raise SoftdpuError(f"{ground_truth} has no image of class {missing[0]} ({self.classes[missing[0]]})")
        self._labels = labels
        self._names = [name for name, label in labels.items() if label < len(self.classes)]
        self._images_per_shard = images_per_shard
        self.shards = -(-len(self._names) // images_per_shard)

    def count(self, shard: int) -> int:
        """Return how many images a shard holds."""
        return len(self._shard(shard))

    def _shard(self, shard: int) -> list[str]:
        return self._names[shard * self._images_per_shard : (shard + 1) * self._images_per_shard]

    def read(self, shard: int) -> Iterator[RawImage]:
        """Yield the images of one shard, after a look at the place of all images in the tar."""
        wanted = set(self._shard(shard))
        places: dict[str, Member] = {}
        seen: set[str] = set()
        for member in list_members(open_file(self._path)):
            name = member.name[2:] if member.name.startswith("./") else member.name
            if name not in self._labels:
                raise SoftdpuError(f"{self._ground_truth} has no entry for {name}, which is in {self._path}")
            if name in seen:
                raise SoftdpuError(f"{self._path} holds {name} twice")
            seen.add(name)
            if name in wanted:
                places[name] = member
        for name in self._shard(shard):
            if name not in places:
                raise SoftdpuError(f"{self._path} holds no {name}, which is in {self._ground_truth}")
            yield _make_raw(places[name], self._labels[name])._replace(name=name)

    def files(self, shard: int) -> list[SourceFile]:
        """Return the tar and the ground truth for the first shard; the others are read from the same files."""
        if shard:
            return []
        return [SourceFile(path.name, path.stat().st_size, sha256(path)) for path in (self._path, self._ground_truth)]


def count_val_shards(ground_truth: PathLike | None, classes: int, images_per_shard: int) -> int:
    """Return the number of validation shards; where val.txt is not there yet, from ILSVRC's 50 images per class."""
    count = VAL_IMAGES_A_CLASS * classes
    if ground_truth is not None and Path(ground_truth).is_file():
        count = sum(label < classes for label in read_ground_truth(ground_truth).values())
    return -(-count // images_per_shard)


def read_ground_truth(path: PathLike) -> dict[str, int]:
    """Read val.txt, or the val.txt in a tar: labels by image name, in the order of the file.

    Raises:
        SoftdpuError: if there is none, or a line is no "name label", or a name occurs twice.
    """
    try:
        text = _val_txt_of_tar(path) if tarfile.is_tarfile(path) else Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError, tarfile.TarError, EOFError) as error:
        raise SoftdpuError(f"cannot read the ground truth {path}: {error}") from None
    labels: dict[str, int] = {}
    for number, line in enumerate(text.splitlines(), 1):
        match = re.fullmatch(r"(?:\./|val/)?(\S+) +(\d+)\s*", line)
        if match is None:
            raise SoftdpuError(
                f"{path}, line {number}: expected a name and a label, as in 'ILSVRC2012_val_00000001.JPEG 65',"
                f" got '{line[:60]}'"
            )
        if match[1] in labels:
            raise SoftdpuError(f"{path}, line {number}: {match[1]} occurs twice")
        labels[match[1]] = int(match[2])
    if not labels:
        raise SoftdpuError(f"the ground truth {path} is empty")
    return labels


def _val_txt_of_tar(path: PathLike) -> str:
    with tarfile.open(path) as tar:
        for info in tar:
            if info.isreg() and info.name.split("/")[-1] == GROUND_TRUTH:
                file = tar.extractfile(info)
                assert file is not None
                return file.read().decode("utf-8")
    raise SoftdpuError(f"{path} holds no {GROUND_TRUTH}")


def fetch_ground_truth(output: PathLike, given: PathLike | None = None) -> str:
    """Write val.txt of a file, a tar, or the download to `output` and return where it came from.

    Only the download must be ILSVRC2012's own, by its checksum; a file or tar of the user's may be another set's.

    Raises:
        SoftdpuError: if it cannot be had, or the download is damaged.
    """
    if given is not None:
        labels, where = read_ground_truth(given), str(given)
    else:
        labels, where = _download(), GROUND_TRUTH_URL
    lines = "".join(f"{name} {label}\n" for name, label in labels.items())
    if (
        given is None
        and hashlib.sha256("".join(sorted(lines.splitlines(True))).encode()).hexdigest() != GROUND_TRUTH_SHA256
    ):
        raise SoftdpuError(
            f"{GROUND_TRUTH} of {GROUND_TRUTH_URL} is damaged: its SHA-256 must be {GROUND_TRUTH_SHA256}"
        )
    write_text(output, lines)
    return where


def _download() -> dict[str, int]:
    with tempfile.NamedTemporaryFile(suffix=".tar.gz") as file:
        try:
            with (
                urllib.request.urlopen(GROUND_TRUTH_URL, timeout=_TIMEOUT) as reply,
                tqdm(total=int(reply.headers.get("Content-Length") or 0) or None, unit="B", unit_scale=True) as bar,
            ):
                while block := reply.read(1 << 16):
                    file.write(block)
                    bar.update(len(block))
        except (OSError, ValueError) as error:
            raise SoftdpuError(
                f"cannot download {GROUND_TRUTH_URL}: {error}; get it or {GROUND_TRUTH} elsewhere and name it in"
                " the config (dataset.ground_truth)"
            ) from None
        file.flush()
        return read_ground_truth(file.name)


def _make_raw(member: Member, label: int) -> RawImage:
    return RawImage(member.name, label, b"" if member.problem else member.window.read(), member.problem)
