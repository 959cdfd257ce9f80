"""A detector calibrated on a manifest: fitted on its calibration split, measured there and on the
test split.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from fauxlab.bundle.config import Calibration, DetectorConfig
from fauxlab.bundle.detector import check_pipeline
from fauxlab.calibration.fit import (
    Bin,
    conformal_band,
    fit_calibration,
    log_loss,
    reliability,
    threshold_at_fpr,
)
from fauxlab.calibration.ood import fit_ood, measures_ood
from fauxlab.errors import LabError
from fauxlab.evaluation.detection import balanced, expected_calibration_error
from fauxlab.io.sharpness import measure_sharpness
from fauxlab.models.pretrained import Detector

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import nn

    from fauxlab.data.cache import ImageArray
    from fauxlab.data.manifest import Manifest

    Floats = NDArray[np.float64]
    Degrade = Callable[[NDArray[np.uint8]], NDArray[np.uint8]]

BATCH = 128


@dataclass(frozen=True)
class Figures:
    """What a detector's scores are worth on one split: N by source and generator, and shares of
    these.
    """

    n_real: dict[str, int]
    n_fake: dict[str, int]
    threshold: float
    band: tuple[float, float] | None
    ece: float
    log_loss: float
    called_fake: dict[str, float]
    called_real: dict[str, float]
    uncertain: tuple[float, float]  # of the reals, of the fakes
    wrong: tuple[float, float]  # certain and wrong: of the reals, of the fakes
    # beyond the limit of what is typical: of the reals, of the fakes
    refused: tuple[float, float] | None


@dataclass(frozen=True)
class Calibrated:
    """A detector with its new calibration; figures before and after, and reliability, by split.

    Cells of the tuples are (before, after). `skipped` are the images that could not be read (path,
    reason).
    """

    detector: Detector
    figures: dict[str, tuple[Figures, Figures]]
    reliability: dict[str, tuple[list[Bin], list[Bin]]]
    skipped: tuple[tuple[str, str], ...] = ()

    def table(self) -> str:
        """The figures as plain text, a block a split; where not said otherwise as if half of the
        pictures were fake.
        """
        return "\n\n".join(_block(split, *pair) for split, pair in self.figures.items())


def calibrate(
    detector: Detector,
    manifest: Manifest,
    rate: float = 0.05,
    alpha: float = 0.1,
    degrade: Degrade | None = None,
    progress: Callable[[int], None] | None = None,
) -> Calibrated:
    """Fit all of it on the manifest's calibration split, and measure before and after there and on
    the test split.

    The band is widened to hold the threshold, so that no certain label contradicts it; a threshold
    below the band is raised to it, which costs no more than `alpha` of the fakes and saves false
    alarms. Where the network keeps distances, what is typical is fitted first (`fit_ood`).
    `degrade` takes one picture, uint8 [3, size, size], and gives it changed: fitted and measured
    are then the changed pictures. `progress` is called with the number of images just judged.
    Images that cannot be read are left out and listed in `skipped`. Raises LabError when the split
    has too few pictures of a class or source, and for a detector without torch's weights.
    """
    from fauxlab.data.cache import load_images

    if not isinstance(detector, Detector):
        raise LabError(
            "an exported detector (ONNX), as the packaged one, cannot be calibrated; give the one that was trained, as "
            "fl.Detector.from_pretrained('runs/<name>/best')"
        )
    check_pipeline(detector)
    splits = {name: manifest.in_split(name) for name in ("calibration", "test")}
    if not len(splits["calibration"]):
        raise LabError(
            "the manifest's calibration split is empty; split it again with `fauxlab data index`"
        )
    images = {name: load_images(part, detector.size) for name, part in splits.items() if len(part)}
    before = detector
    if measures_ood(detector):
        detector = fit_ood(detector, images["calibration"], degrade, progress=progress)
    judged = {name: _Judged.of(detector, part, degrade, progress) for name, part in images.items()}
    fitted = judged["calibration"]
    fit = fit_calibration(fitted.logits, fitted.labels, groups=fitted.groups.tolist())
    scores = fitted.scores(_with(detector, fit, 0.5))
    real = fitted.labels == 0
    threshold = threshold_at_fpr(
        scores[real], rate, fitted.names[real].tolist(), fitted.groups[real].tolist()
    )
    low, high = conformal_band(fitted.labels, scores, alpha, fitted.groups.tolist())
    threshold = max(threshold, low)
    fit = fit.model_copy(
        update={
            "false_alarm_rate": rate,
            "alpha": alpha,
            "low": low,
            "high": max(high, threshold),
            "n_real": dict(Counter(fitted.names[real].tolist())),
            "n_fake": dict(Counter(fitted.names[~real].tolist())),
            "degraded": degrade is not None,
            "ece_before": fitted.figures(before).ece,
            "ece_after": fitted.figures(_with(detector, fit, threshold)).ece,
            "data_hash": fitted.data_hash,
        }
    )
    found = _with(detector, fit, threshold)
    return Calibrated(
        found,
        {name: (part.figures(before), part.figures(found)) for name, part in judged.items()},
        {
            name: (part.reliability(before), part.reliability(found))
            for name, part in judged.items()
        },
        tuple(entry for part in images.values() for entry in part.skipped),
    )


@dataclass(frozen=True)
class _Judged:
    """A split's logits, distances and details, float64 [N], beside what is known of its pictures."""

    logits: Floats
    distances: Floats
    details: Floats
    network: nn.Module  # that gave both
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
        progress: Callable[[int], None] | None,
    ) -> _Judged:
        part = images.manifest
        logits, distances, details = _predict(detector, images, degrade, progress)
        names = np.array([row.generator if row.label else row.source for row in part.rows])
        groups = np.array([row.group for row in part.rows])
        return cls(
            logits, distances, details, detector.model, part.labels, names, groups, part.data_hash
        )

    def scores(self, detector: Detector) -> Floats:
        """As the detector gives them, in its own precision: what the threshold will be compared
        with.
        """
        return detector.scores(self.logits.astype(np.float32))

    def figures(self, detector: Detector) -> Figures:
        scores, config = self.scores(detector), detector.config
        decisions = [config.decide(score) for score in scores.tolist()]
        called = np.array([label == "fake" for label, _ in decisions])
        unsure = np.array([uncertain for _, uncertain in decisions])
        refused = None
        # an older fit would have given other distances
        if config.ood and detector.model is self.network:
            both = zip(self.distances.tolist(), self.details.tolist(), strict=True)
            odd = np.array([not config.can_tell(distance, detail) for distance, detail in both])
            refused = (_mean(odd[self.labels == 0]), _mean(odd[self.labels == 1]))
        weights = balanced(self.labels)
        fit = config.calibration or Calibration(temperature=1, bias=0)
        classes = [self.labels == 0, self.labels == 1]
        reals, fakes = (
            {str(n): self.names == n for n in np.unique(self.names[keep])} for keep in classes
        )
        wrong = (called != (self.labels == 1)) & ~unsure
        return Figures(
            n_real={name: int((keep & classes[0]).sum()) for name, keep in reals.items()},
            n_fake={name: int((keep & classes[1]).sum()) for name, keep in fakes.items()},
            threshold=config.threshold,
            band=fit.band,
            ece=float(expected_calibration_error(self.labels, scores, weights[None])[0]),
            log_loss=log_loss(self.labels, self.logits / fit.temperature + fit.bias, weights),
            called_fake={name: _mean(called[keep & classes[0]]) for name, keep in reals.items()},
            called_real={name: _mean(~called[keep & classes[1]]) for name, keep in fakes.items()},
            uncertain=(_mean(unsure[classes[0]]), _mean(unsure[classes[1]])),
            wrong=(_mean(wrong[classes[0]]), _mean(wrong[classes[1]])),
            refused=refused,
        )

    def reliability(self, detector: Detector) -> list[Bin]:
        return reliability(self.labels, self.scores(detector), weights=balanced(self.labels))


def _predict(
    detector: Detector,
    images: ImageArray,
    degrade: Degrade | None,
    progress: Callable[[int], None] | None,
) -> tuple[Floats, Floats, Floats]:
    logits, distances, details = [], [], []
    for start in range(0, len(images), BATCH):
        pixels = images.take(np.arange(start, min(start + BATCH, len(images))))
        pixels = np.stack([degrade(picture) for picture in pixels]) if degrade else pixels
        found = detector.predict(pixels)
        logits.append(found.logits.astype(np.float64))
        distances.append(found.ood_distances.astype(np.float64))
        details.append(np.array([measure_sharpness(picture) for picture in pixels]))
        if progress:
            progress(len(pixels))
    return np.concatenate(logits), np.concatenate(distances), np.concatenate(details)


def _with(detector: Detector, fit: Calibration, threshold: float) -> Detector:
    # Made anew, not copied with changes, so that it is checked as a bundle is on loading.
    config = {
        **detector.config.model_dump(),
        "calibration": fit.model_dump(),
        "threshold": threshold,
    }
    config.pop("schema_version")
    return Detector(detector.model, DetectorConfig.model_validate(config))


def _block(split: str, before: Figures, after: Figures) -> str:
    pair = (before, after)
    n_real, n_fake = (sum(n.values()) for n in (before.n_real, before.n_fake))
    bands = ["none" if x.band is None else "{:.3f} – {:.3f}".format(*x.band) for x in pair]
    rows = [
        ("calibration error, classes evenly", n_real + n_fake, [f"{x.ece:.3f}" for x in pair]),
        ("log loss", n_real + n_fake, [f"{x.log_loss:.3f}" for x in pair]),
        ("threshold", "", [f"{x.threshold:.3f}" for x in pair]),
        ("uncertain scores", "", bands),
    ]
    for name, n in before.n_real.items():
        rows.append((f"real {name} called fake", n, [f"{x.called_fake[name]:.1%}" for x in pair]))
    for name, n in before.n_fake.items():
        rows.append((f"fake {name} called real", n, [f"{x.called_real[name]:.1%}" for x in pair]))
    for k, (kind, n) in enumerate((("reals", n_real), ("fakes", n_fake))):
        rows.append((f"{kind} uncertain", n, [f"{x.uncertain[k]:.1%}" for x in pair]))
        rows.append((f"{kind} certain and wrong", n, [f"{x.wrong[k]:.1%}" for x in pair]))
        if after.refused:
            refused = ["n/a" if x.refused is None else f"{x.refused[k]:.1%}" for x in pair]
            rows.append((f"{kind} refused (odd, blurred)", n, refused))
    head = f"{split}: {n_real:,} real, {n_fake:,} fake"
    lines = [f"{head:<44}{'N':>7}{'before':>16}{'after':>16}"]
    return "\n".join(
        [*lines, *(f"  {name:<42}{n:>7}{old:>16}{new:>16}" for name, n, (old, new) in rows)]
    )


def _mean(hits: NDArray[np.bool_]) -> float:
    return float(hits.mean()) if len(hits) else float("nan")
