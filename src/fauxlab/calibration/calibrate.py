"""Calibrate a detector on a manifest, and measure its figures before and after."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from fauxlab.bundle.config import Calibration, DetectorConfig
from fauxlab.bundle.detector import check_pipeline
from fauxlab.bundle.onnx import OnnxDetector
from fauxlab.calibration.counts import check_counts
from fauxlab.calibration.figures import Figures, Predictions, format_figures
from fauxlab.calibration.fit import Bin, conformal_band, fit_calibration, threshold_at_fpr
from fauxlab.calibration.ood import fit_ood, limit_tint, measures_ood, refit_limits
from fauxlab.errors import LabError
from fauxlab.models.pretrained import Detector

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fauxlab.data.cache import ImageArray
    from fauxlab.data.manifest import Manifest

    AnyBundle = Detector | OnnxDetector
    Pixels = NDArray[np.uint8]
    Degrade = Callable[[Pixels], Pixels]
    Progress = Callable[[int], None]


@dataclass(frozen=True)
class Calibrated:
    """A detector with its new calibration; figures and reliability by split.

    The pairs are (before, after). `skipped` are the images that could not be read (path, reason).
    """

    detector: AnyBundle
    figures: dict[str, tuple[Figures, Figures]]
    reliability: dict[str, tuple[list[Bin], list[Bin]]]
    skipped: tuple[tuple[str, str], ...] = ()

    def table(self) -> str:
        """The figures as plain text, a block for each split.

        Calibration error and log loss are as if half of the pictures were fake.
        """
        blocks = []
        for split, (before, after) in self.figures.items():
            block = format_figures(split, before, after)
            blocks.append(block)
        return "\n\n".join(blocks)


def calibrate(
    detector: AnyBundle,
    manifest: Manifest,
    rate: float = 0.05,
    alpha: float = 0.1,
    degrade: Degrade | None = None,
    progress: Progress | None = None,
    refuse_tinted: bool = False,
    keep_limits: bool = False,
) -> Calibrated:
    """Fit temperature, bias, threshold, uncertain band and OOD limits on the calibration split.

    `rate` is the false-alarm rate: of the reals of any source, at most this share is called fake
    (a real that gets "cannot tell" is not). `alpha` is the share of each class that may be certain
    and wrong. `degrade` takes a picture uint8 [3, size, size] and returns it changed: then all is
    fitted and measured on changed pictures. Figures are of the calibration and the test split,
    before and after. `progress` is called with the number of images just scored. Images that cannot
    be read are left out and listed in `skipped`.

    An exported detector keeps its graph: its config alone changes, and its OOD limits are for the
    distances that its graph measures. `refuse_tinted` gives pictures in nearly one colour "cannot
    tell", for detectors that have learned none. With `keep_limits` the other OOD limits stay as
    they are. Raises LabError when the split has too few pictures of a class or source.

    >>> import fauxlab as fl
    >>> data = fl.Manifest.load("manifest.csv")  # doctest: +SKIP
    >>> detector = fl.Detector.from_pretrained("runs/latest/best")  # doctest: +SKIP
    >>> calibrated = fl.calibrate(detector, data, rate=0.01)  # doctest: +SKIP
    >>> print(calibrated.table())  # doctest: +SKIP
    >>> calibrated.detector.save_pretrained("calibrated")  # doctest: +SKIP
    """
    check_pipeline(detector)
    # Before hours of scoring, not after.
    check_counts(manifest.calibration.rows, rate, alpha)
    images = _load_splits(manifest, detector.size)

    # The OOD limits first: they change a network of torch, whose distances are measured below.
    before = detector
    detector = _fit_limits(
        detector, images["calibration"], degrade, progress, refuse_tinted, keep_limits
    )

    predictions = {}
    for split, part in images.items():
        predictions[split] = Predictions.of(detector, part, degrade, progress)
    fitted = predictions["calibration"]
    fit, threshold = _fit(detector, fitted, rate, alpha)

    # What the bundle says of its own calibration.
    after = _with_calibration(detector, fit, threshold)
    changes = {
        "degraded": degrade is not None,
        "ece_before": fitted.figures(before).ece,
        "ece_after": fitted.figures(after).ece,
    }
    fit = fit.model_copy(update=changes)
    after = _with_calibration(detector, fit, threshold)

    figures = {}
    diagrams = {}
    skipped: list[tuple[str, str]] = []
    for split, predicted in predictions.items():
        figures[split] = (predicted.figures(before), predicted.figures(after))
        diagrams[split] = (predicted.reliability(before), predicted.reliability(after))
        skipped += images[split].skipped
    return Calibrated(after, figures, diagrams, tuple(skipped))


def _fit_limits(
    detector: AnyBundle,
    images: ImageArray,
    degrade: Degrade | None,
    progress: Progress | None,
    refuse_tinted: bool,
    keep_limits: bool,
) -> AnyBundle:
    """The detector with OOD limits for these images, where it measures distances."""
    if not _has_limits(detector):
        if refuse_tinted:
            raise LabError(
                f"the network {detector.config.architecture} keeps no limits, so it cannot refuse "
                "tinted pictures; train trace or inception"
            )
        return detector
    if keep_limits and detector.config.ood is not None:
        return limit_tint(detector, images) if refuse_tinted else detector
    if isinstance(detector, OnnxDetector):
        return refit_limits(
            detector, images, degrade, progress=progress, refuse_tinted=refuse_tinted
        )
    return fit_ood(detector, images, degrade, progress=progress, refuse_tinted=refuse_tinted)


def _has_limits(detector: AnyBundle) -> bool:
    if isinstance(detector, OnnxDetector):
        return detector.config.ood is not None
    return measures_ood(detector)


def _load_splits(manifest: Manifest, size: int) -> dict[str, ImageArray]:
    """The images of the calibration split, and of the test split where there is one."""
    from fauxlab.data.cache import load_images

    if not len(manifest.in_split("calibration")):
        raise LabError(
            "the manifest's calibration split is empty; split it again with `fauxlab data index`"
        )
    images = {}
    for split in ("calibration", "test"):
        part = manifest.in_split(split)
        if len(part):
            images[split] = load_images(part, size)
    return images


def _fit(
    detector: AnyBundle, fitted: Predictions, rate: float, alpha: float
) -> tuple[Calibration, float]:
    """The calibration and the threshold, from the predictions on the calibration split."""
    # Temperature and bias.
    groups = fitted.groups.tolist()
    fit = fit_calibration(fitted.logits, fitted.labels, groups=groups)

    # Threshold, by the false-alarm rate of the worst source.
    scores = fitted.scores(_with_calibration(detector, fit, 0.5))
    real = fitted.is_real
    # What gets "cannot tell" is not called fake, whatever its score.
    told = fitted.told(detector.config)
    counted = np.where(told, scores, 0.0)
    real_names = fitted.names[real].tolist()
    real_groups = fitted.groups[real].tolist()
    threshold = threshold_at_fpr(counted[real], rate, real_names, real_groups)

    # Uncertain band. A certain label must not contradict the threshold, so this must lie inside.
    # A threshold below the band is raised to it: that costs no more than `alpha` of the fakes and
    # saves false alarms. Above the band, the band is widened.
    low, high = conformal_band(fitted.labels, scores, alpha, groups)
    threshold = max(threshold, low)
    high = max(high, threshold)
    fake_names = fitted.names[~real].tolist()
    changes = {
        "false_alarm_rate": rate,
        "alpha": alpha,
        "low": low,
        "high": high,
        "n_real": dict(Counter(real_names)),
        "n_fake": dict(Counter(fake_names)),
        "data_hash": fitted.data_hash,
    }
    return fit.model_copy(update=changes), threshold


def _with_calibration(detector: AnyBundle, fit: Calibration, threshold: float) -> AnyBundle:
    # Made anew, not copied with changes, so that it is checked as a bundle is on loading.
    fields = detector.config.model_dump(exclude={"schema_version"})
    fields |= {"calibration": fit.model_dump(), "threshold": threshold}
    config = DetectorConfig.model_validate(fields)
    return replace(detector, config=config, hash="")
