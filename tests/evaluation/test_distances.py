"""Distances of feature vectors against SciPy, and against sums done by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy import linalg
from scipy.spatial.distance import cdist, pdist
from torchmetrics.image.kid import KernelInceptionDistance

from fauxlab.evaluation import distances
from fauxlab.evaluation.distances import (
    BLOCK,
    frechet_distance,
    kernel_distance,
    mean_pairwise_distance,
    memorised_share,
    near_duplicate_distance,
    near_duplicate_share,
    nearest,
    nearest_other,
    precision_recall,
)

Array = NDArray[np.float64]


def cloud(n: int, d: int, seed: int, scale: float = 1.0, shift: float = 0.0) -> Array:
    """Correlated points [n, d] whose variances span four powers of ten, as those of features do."""
    rng = np.random.default_rng(seed)
    mixing = np.random.default_rng(99).normal(size=(d, d)) * np.logspace(0, -2, d) / d**0.5
    return rng.normal(size=(n, d)) @ mixing.T * scale + shift


# --- Fréchet distance


def by_square_root(a: Array, b: Array) -> float:
    """The definition, with SciPy's matrix square root."""
    one, two = np.cov(a.T), np.cov(b.T)
    root = linalg.sqrtm(one @ two).real
    return float(np.square(a.mean(0) - b.mean(0)).sum() + np.trace(one + two - 2 * root))


def by_symmetric_eigenvalues(a: Array, b: Array) -> float:
    """tr √(Σ₁Σ₂) = tr √(√Σ₁ Σ₂ √Σ₁), the root of a symmetric matrix."""
    one, two = np.cov(a.T), np.cov(b.T)
    values, axes = linalg.eigh(one)
    root = (axes * np.sqrt(values.clip(0))) @ axes.T
    trace = np.sqrt(linalg.eigvalsh(root @ two @ root).clip(0)).sum()
    return float(np.square(a.mean(0) - b.mean(0)).sum() + np.trace(one + two) - 2 * trace)


def by_singular_values(a: Array, b: Array) -> float:
    """tr √(Σ₁Σ₂) = nuclear norm of X₁X₂ᵀ, X the centred points over √(N - 1): exact where N < D
    too.
    """
    one, two = ((x - x.mean(0)) / (len(x) - 1) ** 0.5 for x in (a, b))
    trace = linalg.svdvals(one @ two.T).sum()
    return float(
        np.square(a.mean(0) - b.mean(0)).sum()
        + np.square(one).sum()
        + np.square(two).sum()
        - 2 * trace
    )


@pytest.mark.parametrize(("n", "m", "d"), [(300, 300, 40), (500, 200, 120), (130, 400, 120)])
def test_frechet_distance_equals_three_other_ways(n: int, m: int, d: int) -> None:
    a, b = cloud(n, d, 0), cloud(m, d, 1, 1.2, 0.05)
    found = frechet_distance(a, b)
    for way in (by_square_root, by_symmetric_eigenvalues, by_singular_values):
        assert found == pytest.approx(way(a, b), rel=1e-6)


@pytest.mark.parametrize(("n", "m"), [(60, 60), (50, 90), (90, 50), (60, 400), (120, 60), (2, 2)])
def test_frechet_distance_is_exact_with_fewer_pictures_than_dimensions(n: int, m: int) -> None:
    a, b = cloud(n, 120, 0), cloud(m, 120, 1, 1.2, 0.05)
    assert frechet_distance(a, b) == pytest.approx(by_singular_values(a, b), rel=1e-6)
    # where the eigenvalues' rounding would be greater than the distance
    near = a + cloud(n, 120, 2, 1e-3)
    assert frechet_distance(a, near) == pytest.approx(by_singular_values(a, near), rel=1e-6)


def test_frechet_distance_by_hand() -> None:
    # Means 1 and 3, variances 2 and 8: (1 - 3)² + (√2 - √8)² = 4 + 2.
    assert frechet_distance(np.array([[0.0], [2]]), np.array([[1.0], [5]])) == pytest.approx(6)
    a = cloud(200, 20, 0)
    assert frechet_distance(a, a) == pytest.approx(0, abs=1e-9)
    assert frechet_distance(a, a + 3) == pytest.approx(20 * 9)  # a shift costs its square
    assert frechet_distance(a, a * 2) == pytest.approx(
        np.trace(np.cov(a.T)) + np.square(a.mean(0)).sum()
    )
    few = cloud(15, 20, 0)
    assert frechet_distance(few, few) == pytest.approx(0, abs=1e-9)
    collapsed = np.repeat(few[:1], 15, 0)  # no variance left: all of the reals' is missing
    expected = np.trace(np.cov(few.T)) + np.square(few.mean(0) - few[0]).sum()
    assert frechet_distance(few, collapsed) == pytest.approx(expected)


def test_a_feature_that_is_no_number_gives_no_distance() -> None:
    real, fake = np.random.default_rng(0).standard_normal((2, 50, 4)).astype(np.float32)
    fake[7, 2] = np.nan
    assert np.isnan(frechet_distance(real, fake))


def test_frechet_distance_is_symmetric_and_exact_far_from_the_origin() -> None:
    a, b = cloud(80, 30, 0), cloud(70, 30, 1, 1.1)
    assert frechet_distance(a, b) == pytest.approx(frechet_distance(b, a), rel=1e-9)
    assert frechet_distance(a + 1e5, b + 1e5) == pytest.approx(frechet_distance(a, b), rel=1e-6)


# --- kernel distance


def unbiased_mmd(a: Array, b: Array) -> float:
    """Squared MMD with kernel (x·y / D + 1)³, pair by pair."""
    d = a.shape[1]
    within = [
        np.mean(
            [(x[i] @ x[j] / d + 1) ** 3 for i in range(len(x)) for j in range(len(x)) if i != j]
        )
        for x in (a, b)
    ]
    return float(sum(within) - 2 * np.mean([(x @ y / d + 1) ** 3 for x in a for y in b]))


def test_kernel_distance_equals_its_definition() -> None:
    a, b = cloud(30, 8, 0, 3), cloud(30, 8, 1, 4, 0.2)
    mean, deviation = kernel_distance(a, b, subsets=3, subset_size=30)  # every subset holds all
    assert mean == pytest.approx(unbiased_mmd(a, b), rel=1e-9)
    assert deviation == pytest.approx(0, abs=1e-12)


def test_kernel_distance_has_no_bias_where_frechet_has() -> None:
    draws = [(cloud(40, 10, 2 * i, 3), cloud(40, 10, 2 * i + 1, 3)) for i in range(60)]
    kids = np.array([kernel_distance(a, b, subsets=1, subset_size=40)[0] for a, b in draws])
    error = kids.std(ddof=1) / len(kids) ** 0.5
    assert abs(kids.mean()) < 3 * error
    assert 0.25 < (kids < 0).mean() < 0.85
    distances = np.array([frechet_distance(a, b) for a, b in draws])
    assert distances.min() > 0.1


def test_kernel_distance_is_seeded_and_leaves_the_generator_alone() -> None:
    a, b = cloud(80, 10, 0), cloud(80, 10, 1)
    state = torch.get_rng_state()
    first = kernel_distance(a, b, seed=1)
    assert torch.equal(torch.get_rng_state(), state)
    assert kernel_distance(a, b, seed=1) == first != kernel_distance(a, b, seed=2)
    assert first[1] > 0


@pytest.mark.parametrize("shared", [0, 4000])
def test_kernel_distance_is_that_of_torchmetrics(
    monkeypatch: pytest.MonkeyPatch, shared: int
) -> None:
    # subset by subset, and from one kernel of all pairs
    monkeypatch.setattr(distances, "SHARED", shared)
    a, b = cloud(80, 10, 0, 3), cloud(60, 10, 1, 3, 0.1)
    metric = KernelInceptionDistance(distances._passed_through(10), subsets=7, subset_size=25)
    metric.update(torch.from_numpy(a), real=True)
    metric.update(torch.from_numpy(b), real=False)
    torch.manual_seed(5)
    expected = [float(value) for value in metric.compute()]
    assert kernel_distance(a, b, seed=5, subsets=7, subset_size=25) == pytest.approx(
        expected, rel=1e-9
    )


def test_kernel_distance_refuses_subsets_larger_than_a_set() -> None:
    with pytest.raises(ValueError, match="subsets of 40 pictures from sets of 30 and 60"):
        kernel_distance(cloud(30, 8, 0), cloud(60, 8, 1), subset_size=40)


# --- overlap and distances


def test_precision_and_recall_by_hand() -> None:
    # Reals at -5, 1, 2, 10 with k = 1 reach 6, 1, 1, 8; fakes at 2.5, 9, 50 reach 6.5, 6.5, 41.
    real, fake = np.array([[-5.0], [1], [2], [10]]), np.array([[2.5], [9], [50]])
    found = precision_recall(real, fake, k=1, cover_k=1)
    assert found.precision == pytest.approx(2 / 3)  # all but 50
    # 1 and 2 lie within 6.5 of 2.5, 10 of 9; -5 of none
    assert found.recall == pytest.approx(3 / 4)
    # 2.5 lies in the balls of 2 and 10, 9 in that of 10, 50 in none
    assert found.density == pytest.approx(3 / 3)
    assert found.coverage == pytest.approx(2 / 4)  # the balls of 2 and 10 hold a fake


def test_overlap_of_equal_apart_and_collapsed_sets() -> None:
    a = cloud(100, 5, 0)
    same = precision_recall(a, a)
    assert (same.precision, same.recall, same.coverage) == (1, 1, 1)
    apart = precision_recall(a, a + 100)
    assert (apart.precision, apart.recall, apart.density, apart.coverage) == (0, 0, 0, 0)
    collapsed = precision_recall(a, np.repeat(a[:1], 100, 0))  # right, but always the same
    assert collapsed.precision == 1
    assert collapsed.recall == 0.01
    assert collapsed.coverage < 0.2


def test_blocks_equal_the_whole_matrix() -> None:
    n = BLOCK + 70
    real, fake = cloud(n, 6, 0), cloud(n + 5, 6, 1, 1.1)
    rr, ff, rf = cdist(real, real), cdist(fake, fake), cdist(real, fake)
    reach, others, wide = np.sort(rr)[:, 3], np.sort(ff)[:, 3], np.sort(rr)[:, 5]
    found = precision_recall(real, fake)
    assert found.precision == (rf <= reach[:, None]).any(0).mean()
    assert found.recall == (rf <= others).any(1).mean()
    assert found.density == pytest.approx((rf <= wide[:, None]).sum() / (5 * len(fake)))
    assert found.coverage == (rf <= wide[:, None]).any(1).mean()
    index, distance = nearest(fake, real)
    assert (index == rf.argmin(0)).all()
    np.testing.assert_allclose(distance, rf.min(0), rtol=1e-12)
    np.testing.assert_allclose(nearest_other(real), np.sort(rr)[:, 1], rtol=1e-12)
    assert mean_pairwise_distance(real) == pytest.approx(pdist(real).mean(), rel=1e-9)


def test_mean_pairwise_distance_by_hand_and_over_a_draw() -> None:
    corners = np.array([[0.0, 0], [3, 0], [0, 4]])
    assert mean_pairwise_distance(corners) == pytest.approx((3 + 4 + 5) / 3)
    assert mean_pairwise_distance(np.full((9, 4), 1e3)) == 0
    many = cloud(1500, 6, 0)
    drawn = mean_pairwise_distance(many, seed=3, most=500)
    assert (
        drawn
        == mean_pairwise_distance(many, seed=3, most=500)
        != mean_pairwise_distance(many, seed=4, most=500)
    )
    assert drawn == pytest.approx(mean_pairwise_distance(many), rel=0.1)


def test_near_duplicates_by_hand() -> None:
    # the nearest other lies at 1, 1, 3, 5, …: 0.5 % of 200 lie below 1
    real = np.arange(200.0)[:, None] ** 2
    fake = np.array([[0.0], [0.5], [10], [20], [30], [30]])
    assert nearest_other(fake).tolist() == [0.5, 0.5, 9.5, 10, 0, 0]
    within = near_duplicate_distance(real)
    assert near_duplicate_share(fake, within) == pytest.approx(4 / 6)
    assert near_duplicate_share(real, within) == pytest.approx(2 / 200)
    copies = np.repeat(real[:2], 3, 0)
    assert (
        near_duplicate_share(copies, near_duplicate_distance(np.repeat(real, 2, 0))) == 1
    )  # even where reals are doubled


def test_memorised_share_by_hand() -> None:
    training = np.array([[0.0], [10], [20]])
    heldout = 20 + np.arange(1, 102)[:, None] * 1.0  # distances 1 to 101: 1 % of them are at most 2
    fake = np.array([[0.5], [12], [17], [500]])
    assert nearest(fake, training)[0].tolist() == [0, 1, 2, 2]
    assert nearest(fake, training)[1].tolist() == [0.5, 2, 3, 480]
    usual = nearest(heldout, training)[1]
    assert memorised_share(nearest(fake, training)[1], usual) == 0.5
