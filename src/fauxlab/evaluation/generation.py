"""How well a generator makes faces: distance, quality, variety and copying, each beside what reals
reach themselves.

All figures are arithmetic (`fauxlab.evaluation.distances`) over feature vectors
(`fauxlab.evaluation.features`) and mean nothing alone. A Fréchet distance falls with the number of
pictures N, a recall depends on it too; so a reference is made once for one N, holds the same
figures between two sets of reals (the floor: what a perfect generator would get), and reports carry
both.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from fauxlab.errors import LabError
from fauxlab.evaluation.distances import (
    COVER_NEIGHBOURS,
    frechet_distance,
    kernel_distance,
    mean_pairwise_distance,
    memorised_share,
    near_duplicate_distance,
    near_duplicate_share,
    nearest,
    precision_recall,
)
from fauxlab.records import FeatureSummary, GenerationFigures, GenerationReport
from fauxlab.version import __version__

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from fauxlab.data.cache import ImageArray
    from fauxlab.evaluation.distances import Features, Floats, Integers
    from fauxlab.evaluation.networks import FeatureNetwork

FEWEST = 2 * COVER_NEIGHBOURS + 2  # reals, so that each of two sets has that many neighbours


@dataclass(frozen=True)
class Reference:
    """What a generator is measured against: features of reals at one size and one N, and the floor
    they set.

    `reals` [n, D] are drawn with `seed` from `training` [T, D], all reals of the train split;
    `heldout` [H, D] are all other reals, possibly none. The floor lies between two sets of
    `floor_n` reals drawn from all splits, with no group in both unless nearly all are of one;
    `floor_n` is n, or less where there are not twice as many reals.
    """

    network: FeatureNetwork
    size: int
    data_hash: str
    seed: int
    reals: Features
    training: Features
    heldout: Features
    floor_n: int
    floor_figures: GenerationFigures

    @property
    def n(self) -> int:
        """How many fakes are compared with as many reals."""
        return len(self.reals)

    @property
    def floor(self) -> float:
        """Fréchet distance between two sets of `floor_n` reals."""
        return self.floor_figures.distance

    # What depends on the reals alone is computed once, so that a generator can be judged often
    # while it is trained.
    @cached_property
    def spread(self) -> float:
        """Mean distance of two of the `reals`."""
        return mean_pairwise_distance(self.reals)

    @cached_property
    def duplicate_distance(self) -> float:
        """Fakes nearer to one another than this are near-duplicates."""
        return near_duplicate_distance(self.reals)

    @cached_property
    def heldout_distances(self) -> Floats:
        """Distance [H] of each held-out real to the nearest training image."""
        return nearest(self.heldout, self.training)[1]


def load_reference(
    images: ImageArray,
    network: FeatureNetwork,
    n: int,
    seed: int = 0,
    progress: Callable[[int], None] | None = None,
) -> Reference:
    """What generators of this size are measured against, from stored reals of all splits; features
    are cached.

    `n` reals of the train split stand for the data. `progress` is called with the number of
    pictures just done. Raises LabError on fakes among the images, a manifest without splits, fewer
    than 12 reals, or n out of range.
    """
    from fauxlab.evaluation.features import real_features

    manifest = images.manifest
    if any(row.label for row in manifest.rows):
        raise LabError(
            "a generator is measured against real images only; keep the manifest's rows with label 0"
        )
    manifest.in_split("train")  # raises where no split was ever assigned
    split = np.array([row.split for row in manifest.rows])
    train, others = np.flatnonzero(split == "train"), np.flatnonzero(split != "train")
    if len(manifest) < FEWEST or len(train) < FEWEST:
        raise LabError(
            f"{len(train)} real images to train on of {len(manifest)}: a generator's figures need {FEWEST} and mean "
            "little below 500; add images"
        )
    if not FEWEST <= n <= len(train):
        raise LabError(
            f"n = {n} pictures to compare, expected from {FEWEST} to {len(train)}, the real images of the train split"
        )
    features = real_features(network, images, progress)
    rng = np.random.default_rng(seed)
    drawn = np.sort(rng.choice(train, n, replace=False))
    halves = _strangers(np.array([row.group for row in manifest.rows]), rng)
    floor_n = min(n, *map(len, halves))
    one, two = (features[np.sort(rng.choice(half, floor_n, replace=False))] for half in halves)
    return Reference(
        network=network,
        size=images.size,
        data_hash=manifest.data_hash,
        seed=seed,
        reals=features[drawn],
        training=features[train],
        heldout=features[others],
        floor_n=floor_n,
        floor_figures=measure(one, two, seed),
    )


def measure(
    real: Features,
    fake: Features,
    seed: int = 0,
    *,
    spread: float | None = None,
    duplicate_distance: float | None = None,
) -> GenerationFigures:
    """All figures between real [N, D] and fake [M, D]; `spread` and `duplicate_distance` of the
    reals where known.
    """
    kid, kid_std = kernel_distance(real, fake, seed)
    overlap = precision_recall(real, fake)
    if spread is None:
        spread = mean_pairwise_distance(real)
    if duplicate_distance is None:
        duplicate_distance = near_duplicate_distance(real)
    return GenerationFigures(
        distance=frechet_distance(real, fake),
        kid=kid,
        kid_std=kid_std,
        precision=overlap.precision,
        recall=overlap.recall,
        density=overlap.density,
        coverage=overlap.coverage,
        pairwise_ratio=mean_pairwise_distance(fake) / spread if spread else None,
        near_duplicate_share=near_duplicate_share(fake, duplicate_distance),
    )


def generation_report(
    reference: Reference, fake: Features, *, model: str = "", model_hash: str = "", seed: int = 0
) -> GenerationReport:
    """The report on fakes whose features are fake [n, D], n being the reference's. `seed` is that
    of the sample.

    Raises LabError on another number of fakes, or features that are not finite.
    """
    expected = (reference.n, reference.network.dimension)
    if fake.shape != expected or not np.isfinite(fake).all():
        problem = "hold NaN or infinity" if fake.shape == expected else f"are {list(fake.shape)}"
        raise LabError(
            f"the fakes' features {problem}, expected finite {list(expected)}: distances of different N do not compare"
        )
    network = reference.network
    figures = measure(
        reference.reals,
        fake,
        reference.seed,
        spread=reference.spread,
        duplicate_distance=reference.duplicate_distance,
    )
    memorised, ratio = None, None
    if len(reference.heldout):
        to_training, usual = nearest(fake, reference.training)[1], reference.heldout_distances
        memorised = memorised_share(to_training, usual)
        ratio = float(np.median(to_training) / np.median(usual)) if np.median(usual) > 0 else None
    return GenerationReport(
        model=model,
        model_hash=model_hash,
        data_hash=reference.data_hash,
        code_version=__version__,
        size=reference.size,
        n=reference.n,
        seed=seed,
        features=FeatureSummary(
            name=network.name,
            sha256=network.sha256,
            dimension=network.dimension,
            input_size=network.input_size,
            input_range=network.input_range,
            resize=network.resize,
        ),
        distance_label=network.label,
        kid_label=network.kid_label,
        **figures.model_dump(),
        memorised_share=memorised,
        training_distance_ratio=ratio,
        n_training=len(reference.training),
        n_heldout=len(reference.heldout),
        floor=reference.floor,
        floor_n=reference.floor_n,
        floor_figures=reference.floor_figures,
    )


def evaluate_generator(
    sample: Callable[[int, int], Tensor],
    reference: Reference,
    *,
    model: str,
    model_hash: str,
    seed: int,
    progress: Callable[[int], None] | None = None,
) -> GenerationReport:
    """Judge a generator on as many fakes as the reference has reals.

    `sample(first, count)` gives the fakes number first to first + count - 1 of `seed`, uint8
    [count, 3, size, size]. `progress` is called with the number of fakes just done. Raises LabError
    on pictures of another type or size.
    """
    from fauxlab.evaluation.features import extract

    def take(first: int, count: int) -> Tensor:
        images = sample(first, count)
        if images.shape[-1] != reference.size or images.shape[-2] != reference.size:
            raise LabError(
                f"the generator makes {list(images.shape[-2:])} pixels, the reference holds reals at {reference.size}; "
                "load the reference at the generator's size"
            )
        return images

    fake = extract(reference.network, take, reference.n, progress=progress)
    return generation_report(reference, fake, model=model, model_hash=model_hash, seed=seed)


def _strangers(groups: NDArray[np.str_], rng: np.random.Generator) -> tuple[Integers, Integers]:
    """Two random halves of the images with no group in both: a person on both sides would make the
    floor too low.
    """
    _, codes, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    order = rng.permutation(len(sizes))
    cut = int(np.abs(np.cumsum(sizes[order]) - len(groups) / 2).argmin()) + 1
    first = np.isin(codes, order[:cut])
    # nearly all in one group: any halves share it
    if min(first.sum(), (~first).sum()) < FEWEST // 2:
        first = rng.permutation(len(groups)) < len(groups) // 2
    return np.flatnonzero(first), np.flatnonzero(~first)
