"""Signal to noise, cosine and overlap of masks, against their definitions written out."""

from __future__ import annotations

import math

import numpy as np
import pytest

from softdpu.numbers.segmentation import IGNORED, count_pixels, measure
from softdpu.numbers.similarity import Similarity


def test_similarity_is_summed_over_arrays() -> None:
    rng = np.random.default_rng(0)
    wanted = rng.normal(0, 1, (3, 4, 5))
    found = wanted + rng.normal(0, 0.1, wanted.shape)
    sums = Similarity()
    for x, y in zip(wanted, found, strict=True):
        sums.add(x, y)
    noise = math.fsum((y - x) ** 2 for x, y in zip(wanted.flat, found.flat, strict=True))
    signal = math.fsum(x * x for x in wanted.flat)
    assert sums.sqnr == pytest.approx(10 * math.log10(signal / noise))
    product = math.fsum(x * y for x, y in zip(wanted.flat, found.flat, strict=True))
    assert sums.cosine == pytest.approx(product / math.sqrt(signal * math.fsum(y * y for y in found.flat)))


def test_similarity_at_its_ends() -> None:
    same, nothing, zero = Similarity(), Similarity(), Similarity()
    same.add([1.0, 2.0], [1.0, 2.0])
    nothing.add([0.0, 0.0], [1.0, 0.0])
    zero.add([0.0], [0.0])
    assert (same.sqnr, same.cosine) == (99.0, pytest.approx(1.0))
    assert (nothing.sqnr, nothing.cosine) == (-99.0, 0.0)
    assert (zero.sqnr, zero.cosine) == (99.0, 1.0)


def test_overlap_is_the_definition_pixel_by_pixel() -> None:
    rng = np.random.default_rng(1)
    truth = rng.integers(0, 3, (2, 6, 7)).astype(np.uint8)  # of four classes: the last is nowhere
    found = np.where(rng.random(truth.shape) < 0.7, truth, rng.integers(0, 3, truth.shape)).astype(np.uint8)
    truth[0, 0] = IGNORED
    got = measure(count_pixels(truth, found, 4))
    pairs = [(t, f) for t, f in zip(truth.flat, found.flat, strict=True) if t != IGNORED]
    expected = []
    for label in range(3):
        both = sum(t == f == label for t, f in pairs)
        expected.append(both / sum(label in (t, f) for t, f in pairs))
    assert got["iou"] == [*map(pytest.approx, expected), None]
    assert got["mean_iou"] == pytest.approx(np.mean(expected))
    assert got["accuracy"] == pytest.approx(np.mean([t == f for t, f in pairs]))
