"""What phones do, against sums by hand: which detail goes, which stays, and how bright it gets."""

from __future__ import annotations

import numpy as np
import pytest

from fauxlab.transforms.protocol import degrade


def flat(level: int, side: int = 64) -> np.ndarray:
    return np.full((3, side, side), level, np.uint8)


def grainy_edge() -> np.ndarray:
    """60 on the left and 200 on the right, with grain of deviation 5; uint8 [3, 96, 96]."""
    levels = np.full((3, 96, 96), 60.0)
    levels[:, :, 48:] = 200
    levels += np.random.default_rng(0).normal(0, 5, levels.shape)
    return np.rint(levels).astype(np.uint8)


def columns(side: int = 64) -> np.ndarray:
    """Black and white columns, one pixel wide each."""
    pixels = flat(0, side)
    pixels[:, :, ::2] = 255
    return pixels


@pytest.mark.parametrize("kind", ["beauty", "night mode", "phone", "scan"])
def test_none_of_it_leaves_the_picture(kind: str) -> None:
    picture = grainy_edge()
    assert np.array_equal(degrade(picture, kind, 0), picture)
    changed = degrade(picture, kind, 1)
    assert (changed.shape, changed.dtype) == (picture.shape, np.uint8)
    assert np.array_equal(changed, degrade(picture, kind, 1))


def test_a_beauty_filter_brightens_the_face_most() -> None:
    found = degrade(flat(128), "beauty", 1)
    # Of grey 128 nothing is smoothed away; mid-tones gain 16, in green .85 of it, in blue .9.
    assert found[:, 35, 32].tolist() == pytest.approx([144, 142, 142], abs=1)
    assert found[:, 0, 0].tolist() == pytest.approx([132, 131, 132], abs=1)


def test_a_beauty_filter_smooths_skin_and_keeps_edges() -> None:
    picture = grainy_edge()
    found = degrade(picture, "beauty", 1).astype(float)
    skin = np.s_[0, 40:64, 52:66]
    assert found[skin].std() < 0.5 * picture[skin].std()
    # 60 gains 16 · 4 · .24 · .76 = 11.5 of light and 200 gains 10.8: the step of 140 stays.
    assert found[0, 40:64, 52].mean() - found[0, 40:64, 43].mean() > 125


def test_night_mode_is_dark_and_without_colour_noise() -> None:
    found = degrade(flat(200), "night mode", 1).astype(float)
    # .45 of 200 is 90; lifted, 255 · (90 / 255)^.8 = 110.7.
    assert found.mean() == pytest.approx(110.7, abs=4)
    luma = found.mean(0)
    colour = found - luma
    # From pixel to pixel: what is left of the noise in colours is wide patches.
    assert np.diff(colour).std() < 0.3 * np.diff(luma).std()


def test_upscaling_loses_what_the_small_picture_cannot_hold() -> None:
    assert np.array_equal(degrade(flat(77), "upscaled", 4), flat(77))
    found = degrade(columns(), "upscaled", 2).astype(float)
    # Away from the left and right edges, where the columns end.
    assert found[:, :, 8:-8].std() < 13
    assert found.mean() == pytest.approx(127.5, abs=2)


def test_a_phone_evens_out_areas_and_raises_local_contrast() -> None:
    picture = grainy_edge()
    found = degrade(picture, "phone", 1).astype(float)
    difference = found[0, :, 90:].mean() - found[0, :, :6].mean()
    # The gains of both sides are (130 / level)^.35: 60 becomes 79, 200 becomes 172.
    assert difference == pytest.approx(172 - 79, abs=8)
    ramp = np.full((3, 96, 96), 110, np.uint8)
    ramp[:, 44:52, 44:52] = 140
    contrast = degrade(ramp, "phone", 1).astype(float)
    assert contrast[0, 48, 48] - contrast[0, 5, 5] > 36


def test_a_screen_at_its_own_size_changes_nothing_and_others_alias() -> None:
    picture = grainy_edge()
    assert np.array_equal(degrade(picture, "screen", 1), picture)
    aliased = degrade(columns(), "screen", 0.62).astype(float)
    smooth = degrade(columns(), "resize", 0.62).astype(float)
    assert aliased.std() > 2 * smooth.std()
