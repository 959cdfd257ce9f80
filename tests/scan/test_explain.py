"""Class activation maps over pictures: the right colours in the right places, and explained."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fauxlab.records import Verdict
from fauxlab.scan.explain import (
    FAKE,
    REAL,
    Explained,
    describe,
    describe_scale,
    describe_score,
    describe_sum,
    draw_explanation,
    overlay,
    save_explanation,
)

GREY = np.full((3, 64, 64), 128, np.uint8)


def verdict(**changes: object) -> Verdict:
    told = {
        "path": "a.jpg",
        "status": "ok",
        "label": "fake",
        "score": 0.9,
        "threshold": 0.6,
        "model_hash": "0",
    }
    return Verdict.model_validate({**told, "calibrated": True, **changes})


def test_colours_lie_where_the_activation_map_speaks() -> None:
    cells = np.zeros((4, 4))
    cells[0, 0], cells[3, 3] = 2.0, -1.0
    found = overlay(GREY, cells).astype(int)
    assert (found.shape, overlay(GREY, cells).dtype) == ((3, 64, 64), np.uint8)
    warm, cool, none = found[:, 7, 7], found[:, 56, 56], found[:, 7, 56]
    assert warm[0] > warm[2] + 100, "orange for generated"
    assert cool[2] > cool[0] + 40, "blue for real, half as strong"
    assert np.ptp(none) <= 3, "grey where nothing speaks"
    lifted = 48 + 128 * (255 - 48) / 255
    # At the middle of the strongest cell: four fifths of the colour, one fifth of the picture.
    np.testing.assert_allclose(warm, 0.8 * np.array(FAKE) + 0.2 * lifted, atol=6)
    half = overlay(GREY, cells, scale=4.0).astype(int)[:, 7, 7]
    np.testing.assert_allclose(half, 0.4 * np.array(FAKE) + 0.6 * lifted, atol=6)


def test_one_cell_colours_the_whole_and_zeros_nothing() -> None:
    flat = overlay(GREY, np.array([[-0.3]])).astype(int)
    np.testing.assert_allclose(
        flat[:, 0, 0], 0.8 * np.array(REAL) + 0.2 * (48 + 128 * 207 / 255), atol=1
    )
    assert np.ptp(flat, axis=(1, 2)).max() == 0
    assert np.ptp(overlay(GREY, np.zeros((5, 5)))) == 0


def test_colour_is_never_stronger_between_cells_than_in_them() -> None:
    board = np.where(np.indices((4, 4)).sum(0) % 2, 1.0, -1.0)
    found = overlay(GREY, board).astype(float)
    least, most = (0.8 * np.minimum(FAKE, REAL)).min(), 0.8 * max(*FAKE, *REAL) + 0.2 * 255
    assert found.min() >= least
    assert found.max() <= most


def test_words() -> None:
    assert describe(verdict()) == "looks fake"
    assert describe(verdict(manipulation="made")) == "looks fake: made whole by a generator"
    altered = verdict(manipulation="altered")
    assert describe(altered) == "looks fake: a real photo altered inside"
    assert describe(verdict(manipulation="made", uncertain=True)) == "uncertain"
    assert describe(verdict(uncertain=True)) == "uncertain"
    assert describe(verdict(status="error", label=None)) == "could not be judged"
    assert describe_score(verdict()) == "score 0.900, fake from 0.600"
    assert describe_score(verdict(calibrated=False, threshold=None)) == "raw score 0.900"
    assert describe_sum(np.array([[0.5, -2.0]], np.float32)) == "activation map sums to logit −1.50"
    assert [describe_scale(np.array([[x]])) for x in (-2.0, 0.123, 0.0, 0.00421)] == [
        "±2.00",
        "±0.12",
        "±0.00",
        "±0.0042",
    ]


def test_figure_is_written_whole(tmp_path: Path) -> None:
    explained = Explained(verdict(), GREY, np.array([[1.0, -1.0]]))
    save_explanation(tmp_path / "new" / "a.png", explained)
    with Image.open(tmp_path / "new" / "a.png") as image:
        assert image.format == "PNG"
        assert image.size == (2 * 320 + 3 * 16, 320 + 16 + 104)
        pixels = np.asarray(image).astype(int)
    assert pixels[100, 100].tolist() == [128, 128, 128], "the picture as it is"
    assert pixels[176, 400, 0] > pixels[176, 400, 2] > 0
    assert pixels[176, 640, 2] > pixels[176, 640, 0]
    with pytest.raises(ValueError, match="without picture or activation map"):
        draw_explanation(Explained(verdict()))


def test_it_needs_nothing_heavy() -> None:
    code = (
        "import sys, fauxlab.scan.explain, fauxlab.scan.page\n"
        "heavy = ('torch', 'matplotlib', 'jinja2', 'accelerate', 'safetensors')\n"
        "print([name for name in heavy if name in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"
