"""A detector's figures on one split, before and after a calibration."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from fauxlab.bundle import decision
from fauxlab.bundle.config import Calibration
from fauxlab.bundle.onnx import OnnxDetector
from fauxlab.bundle.tower import TowerDetector
from fauxlab.calibration.fit import Bin, log_loss, reliability
from fauxlab.calibration.kinds import Kinds, weigh_kinds
from fauxlab.evaluation.metrics import balanced, expected_calibration_error
from fauxlab.evaluation.predicting import predict_batches
from fauxlab.io.sharpness import measure_sharpness
from fauxlab.io.tint import measure_tint

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fauxlab.bundle.config import DetectorConfig
    from fauxlab.data.cache import ImageArray
    from fauxlab.models.pretrained import Detector

    AnyBundle = Detector | OnnxDetector | TowerDetector
    Floats = NDArray[np.float64]
    Bools = NDArray[np.bool_]
    Pixels = NDArray[np.uint8]
    Degrade = Callable[[Pixels], Pixels]
    Progress = Callable[[int], None]


@dataclass(frozen=True)
class Figures:
    """A detector's figures on one split; N and shares are by source of reals and by generator.

    `uncertain`, `wrong` (certain and wrong) and `refused` (out of distribution, too blurred, or in
    one colour) are shares of the reals and of the fakes. `refused` is None where the detector has
    no limits.
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
    """Logits, OOD distances, sharpness and tints [N] of pictures, and what is known of these."""

    logits: Floats
    distances: Floats
    sharpness: Floats
    tints: Floats
    network: object  # that gave logits and distances
    labels: NDArray[np.int64]
    names: NDArray[np.str_]  # source of a real, generator of a fake
    groups: NDArray[np.str_]
    data_hash: str

    @classmethod
    def of(
        cls,
        detector: AnyBundle,
        images: ImageArray,
        degrade: Degrade | None,
        progress: Progress | None,
    ) -> Predictions:
        """Predict the pictures of a split, each changed by `degrade` where it is given."""

        def degrade_batch(pixels: Pixels) -> Pixels:
            if degrade is None:
                return pixels
            return np.stack([degrade(picture) for picture in pixels])

        logits: list[float] = []
        distances: list[float] = []
        sharpness: list[float] = []
        tints: list[float] = []
        for pixels, predicted in predict_batches(detector, images, degrade_batch, progress):
            logits += predicted.logits.tolist()
            distances += predicted.ood_distances.tolist()
            for picture in pixels:
                sharpness.append(measure_sharpness(picture))
                tints.append(measure_tint(picture))
        names = []
        groups = []
        for row in images.manifest.rows:
            names.append(row.kind)
            groups.append(row.group)
        return cls(
            logits=np.array(logits),
            distances=np.array(distances),
            sharpness=np.array(sharpness),
            tints=np.array(tints),
            network=network_of(detector),
            labels=images.manifest.labels,
            names=np.array(names),
            groups=np.array(groups),
            data_hash=images.manifest.data_hash,
        )

    @property
    def is_real(self) -> Bools:
        """Which pictures [N] are real."""
        return self.labels == 0

    def scores(self, detector: AnyBundle) -> Floats:
        """P(fake) [N] in the detector's own precision, in which the threshold is compared."""
        logits = self.logits.astype(np.float32)
        return detector.scores(logits)

    def figures(self, detector: AnyBundle) -> Figures:
        """All figures of the detector's calibration on these logits."""
        config = detector.config
        fit = config.calibration or Calibration(temperature=1, bias=0)
        scores = self.scores(detector)
        called_fake, uncertain = _decide(config, scores)
        is_real = self.is_real
        is_wrong = called_fake == is_real
        wrong = is_wrong & ~uncertain
        weights = balanced(self.labels)
        ece = expected_calibration_error(self.labels, scores, weights[None])
        calibrated = self.logits / fit.temperature + fit.bias
        return Figures(
            n_real=self.count(is_real),
            n_fake=self.count(~is_real),
            threshold=config.threshold,
            band=fit.band,
            ece=float(ece[0]),
            log_loss=log_loss(self.labels, calibrated, weights),
            called_fake=self._share_by_name(called_fake, is_real),
            called_real=self._share_by_name(~called_fake, ~is_real),
            uncertain=self._share_by_class(uncertain),
            wrong=self._share_by_class(wrong),
            refused=self._refused(detector),
        )

    def reliability(self, detector: AnyBundle) -> list[Bin]:
        """The bars of its reliability diagram, with both classes weighing one half."""
        weights = balanced(self.labels)
        scores = self.scores(detector)
        return reliability(self.labels, scores, weights=weights)

    def count(self, rows: Bools) -> dict[str, int]:
        """Pictures of each source or generator among the rows [N]."""
        names, sizes = np.unique(self.names[rows], return_counts=True)
        counts = {}
        for name, size in zip(names, sizes, strict=True):
            counts[str(name)] = int(size)
        return counts

    def kinds(self, rows: Bools) -> Kinds:
        """The logits of the rows [N], by source or generator."""
        logits = self.logits[rows]
        names = self.names[rows]
        groups = self.groups[rows]
        return Kinds.of(logits, names, groups)

    def kind_weights(self) -> Floats:
        """How much each picture [N] counts: in a class each kind alike, in a kind each group.

        The weights of a class sum to its number of groups.
        """
        weights = np.zeros(len(self.labels))
        for label in (0, 1):
            own = self.labels == label
            if own.any():
                own_groups = self.groups[own]
                n_groups = len(np.unique(own_groups))
                weights[own] = n_groups * weigh_kinds(self.names[own], own_groups)
        return weights

    def told(self, config: DetectorConfig) -> Bools:
        """Which pictures [N] the limits of a config let pass; for the network that was measured."""
        told = []
        columns = [self.distances, self.sharpness, self.tints]
        for limits in np.column_stack(columns).tolist():
            can_tell = decision.can_tell(config, *limits)
            told.append(can_tell)
        return np.array(told, dtype=bool)

    def _refused(self, detector: AnyBundle) -> tuple[float, float] | None:
        """Share of reals and of fakes that the limits refuse."""
        # The distances are those of one network; another network would give others.
        if not detector.config.ood or network_of(detector) is not self.network:
            return None
        refused = ~self.told(detector.config)
        return self._share_by_class(refused)

    def _share_by_class(self, hits: Bools) -> tuple[float, float]:
        reals = hits[self.is_real]
        fakes = hits[~self.is_real]
        return _mean(reals), _mean(fakes)

    def _share_by_name(self, hits: Bools, rows: Bools) -> dict[str, float]:
        shares = {}
        for name in np.unique(self.names[rows]):
            is_named = self.names == name
            own_hits = hits[rows & is_named]
            shares[str(name)] = _mean(own_hits)
        return shares


def network_of(detector: AnyBundle) -> object:
    """What computes a detector's logits and distances, which no calibration changes."""
    if isinstance(detector, OnnxDetector):
        return detector.session
    if isinstance(detector, TowerDetector):
        return detector.weights
    return detector.model


def _decide(config: DetectorConfig, scores: Floats) -> tuple[Bools, Bools]:
    """Which scores [N] the detector calls fake, and which are in its uncertain band."""
    called_fake = []
    uncertain = []
    for score in scores.tolist():
        label, is_uncertain = decision.decide(config, score)
        called_fake.append(label == "fake")
        uncertain.append(is_uncertain)
    return np.array(called_fake), np.array(uncertain)


def _mean(hits: Bools) -> float:
    if not len(hits):
        return float("nan")
    return float(hits.mean())
