"""Augmentations: what they do to pixels, that odds and seeds hold, and that gradients pass."""

from __future__ import annotations

import pytest
import torch

from fauxlab.transforms.augment import (
    AUGMENTATIONS,
    augment,
    augment_some,
    colour,
    cutout,
    flip,
    translate,
)


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


@pytest.mark.parametrize("name", sorted(AUGMENTATIONS))
def test_all_keep_shape_follow_the_seed_and_pass_gradients(name: str) -> None:
    images = (torch.rand(8, 3, 16, 16) * 2 - 1).requires_grad_()
    torch.manual_seed(1)
    once = AUGMENTATIONS[name](images)
    torch.manual_seed(1)
    assert torch.equal(once, AUGMENTATIONS[name](images))
    assert once.shape == images.shape
    once.square().sum().backward()
    assert images.grad is not None
    assert images.grad.abs().sum() > 0


def test_flip_mirrors_about_half() -> None:
    images = torch.arange(400.0).view(400, 1, 1, 1) + torch.tensor([0.0, 0.5]).view(1, 1, 1, 2)
    flipped = (flip(images)[:, 0, 0, 0] > images[:, 0, 0, 0]).float().mean()
    assert flipped == pytest.approx(0.5, abs=0.1)


def test_translation_moves_a_point_by_at_most_an_eighth() -> None:
    images = torch.zeros(300, 1, 32, 32)
    images[:, :, 16, 16] = 1
    moved = translate(images).nonzero()
    assert len(moved) == 300, "the point stays inside, once"
    shifts = moved[:, 2:] - 16
    assert shifts.abs().max() == 4
    assert {int(s) for s in shifts.flatten()} == set(range(-4, 5))


def test_colour_moves_brightness_saturation_and_contrast_only() -> None:
    grey = torch.full((200, 3, 4, 4), 0.2)
    changed = colour(grey)
    assert torch.allclose(changed.std(dim=(1, 2, 3)), torch.zeros(200), atol=1e-6), (
        "flat grey stays flat grey"
    )
    offset = changed.mean(dim=(1, 2, 3)) - 0.2
    assert offset.abs().max() <= 0.5
    assert offset.abs().max() > 0.4
    picture = torch.rand(1, 3, 8, 8).expand(200, 3, 8, 8)
    spread = colour(picture).mean(dim=1).std(dim=(1, 2))
    ratio = spread / picture.mean(dim=1).std(dim=(1, 2))
    assert ratio.min() >= 0.5
    assert ratio.max() <= 1.5


def test_cutout_takes_up_to_a_quarter() -> None:
    lost = (cutout(torch.ones(300, 1, 32, 32)) == 0).float().mean(dim=(1, 2, 3))
    assert lost.max() <= 0.26
    assert lost.min() >= 0.05, "a corner"
    assert lost.mean() > 0.15


def test_share_of_augmented_images() -> None:
    images = torch.rand(1000, 3, 4, 4)
    changed = augment_some(images, ["colour"], 0.3)
    touched = (changed != images).flatten(1).any(dim=1).float().mean()
    assert touched == pytest.approx(0.3, abs=0.06)
    assert augment_some(images, ["colour"], 0.0) is images
    assert augment_some(images, [], 1.0) is images


def test_tone_keeps_the_range_and_moves_grey_pictures_only_in_level() -> None:
    torch.manual_seed(0)
    grey = torch.full((64, 3, 4, 4), 0.1)
    changed = augment(grey, ["tone"])
    assert bool((changed.amax((1, 2, 3)) - changed.amin((1, 2, 3)) < 1e-6).all()), (
        "no contrast, no colour to change"
    )
    level = changed[:, 0, 0, 0]
    assert float(level.min()) >= 1.1 * 0.7 - 1 - 1e-6
    assert float(level.max()) <= 1.1 * 1.3 - 1 + 1e-6
    noise = torch.rand(64, 3, 8, 8) * 2 - 1
    assert float(augment(noise, ["tone"]).abs().max()) <= 1
