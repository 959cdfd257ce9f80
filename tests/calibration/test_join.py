"""The join of heads: on drawn logits whose right scale is known."""

from __future__ import annotations

import numpy as np
import pytest

from fauxlab.calibration.join import fit_join
from fauxlab.errors import LabError
from fauxlab.statistics import auc_between

N = 4000


def draw(gaps: tuple[float, float], scales: tuple[float, float]) -> tuple[np.ndarray, np.ndarray]:
    """Logits [3 N, 2] of reals, made and altered fakes; a head sees its own fakes alone."""
    rng = np.random.default_rng(0)
    logits = rng.standard_normal((3 * N, 2))
    logits[N : 2 * N, 0] += gaps[0]
    logits[2 * N :, 1] += gaps[1]
    return logits * scales - 5, np.repeat(["", "made", "altered"], N)


def test_each_head_comes_on_the_scale_of_its_log_odds() -> None:
    logits, sorts = draw((4.0, 2.0), (3.0, 0.5))
    labels = (sorts != "").astype(int)
    kinds = np.where(labels == 1, sorts, "photos")
    groups = np.arange(3 * N).astype(str)
    centre, scale = fit_join(logits, labels, sorts, kinds, groups)
    # Normal classes at distance g and deviation s: log odds (x - middle) · g / s, so that the scale
    # is s / g and the centre the middle.
    assert scale == pytest.approx([3 / 4, 0.5 / 2], rel=0.1)
    assert centre == pytest.approx([-5 + 3 * 2, -5 + 0.5 * 1], abs=0.1)

    standardised = (logits - centre) / scale
    joined = np.logaddexp(standardised[:, 0], standardised[:, 1])
    for head, name in enumerate(("made", "altered")):
        own = auc_between(logits[sorts == name, head], logits[sorts == "", head])
        kept = auc_between(joined[sorts == name], joined[sorts == ""])
        assert kept >= 0.94 * own
    # The order of the heads is the caller's.
    swapped = fit_join(logits[:, ::-1], labels, sorts, kinds, groups, ("altered", "made"))
    assert swapped[0].tolist() == centre[::-1].tolist()


def test_kinds_count_alike_and_groups_in_a_kind() -> None:
    logits, sorts = draw((3.0, 3.0), (1.0, 1.0))
    labels = (sorts != "").astype(int)
    kinds = np.where(labels == 1, sorts, "photos")
    groups = np.arange(3 * N).astype(str)
    alone = fit_join(logits, labels, sorts, kinds, groups)
    # Ten copies of one picture in its group change nothing.
    rows = np.append(np.arange(3 * N), np.zeros(10, int))
    tied = fit_join(logits[rows], labels[rows], sorts[rows], kinds[rows], groups[rows])
    np.testing.assert_allclose(np.array(tied), np.array(alone), rtol=1e-6)


def test_what_is_missing_is_named() -> None:
    logits = np.zeros((4, 2))
    groups = list("abcd")
    kinds = ["photos", "photos", "gan", "gan"]
    sorts = ["", "", "made", "made"]
    with pytest.raises(LabError, match="no fakes of the manipulation 'altered'"):
        fit_join(logits, np.array([0, 0, 1, 1]), sorts, kinds, groups)
    with pytest.raises(LabError, match="no reals"):
        fit_join(logits[2:], np.array([1, 1]), sorts[2:], kinds[2:], groups[2:])
