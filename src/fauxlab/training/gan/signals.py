"""The collapse guard's signals: cheap figures of generator and discriminator, taken often."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from fauxlab.evaluation.distances import mean_pairwise_distance, near_duplicate_distance
from fauxlab.evaluation.features import extract
from fauxlab.evaluation.generation import measure
from fauxlab.evaluation.networks import load_features
from fauxlab.evaluation.predicting import predict_logits
from fauxlab.models.inputs import to_input
from fauxlab.statistics import auc_between
from fauxlab.training.gan.bundles import wrap_generator
from fauxlab.training.gan.collapse_guard import Signals

if TYPE_CHECKING:
    from fauxlab.data.cache import ImageArray
    from fauxlab.training.gan.plan import GanPlan
    from fauxlab.training.gan.state import State

GUARD_FEATURES = "randconv"
BATCH = 250

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class GuardReals:
    """The real images that the guard compares with, in its own feature network."""

    features: NDArray[np.float32]  # [n, D]
    spread: float  # mean distance of two of them
    duplicate_distance: float  # fakes nearer to one another than this are near-duplicates


class SignalMeter:
    """Measures the signals; what it needs of the real images is read at the first check."""

    def __init__(self, plan: GanPlan, images: ImageArray, device: torch.device) -> None:
        self.plan = plan
        self.images = images
        self.device = device
        self.network = load_features(GUARD_FEATURES, device=device)
        splits = np.array([row.split for row in images.manifest.rows])
        self.train_rows = np.flatnonzero(splits == "train")
        self.n = min(plan.recipe.guard.n, len(self.train_rows))

    @cached_property
    def reals(self) -> GuardReals:
        """Of `n` training images, the only ones whose features the guard needs."""
        rng = np.random.default_rng(self.plan.recipe.train.seed)
        chosen = rng.choice(self.train_rows, self.n, replace=False)
        rows = np.sort(chosen)

        def take(first: int, count: int) -> Tensor:
            batch = rows[first : first + count]
            pixels = self.images.take(batch)
            return torch.from_numpy(pixels)

        features = extract(self.network, take, self.n)
        return GuardReals(
            features=features,
            spread=mean_pairwise_distance(features),
            duplicate_distance=near_duplicate_distance(features),
        )

    @cached_property
    def learned_rows(self) -> NDArray[np.int64]:
        """Images that the discriminator learned from, to be compared with held-out ones."""
        rng = np.random.default_rng(self.plan.recipe.train.seed)
        shuffled = rng.permutation(self.plan.train_rows)
        return shuffled[: self.n]

    def measure(self, state: State) -> Signals:
        """The signals now; some seconds on a CPU, most of them for making the fakes."""
        reals = self.reals
        released = wrap_generator(state.released, self.plan.recipe)
        fakes = extract(self.network, released.sample, self.n)
        figures = measure(
            reals.features,
            fakes,
            spread=reals.spread,
            duplicate_distance=reals.duplicate_distance,
        )
        discriminator = state.discriminator
        learned = self._real_logits(discriminator, self.learned_rows)
        heldout = self._real_logits(discriminator, self.plan.heldout_rows)
        fake = self._fake_logits(state)
        return Signals(
            images=state.images,
            distance=figures.distance,
            spread=figures.pairwise_ratio or 0.0,
            recall=figures.recall,
            near_duplicates=figures.near_duplicate_share,
            separation=auc_between(learned, fake),
            overfit=overfitting(learned, heldout, fake),
            real_sign=float(np.sign(learned).mean()),
            fake_sign=float(np.sign(fake).mean()),
        )

    def _real_logits(self, discriminator: nn.Module, rows: NDArray[np.int64]) -> Floats:
        logits = predict_logits(discriminator, self.images, rows)
        return logits.astype(np.float64)

    def _fake_logits(self, state: State) -> Floats:
        """Logits of fakes from the generator that is trained, which is not the averaged one."""
        generator = wrap_generator(state.generator, self.plan.recipe)
        discriminator = state.discriminator.eval()
        logits = []
        with torch.inference_mode():
            for first in range(0, self.n, BATCH):
                count = min(BATCH, self.n - first)
                pixels = generator.sample(first, count)
                inputs = to_input(pixels.to(self.device))
                batch_logits = discriminator(inputs)
                logits.append(batch_logits.double().cpu())
        state.generator.train()
        discriminator.train()
        return torch.cat(logits).numpy()


def overfitting(learned: Floats, heldout: Floats, fake: Floats) -> float:
    """r_v (Karras et al., 2020) from logits: how far held-out reals score on the way to fakes.

    0 where held-out reals score as learned reals do, 1 where they score as fakes do.
    """
    learned_mean = learned.mean()
    gap = learned_mean - fake.mean()
    if not len(heldout) or gap <= 0:
        return 0.0
    fall = learned_mean - heldout.mean()
    return float(fall / gap)
