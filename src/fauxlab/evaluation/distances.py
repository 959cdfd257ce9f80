"""Arithmetic on feature vectors: how far two sets of pictures are apart, how they overlap, and what
repeats itself.

A set of N pictures is an array [N, D], a vector of D features each. What the figures are worth
depends on N and on the network behind the features.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import nn

    Floats = NDArray[np.float64]
    Features = NDArray[np.float32] | NDArray[np.float64]
    Integers = NDArray[np.int64]

NEIGHBOURS = 3  # of precision and recall (Kynkäänniemi et al., 2019)
COVER_NEIGHBOURS = 5  # of density and coverage (Naeem et al., 2020)
# of reals are nearer to another real than the distance that makes a fake a near-duplicate
NEAR_DUPLICATE = 0.005
# of held-out reals are nearer to a training image than the distance that makes a fake memorised
MEMORISED = 0.01
KID_SUBSETS, KID_SIZE = 50, 1000
SHARED = 4000  # pictures up to which the kernel of all pairs is held, 128 MB
PAIRS = 2000  # pictures among which all pairs are measured
BLOCK = 512  # rows of a distance matrix held at once


def frechet_distance(real: Features, fake: Features) -> float:
    """Fréchet distance of Gaussians fitted to real [N, D] and fake [M, D]; on FID features, FID
    (Heusel et al., 2017).

    ‖μ₁ - μ₂‖² + tr(Σ₁ + Σ₂ - 2 √(Σ₁Σ₂)), by torchmetrics in float64, the root's trace from
    eigenvalues. On one CPU thread: 0.1 s at D = 422 and N = 500; 0.7 s at 1280 and 500; 2 s at 1280
    and 3000; 17 s at 2048 and 5000.

    Where a set has at most D pictures, Σ₁Σ₂ has eigenvalues that are 0 but for rounding, and the
    root makes 1e-8 of 1e-16 for each: distances come out up to 1e-5 too low. Of Σ₂ only the part
    within the span of the smaller set meets Σ₁ in the product. So torchmetrics gets both sets in
    coordinates of that span, and what lies across it is added: the same value, exact, from a
    smaller matrix. At least 2 pictures each.
    """
    import torch

    few, many = (real, fake) if len(real) <= len(fake) else (fake, real)
    few, many = few.astype(np.float64), many.astype(np.float64)
    # the distance does not depend on the origin, and rounding is least near it
    centre = few.mean(0)
    few, many = few - centre, many - centre
    across = 0.0
    if len(few) <= few.shape[1]:
        span = np.linalg.qr(few.T)[0]
        rest = many - (many @ span) @ span.T
        few, many = few @ span, many @ span
        across = float(np.square(rest.mean(0)).sum() + rest.var(0, ddof=1).sum())
    from torchmetrics.image.fid import FrechetInceptionDistance

    metric = FrechetInceptionDistance(feature=_passed_through(few.shape[1]), sync_on_compute=False)
    metric.update(torch.from_numpy(few), real=True)
    metric.update(torch.from_numpy(many), real=False)
    found = float(metric.compute()) + across
    # max() would make a perfect distance of a NaN
    return found if math.isnan(found) else max(0.0, found)


def kernel_distance(
    real: Features,
    fake: Features,
    seed: int = 0,
    subsets: int = KID_SUBSETS,
    subset_size: int | None = None,
) -> tuple[float, float]:
    """Mean and standard deviation of the squared MMD over random subsets: KID (Bińkowski et al.,
    2018).

    Kernel (x·y / D + 1)³, unbiased: 0 is expected of equal distributions whatever N is, and half of
    such values are negative. Subsets hold `subset_size` of each set, by default half of the smaller
    set and at most 1000; the same seed draws the same ones. By torchmetrics, in float64. Raises
    ValueError on subsets larger than a set.

    Subsets of a few thousand pictures share most of their pairs, whose kernel is then computed
    once. On one CPU thread at D = 1280 and N = 2000: 1.1 s, subset by subset 10.7 s.
    """
    import torch
    from torchmetrics.image.kid import poly_kernel, poly_mmd

    size = subset_size or min(KID_SIZE, max(2, min(len(real), len(fake)) // 2))
    x, y = (torch.from_numpy(features.astype(np.float64)) for features in (real, fake))
    if size > min(len(x), len(y)):
        raise ValueError(f"subsets of {size} pictures from sets of {len(x)} and {len(y)}")
    draw = torch.Generator().manual_seed(seed)
    chosen = [
        [torch.randperm(len(features), generator=draw)[:size] for features in (x, y)]
        for _ in range(subsets)
    ]
    if max(len(x), len(y)) > SHARED:
        values = torch.stack([poly_mmd(x[i], y[j]) for i, j in chosen])
    else:
        # A column of ones and zeros for each subset: sums over a subset's pairs are products with
        # the whole kernel.
        a, b = (torch.zeros(len(features), subsets, dtype=torch.float64) for features in (x, y))
        for k, (i, j) in enumerate(chosen):
            a[i, k], b[j, k] = 1, 1
        values = -2 * (a * (poly_kernel(x, y) @ b)).sum(0) / size**2
        for features, ones in ((x, a), (y, b)):
            kernel = poly_kernel(features, features)
            values += ((ones * (kernel @ ones)).sum(0) - kernel.diag() @ ones) / (size * (size - 1))
    return float(values.mean()), float(values.std(correction=0))


@dataclass(frozen=True)
class Overlap:
    """How far two clouds of points cover each other; all from 0 to 1 but density, whose expectation
    is 1 at best.
    """

    precision: float
    recall: float
    density: float
    coverage: float


def precision_recall(
    real: Features, fake: Features, k: int = NEIGHBOURS, cover_k: int = COVER_NEIGHBOURS
) -> Overlap:
    """Share of fakes among the reals and of reals among the fakes, from real [N, D] and fake [M,
    D].

    Around each point lies a ball that reaches its k-th nearest neighbour of its own set. Precision:
    fakes inside any real's ball; recall: reals inside any fake's (Kynkäänniemi et al., 2019, k =
    3). Density: reals' balls around a fake, over k; coverage: reals' balls that hold a fake (Naeem
    et al., 2020, k = 5). N and M above k and `cover_k`.
    """
    own, wide = _radii(real, (k, cover_k))
    (others,) = _radii(fake, (k,))
    inside_real = np.zeros(len(fake), dtype=bool)
    recalled, covered, balls = 0, 0, 0
    for rows, squares in _squared_distances(real, fake):
        inside_real |= (squares <= own[rows, None]).any(0)
        recalled += int((squares <= others).any(1).sum())
        within = squares <= wide[rows, None]
        covered += int(within.any(1).sum())
        balls += int(within.sum())
    return Overlap(
        precision=float(inside_real.mean()),
        recall=recalled / len(real),
        density=balls / (cover_k * len(fake)),
        coverage=covered / len(real),
    )


def mean_pairwise_distance(features: Features, seed: int = 0, most: int = PAIRS) -> float:
    """Mean Euclidean distance of two different pictures of [N, D]; of a seeded draw of `most` where
    N is greater.
    """
    if len(features) > most:
        features = features[np.random.default_rng(seed).choice(len(features), most, replace=False)]
    total = 0.0
    for rows, squares in _squared_distances(features, features):
        squares[np.arange(len(squares)), np.arange(len(features))[rows]] = 0
        total += float(np.sqrt(squares).sum())
    return total / (len(features) * (len(features) - 1))


def nearest(points: Features, targets: Features) -> tuple[Integers, Floats]:
    """Index [N] of the target nearest to each point, and its Euclidean distance [N]; points [N, D],
    targets [T, D].
    """
    index = [np.zeros(0, dtype=np.int64)]
    index += [squares.argmin(1) for _, squares in _squared_distances(points, targets)]
    found = np.concatenate(index)
    return found, _distances(points, targets, found)


def nearest_other(points: Features) -> Floats:
    """Euclidean distance [N] of each of the points [N, D] to the nearest other one; exactly 0 for
    equal points.
    """
    index = [np.zeros(0, dtype=np.int64)]
    for rows, squares in _squared_distances(points, points):
        squares[np.arange(len(squares)), np.arange(len(points))[rows]] = np.inf
        index.append(squares.argmin(1))
    return _distances(points, points, np.concatenate(index))


def near_duplicate_distance(real: Features) -> float:
    """What only 0.5 % of the reals [N, D] have another real within: fakes as close to one another
    are near-duplicates.

    A distance to the nearest falls with the number of pictures: compare equal numbers.
    """
    return float(np.quantile(nearest_other(real), NEAR_DUPLICATE))


def near_duplicate_share(fake: Features, within: float) -> float:
    """Share of fakes [M, D] that have another fake `within` that distance.

    About 0.005 where fakes vary as reals do, the distance is `near_duplicate_distance` of theirs,
    and M = N.
    """
    return float((nearest_other(fake) <= within).mean())


def memorised_share(to_training: Floats, usual: Floats) -> float:
    """Share of fakes that lie as near to a training image as only 1 % of held-out reals do.

    From the distances to the nearest training image of the fakes [M] and of the held-out reals [H].
    About 0.01 where fakes are new faces. Pictures with little detail lie near to anything, so look
    at the pairs that `nearest` names before speaking of copies.
    """
    return float((to_training <= np.quantile(usual, MEMORISED)).mean())


def _passed_through(dimension: int) -> nn.Module:
    """A network for torchmetrics whose pictures are features already."""
    from torch import nn

    module = nn.Identity()
    module.num_features = dimension  # type: ignore[assignment]
    return module


def _squared_distances(a: Features, b: Features) -> Iterator[tuple[slice, Floats]]:
    """Squared Euclidean distances [rows, T] between a few rows of a [N, D] and all of b [T, D],
    block after block.

    By ‖a‖² + ‖b‖² - 2 a·b about the mean of b: off by about 1e-15 of the squares, never below 0.
    """
    centre = b.mean(0, dtype=np.float64)
    right = b - centre
    norms = np.square(right).sum(1)
    for start in range(0, len(a), BLOCK):
        rows = slice(start, min(start + BLOCK, len(a)))
        left = a[rows] - centre
        yield rows, np.maximum(np.square(left).sum(1)[:, None] + norms - 2 * (left @ right.T), 0)


def _distances(points: Features, targets: Features, index: Integers) -> Floats:
    """Euclidean distance [N] of each point to the target named for it, by differences: exactly 0
    between equals.
    """
    found = [np.zeros(0)]
    for start in range(0, len(points), BLOCK):
        rows = slice(start, start + BLOCK)
        found.append(
            np.sqrt(np.square(points[rows].astype(np.float64) - targets[index[rows]]).sum(1))
        )
    return np.concatenate(found)


def _radii(points: Features, ks: tuple[int, ...]) -> list[Floats]:
    """Squared distance [N] of each point to its k-th nearest other one, for each k."""
    found: list[list[Floats]] = [[] for _ in ks]
    for rows, squares in _squared_distances(points, points):
        squares[np.arange(len(squares)), np.arange(len(points))[rows]] = np.inf
        ordered = np.partition(squares, [k - 1 for k in ks], axis=1)
        for radii, k in zip(found, ks, strict=True):
            radii.append(ordered[:, k - 1])
    return [np.concatenate(radii) for radii in found]
