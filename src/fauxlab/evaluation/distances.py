"""Arithmetic on feature vectors: how two sets of pictures differ, overlap and repeat themselves.

A set of N pictures is an array [N, D], a vector of D features for each picture. The figures depend
on N and on the feature network, so compare only figures that share both.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from fauxlab.models.batches import row_batches

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray
    from torch import Tensor, nn

    Floats = NDArray[np.float64]
    Features = NDArray[np.float32] | NDArray[np.float64]
    Integers = NDArray[np.int64]

NEIGHBOURS = 3  # of precision and recall (Kynkäänniemi et al., 2019)
COVER_NEIGHBOURS = 5  # of density and coverage (Naeem et al., 2020)
# Two fakes are near-duplicates if they are closer than this share of reals is to another real.
NEAR_DUPLICATE = 0.005
# A fake is memorised if it is closer to a training image than this share of held-out reals is.
MEMORISED = 0.01
KID_SUBSETS = 50
KID_SIZE = 1000
SHARED = 4000  # pictures up to which the kernel of all pairs is in memory: 128 MB
PAIRS = 2000  # pictures among which all pairs are measured
BLOCK = 512  # rows of a distance matrix in memory at once


def frechet_distance(real: Features, fake: Features) -> float:
    """Fréchet distance of Gaussians fitted to real [N, D] and fake [M, D] (Heusel et al., 2017).

    ‖μ₁ - μ₂‖² + tr(Σ₁ + Σ₂ - 2 √(Σ₁Σ₂)), by torchmetrics in float64; on the features of FID this is
    FID. At least 2 pictures each. On one CPU thread: 0.1 s at D = 422 and N = 500; 0.7 s at 1280
    and 500; 2 s at 1280 and 3000; 17 s at 2048 and 5000.
    """
    # Sorting is stable: of sets of one size, the reals come first.
    smaller, larger = sorted((real, fake), key=len)
    smaller = smaller.astype(np.float64)
    larger = larger.astype(np.float64)
    # The distance does not depend on the origin, and rounding is least near it.
    centre = smaller.mean(0)
    smaller = smaller - centre
    larger = larger - centre
    outside = 0.0
    n, dimension = smaller.shape
    if n <= dimension:
        # With at most D pictures, Σ₁Σ₂ has eigenvalues that are 0 but for rounding, and the root
        # of a rounding error of 1e-16 is 1e-8: distances would come out up to 1e-5 too low. In the
        # product, Σ₁ meets only the part of Σ₂ within the span of the smaller set. So both sets
        # are given in coordinates of this span, and the part of the distance outside of the span
        # is added. The value is the same, and exact, from a smaller matrix.
        span, _ = np.linalg.qr(smaller.T)
        smaller_inside = smaller @ span
        larger_inside = larger @ span
        rest = larger - larger_inside @ span.T
        squared_means = np.square(rest.mean(0))
        variances = rest.var(0, ddof=1)
        outside = float(squared_means.sum() + variances.sum())
        smaller = smaller_inside
        larger = larger_inside
    distance = _frechet(smaller, larger) + outside
    if math.isnan(distance):
        return distance
    return max(0.0, distance)  # rounding can take an exact 0 below 0


def kernel_distance(
    real: Features,
    fake: Features,
    seed: int = 0,
    subsets: int = KID_SUBSETS,
    subset_size: int | None = None,
) -> tuple[float, float]:
    """KID: mean and deviation over random subsets of the squared MMD (Bińkowski et al., 2018).

    The kernel is (x·y / D + 1)³, by torchmetrics in float64. The estimate is unbiased: equal
    distributions give 0 on average whatever N is, and half of their values are negative. Subsets
    hold `subset_size` pictures of each set, by default half of the smaller set and at most 1000;
    equal seeds draw equal subsets. Raises ValueError on subsets larger than a set.
    """
    import torch
    from torchmetrics.image.kid import poly_mmd

    n_real = len(real)
    n_fake = len(fake)
    smaller = min(n_real, n_fake)
    half = max(2, smaller // 2)
    size = subset_size or min(KID_SIZE, half)
    if size > smaller:
        raise ValueError(f"subsets of {size} pictures from sets of {n_real} and {n_fake}")
    x = torch.from_numpy(real.astype(np.float64))
    y = torch.from_numpy(fake.astype(np.float64))
    generator = torch.Generator().manual_seed(seed)
    chosen = []
    for _ in range(subsets):
        of_x = torch.randperm(n_real, generator=generator)
        of_y = torch.randperm(n_fake, generator=generator)
        chosen.append((of_x[:size], of_y[:size]))
    if max(n_real, n_fake) <= SHARED:
        values = _mmd_of_subsets(x, y, chosen, size)
    else:
        one_by_one = [poly_mmd(x[of_x], y[of_y]) for of_x, of_y in chosen]
        values = torch.stack(one_by_one)
    mean = float(values.mean())
    deviation = float(values.std(correction=0))
    return mean, deviation


@dataclass(frozen=True)
class Overlap:
    """How far two clouds of points cover each other.

    All lie in 0 to 1, except density, which is 1 on average for equal distributions.
    """

    precision: float
    recall: float
    density: float
    coverage: float


def precision_recall(
    real: Features, fake: Features, k: int = NEIGHBOURS, cover_k: int = COVER_NEIGHBOURS
) -> Overlap:
    """Share of fakes [M, D] that lie among the reals [N, D], and of reals among the fakes.

    Around each point lies a ball that reaches its k-th nearest neighbour of its own set.

    - Precision: fakes inside the ball of any real; recall: reals inside the ball of any fake
      (Kynkäänniemi et al., 2019, k = 3).
    - Density: balls of reals around a fake, divided by k; coverage: balls of reals that hold a fake
      (Naeem et al., 2020, k = 5).

    N and M must be above k and `cover_k`. By hand, since torchmetrics has none of the four, and in
    blocks, since all distances at once would take 8 N · M bytes.
    """
    n_real = len(real)
    n_fake = len(fake)
    real_radii, cover_radii = _radii(real, (k, cover_k))
    (fake_radii,) = _radii(fake, (k,))
    precise = np.zeros(n_fake, dtype=bool)
    n_recalled = 0
    n_covered = 0
    n_balls = 0
    for rows, squares in _squared_distances(real, fake):
        in_real_ball = squares <= real_radii[rows, None]
        in_fake_ball = squares <= fake_radii
        in_cover_ball = squares <= cover_radii[rows, None]
        precise |= in_real_ball.any(0)
        recalled = in_fake_ball.any(1)
        covered = in_cover_ball.any(1)
        n_recalled += int(recalled.sum())
        n_covered += int(covered.sum())
        n_balls += int(in_cover_ball.sum())
    return Overlap(
        precision=float(precise.mean()),
        recall=n_recalled / n_real,
        density=n_balls / (cover_k * n_fake),
        coverage=n_covered / n_real,
    )


def mean_pairwise_distance(features: Features, seed: int = 0, most: int = PAIRS) -> float:
    """Mean Euclidean distance of two different pictures of [N, D].

    Of more than `most` pictures a seeded draw of `most` is measured.
    """
    if len(features) > most:
        rng = np.random.default_rng(seed)
        drawn = rng.choice(len(features), most, replace=False)
        features = features[drawn]
    n = len(features)
    total = 0.0
    for rows, squares in _squared_distances(features, features):
        _set_to_themselves(squares, rows, 0)
        total += float(np.sqrt(squares).sum())
    n_pairs = n * (n - 1)
    return total / n_pairs


def nearest(points: Features, targets: Features) -> tuple[Integers, Floats]:
    """Index [N] of the target nearest to each point, and its Euclidean distance [N].

    Points are [N, D], targets [T, D].
    """
    blocks = [np.zeros(0, dtype=np.int64)]
    for _, squares in _squared_distances(points, targets):
        blocks.append(squares.argmin(1))
    index = np.concatenate(blocks)
    return index, _distances(points, targets, index)


def nearest_other(points: Features) -> Floats:
    """Euclidean distance [N] of each point [N, D] to the nearest other one; 0 for equal points."""
    blocks = [np.zeros(0, dtype=np.int64)]
    for _, squares in _distances_to_others(points):
        blocks.append(squares.argmin(1))
    index = np.concatenate(blocks)
    return _distances(points, points, index)


def near_duplicate_distance(real: Features) -> float:
    """The distance within which only 0.5 % of the reals [N, D] have another real.

    Two fakes that are closer to each other are near-duplicates. Distances to the nearest neighbour
    fall with the number of pictures: compare as many fakes as reals.
    """
    distances = nearest_other(real)
    return float(np.quantile(distances, NEAR_DUPLICATE))


def near_duplicate_share(fake: Features, within: float) -> float:
    """Share of fakes [M, D] that have another fake `within` a distance.

    About 0.005 where fakes vary as reals do, the distance is `near_duplicate_distance` of the
    reals, and M = N.
    """
    is_duplicate = nearest_other(fake) <= within
    return float(is_duplicate.mean())


def memorised_share(to_training: Floats, usual: Floats) -> float:
    """Share of fakes that lie as close to a training image as only 1 % of held-out reals do.

    From the distances to the nearest training image of the fakes [M] and of the held-out reals [H].
    About 0.01 where fakes are new faces. Smooth pictures lie close to many others, so look at the
    pairs of `nearest` before you speak of copies.
    """
    limit = np.quantile(usual, MEMORISED)
    is_memorised = to_training <= limit
    return float(is_memorised.mean())


def _frechet(real: Floats, fake: Floats) -> float:
    """Fréchet distance by torchmetrics; the trace of the root comes from eigenvalues."""
    import torch
    from torchmetrics.image.fid import FrechetInceptionDistance

    network = _passed_through(real.shape[1])
    metric = FrechetInceptionDistance(feature=network, sync_on_compute=False)
    metric.update(torch.from_numpy(real), real=True)
    metric.update(torch.from_numpy(fake), real=False)
    return float(metric.compute())


def _passed_through(dimension: int) -> nn.Module:
    """A network that returns its input: torchmetrics asks for a network, but has features here."""
    from torch import nn

    module = nn.Identity()
    module.num_features = dimension  # type: ignore[assignment]
    return module


def _mmd_of_subsets(
    x: Tensor, y: Tensor, chosen: list[tuple[Tensor, Tensor]], size: int
) -> torch.Tensor:
    """The squared MMD [S] of every chosen subset, from one kernel of all pairs.

    Subsets of a few thousand pictures share most of their pairs. On one CPU thread at D = 1280 and
    N = 2000: 1.1 s, subset by subset 10.7 s.
    """
    import torch
    from torchmetrics.image.kid import poly_kernel

    # A column of ones and zeros for each subset: a sum over the pairs of a subset is then a product
    # with the whole kernel.
    subsets = len(chosen)
    members_x = torch.zeros(len(x), subsets, dtype=torch.float64)
    members_y = torch.zeros(len(y), subsets, dtype=torch.float64)
    for number, (of_x, of_y) in enumerate(chosen):
        members_x[of_x, number] = 1
        members_y[of_y, number] = 1
    sums_over_y = poly_kernel(x, y) @ members_y
    between = (members_x * sums_over_y).sum(0)
    values = -2 * between / size**2
    # The estimate is unbiased because no picture is paired with itself.
    n_pairs = size * (size - 1)
    for features, members in ((x, members_x), (y, members_y)):
        kernel = poly_kernel(features, features)
        sums = kernel @ members
        all_pairs = (members * sums).sum(0)
        with_themselves = kernel.diag() @ members
        values += (all_pairs - with_themselves) / n_pairs
    return values


def _squared_distances(a: Features, b: Features) -> Iterator[tuple[Integers, Floats]]:
    """Rows of `a` [N, D], and their squared Euclidean distances to `b` [T, D]: block by block.

    By ‖a‖² + ‖b‖² - 2 a·b about the mean of b: off by about 1e-15 of the squares, never below 0.
    """
    centre = b.mean(0, dtype=np.float64)
    right = b - centre
    right_norms = np.square(right).sum(1)
    for rows in row_batches(len(a), BLOCK):
        left = a[rows] - centre
        left_norms = np.square(left).sum(1)
        products = left @ right.T
        squares = left_norms[:, None] + right_norms - 2 * products
        yield rows, np.maximum(squares, 0)


def _distances_to_others(points: Features) -> Iterator[tuple[Integers, Floats]]:
    """As `_squared_distances` among the points; infinity from each point to itself."""
    for rows, squares in _squared_distances(points, points):
        _set_to_themselves(squares, rows, np.inf)
        yield rows, squares


def _set_to_themselves(squares: Floats, rows: Integers, value: float) -> None:
    """Set the distance from each point to itself, in a block of distances among all points."""
    positions = np.arange(len(rows))
    squares[positions, rows] = value


def _distances(points: Features, targets: Features, index: Integers) -> Floats:
    """Euclidean distance [N] of each point to the target that `index` [N] names.

    From differences, so that equal points have a distance of exactly 0.
    """
    blocks = [np.zeros(0)]
    for rows in row_batches(len(points), BLOCK):
        own_targets = targets[index[rows]]
        differences = points[rows].astype(np.float64) - own_targets
        squares = np.square(differences).sum(1)
        blocks.append(np.sqrt(squares))
    return np.concatenate(blocks)


def _radii(points: Features, ks: tuple[int, ...]) -> list[Floats]:
    """Squared distance [N] of each point to its k-th nearest other one, for each k."""
    places = [k - 1 for k in ks]
    blocks = []
    for _, squares in _distances_to_others(points):
        ordered = np.partition(squares, places, axis=1)
        blocks.append(ordered[:, places])
    radii = np.concatenate(blocks)
    return list(radii.T)
