"""Tuning the tower: which pictures a batch holds, what its heads are to say, how rates go."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from benchmarks.detector import tune_tower
from benchmarks.detector.tune_tower import (
    BATCH,
    SHARES,
    WARM_UP,
    Batches,
    Shares,
    _losses,
    _schedule,
    _targets,
)

from fauxlab.data.cache import ImageArray
from fauxlab.data.manifest import Manifest
from fauxlab.data.rows import Row

SIDE = 16
KINDS = ("camera", "film", "gan", "diffusion", "swap")


def make_images(kinds: tuple[str, ...] = KINDS) -> ImageArray:
    """Three pictures of each kind, each of one value by which it is known: 40 · kind + number."""
    rows = []
    pixels = np.empty((3 * len(kinds), 3, SIDE, SIDE), np.uint8)
    for place, kind in enumerate(kinds):
        is_fake = kind not in ("camera", "film")
        for number in range(3):
            compare_to = "film" if kind == "swap" else ""
            generator, source = (kind, "") if is_fake else ("", kind)
            path = f"{kind}{number}.png"
            group = f"{kind}{number // 2}"  # the first two are one person
            row = Row(path, int(is_fake), generator, source, compare_to, group, "train", "0")
            rows.append(replace(row, manipulation="altered") if kind == "swap" else row)
            pixels[3 * place + number] = 40 * KINDS.index(kind) + number
    return ImageArray(Manifest(tuple(rows), Path()), SIDE, pixels, np.arange(len(rows)))


@pytest.fixture
def unchanged(monkeypatch: pytest.MonkeyPatch) -> None:
    """Batches of pictures as they are."""
    monkeypatch.setattr(tune_tower, "DEGRADED", 0.0)
    monkeypatch.setattr(tune_tower, "blend_batch", lambda pixels, seeds: pixels)


def kinds_of(batch: tune_tower.Batch) -> list[str]:
    values = batch.pixels[:, 0, 0, 0]
    return [KINDS[value // 40] for value in values]


@pytest.mark.usefixtures("unchanged")
def test_a_batch_holds_its_shares_in_the_order_of_its_targets() -> None:
    batches = Batches(make_images(), SHARES["both"], seed=0)
    reals = {"camera", "film"}
    for step in range(4):
        batch = batches[step]
        kinds = kinds_of(batch)
        assert len(kinds) == BATCH == sum(SHARES["both"])
        assert set(kinds[:6]) == reals
        assert set(kinds[6:8]) == {"film"}, "the source that the swaps are compared to"
        assert kinds[8:12].count("gan") == 2, "kinds take turns"
        assert kinds[12:14] == ["swap", "swap"]
        assert set(kinds[14:]) == reals
        np.testing.assert_array_equal(batch.targets[:8], [[0, 0]] * 8)
        np.testing.assert_array_equal(batch.targets[8:12], [[1, -1]] * 4)
        np.testing.assert_array_equal(batch.targets[12:], [[-1, 1]] * 4)


@pytest.mark.usefixtures("unchanged")
def test_without_altered_fakes_reals_stand_in_their_place() -> None:
    images = make_images(("camera", "film", "gan"))
    blended: list[int] = []

    def count(pixels: tune_tower.Pixels, seeds: tune_tower.Rows) -> tune_tower.Pixels:
        blended.append(len(seeds))
        return pixels

    batches = Batches(images, SHARES["both"], seed=0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tune_tower, "blend_batch", count)
        kinds = kinds_of(batches[0])
    assert set(kinds[12:]) <= {"camera", "film"}
    assert blended == [4]


def test_a_batch_is_a_function_of_seed_and_step() -> None:
    batches = Batches(make_images(), SHARES["altered"], seed=1)
    first, second = batches[3], batches[3]
    np.testing.assert_array_equal(first.pixels, second.pixels)
    assert not np.array_equal(first.pixels, batches[4].pixels)
    other = Batches(make_images(), SHARES["altered"], seed=2)
    assert not np.array_equal(first.pixels, other[3].pixels)


def test_a_head_without_fakes_of_its_own_learns_nothing() -> None:
    targets = _targets(Shares(reals=1, matched=1, made=0, altered=1, blended=1))
    np.testing.assert_array_equal(targets, [[-1, 0], [-1, 0], [-1, 1], [-1, 1]])
    logits = torch.zeros(4, 2, requires_grad=True)
    losses = _losses(logits, torch.from_numpy(targets))
    losses.sum().backward()
    assert losses[0] == 0
    np.testing.assert_allclose(losses[1].item(), np.log(2), rtol=1e-6)
    assert logits.grad is not None
    assert (logits.grad[:, 0] == 0).all()


def test_rates_rise_and_then_fall_to_nothing() -> None:
    steps = 1000
    rates = [_schedule(step, steps) for step in range(steps + 1)]
    np.testing.assert_allclose(rates[0], 1 / WARM_UP)
    np.testing.assert_allclose(rates[steps // 2], 0.5)
    np.testing.assert_allclose(rates[steps], 0, atol=1e-12)
    highest = int(np.argmax(rates))
    assert highest == WARM_UP - 1
    assert rates[:highest] == sorted(rates[:highest])
    assert rates[highest:] == sorted(rates[highest:], reverse=True)
