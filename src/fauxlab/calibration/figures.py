"""A detector's figures on one split: for the table and the diagram of a calibration."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from fauxlab.bundle import decision
from fauxlab.bundle.config import Calibration
from fauxlab.bundle.onnx import OnnxDetector
from fauxlab.bundle.tower import TowerDetector
from fauxlab.calibration.fit import Bin, log_loss, reliability
from fauxlab.calibration.kinds import Kinds
from fauxlab.evaluation.detection import predict_batches
from fauxlab.evaluation.metrics import balanced, expected_calibration_error
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

# A row of the table: what is measured, N, and the cells before and after.
TableRow = tuple[str, int | str, str, str]


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
        return Kinds.of(self.logits[rows], self.names[rows], self.groups[rows])

    def kind_weights(self) -> Floats:
        """How much each picture [N] counts: in a class each kind alike, in a kind each group.

        The weights of a class sum to its number of groups.
        """
        weights = np.zeros(len(self.labels))
        for label in (0, 1):
            own = self.labels == label
            if own.any():
                n_groups = len(np.unique(self.groups[own]))
                weights[own] = self.kinds(own).weights * n_groups
        return weights

    def told(self, config: DetectorConfig) -> Bools:
        """Which pictures [N] the limits of a config let pass; for the network that was measured."""
        told = []
        measured = zip(
            self.distances.tolist(), self.sharpness.tolist(), self.tints.tolist(), strict=True
        )
        for distance, sharpness, tint in measured:
            told.append(decision.can_tell(config, distance, sharpness, tint))
        return np.array(told, dtype=bool)

    def _refused(self, detector: AnyBundle) -> tuple[float, float] | None:
        """Share of reals and of fakes that the limits refuse."""
        # The distances are those of one network; another network would give others.
        if not detector.config.ood or network_of(detector) is not self.network:
            return None
        return self._share_by_class(~self.told(detector.config))

    def _share_by_class(self, hits: Bools) -> tuple[float, float]:
        reals = hits[self.is_real]
        fakes = hits[~self.is_real]
        return _mean(reals), _mean(fakes)

    def _share_by_name(self, hits: Bools, rows: Bools) -> dict[str, float]:
        shares = {}
        for name in np.unique(self.names[rows]):
            own = rows & (self.names == name)
            shares[str(name)] = _mean(hits[own])
        return shares


def network_of(detector: AnyBundle) -> object:
    """What computes a detector's logits and distances, which no calibration changes."""
    if isinstance(detector, OnnxDetector):
        return detector.session
    if isinstance(detector, TowerDetector):
        return detector.weights
    return detector.model


def format_figures(split: str, before: Figures, after: Figures) -> str:
    """The figures of one split as plain text."""
    n_real = sum(before.n_real.values())
    n_fake = sum(before.n_fake.values())
    head = f"{split}: {n_real:,} real, {n_fake:,} fake"
    lines = [f"{head:<44}{'N':>7}{'before':>16}{'after':>16}"]
    for name, n, old, new in _rows(before, after):
        lines.append(f"  {name:<42}{n:>7}{old:>16}{new:>16}")
    return "\n".join(lines)


def format_left_out(fit: Calibration) -> list[str]:
    """The figures of the kinds left out as plain text, a block for each stated rate."""
    stated = [(fit.false_alarm_rate, fit.left_out)]
    stated += [(point.rate, point.left_out) for point in fit.points]
    blocks = []
    for rate, left_out in stated:
        if rate is None or left_out is None:
            continue
        head = f"kinds of reals left out of {left_out.of}, at {rate:.3g}"
        lines = [f"{head:<51}{'called fake':>16}{'uncertain':>16}"]
        for name, called_fake in left_out.called_fake.items():
            lines.append(f"  {name:<49}{called_fake:>16.1%}{left_out.uncertain[name]:>16.1%}")
        means = f"{left_out.mean_called_fake:>16.1%}{left_out.mean_uncertain:>16.1%}"
        lines.append(f"  {'mean of kinds':<49}{means}")
        blocks.append("\n".join(lines))
    return blocks


def _rows(before: Figures, after: Figures) -> Iterator[TableRow]:
    n_real = sum(before.n_real.values())
    n_fake = sum(before.n_fake.values())
    n = n_real + n_fake

    def numbers(name: str, of: int | str, old: float, new: float) -> TableRow:
        return name, of, f"{old:.3f}", f"{new:.3f}"

    def shares(name: str, of: int, old: float, new: float) -> TableRow:
        return name, of, f"{old:.1%}", f"{new:.1%}"

    yield numbers("calibration error, classes evenly", n, before.ece, after.ece)
    yield numbers("log loss", n, before.log_loss, after.log_loss)
    yield numbers("threshold", "", before.threshold, after.threshold)
    yield "uncertain scores", "", _band(before.band), _band(after.band)
    for source, count in before.n_real.items():
        old = before.called_fake[source]
        new = after.called_fake[source]
        yield shares(f"real {source} called fake", count, old, new)
    for generator, count in before.n_fake.items():
        old = before.called_real[generator]
        new = after.called_real[generator]
        yield shares(f"fake {generator} called real", count, old, new)
    for label, kind, count in ((0, "reals", n_real), (1, "fakes", n_fake)):
        uncertain_before = before.uncertain[label]
        uncertain_after = after.uncertain[label]
        yield shares(f"{kind} uncertain", count, uncertain_before, uncertain_after)
        wrong_before = before.wrong[label]
        wrong_after = after.wrong[label]
        yield shares(f"{kind} certain and wrong", count, wrong_before, wrong_after)
        if after.refused:
            refused_before = "n/a"
            if before.refused:
                refused_before = f"{before.refused[label]:.1%}"
            refused_after = f"{after.refused[label]:.1%}"
            yield f"{kind} refused (OOD, blurred)", count, refused_before, refused_after


def _decide(config: DetectorConfig, scores: Floats) -> tuple[Bools, Bools]:
    """Which scores [N] the detector calls fake, and which are in its uncertain band."""
    called_fake = []
    uncertain = []
    for score in scores.tolist():
        label, is_uncertain = decision.decide(config, score)
        called_fake.append(label == "fake")
        uncertain.append(is_uncertain)
    return np.array(called_fake), np.array(uncertain)


def _band(band: tuple[float, float] | None) -> str:
    if band is None:
        return "none"
    low, high = band
    return f"{low:.3f} – {high:.3f}"


def _mean(hits: Bools) -> float:
    if not len(hits):
        return float("nan")
    return float(hits.mean())
