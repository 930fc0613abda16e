from __future__ import annotations

import ast
import importlib.util
import types
from pathlib import Path

import cv2
import numpy as np
import pytest
from dataset_tools import write_ours

from softdpu.dataset import example, preprocess
from softdpu.dataset.images import encode_jpeg
from softdpu.dataset.pipeline import Augmentation, Batches, augment, rescale
from softdpu.errors import SoftdpuError
from softdpu.numbers import fixed_point

ROOT = Path(__file__).parents[2]


def photo(random: np.random.Generator, height: int, width: int) -> np.ndarray:
    """Return a smooth uint8[height, width, 3] image."""
    small = random.integers(0, 256, (8, 8, 3), np.uint8)
    return cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """23 JPEG images of many sizes in two files."""
    random = np.random.default_rng(5)
    records = []
    for i in range(23):
        height, width = random.integers(20, 90, 2)
        image = photo(random, int(height), int(width))
        records.append(example.Record(i % 4, int(height), int(width), 3, encode_jpeg(image, 90)))
    write_ours(tmp_path / "data_0.tfrecord", records[:9])
    write_ours(tmp_path / "data_1.tfrecord", records[9:])
    return tmp_path


def app_preprocess(data: bytes, size: int, fit: str, position: int) -> np.ndarray:
    """The contract as a card's program would write it: cv2 and numpy alone."""
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    height, width = image.shape[:2]
    if (height, width) != (size, size):
        if fit == "stretch":
            image = cv2.resize(image, (size, size), interpolation=cv2.INTER_CUBIC)
        elif fit == "letterbox":
            long = max(height, width)
            new = max(1, (width * size + long // 2) // long), max(1, (height * size + long // 2) // long)
            small = cv2.resize(image, new, interpolation=cv2.INTER_CUBIC)
            top, left = (size - new[1]) // 2, (size - new[0]) // 2
            image = np.full((size, size, 3), 114, np.uint8)
            image[top : top + new[1], left : left + new[0]] = small
        else:
            short = size * 256 // 224
            new = (width * short // min(height, width), height * short // min(height, width))
            image = cv2.resize(image, new, interpolation=cv2.INTER_CUBIC)
            top, left = (new[1] - size) // 2, (new[0] - size) // 2
            image = image[top : top + size, left : left + size]
    pixels = np.arange(256, dtype=np.float32) / np.float32(127.5) - np.float32(1)
    table = np.clip(np.floor(pixels * np.float32(2**position) + np.float32(0.5)), -128, 127).astype(np.int8)
    return table[image[:, :, ::-1]]


@pytest.mark.parametrize("fit", preprocess.FITS)
@pytest.mark.parametrize("position", [4, 6, 7])
@pytest.mark.parametrize("cache_mib", [0, 100])
def test_the_card_sees_what_the_network_saw(folder: Path, fit: str, position: int, cache_mib: int) -> None:
    """Decode, resize, crop, scale and the input's quantizer against the contract, bit for bit."""
    batches = Batches(folder, 32, 10, fit, cache_mib=cache_mib)
    images = np.concatenate([batches[i][0] for i in range(len(batches))])
    assert images.dtype == np.float32
    quantized = fixed_point.quantize(images, position, fixed_point.HALF_UP)
    for record, expected in zip(batches._reader, quantized, strict=True):
        np.testing.assert_array_equal(app_preprocess(record.image, 32, fit, position), expected)
        card = preprocess.card_image(record.image, 32, 32, fit)  # what packaging puts on the card
        assert card.startswith(b"\x89PNG")
        np.testing.assert_array_equal(app_preprocess(card, 32, fit, position), expected)


@pytest.mark.parametrize("fit", preprocess.FITS)
def test_the_cards_program_sees_it_too(folder: Path, fit: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """target_src/card.py itself, on the records' own files and on the PNGs that packaging makes of them."""
    monkeypatch.syspath_prepend(ROOT / "target_src")
    specification = importlib.util.spec_from_file_location("card", ROOT / "target_src" / "card.py")
    card = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(card)
    tensor = types.SimpleNamespace(dims=[1, 32, 32, 3], get_attr={"fix_point": 6}.get)
    batches = Batches(folder, 32, 23, fit)
    quantized = fixed_point.quantize(batches[0][0], 6, fixed_point.HALF_UP)
    for record, expected in zip(batches._reader, quantized, strict=True):
        for data in (record.image, preprocess.card_image(record.image, 32, 32, fit)):
            (folder / "image").write_bytes(data)
            seen = np.empty((32, 32, 3), np.int8)
            card.Preprocess(tensor, {"fit": fit})(str(folder / "image"), seen)
            np.testing.assert_array_equal(seen, expected)


@pytest.mark.parametrize(
    "path",
    [
        *("output/files", "errors", "output/cli", "commands/options", "tasks"),
        *(f"dataset/{name}" for name in ("preprocess", "example", "tfrecord", "pipeline", "targets")),
    ]
    + [f"training/{path.stem}" for path in sorted((ROOT / "src/softdpu/training").glob("*.py"))],
)
def test_what_runs_in_amds_container_is_python_3_7(path: str) -> None:
    ast.parse((ROOT / "src/softdpu" / (path + ".py")).read_text(), feature_version=(3, 7))


def test_scaling_is_mobilenets() -> None:
    from softdpu.training.batches import keras

    pixels = np.arange(256, dtype=np.uint8)
    theirs = keras.applications.mobilenet.preprocess_input(pixels.astype(np.float32))
    np.testing.assert_array_equal(preprocess.scale(pixels), theirs)


@pytest.mark.parametrize("cache_mib", [0, 100])
def test_the_shuffle_is_of_all_images_and_only_the_seed_decides(folder: Path, cache_mib: int) -> None:
    plain = Batches(folder, 32, 23)[0]
    keys = {image.tobytes(): i for i, image in enumerate(plain[0])}

    def order(seed: int, threads: int, epoch: int) -> list[int]:
        batches = Batches(folder, 32, 5, seed=seed, threads=threads, cache_mib=cache_mib)
        for _ in range(epoch):
            batches.on_epoch_end()
        assert [len(batches[i][1]) for i in range(len(batches))] == [5, 5, 5, 5, 3]
        found = []
        for i in range(len(batches)):
            images, labels = batches[i]
            found += [keys[image.tobytes()] for image in images]
            np.testing.assert_array_equal(labels, [k % 4 for k in found[-len(labels) :]])
        return found

    first = order(1, 1, 0)
    assert sorted(first) == list(range(23))
    assert first == order(1, 3, 0)
    assert first != order(1, 1, 1) != order(2, 1, 0)
    assert any(a >= 9 for a in first[:5]) and any(a < 9 for a in first[:5])  # both files in the first batch


def test_a_batch_depends_on_its_epoch_and_number_alone(folder: Path) -> None:
    how = Augmentation(flip=True, contrast=0.2)
    batches, plain = (Batches(folder, 32, 5, seed=3, augmentation=how) for _ in range(2))
    for epoch in (0, 1):
        for i in (0, 1, 2, 1, 4, 0, *range(len(batches))):
            for made, expected in zip(batches[i], plain.part(i), strict=False):
                np.testing.assert_array_equal(made, expected, err_msg=f"epoch {epoch}, batch {i}")
        batches.on_epoch_end()
        plain.start(epoch + 1)


def test_a_subset_is_spread_evenly(folder: Path) -> None:
    batches = Batches(folder, 32, 100, images=6)
    np.testing.assert_array_equal(batches[0][1], [i * 23 // 6 % 4 for i in range(6)])


def test_random_crops_are_cut_from_the_resized_image(folder: Path) -> None:
    how = Augmentation(crop=True)
    batches = Batches(folder, 32, 23, preprocess.CROP, augmentation=how, threads=1)
    again = Batches(folder, 32, 23, preprocess.CROP, augmentation=how, threads=2)
    np.testing.assert_array_equal(batches[0][0], again[0][0])
    middle = Batches(folder, 32, 23, preprocess.CROP)[0][0]
    assert (batches[0][0] != middle).any(axis=(1, 2, 3)).sum() > 15
    for record, crop in zip(batches._reader, batches[0][0], strict=True):
        whole = preprocess.scale(preprocess.resize_short_side(preprocess.decode(record.image), 32)[:, :, ::-1])
        windows = np.lib.stride_tricks.sliding_window_view(whole, (32, 32, 3))
        assert (windows == crop).all(axis=(-1, -2, -3)).any()


def test_augmentations_do_what_they_say() -> None:
    random = np.random.default_rng(3)
    images = random.uniform(-0.5, 0.5, (200, 4, 6, 3)).astype(np.float32)
    flipped = augment(images, Augmentation(flip=True), random)
    is_flipped = (flipped == images[:, :, ::-1]).all(axis=(1, 2, 3))
    assert ((flipped == images).all(axis=(1, 2, 3)) ^ is_flipped).all()
    assert 60 < is_flipped.sum() < 140
    shift = augment(images, Augmentation(brightness=0.1), random) - images
    assert np.ptp(shift, axis=(1, 2, 3)).max() < 1e-6
    assert np.abs(shift).max() <= 0.2 and np.abs(shift).max() > 0.15  # 0.1 of the full scale, which is 2 wide
    contrast = augment(images, Augmentation(contrast=0.1), random)
    np.testing.assert_allclose(contrast.mean(axis=(1, 2)), images.mean(axis=(1, 2)), atol=1e-6)
    ratio = contrast.std(axis=(1, 2)) / images.std(axis=(1, 2))
    assert ratio.min() >= 0.899 and ratio.max() <= 1.101 and np.ptp(ratio) > 0.15
    saturated = augment(images, Augmentation(saturation=0.1), random)
    weights = np.array([0.299, 0.587, 0.114], np.float32)
    np.testing.assert_allclose(saturated @ weights, images @ weights, atol=1e-6)
    everything = Augmentation(brightness=1, contrast=1, saturation=1)
    assert np.abs(augment(images, everything, random)).max() <= 1


def test_wrong_records_are_told(folder: Path) -> None:
    with pytest.raises(SoftdpuError, match="holds 23 images, 24 were asked for"):
        Batches(folder, 32, 5, images=24)
    with pytest.raises(SoftdpuError, match="the label must be 0 to 2, it is 3; the model's classes"):
        Batches(folder, 32, 5, classes=3)
    write_ours(folder / "data_1.tfrecord", [example.Record(0, 9, 9, 3, b"no image")])
    with pytest.raises(SoftdpuError, match=r"data_1.tfrecord, the record at byte 12: not an image"):
        Batches(folder, 32, 5)
    write_ours(folder / "data_1.tfrecord", [])
    write_ours(folder / "data_0.tfrecord", [])
    with pytest.raises(SoftdpuError, match="hold no image"):
        Batches(folder, 32, 5)


@pytest.mark.parametrize("name", preprocess.SCALINGS)
def test_another_scaling_with_and_without_augmentation(folder: Path, name: str) -> None:
    chosen = preprocess.SCALINGS[name]
    tf = Batches(folder, 32, 10)[0][0]
    plain = Batches(folder, 32, 10, scaling=chosen)[0][0]
    np.testing.assert_allclose(rescale(tf, chosen), plain, rtol=1e-5, atol=2e-4)
    flipped = Batches(folder, 32, 10, augmentation=Augmentation(flip=True), scaling=chosen)[0][0]
    for image, original in zip(flipped, plain, strict=True):
        same = np.allclose(image, original, rtol=1e-5, atol=2e-4)
        assert same or np.allclose(image[:, ::-1], original, rtol=1e-5, atol=2e-4)
