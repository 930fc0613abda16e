from __future__ import annotations

import hashlib
import io
import json
import os
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
from make_ilsvrc import add, make, synset

from softdpu.dataset import imagenet, preprocess
from softdpu.dataset.pipeline import read_records
from softdpu.errors import SoftdpuError

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def ilsvrc(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tars of 4 classes with 6 training and 3 validation images, odd files among them."""
    folder = tmp_path_factory.mktemp("ilsvrc")
    make(folder, classes=4, images=6, val_images=3, kilobytes=8, odd=True)
    return folder


def program(*options: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "scripts/make_records.py", "--kind", "imagenet", *map(str, options)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)


def train_options(folder: Path, output: Path, classes: int = 3) -> tuple[object, ...]:
    source = folder / "ILSVRC2012_img_train.tar"
    return "--split", "train", "--source", source, "--output", output, "--classes", classes


def val_options(folder: Path, output: Path, classes: int = 3, per_shard: int = 5) -> tuple[object, ...]:
    return (
        "--split", "val", "--source", folder / "ILSVRC2012_img_val.tar", "--output", output, "--classes", classes,
        "--train-source", folder / "ILSVRC2012_img_train.tar", "--ground-truth", folder / "val.txt",
        "--images-per-shard", per_shard,
    )  # fmt: skip


def extracted(folder: Path, tmp_path: Path) -> dict[str, bytes]:
    """Return every training image by name, through the tar program."""
    work = tmp_path / "extracted"
    work.mkdir()
    subprocess.run(["tar", "-xf", str(folder / "ILSVRC2012_img_train.tar"), "-C", str(work)], check=True)
    for inner in sorted(work.glob("*.tar")):
        subprocess.run(["tar", "-xf", str(inner), "-C", str(work)], check=True)
    return {path.name: path.read_bytes() for path in work.glob("*.JPEG")}


def test_a_training_shard_is_a_class(ilsvrc: Path, tmp_path: Path) -> None:
    done = program(*train_options(ilsvrc, tmp_path / "train"))
    assert done.returncode == 0, done.stderr
    assert sorted(p.name for p in (tmp_path / "train").iterdir()) == sorted(
        ["manifest.json", "labels.txt", *(f"data_{i}.{end}" for i in range(3) for end in ("tfrecord", "json"))]
    )
    manifest = json.loads((tmp_path / "train" / "manifest.json").read_text())
    first = f"{synset(0)}_"
    assert manifest["converted"] == {
        first + "0.JPEG": "CMYK JPEG", first + "1.JPEG": "PNG", first + "2.JPEG": "grey JPEG",
        first + "3.JPEG": "EXIF orientation 6",
    }  # fmt: skip
    assert manifest["images"] == 18 and manifest["skipped"] == {}
    assert manifest["classes"] == [synset(0), synset(1), synset(2)]
    assert manifest["counts"] == dict.fromkeys(manifest["classes"], 6)
    assert (tmp_path / "train" / "labels.txt").read_text().split() == manifest["classes"]
    files = extracted(ilsvrc, tmp_path)
    records = list(read_records(tmp_path / "train"))
    assert [record.label for record in records] == [0] * 6 + [1] * 6 + [2] * 6
    for record, (name, data) in zip(
        records, [(n, files[n]) for s in range(3) for n in sorted(files) if synset(s) in n], strict=True
    ):
        assert preprocess.decode(record.image).shape == (record.height, record.width, 3) and record.chans == 3
        assert name in manifest["converted"] or record.image == data
    for source in manifest["sources"]:
        inner = tmp_path / "extracted" / Path(source["name"]).name
        assert source["size"] == inner.stat().st_size
        assert source["sha256"] == hashlib.sha256(inner.read_bytes()).hexdigest()


def test_validation_shards_follow_val_txt(ilsvrc: Path, tmp_path: Path) -> None:
    done = program(*val_options(ilsvrc, tmp_path / "val"))
    assert done.returncode == 0, done.stderr
    lines = [line.split() for line in (ilsvrc / "val.txt").read_text().splitlines()]
    wanted = [(name, int(label)) for name, label in lines if int(label) < 3]
    records = list(read_records(tmp_path / "val"))
    assert [record.label for record in records] == [label for _, label in wanted]
    with tarfile.open(ilsvrc / "ILSVRC2012_img_val.tar") as tar:
        assert [record.image for record in records] == [tar.extractfile(name).read() for name, _ in wanted]
    manifest = json.loads((tmp_path / "val" / "manifest.json").read_text())
    assert manifest["shards"] == {"data_0.tfrecord": 5, "data_1.tfrecord": 4}
    assert [source["name"] for source in manifest["sources"]] == ["ILSVRC2012_img_val.tar", "val.txt"]
    assert imagenet.count_val_shards(ilsvrc / "val.txt", 3, 5) == 2
    assert imagenet.count_val_shards(None, 10, 100) == imagenet.count_val_shards(ilsvrc / "not there", 10, 100) == 5


def test_shards_do_not_depend_on_who_writes_them(ilsvrc: Path, tmp_path: Path) -> None:
    assert program(*train_options(ilsvrc, tmp_path / "all")).returncode == 0
    for shard in (2, 0, 1):
        assert program(*train_options(ilsvrc, tmp_path / "single"), "--shard", shard).returncode == 0
    merge = [sys.executable, "scripts/merge_records.py", "--records", str(tmp_path / "single"), "--shards", "3"]
    assert subprocess.run(merge, cwd=ROOT, capture_output=True).returncode == 0
    for name in ("data_0.tfrecord", "data_1.tfrecord", "data_2.tfrecord", "manifest.json", "labels.txt"):
        assert len({(tmp_path / d / name).read_bytes() for d in ("all", "single")}) == 1, name


def test_a_full_disk_leaves_nothing_half_written(ilsvrc: Path, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=32k", "tmpfs", str(disk)]
    if os.geteuid() or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("needs the right to mount a tmpfs")
    try:
        done = program(*train_options(ilsvrc, disk / "train"), "--shard", "1")
        assert done.returncode == 1
        assert "data_1.tfrecord: No space left on device; nothing is left half written" in done.stderr
        assert not list((disk / "train").iterdir())
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def rebuilt(folder: Path, output: Path, change) -> Path:
    """Write the training tar again, each member's bytes through change(name, data)."""
    output.mkdir(exist_ok=True)
    with (
        tarfile.open(folder / "ILSVRC2012_img_train.tar") as old,
        tarfile.open(output / "ILSVRC2012_img_train.tar", "w") as new,
    ):
        for info in old:
            add(new, info.name, change(info.name, old.extractfile(info).read()))
    return output


def hostile_inner(_: str, data: bytes) -> bytes:
    """Return an inner tar with two more images, and links, devices and names that lead elsewhere."""
    inner = io.BytesIO()
    with tarfile.open(fileobj=io.BytesIO(data)) as old, tarfile.open(fileobj=inner, mode="w") as new:
        images = [(info.name, old.extractfile(info).read()) for info in old]
        for name, image in images:
            add(new, name, image)
        for name in ("../../escape.JPEG", "/tmp/absolute_escape.JPEG", "a/../../b.JPEG"):
            add(new, name, images[-1][1])
        for kind, name in (
            (tarfile.SYMTYPE, "link.JPEG"),
            (tarfile.LNKTYPE, "hard.JPEG"),
            (tarfile.FIFOTYPE, "fifo.JPEG"),
        ):
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, "/etc/passwd"
            new.addfile(info)
        add(new, "zero.JPEG", b"")
        add(new, "text.JPEG", b"no image at all")
        folder = tarfile.TarInfo("folder")
        folder.type = tarfile.DIRTYPE
        new.addfile(folder)
    return inner.getvalue()


def test_nothing_of_a_hostile_tar_is_ever_written(ilsvrc: Path, tmp_path: Path) -> None:
    folder = rebuilt(ilsvrc, tmp_path / "hostile", hostile_inner)
    before = set(Path("/tmp").iterdir())
    refused = program(*train_options(folder, tmp_path / "out", classes=1))
    assert refused.returncode == 1 and "8 of 14 images are broken, at most 1.00% are allowed" in refused.stderr
    done = program(*train_options(folder, tmp_path / "out", classes=1), "--max-skipped", "0.6")
    assert done.returncode == 0, done.stderr
    skipped = json.loads((tmp_path / "out" / "manifest.json").read_text())["skipped"]
    assert skipped == {
        "../../escape.JPEG": "its name leads out of the archive",
        "/tmp/absolute_escape.JPEG": "its name leads out of the archive",
        "a/../../b.JPEG": "its name leads out of the archive",
        "link.JPEG": "a link to /etc/passwd",
        "hard.JPEG": "a link to /etc/passwd",
        "fifo.JPEG": "not a plain file",
        "zero.JPEG": "the file is empty",
        "text.JPEG": "not an image that OpenCV can decode (15 bytes)",
    }
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == [
        "data_0.json",
        "data_0.tfrecord",
        "labels.txt",
        "manifest.json",
    ]
    assert not [path for path in set(Path("/tmp").iterdir()) - before if "escape" in path.name]


def truncated(folder: Path, output: Path, keep: int) -> Path:
    output.mkdir()
    data = (folder / "ILSVRC2012_img_train.tar").read_bytes()
    (output / "ILSVRC2012_img_train.tar").write_bytes(data[:keep])
    return output


@pytest.mark.parametrize("share", [0.0, 0.001, 0.1, 0.5, 0.9])
def test_a_truncated_tar_is_told(ilsvrc: Path, tmp_path: Path, share: float) -> None:
    size = (ilsvrc / "ILSVRC2012_img_train.tar").stat().st_size
    folder = truncated(ilsvrc, tmp_path / "cut", int(size * share))
    with pytest.raises(SoftdpuError, match=r"ILSVRC2012_img_train.tar (is no whole tar archive|is broken or cut off)"):
        imagenet.list_synset_tars(folder / "ILSVRC2012_img_train.tar")


def test_a_tar_cut_between_two_members_is_told(ilsvrc: Path, tmp_path: Path) -> None:
    with tarfile.open(ilsvrc / "ILSVRC2012_img_train.tar") as tar:
        second = tar.getmembers()[1].offset
    folder = truncated(ilsvrc, tmp_path / "cut", second)
    with pytest.raises(SoftdpuError, match="is broken or cut off: no member and no end at byte"):
        imagenet.list_synset_tars(folder / "ILSVRC2012_img_train.tar")


@pytest.mark.parametrize("lost", [1000, 9000, 20000])
def test_a_truncated_inner_tar_is_told(ilsvrc: Path, tmp_path: Path, lost: int) -> None:
    """The window must end with the inner tar: the outer one's next member is no image of this class."""
    folder = rebuilt(ilsvrc, tmp_path / "cut", lambda name, data: data.rstrip(b"\0")[:-lost])
    done = program(*train_options(folder, tmp_path / "out"))
    assert done.returncode == 1 and done.stderr.strip().count("error:") == 1
    assert f"ILSVRC2012_img_train.tar: {synset(0)}.tar is " in done.stderr
    assert not (tmp_path / "out" / "data_0.tfrecord").exists()


def message_of(*options: object) -> str:
    done = program(*options)
    assert done.returncode == 1, done.stdout + done.stderr
    lines = [line for line in done.stderr.splitlines() if line.startswith("error:")]
    assert len(lines) == 1 and "Traceback" not in done.stderr
    return lines[0]


def test_wrong_sets_and_missing_files_are_told(ilsvrc: Path, tmp_path: Path) -> None:
    val, train = ilsvrc / "ILSVRC2012_img_val.tar", ilsvrc / "ILSVRC2012_img_train.tar"
    for source, message in (
        (val, "a tar of one tar a class such as n01440764.tar; it holds ILSVRC2012_val_00000001.JPEG"),
        (tmp_path / "nothing.tar", "nothing.tar: No such file or directory"),
        (tmp_path, "is a folder"),
        (ilsvrc / "val.txt", "val.txt is no whole tar archive"),
    ):
        with pytest.raises(SoftdpuError, match=message):
            imagenet.ImagenetTrain(source, 1)
    with pytest.raises(SoftdpuError, match="has 4 classes, 5 were asked for"):
        imagenet.ImagenetTrain(train, 5)
    with pytest.raises(SoftdpuError, match=r"val.txt has no entry for n\d+.tar"):
        list(imagenet.ImagenetVal(train, ilsvrc / "val.txt", train, 2, 5).read(0))
    assert "also needs --ground-truth" in message_of(
        "--split", "val", "--source", val, "--output", tmp_path, "--train-source", train
    )
    assert "the shard must be 0 to 2, got 3" in message_of(*train_options(ilsvrc, tmp_path / "x"), "--shard", 3)


def test_synsets_and_images_that_occur_twice_are_told(ilsvrc: Path, tmp_path: Path) -> None:
    path = tmp_path / "twice.tar"
    with tarfile.open(path, "w") as tar:
        add(tar, "n01440764.tar", b"")
        add(tar, "n01440764.tar", b"")
    with pytest.raises(SoftdpuError, match=r"holds n01440764.tar twice"):
        imagenet.list_synset_tars(path)
    train, val = ilsvrc / "ILSVRC2012_img_train.tar", tmp_path / "val.tar"
    with tarfile.open(val, "w") as tar:
        add(tar, "ILSVRC2012_val_00000001.JPEG", b"")
        add(tar, "./ILSVRC2012_val_00000001.JPEG", b"")
    with pytest.raises(SoftdpuError, match=r"holds ILSVRC2012_val_00000001.JPEG twice"):
        list(imagenet.ImagenetVal(val, ilsvrc / "val.txt", train, 4, 100).read(0))

    def doubled(_: str, data: bytes) -> bytes:
        inner = io.BytesIO()
        with tarfile.open(fileobj=io.BytesIO(data)) as old, tarfile.open(fileobj=inner, mode="w") as new:
            for info in [*old, *list(old)[:1]]:
                add(new, info.name, old.extractfile(info).read())
        return inner.getvalue()

    folder = rebuilt(ilsvrc, tmp_path / "doubled", doubled)
    assert f"{synset(0)}_0.JPEG occurs twice in shard 0" in message_of(
        *train_options(folder, tmp_path / "x"), "--shard", 0
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda lines: lines[:-2], "has no entry for ILSVRC2012_val_000000(11|12).JPEG, which is in"),
        (
            lambda lines: [*lines, "ILSVRC2012_val_00000099.JPEG 0"],
            "holds no ILSVRC2012_val_00000099.JPEG, which is in",
        ),
        (lambda lines: [*lines, lines[3]], r"line 13: ILSVRC2012_val_00000004.JPEG occurs twice"),
        (lambda lines: [*lines[:4], "ILSVRC2012_val_00000005.JPEG"], "line 5: expected a name and a label"),
        (
            lambda lines: [f"{x.split()[0]} {int(x.split()[1]) + 1}" for x in lines],
            "are 1 to 4, those of .* are 0 to 3",
        ),
        (lambda lines: [x for x in lines if not x.endswith(" 3")], "are 0 to 2, those of .* are 0 to 3"),
        (lambda lines: [x for x in lines if not x.endswith(" 1")], "has no image of class 1"),
        (lambda lines: [], "is empty"),
    ],
)
def test_a_wrong_ground_truth_is_told(ilsvrc: Path, tmp_path: Path, change, message: str) -> None:
    (tmp_path / "val.txt").write_text("".join(x + "\n" for x in change((ilsvrc / "val.txt").read_text().splitlines())))
    train, val = ilsvrc / "ILSVRC2012_img_train.tar", ilsvrc / "ILSVRC2012_img_val.tar"
    with pytest.raises(SoftdpuError, match=message):
        list(imagenet.ImagenetVal(val, tmp_path / "val.txt", train, 4, 100).read(0))


def test_the_ground_truth_comes_from_a_file_a_tar_or_the_download(
    ilsvrc: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = imagenet.read_ground_truth(ilsvrc / "val.txt")
    archive = tmp_path / "caffe_ilsvrc12.tar.gz"
    with tarfile.open(archive, "w:gz") as tar:
        add(tar, "train.txt", b"nothing")
        tar.add(ilsvrc / "val.txt", "./val.txt")
    assert imagenet.read_ground_truth(archive) == expected
    imagenet.fetch_ground_truth(tmp_path / "a.txt", archive)
    assert imagenet.read_ground_truth(tmp_path / "a.txt") == expected
    monkeypatch.setattr(imagenet, "GROUND_TRUTH_URL", archive.as_uri())
    with pytest.raises(SoftdpuError, match="is damaged: its SHA-256 must be 4138c0cd"):
        imagenet.fetch_ground_truth(tmp_path / "b.txt")
    assert not (tmp_path / "b.txt").exists()
    sums = hashlib.sha256("".join(sorted((ilsvrc / "val.txt").read_text().splitlines(True))).encode()).hexdigest()
    monkeypatch.setattr(imagenet, "GROUND_TRUTH_SHA256", sums)
    imagenet.fetch_ground_truth(tmp_path / "b.txt")
    assert (tmp_path / "b.txt").read_bytes() == (ilsvrc / "val.txt").read_bytes()
    monkeypatch.setattr(imagenet, "GROUND_TRUTH_URL", (tmp_path / "gone").as_uri())
    with pytest.raises(SoftdpuError, match=r"cannot download .*name it in the config"):
        imagenet.fetch_ground_truth(tmp_path / "c.txt")
    with tarfile.open(archive, "w:gz") as tar:
        add(tar, "train.txt", b"nothing")
    with pytest.raises(SoftdpuError, match=r"holds no val.txt"):
        imagenet.read_ground_truth(archive)


@pytest.mark.slow
def test_records_of_the_plain_way_are_the_same(tmp_path: Path) -> None:
    """Extracted to disk and written by TensorFlow: our pipeline reads the same records from them as from ours."""
    make(tmp_path, classes=2, images=5, val_images=1, kilobytes=8)
    source = tmp_path / "ILSVRC2012_img_train.tar"
    plain = [sys.executable, "benchmarks/records_baseline.py", str(source), str(tmp_path / "plain"), "2"]
    subprocess.run(plain, cwd=ROOT, check=True, capture_output=True, timeout=120)
    assert program(*train_options(tmp_path, tmp_path / "ours", classes=2)).returncode == 0
    assert list(read_records(tmp_path / "plain")) == list(read_records(tmp_path / "ours"))
