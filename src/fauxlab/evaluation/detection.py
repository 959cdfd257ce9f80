"""How well a detector tells fakes from reals: figures with intervals, per generator and pooled.

Label 1 (fake) is the positive class; a score is P(fake).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from fauxlab.errors import LabError
from fauxlab.evaluation.decisions import Decided, share_intervals, shares_of
from fauxlab.evaluation.kinds import measure_kinds, name_kinds
from fauxlab.evaluation.predicting import predict_decisions
from fauxlab.evaluation.scoring import score_set
from fauxlab.evaluation.subgroups import Grouping, measure_subgroups, parse_grouping
from fauxlab.io.text import printable
from fauxlab.records import DecisionShares, DetectionReport, DetectionScores, Interval
from fauxlab.version import __version__

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fauxlab.bundle.detector import AnyDetector
    from fauxlab.data.cache import ImageArray
    from fauxlab.data.manifest import Manifest

    Floats = NDArray[np.float64]
    Bools = NDArray[np.bool_]


def evaluate(
    detector: AnyDetector,
    manifest: Manifest,
    bootstrap: int = 1000,
    seed: int = 0,
    by: Sequence[str] = (),
) -> DetectionReport:
    """Score every image of `manifest` with a detector, and measure how often it is right.

    Pass one split; pseudo-fakes are left out. `by` names columns of the manifest: the result's
    `subgroups` then say how often each of their values is called fake. `age:0,13,20` stands for
    bands of numbers. Images that could not be decoded are listed in the result's `skipped`. Raises
    LabError on an empty manifest or an unknown column, and where none of the images can be read.

    >>> import fauxlab as fl
    >>> data = fl.Manifest.load("manifest.csv")  # doctest: +SKIP
    >>> detector = fl.Detector.from_pretrained("runs/latest/best")  # doctest: +SKIP
    >>> print(fl.evaluate(detector, data.test).table())  # doctest: +SKIP
    """
    from fauxlab.data.cache import load_images

    manifest = manifest.without_pseudo()
    if not len(manifest):
        raise LabError("there is no image to evaluate on: this split of the manifest is empty")
    groupings = [parse_grouping(text, manifest.columns) for text in by]
    images = load_images(manifest, detector.size)
    scores, decided = predict_decisions(detector, images)
    return report_on(detector, images, scores, decided, groupings, bootstrap, seed)


def report_on(
    detector: AnyDetector,
    images: ImageArray,
    scores: Floats,
    decided: Decided,
    by: Sequence[Grouping] = (),
    bootstrap: int = 1000,
    seed: int = 0,
) -> DetectionReport:
    """All figures of a detector's scores P(fake) [N] and decisions [N] on stored images."""
    return detection_report(
        images.manifest,
        scores,
        model=detector.config.architecture,
        model_hash=detector.hash,
        threshold=detector.config.threshold,
        decided=decided,
        by=by,
        bootstrap=bootstrap,
        seed=seed,
        skipped=images.skipped,
    )


def detection_report(
    manifest: Manifest,
    scores: Floats,
    *,
    model: str,
    model_hash: str,
    threshold: float = 0.5,
    decided: Decided | None = None,
    by: Sequence[Grouping] = (),
    bootstrap: int = 1000,
    seed: int = 0,
    skipped: Sequence[tuple[str, str]] = (),
) -> DetectionReport:
    """All figures of scores P(fake) [N], which are in the manifest's order.

    Each generator's fakes are compared with their matched reals, and all images are pooled.
    `decided` are the decisions of a scan; without them the threshold alone decides. `by` are the
    columns whose values are looked at apart. `skipped` are the images (path, reason) that have no
    score.
    """
    if decided is None:
        decided = Decided.by_threshold(scores, threshold)
    real_decisions = _decisions(manifest, decided, 0, bootstrap, seed)
    kind_aucs, kind_means = measure_kinds(
        manifest, scores, decided, real_decisions, bootstrap, seed
    )
    subgroups = []
    for grouping in by:
        subgroups.append(measure_subgroups(manifest, decided, grouping, bootstrap, seed))
    *generators, pooled = _score_parts(manifest, scores, threshold, kind_aucs, bootstrap, seed)
    splits = sorted({row.split for row in manifest.rows})
    called_real = ~(scores >= threshold)
    return DetectionReport(
        model=model,
        model_hash=model_hash,
        data_hash=manifest.data_hash,
        split="+".join(splits) or "unsplit",
        n=len(manifest),
        seed=seed,
        bootstrap=bootstrap,
        threshold=threshold,
        code_version=__version__,
        pooled=pooled,
        generators=generators,
        real_accuracy=_real_accuracy(manifest, called_real, bootstrap, seed),
        real_decisions=real_decisions,
        fake_decisions=_decisions(manifest, decided, 1, bootstrap, seed),
        kind_means=kind_means,
        subgroups=subgroups,
        skipped=[(printable(path), reason) for path, reason in skipped],
    )


def _score_parts(
    manifest: Manifest,
    scores: Floats,
    threshold: float,
    kind_aucs: dict[str, Interval],
    bootstrap: int,
    seed: int,
) -> list[DetectionScores]:
    """The figures of each of the manifest's parts, the pooled ones last."""
    groups = manifest.groups
    scored = []
    for name, rows, reals in list_parts(manifest):
        part = score_set(
            name,
            manifest.labels[rows],
            scores[rows],
            groups[rows].tolist(),
            reals,
            threshold=threshold,
            bootstrap=bootstrap,
            seed=seed,
        )
        scored.append(part)
    pooled = scored.pop()
    alike = [part.model_copy(update={"kind_auc": kind_aucs[part.name]}) for part in scored]
    return [*alike, pooled]


def list_parts(manifest: Manifest) -> Iterator[tuple[str, Bools, list[str]]]:
    """The sets that are scored apart: (name, which rows [N], the sources of their reals).

    One for each generator, of its fakes and their matched reals; last "pooled", of all rows.
    """
    generators = np.array([row.generator for row in manifest.rows])
    sources = _real_sources(manifest)
    for name in manifest.generators:
        reals = manifest.matched_reals(name)
        own_fakes = (generators == name) & (manifest.labels == 1)
        yield name, own_fakes | np.isin(sources, reals), reals
    yield "pooled", np.ones(len(manifest), dtype=bool), manifest.sources


def _real_sources(manifest: Manifest) -> NDArray[np.str_]:
    """The source [N] of each real image, "" for a fake one."""
    return np.array(["" if row.label else row.source for row in manifest.rows])


def _decisions(
    manifest: Manifest, decided: Decided, label: int, bootstrap: int, seed: int
) -> dict[str, DecisionShares]:
    """What a scan says of each kind of a label, in the manifest's order."""
    kinds = name_kinds(manifest)
    shares = {}
    for kind in manifest.generators if label else manifest.sources:
        rows = (kinds == kind) & (manifest.labels == label)
        shares[kind] = shares_of(manifest, decided, rows, bootstrap, seed)
    return shares


def _real_accuracy(
    manifest: Manifest, called_real: Bools, bootstrap: int, seed: int
) -> dict[str, Interval]:
    """Share of each source of reals that is called real."""
    groups = manifest.groups
    sources = _real_sources(manifest)
    shares: dict[str, Interval] = {}
    for source in manifest.sources:
        inside = sources == source
        if inside.any():
            inside_groups = groups[inside].tolist()
            hits = {source: called_real[inside]}
            shares |= share_intervals(hits, inside_groups, bootstrap, seed)
    return shares
