"""Degradations: against Pillow and sums done by hand, deterministic, stronger at stronger levels,
blind to labels.
"""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
import pytest
import torch
from PIL import Image

from fauxlab.errors import LabError
from fauxlab.io.images import decode
from fauxlab.transforms.degradations import (
    BLURRED,
    ENCODED,
    NOISY,
    degrade_batch,
    random_crops,
    random_degradation,
)
from fauxlab.transforms.filters import blur
from fauxlab.transforms.protocol import (
    DEGRADATIONS,
    degrade,
    list_degradations,
    name_degradation,
)


@pytest.fixture
def picture(jpeg: Callable[..., bytes]) -> np.ndarray:
    """A smooth picture uint8 [3, 64, 64] with fine grain, so that every degradation finds something
    to change.
    """
    smooth = np.asarray(decode(jpeg(3, (64, 64)))).transpose(2, 0, 1)
    grain = np.random.default_rng(0).integers(-25, 26, smooth.shape)
    return np.clip(smooth.astype(int) + grain, 0, 255).astype(np.uint8)


def distance(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.sqrt(np.mean((a.astype(float) - b.astype(float)) ** 2)))


@pytest.mark.parametrize(("kind", "level"), list_degradations())
def test_each_keeps_shape_changes_pixels_and_repeats(
    picture: np.ndarray, kind: str, level: float
) -> None:
    picture = 40 + picture // 2  # so that levels have something to stretch
    before = picture.copy()
    once = degrade(picture, kind, level)
    assert (once.shape, once.dtype) == (picture.shape, np.uint8)
    assert np.array_equal(once, degrade(picture, kind, level))
    assert np.array_equal(picture, before), "the original is left alone"
    assert not np.array_equal(once, picture)
    wide = degrade(picture[:, :40], kind, level)
    assert wide.shape == (3, 40, 64)


@pytest.mark.parametrize(
    ("kind", "levels"),
    [(kind, DEGRADATIONS[kind].levels) for kind in ("jpeg", "webp", "blur", "noise", "crop")]
    + [
        ("resize", (0.75, 0.5, 0.25)),
        ("screenshot", (1, 2)),
        ("brightness", (0.9, 0.7, 0.5)),
        ("white balance", (20, 60, 150)),
        ("white balance", (-20, -60, -120)),
        ("gamma", (1.2, 1.6, 2)),
        ("gamma", (0.8, 0.6, 0.4)),
        ("saturation", (0.8, 0.5, 0)),
        ("saturation", (1.2, 1.8, 3)),
    ]
    + [
        (kind, DEGRADATIONS[kind].levels)
        for kind in ("sepia", "faded", "cross-process", "film", "median", "denoise", "sharpen")
    ],
)
def test_stronger_levels_move_further(
    picture: np.ndarray, kind: str, levels: tuple[float, ...]
) -> None:
    distances = [distance(picture, degrade(picture, kind, level)) for level in levels]
    assert distances == sorted(distances)
    assert distances[-1] > distances[0]


@pytest.mark.parametrize(("kind", "form"), [("jpeg", "JPEG"), ("webp", "WEBP")])
def test_encoders_equal_pillow(picture: np.ndarray, kind: str, form: str) -> None:
    for quality in (95, 30):
        stream = io.BytesIO()
        Image.fromarray(picture.transpose(1, 2, 0)).save(stream, form, quality=quality)
        expected = np.asarray(Image.open(stream).convert("RGB")).transpose(2, 0, 1)
        assert np.array_equal(degrade(picture, kind, quality), expected)


@pytest.mark.parametrize(
    ("kind", "level"),
    [
        ("resize", 1),
        ("crop", 1),
        ("blur", 0),
        ("noise", 0),
        ("brightness", 1),
        ("screenshot", 0),
        ("sepia", 0),
        ("white balance", 0),
        ("faded", 0),
        ("gamma", 1),
        ("saturation", 1),
        ("cross-process", 0),
        ("film", 0),
        ("median", 1),
        ("denoise", 0),
        ("sharpen", 0),
    ],
)
def test_neutral_levels_change_nothing(picture: np.ndarray, kind: str, level: float) -> None:
    assert np.array_equal(degrade(picture, kind, level), picture)


def test_brightness_by_hand() -> None:
    values = (
        np.array([0, 10, 101, 196, 197, 255], dtype=np.uint8).reshape(1, 2, 3).repeat(3, axis=0)
    )
    assert degrade(values, "brightness", 1.3)[0].ravel().tolist() == [0, 13, 131, 255, 255, 255]
    # 178.5 to the even
    assert degrade(values, "brightness", 0.7)[0].ravel().tolist() == [0, 7, 71, 137, 138, 178]


def test_blur_of_a_point_is_the_gaussian() -> None:
    point = np.zeros((3, 21, 21), dtype=np.uint8)
    point[:, 10, 10] = 255
    row = np.exp(-(np.arange(-3, 4) ** 2) / 2)
    row /= row.sum()
    expected = np.rint(255 * np.outer(row, row))
    assert np.abs(blur(point, 1)[0, 7:14, 7:14] - expected).max() <= 1
    flat = np.full((3, 8, 8), 77, dtype=np.uint8)
    assert np.array_equal(blur(flat, 2), flat), "edges are repeated, not darkened"


def test_noise_has_the_stated_spread_and_follows_the_picture() -> None:
    grey = np.full((3, 200, 200), 128, dtype=np.uint8)
    change = degrade(grey, "noise", 5).astype(float) - 128
    assert change.std() == pytest.approx(5, rel=0.02)
    assert abs(change.mean()) < 0.05
    assert not np.array_equal(change, degrade(grey + 1, "noise", 5) - 129.0), (
        "other pictures get other noise"
    )


def test_crop_keeps_the_middle() -> None:
    # A white frame of 10 pixels around grey: keeping .8 of 100 pixels leaves grey alone.
    framed = np.full((3, 100, 100), 255, dtype=np.uint8)
    framed[:, 10:90, 10:90] = 90
    assert np.unique(degrade(framed, "crop", 0.8)).tolist() == [90]
    assert degrade(framed, "crop", 0.9).max() == 255


def test_screenshot_is_two_files() -> None:
    ramp = np.tile(np.arange(0, 200, 2, dtype=np.uint8), (3, 100, 1))
    image = Image.fromarray(ramp.transpose(1, 2, 0)).resize((80, 80), Image.Resampling.BILINEAR)
    for quality in (80, 70):
        stream = io.BytesIO()
        image.save(stream, "JPEG", quality=quality)
        image = Image.open(stream).convert("RGB").resize((100, 100), Image.Resampling.BILINEAR)
    assert np.array_equal(degrade(ramp, "screenshot", 1), np.asarray(image).transpose(2, 0, 1))


def test_the_protocol_is_complete_and_named() -> None:
    assert len(list_degradations()) == 76
    assert list_degradations(["screenshot", "blur"]) == [
        ("blur", 0.5),
        ("blur", 1),
        ("blur", 2),
        ("screenshot", 1),
    ]
    assert (name_degradation("jpeg", 75), name_degradation("resize", 0.5)) == (
        "jpeg q75",
        "resize ×0.5",
    )
    assert all(d.stands_for for d in DEGRADATIONS.values())


@pytest.mark.parametrize(
    ("kind", "level", "message"),
    [
        ("rain", 1, "no degradation 'rain'; there are jpeg"),
        ("jpeg", 0, "level 0; give one from 1 to 100"),
    ],
)
def test_unknown_kinds_and_levels_are_refused(
    picture: np.ndarray, kind: str, level: float, message: str
) -> None:
    with pytest.raises(LabError, match=message):
        degrade(picture, kind, level)


def test_random_degradation_follows_its_seed_and_varies(picture: np.ndarray) -> None:
    seeds = list(range(300))
    found = degrade_batch(np.broadcast_to(picture, (300, *picture.shape)), seeds, workers=2)
    assert (found.shape, found.dtype) == ((300, *picture.shape), np.uint8)
    assert np.array_equal(found[7], random_degradation(picture, np.random.default_rng(7)))
    distances = [distance(picture, x) for x in found]
    untouched = np.mean([d == 0 for d in distances])
    # .25 not rescaled × .75 not blurred × .75 not grainy × .15 not encoded = .02
    assert untouched < 0.1
    assert len({x.tobytes() for x in found}) > 250
    assert max(distances) > 2 * np.percentile(distances, 10)


def test_random_degradation_encodes_most_pictures(
    picture: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    from fauxlab.transforms import degradations as module

    calls: list[tuple[str, int]] = []
    encode = module.encode

    def count(image: Image.Image, form: str, quality: int, **options: int) -> Image.Image:
        calls.append((form, quality))
        return encode(image, form, quality, **options)

    monkeypatch.setattr(module, "encode", count)
    often = []
    for seed in range(1000):
        calls.clear()
        random_degradation(picture[:, :16, :16], np.random.default_rng(seed))
        assert all(30 <= quality <= 95 for _, quality in calls)
        often.append(len(calls))
    assert np.mean([n > 0 for n in often]) == pytest.approx(ENCODED, abs=0.04)
    assert np.mean([n == 2 for n in often]) == pytest.approx(ENCODED * 0.3, abs=0.04)


@pytest.mark.parametrize(
    ("kind", "share", "most"), [("blur", BLURRED, 2.0), ("noise", NOISY, 10.0)]
)
def test_random_degradation_blurs_and_adds_grain_up_to_the_protocols_levels(
    picture: np.ndarray, monkeypatch: pytest.MonkeyPatch, kind: str, share: float, most: float
) -> None:
    from fauxlab.transforms import degradations as module

    levels: list[float] = []
    monkeypatch.setattr(module, kind, lambda pixels, level: [pixels, levels.append(level)][0])
    for seed in range(1000):
        random_degradation(picture[:, :16, :16], np.random.default_rng(seed))
    assert len(levels) / 1000 == pytest.approx(share, abs=0.04)
    assert 0.9 * most < max(levels) <= most


def test_an_empty_batch_stays_empty() -> None:
    assert degrade_batch(np.zeros((0, 3, 32, 32), dtype=np.uint8), []).shape == (0, 3, 32, 32)


def test_random_crops_are_cut_out_or_resized() -> None:
    images = torch.randint(256, (40, 3, 40, 48), dtype=torch.uint8)
    cut = random_crops(images, 24, 0.0, np.arange(40))
    windows = images.unfold(2, 24, 1).unfold(3, 24, 1)
    assert all((windows[i] == cut[i][:, None, None]).all((0, 3, 4)).any() for i in range(40))
    places = {
        tuple((windows[i] == cut[i][:, None, None]).all((0, 3, 4)).nonzero()[0].tolist())
        for i in range(40)
    }
    assert len(places) > 20
    zoomed = random_crops(images, 24, 1.0, np.arange(40))
    assert zoomed.shape == cut.shape
    assert torch.equal(zoomed, random_crops(images, 24, 1.0, np.arange(40)))
    # Noise loses contrast where it was shrunk.
    assert float(zoomed.float().std()) < 0.95 * float(cut.float().std())
    assert random_crops(images, 40, 1.0, np.arange(40)).shape == (40, 3, 40, 40), (
        "at most what is there"
    )
