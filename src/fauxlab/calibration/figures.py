"""A detector's figures on one split: for the table and the diagram of a calibration."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from fauxlab.bundle.config import Calibration
from fauxlab.calibration.fit import Bin, log_loss, reliability
from fauxlab.evaluation.detection import predict_batches
from fauxlab.evaluation.metrics import balanced, expected_calibration_error
from fauxlab.io.sharpness import measure_sharpness

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import nn

    from fauxlab.data.cache import ImageArray
    from fauxlab.models.pretrained import Detector

    Floats = NDArray[np.float64]
    Bools = NDArray[np.bool_]
    Pixels = NDArray[np.uint8]
    Degrade = Callable[[Pixels], Pixels]
    Progress = Callable[[int], None]

# A row of the table: what is measured, N, and the cells before and after.
Line = tuple[str, int | str, list[str]]


@dataclass(frozen=True)
class Figures:
    """A detector's figures on one split; N and shares are by source of reals and by generator.

    `uncertain`, `wrong` (certain and wrong) and `refused` (out of distribution, or too blurred) are
    shares of the reals and of the fakes. `refused` is None where the detector has no limits.
    """

    n_real: dict[str, int]
    n_fake: dict[str, int]
    threshold: float
    band: tuple[float, float] | None
    ece: float
    log_loss: float
    called_fake: dict[str, float]
    called_real: dict[str, float]
    uncertain: tuple[float, float]
    wrong: tuple[float, float]
    refused: tuple[float, float] | None


@dataclass(frozen=True)
class Predictions:
    """Logits, OOD distances and sharpness [N] of a split's pictures, and what is known of these."""

    logits: Floats
    distances: Floats
    sharpness: Floats
    network: nn.Module  # that gave logits and distances
    labels: NDArray[np.int64]
    names: NDArray[np.str_]  # source of a real, generator of a fake
    groups: NDArray[np.str_]
    data_hash: str

    @classmethod
    def of(
        cls,
        detector: Detector,
        images: ImageArray,
        degrade: Degrade | None,
        progress: Progress | None,
    ) -> Predictions:
        """Predict the pictures of a split, each changed by `degrade` where it is given."""

        def degrade_batch(pixels: Pixels) -> Pixels:
            return np.stack([degrade(picture) for picture in pixels]) if degrade else pixels

        logits, distances, sharpness = [], [], []
        for pixels, predicted in predict_batches(detector, images, degrade_batch, progress):
            logits.append(predicted.logits.astype(np.float64))
            distances.append(predicted.ood_distances.astype(np.float64))
            sharpness.append(np.array([measure_sharpness(picture) for picture in pixels]))
        rows = images.manifest.rows
        return cls(
            logits=np.concatenate(logits),
            distances=np.concatenate(distances),
            sharpness=np.concatenate(sharpness),
            network=detector.model,
            labels=images.manifest.labels,
            names=np.array([row.generator if row.label else row.source for row in rows]),
            groups=np.array([row.group for row in rows]),
            data_hash=images.manifest.data_hash,
        )

    @property
    def is_real(self) -> Bools:
        """Which pictures [N] are real."""
        return self.labels == 0

    def scores(self, detector: Detector) -> Floats:
        """P(fake) [N] in the detector's own precision, in which the threshold is compared."""
        return detector.scores(self.logits.astype(np.float32))

    def figures(self, detector: Detector) -> Figures:
        """All figures of the detector's calibration on these logits."""
        config = detector.config
        fit = config.calibration or Calibration(temperature=1, bias=0)
        scores = self.scores(detector)
        decisions = [config.decide(score) for score in scores.tolist()]
        called_fake = np.array([label == "fake" for label, _ in decisions])
        uncertain = np.array([is_uncertain for _, is_uncertain in decisions])
        wrong = (called_fake == self.is_real) & ~uncertain
        weights = balanced(self.labels)
        ece = expected_calibration_error(self.labels, scores, weights[None])
        calibrated = self.logits / fit.temperature + fit.bias
        return Figures(
            n_real=self.count(self.is_real),
            n_fake=self.count(~self.is_real),
            threshold=config.threshold,
            band=fit.band,
            ece=float(ece[0]),
            log_loss=log_loss(self.labels, calibrated, weights),
            called_fake=self._share_by_name(called_fake, self.is_real),
            called_real=self._share_by_name(~called_fake, ~self.is_real),
            uncertain=self._share_by_class(uncertain),
            wrong=self._share_by_class(wrong),
            refused=self._refused(detector),
        )

    def reliability(self, detector: Detector) -> list[Bin]:
        """The bars of its reliability diagram, with both classes weighing one half."""
        weights = balanced(self.labels)
        return reliability(self.labels, self.scores(detector), weights=weights)

    def count(self, rows: Bools) -> dict[str, int]:
        """Pictures of each source or generator among the rows [N]."""
        names, sizes = np.unique(self.names[rows], return_counts=True)
        return dict(zip(names.tolist(), sizes.tolist(), strict=True))

    def _refused(self, detector: Detector) -> tuple[float, float] | None:
        """Share of reals and of fakes that the limits refuse."""
        # Another network than the one that was asked has other distances.
        if not detector.config.ood or detector.model is not self.network:
            return None
        measured = zip(self.distances.tolist(), self.sharpness.tolist(), strict=True)
        refused = [not detector.config.can_tell(*values) for values in measured]
        return self._share_by_class(np.array(refused))

    def _share_by_class(self, hits: Bools) -> tuple[float, float]:
        return _mean(hits[self.is_real]), _mean(hits[~self.is_real])

    def _share_by_name(self, hits: Bools, rows: Bools) -> dict[str, float]:
        shares = {}
        for name in np.unique(self.names[rows]):
            own = rows & (self.names == name)
            shares[str(name)] = _mean(hits[own])
        return shares


def format_figures(split: str, before: Figures, after: Figures) -> str:
    """The figures of one split as plain text."""
    n_real = sum(before.n_real.values())
    n_fake = sum(before.n_fake.values())
    head = f"{split}: {n_real:,} real, {n_fake:,} fake"
    lines = [f"{head:<44}{'N':>7}{'before':>16}{'after':>16}"]
    for name, n, (old, new) in _lines(before, after):
        lines.append(f"  {name:<42}{n:>7}{old:>16}{new:>16}")
    return "\n".join(lines)


def _lines(before: Figures, after: Figures) -> Iterator[Line]:
    pair = (before, after)
    n_real = sum(before.n_real.values())
    n_fake = sum(before.n_fake.values())
    ece = [f"{figures.ece:.3f}" for figures in pair]
    yield "calibration error, classes evenly", n_real + n_fake, ece
    yield "log loss", n_real + n_fake, [f"{figures.log_loss:.3f}" for figures in pair]
    yield "threshold", "", [f"{figures.threshold:.3f}" for figures in pair]
    yield "uncertain scores", "", [_band(figures.band) for figures in pair]
    for name, n in before.n_real.items():
        shares = [_percent(figures.called_fake[name]) for figures in pair]
        yield f"real {name} called fake", n, shares
    for name, n in before.n_fake.items():
        shares = [_percent(figures.called_real[name]) for figures in pair]
        yield f"fake {name} called real", n, shares
    for index, kind, n in ((0, "reals", n_real), (1, "fakes", n_fake)):
        yield f"{kind} uncertain", n, [_percent(figures.uncertain[index]) for figures in pair]
        yield f"{kind} certain and wrong", n, [_percent(figures.wrong[index]) for figures in pair]
        if after.refused:
            before_share = "n/a"
            if before.refused:
                before_share = _percent(before.refused[index])
            after_share = _percent(after.refused[index])
            yield f"{kind} refused (OOD, blurred)", n, [before_share, after_share]


def _band(band: tuple[float, float] | None) -> str:
    return "none" if band is None else f"{band[0]:.3f} – {band[1]:.3f}"


def _percent(share: float) -> str:
    return f"{share:.1%}"


def _mean(hits: Bools) -> float:
    return float(hits.mean()) if len(hits) else float("nan")
