"""Calibrate a detector on a manifest, and measure its figures before and after."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from fauxlab.bundle.config import DetectorConfig
from fauxlab.bundle.detector import check_pipeline
from fauxlab.bundle.onnx import OnnxDetector
from fauxlab.calibration.counts import Rates, choose_rates, describe_counts
from fauxlab.calibration.figures import Figures, Predictions
from fauxlab.calibration.fit import Bin, fit_calibration
from fauxlab.calibration.kinds import Kinds
from fauxlab.calibration.ood import fit_ood, limit_tint, measures_ood, refit_limits
from fauxlab.calibration.points import MOST_UNCERTAIN, Reals, fit_point
from fauxlab.calibration.tables import format_figures, format_left_out
from fauxlab.calibration.unseen import check_left_out, score_left_out
from fauxlab.errors import LabError
from fauxlab.models.pretrained import Detector

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fauxlab.bundle.tower import TowerDetector
    from fauxlab.data.cache import ImageArray
    from fauxlab.data.manifest import Manifest

    AnyBundle = Detector | OnnxDetector | TowerDetector
    Pixels = NDArray[np.uint8]
    Degrade = Callable[[Pixels], Pixels]
    Progress = Callable[[int], None]
    Bars = list[Bin]


@dataclass(frozen=True)
class Calibrated:
    """A detector with its new calibration; figures and reliability by split.

    The pairs are (before, after). `skipped` are the images that could not be read (path, reason).
    `notes` say what the number of pictures does not allow to promise, a line each.
    """

    detector: AnyBundle
    figures: dict[str, tuple[Figures, Figures]]
    reliability: dict[str, tuple[Bars, Bars]]
    skipped: tuple[tuple[str, str], ...] = ()
    notes: tuple[str, ...] = ()

    def table(self) -> str:
        """The figures as plain text, a block for each split.

        Calibration error and log loss are as if half of the pictures were fake.
        """
        blocks = []
        for split, (before, after) in self.figures.items():
            block = format_figures(split, before, after)
            blocks.append(block)
        fit = self.detector.config.calibration
        if fit is not None:
            blocks += format_left_out(fit)
        return "\n\n".join(blocks)


def calibrate(
    detector: AnyBundle,
    manifest: Manifest,
    rate: float | None = None,
    alpha: float | None = None,
    degrade: Degrade | None = None,
    progress: Progress | None = None,
    refuse_tinted: bool = False,
    keep_limits: bool = False,
    also: Sequence[float] | None = None,
    left_out: Mapping[str, AnyBundle] | None = None,
) -> Calibrated:
    """Fit temperature, bias, threshold, uncertain band and OOD limits on the calibration split.

    `rate` is the false-alarm rate: of the reals of a further source, at most this share can be
    expected to be called fake (a real that gets "cannot tell" is not). None is .02, or the lowest
    rate that the pictures can promise. `also` are further rates that a scan may ask for; None is
    .01 where that can be promised. `alpha` is the share of the fakes that may be called real; None
    is .1, or the lowest that can be promised. A cap on the share of uncertain reals can raise it
    (see `fauxlab.calibration.points`).

    `left_out` maps sources to detectors that were trained in the same way without them. Then the
    threshold keeps the rates on these sources, too, each scored by its own detector.

    `degrade` takes a picture uint8 [3, size, size] and returns it changed: then all is fitted and
    measured on changed pictures. Figures are of the calibration and the test split, before and
    after. `progress` is called with the number of images just scored. Images that cannot be read
    are left out and listed in `skipped`; pseudo-fakes are left out as well.

    An exported detector keeps its graph: its config alone changes, and its OOD limits are for the
    distances that its graph measures. `refuse_tinted` gives pictures in nearly one colour "cannot
    tell", for detectors that have learned none. With `keep_limits` the other OOD limits stay as
    they are. Raises LabError when the split has too few pictures for the rates.

    >>> import fauxlab as fl
    >>> data = fl.Manifest.load("manifest.csv")  # doctest: +SKIP
    >>> detector = fl.Detector.from_pretrained("runs/latest/best")  # doctest: +SKIP
    >>> calibrated = fl.calibrate(detector, data, rate=0.02, also=[0.01])  # doctest: +SKIP
    >>> print(calibrated.table())  # doctest: +SKIP
    >>> calibrated.detector.save_pretrained("calibrated")  # doctest: +SKIP
    """
    check_pipeline(detector)
    manifest = manifest.without_pseudo()
    # Before hours of scoring, not after.
    rows = manifest.calibration.rows
    if not rows:
        raise LabError(
            "the manifest's calibration split is empty; split it again with `fauxlab data index`"
        )
    rates = choose_rates(rows, rate, also, alpha)
    check_left_out(manifest, left_out or {}, detector)
    images = _load_splits(manifest, detector.size)

    # The OOD limits first: they change a network of torch, whose distances are measured below.
    before = detector
    detector = _fit_limits(
        detector, images["calibration"], degrade, progress, refuse_tinted, keep_limits
    )

    predictions = {}
    skipped: list[tuple[str, str]] = []
    for split, part in images.items():
        predictions[split] = Predictions.of(detector, part, degrade, progress)
        skipped += part.skipped
    fitted = predictions["calibration"]
    reals = Reals(_known_reals(fitted, detector.config))
    if left_out:
        unseen = score_left_out(left_out, manifest, reals.known, degrade, progress)
        reals = replace(reals, unseen=unseen)
    after = _with_points(detector, fitted, reals, rates)
    after = _with_origin(after, before, fitted, degraded=degrade is not None)

    notes = describe_counts(rows, rates, rate)
    notes += _describe_cap(after.config, rates)
    return _compare(before, after, predictions, skipped, notes)


def _compare(
    before: AnyBundle,
    after: AnyBundle,
    predictions: Mapping[str, Predictions],
    skipped: Sequence[tuple[str, str]],
    notes: Sequence[str],
) -> Calibrated:
    """The detector with its figures of each split, before and after."""
    figures = {}
    diagrams = {}
    for split, predicted in predictions.items():
        figures[split] = predicted.figures(before), predicted.figures(after)
        diagrams[split] = predicted.reliability(before), predicted.reliability(after)
    return Calibrated(
        detector=after,
        figures=figures,
        reliability=diagrams,
        skipped=tuple(skipped),
        notes=tuple(notes),
    )


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
    if not isinstance(detector, Detector):
        return refit_limits(
            detector, images, degrade, progress=progress, refuse_tinted=refuse_tinted
        )
    return fit_ood(detector, images, degrade, progress=progress, refuse_tinted=refuse_tinted)


def _has_limits(detector: AnyBundle) -> bool:
    if not isinstance(detector, Detector):
        return detector.config.ood is not None
    return measures_ood(detector)


def _load_splits(manifest: Manifest, size: int) -> dict[str, ImageArray]:
    """The images of the calibration split, and of the test split where there is one."""
    from fauxlab.data.cache import load_images

    images = {}
    for split in ("calibration", "test"):
        part = manifest.in_split(split)
        if len(part):
            images[split] = load_images(part, size)
    return images


def _known_reals(fitted: Predictions, config: DetectorConfig) -> Kinds:
    """The reals of the calibration split that get a verdict: the others are not called fake."""
    told = fitted.is_real & fitted.told(config)
    if not told.any():
        raise LabError(
            "no real photo of the calibration split gets a verdict; train on such photos"
        )
    return fitted.kinds(told)


def _with_points(
    detector: AnyBundle,
    fitted: Predictions,
    reals: Reals,
    rates: Rates,
) -> AnyBundle:
    """The detector with probabilities, and with a threshold and a band at each of the rates."""
    weights = fitted.kind_weights()
    fit = fit_calibration(fitted.logits, fitted.labels, weights)
    detector = _with_calibration(detector, fit.model_dump(), 0.5)
    fakes = fitted.kinds(~fitted.is_real)

    points = []
    for rate in (rates.default, *rates.further):
        point = fit_point(detector.config, reals, fakes, rate, rates.alpha)
        points.append(point)
    default, *further = points
    changes = {
        "false_alarm_rate": default.rate,
        "alpha": default.alpha,
        "low": default.low,
        "high": default.high,
        "left_out": default.left_out,
        "points": further,
        "n_real": fitted.count(fitted.is_real),
        "n_fake": fitted.count(~fitted.is_real),
        "data_hash": fitted.data_hash,
    }
    return _with_calibration(detector, changes, default.threshold)


def _with_origin(
    after: AnyBundle, before: AnyBundle, fitted: Predictions, degraded: bool
) -> AnyBundle:
    """The detector with what its bundle says of its own calibration."""
    changes = {
        "degraded": degraded,
        "ece_before": fitted.figures(before).ece,
        "ece_after": fitted.figures(after).ece,
    }
    return _with_calibration(after, changes, after.config.threshold)


def _describe_cap(config: DetectorConfig, rates: Rates) -> list[str]:
    """That the band is narrower than `alpha` asks for, if it is."""
    fit = config.calibration
    if fit is None or fit.alpha is None or fit.alpha <= rates.alpha:
        return []
    return [
        f"more than {MOST_UNCERTAIN:.0%} of the real photos would be uncertain where at most "
        f"{rates.alpha:g} of the fakes are called real; so it is up to {fit.alpha:.3g} of the fakes"
    ]


def _with_calibration(
    detector: AnyBundle, changes: Mapping[str, object], threshold: float
) -> AnyBundle:
    # Made anew, not copied with changes, so that it is checked as a bundle is on loading.
    fields = detector.config.model_dump(exclude={"schema_version"})
    fit = {**(fields["calibration"] or {}), **changes}
    fields |= {"calibration": fit, "threshold": threshold}
    config = DetectorConfig.model_validate(fields)
    return replace(detector, config=config, hash="")
