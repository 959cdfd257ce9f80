"""How well a generator makes faces: distance, quality, variety and copying, beside real photos.

Every figure is arithmetic (`fauxlab.evaluation.distances`) on feature vectors
(`fauxlab.evaluation.features`), and means nothing alone. A Fréchet distance falls with the number
of pictures N, and recall depends on N too. So a reference is made once, for one N. It holds the
floor: the same figures between two sets of real photos, which a perfect generator would reach.
Results carry the figures and the floor.
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
    from fauxlab.data.manifest import Manifest
    from fauxlab.evaluation.distances import Features, Floats, Integers
    from fauxlab.evaluation.networks import FeatureNetwork

FEWEST = 2 * COVER_NEIGHBOURS + 2  # reals: each of two sets must have that many neighbours


@dataclass(frozen=True)
class Reference:
    """Features of real photos at one size and one N, which generators are compared with.

    `reals` [n, D] are drawn with `seed` from `training` [T, D], all reals of the train split;
    `heldout` [H, D] are all other reals, possibly none. The floor lies between two sets of
    `floor_n` reals from all splits. No group is in both sets, unless nearly all reals are of one
    group. `floor_n` is n, or less where there are not twice as many reals.
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
        """Number of fakes, and of reals that they are compared with."""
        return len(self.reals)

    @property
    def floor(self) -> float:
        """Fréchet distance between two sets of `floor_n` reals."""
        return self.floor_figures.distance

    # Figures of the reals alone are computed once: a generator is evaluated often in its training.
    @cached_property
    def spread(self) -> float:
        """Mean distance of two of the `reals`."""
        return mean_pairwise_distance(self.reals)

    @cached_property
    def duplicate_distance(self) -> float:
        """Fakes closer to each other than this are near-duplicates."""
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
    """The reference for generators of this size, from stored reals of all splits.

    `n` reals of the train split are drawn for the comparison. Features are cached. `progress` is
    called with the number of pictures just done. Raises LabError on fakes among the images, a
    manifest without splits, fewer than 12 reals, or n out of range.
    """
    from fauxlab.evaluation.features import real_features

    manifest = images.manifest
    train, others = _split_rows(manifest)
    _check_numbers(len(manifest), len(train), n)
    features = real_features(network, images, progress)
    rng = np.random.default_rng(seed)
    drawn = np.sort(rng.choice(train, n, replace=False))
    groups = manifest.groups
    first_half, second_half = _divide_by_groups(groups, rng)
    floor_n = min(n, len(first_half), len(second_half))
    first = features[_draw(first_half, floor_n, rng)]
    second = features[_draw(second_half, floor_n, rng)]
    return Reference(
        network=network,
        size=images.size,
        data_hash=manifest.data_hash,
        seed=seed,
        reals=features[drawn],
        training=features[train],
        heldout=features[others],
        floor_n=floor_n,
        floor_figures=measure(first, second, seed),
    )


def measure(
    real: Features,
    fake: Features,
    seed: int = 0,
    *,
    spread: float | None = None,
    duplicate_distance: float | None = None,
) -> GenerationFigures:
    """All figures between real [N, D] and fake [M, D].

    Give `spread` and `duplicate_distance` of the reals where they are known, to save their time.
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
    """All figures of fakes with the features fake [n, D], n as in the reference.

    `seed` is the sample's. Raises LabError on another number of fakes, or features that are not
    finite.
    """
    _check_features(reference, fake)
    figures = measure(
        reference.reals,
        fake,
        reference.seed,
        spread=reference.spread,
        duplicate_distance=reference.duplicate_distance,
    )
    memorised, ratio = _compare_with_training(reference, fake)
    return GenerationReport(
        model=model,
        model_hash=model_hash,
        data_hash=reference.data_hash,
        code_version=__version__,
        size=reference.size,
        n=reference.n,
        seed=seed,
        features=_summarise(reference.network),
        distance_label=reference.network.label,
        kid_label=reference.network.kid_label,
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
    """All figures of a generator, from as many fakes as the reference has reals.

    `sample(first, count)` gives the fakes with the numbers first to first + count - 1 of `seed`,
    uint8 [count, 3, size, size]. `progress` is called with the number of fakes just done. Raises
    LabError on pictures of another type or size.
    """
    from fauxlab.evaluation.features import extract

    def take(first: int, count: int) -> Tensor:
        images = sample(first, count)
        height, width = images.shape[-2:]
        if height != reference.size or width != reference.size:
            raise LabError(
                f"the generator makes {[height, width]} pixels, the reference holds reals at "
                f"{reference.size}; load the reference at the generator's size"
            )
        return images

    fake = extract(reference.network, take, reference.n, progress=progress)
    return generation_report(reference, fake, model=model, model_hash=model_hash, seed=seed)


def _split_rows(manifest: Manifest) -> tuple[Integers, Integers]:
    """Row numbers of the train split, and all others."""
    if any(row.label for row in manifest.rows):
        raise LabError(
            "a generator is measured against real images only; keep the manifest's rows with label "
            "0"
        )
    manifest.in_split("train")  # raises where no split was ever assigned
    splits = np.array([row.split for row in manifest.rows])
    return np.flatnonzero(splits == "train"), np.flatnonzero(splits != "train")


def _check_numbers(n_reals: int, n_train: int, n: int) -> None:
    if n_train < FEWEST:
        raise LabError(
            f"{n_train} real images to train on of {n_reals}: a generator's figures need {FEWEST} "
            "and mean little below 500; add images"
        )
    if not FEWEST <= n <= n_train:
        raise LabError(
            f"n = {n} pictures to compare, expected from {FEWEST} to {n_train}, the real images of "
            "the train split (--n, or evaluate.n in a recipe)"
        )


def _check_features(reference: Reference, fake: Features) -> None:
    expected = (reference.n, reference.network.dimension)
    problem = ""
    if fake.shape != expected:
        problem = f"are {list(fake.shape)}"
    elif not np.isfinite(fake).all():
        problem = "hold NaN or infinity"
    if problem:
        raise LabError(
            f"the fakes' features {problem}, expected finite {list(expected)}: distances of "
            "different N do not compare"
        )


def _compare_with_training(
    reference: Reference, fake: Features
) -> tuple[float | None, float | None]:
    """Share of memorised fakes, and how far fakes lie from training images, as a ratio to reals.

    None without held-out reals, which are needed to say what distance is usual; the ratio also
    where half of the held-out reals equal a training image.
    """
    if not len(reference.heldout):
        return None, None
    to_training = nearest(fake, reference.training)[1]
    usual = reference.heldout_distances
    usual_median = np.median(usual)
    ratio = None
    if usual_median > 0:
        ratio = float(np.median(to_training) / usual_median)
    return memorised_share(to_training, usual), ratio


def _summarise(network: FeatureNetwork) -> FeatureSummary:
    return FeatureSummary(
        name=network.name,
        sha256=network.sha256,
        dimension=network.dimension,
        input_size=network.input_size,
        input_range=network.input_range,
        resize=network.resize,
    )


def _draw(rows: Integers, n: int, rng: np.random.Generator) -> Integers:
    return np.sort(rng.choice(rows, n, replace=False))


def _divide_by_groups(
    groups: NDArray[np.str_], rng: np.random.Generator
) -> tuple[Integers, Integers]:
    """Two random halves of the images, with no group in both.

    A person in both halves would make the floor too low. Where nearly all images are of one group,
    both halves share it.
    """
    _, codes, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    order = rng.permutation(len(sizes))
    images_so_far = np.cumsum(sizes[order])
    distance_to_half = np.abs(images_so_far - len(groups) / 2)
    n_groups = int(distance_to_half.argmin()) + 1
    in_first = np.isin(codes, order[:n_groups])
    smaller = min(in_first.sum(), (~in_first).sum())
    if smaller < FEWEST // 2:
        in_first = rng.permutation(len(groups)) < len(groups) // 2
    return np.flatnonzero(in_first), np.flatnonzero(~in_first)
