"""Decoded pictures: the lattice is there, the picture as well, and without a trace nothing is."""

from __future__ import annotations

import numpy as np
import pytest

from fauxlab.datasets.toyfaces import draw, plan
from fauxlab.transforms import decode
from fauxlab.transforms.decode import decode_batch
from fauxlab.transforms.filters import blur


@pytest.fixture(scope="module")
def faces() -> np.ndarray:
    photos = plan(12)
    return np.stack([draw("wiki", photos, k, 96).transpose(2, 0, 1) for k in range(12)])


def spectrum(pixels: np.ndarray) -> np.ndarray:
    """The mean logarithm of the power spectrum of grey pictures, float64 [H, W]."""
    grey = pixels.astype(float).mean(1)
    window = np.hanning(grey.shape[1])[:, None] * np.hanning(grey.shape[2])
    centred = grey - grey.mean((1, 2), keepdims=True)
    power = np.abs(np.fft.fft2(centred * window)) ** 2
    return np.log(power + 1e-3).mean(0)


def peak(power: np.ndarray, row: int, column: int) -> float:
    """How far a frequency stands above the median of its surroundings."""
    rows = np.arange(row - 6, row + 7) % power.shape[0]
    columns = np.arange(column - 6, column + 7) % power.shape[1]
    around = power[np.ix_(rows, columns)]
    around[4:9, 4:9] = np.nan
    return float(power[row, column] - np.nanmedian(around))


def roughness(pixels: np.ndarray) -> np.ndarray:
    """Standard deviation of each picture's differences between neighbours, float64 [N]."""
    return np.diff(pixels.astype(float), axis=3).std((1, 2, 3))


def test_each_is_a_function_of_picture_and_seed(faces: np.ndarray) -> None:
    before = faces.copy()
    drawn = decode_batch(faces, range(12))
    assert (drawn.shape, drawn.dtype) == (faces.shape, np.uint8)
    assert np.array_equal(drawn[5:6], decode_batch(faces[5:6], [5]))
    assert not np.array_equal(drawn[5:6], decode_batch(faces[5:6], [6]))
    assert np.array_equal(faces, before)
    odd = faces[:2, :, :61, :47]
    assert decode_batch(odd, [0, 1]).shape == (2, 3, 61, 47)
    assert decode_batch(odd[:0], []).shape == (0, 3, 61, 47)


def test_without_a_trace_the_picture_comes_back(
    faces: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever is lost by shrinking is added again: only the random changes leave a trace."""
    monkeypatch.setattr(decode, "MIXED", (1e-9, 1e-9))
    monkeypatch.setattr(decode, "KERNEL", (1e-9, 1e-9))
    monkeypatch.setattr(decode, "COLOURS", 0.0)
    monkeypatch.setattr(decode, "KEPT", (1.0, 1.0))
    monkeypatch.setattr(decode, "NOISY", 0.0)
    monkeypatch.setattr(decode, "CLIPPED", 0.0)
    assert np.array_equal(decode_batch(faces, range(12)), faces)


def test_the_lattice_stands_out_and_the_picture_is_not_blurred(faces: np.ndarray) -> None:
    # The drawn faces have more grain than most photos.
    smooth = np.stack([blur(face, 0.7) for face in faces])
    many = np.concatenate([smooth] * 8)
    drawn = decode_batch(many, range(96))
    before = spectrum(many)
    after = spectrum(drawn)
    # Two pixels long, along the rows, along the columns, and along both.
    rises = [peak(after, *place) - peak(before, *place) for place in ((48, 0), (0, 48), (48, 48))]
    assert np.mean(rises) > 0.8
    assert min(rises) > 0.1
    # No pattern repeats in this direction and pace.
    assert peak(after, 31, 20) == pytest.approx(peak(before, 31, 20), abs=0.4)
    ratios = roughness(drawn) / roughness(many)
    assert 0.9 < np.median(ratios) < 1.15
    error = np.sqrt(((drawn - many.astype(float)) ** 2).mean((1, 2, 3)))
    assert 0.5 < np.median(error) < 8
