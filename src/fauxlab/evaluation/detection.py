"""How well fakes are told from reals: scores with intervals, per generator and pooled.

Label 1 (fake) is the positive class; a score is P(fake).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from fauxlab.bundle.detector import check_pipeline
from fauxlab.data.manifest import Manifest
from fauxlab.errors import LabError
from fauxlab.io.text import printable
from fauxlab.records import Confusion, DetectionReport, DetectionScores, Interval
from fauxlab.statistics import (
    Counts,
    auc,
    average_precision,
    count_pairs,
    eer,
    tpr_at_fpr,
    with_intervals,
)
from fauxlab.version import __version__

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray

    from fauxlab.bundle.detector import AnyDetector
    from fauxlab.data.cache import ImageArray

    Floats = NDArray[np.float64]

ECE_BINS = 15
BATCH = 128


def expected_calibration_error(
    labels: NDArray[np.int64], scores: Floats, weights: Floats
) -> Floats:
    """Mean gap between score and share of fakes over equal-width bins [R], weighted by bin (Guo et
    al., 2017).

    Never 0 of so many pictures: see `expected_ece`. A calibrated score means P(fake) where both
    classes are as frequent, and is to be judged under `balanced` weights.
    """
    bins = np.minimum((scores * ECE_BINS).astype(int), ECE_BINS - 1)
    gaps = np.zeros(len(weights))
    for b in np.unique(bins):
        inside = bins == b
        gaps += np.abs(weights[:, inside] @ (labels[inside] - scores[inside]))
    return gaps / weights.sum(axis=1)


def expected_ece(
    labels: NDArray[np.int64], scores: Floats, seed: int = 0, draws: int = 200
) -> float | None:
    """What the error under `balanced` weights would be if these scores [N] were right; None where a
    class is missing.

    Its mean over sets of as many reals and as many fakes, whose scores are drawn from these as
    right scores fall: a fake's with a chance in proportion to the score, a real's to its rest.
    """
    chances = [balanced(labels) * right for right in (1 - scores, scores)]
    if not all(chance.sum() > 0 for chance in chances) or len(np.unique(labels)) < 2:
        return None
    rng, sizes = np.random.default_rng(seed), np.bincount(labels)
    drawn_labels, errors = np.repeat([0, 1], sizes), []
    for _ in range(draws):
        rows = [
            rng.choice(len(scores), n, p=p / p.sum()) for n, p in zip(sizes, chances, strict=True)
        ]
        weights = balanced(drawn_labels)[None]
        errors.append(
            expected_calibration_error(drawn_labels, scores[np.concatenate(rows)], weights)[0]
        )
    return float(np.mean(errors))


def balanced(labels: NDArray[np.int64]) -> Floats:
    """Weights [N] that make both classes one half; a class alone weighs all."""
    return 1 / np.bincount(labels, minlength=2)[labels]


def confusion_counts(
    labels: NDArray[np.int64], called_fake: NDArray[np.bool_], weights: Floats
) -> Floats:
    """Weighted counts [R, 4]: real as real, real as fake, fake as real, fake as fake."""
    cell = labels * 2 + called_fake
    return np.stack([weights[:, cell == c].sum(axis=1) for c in range(4)], axis=1)


def accuracy(cells: Floats) -> Floats:
    """Share of right calls [R]."""
    return (cells[:, 0] + cells[:, 3]) / cells.sum(axis=1)


def macro_f1(cells: Floats) -> Floats:
    """Mean of the F1 scores of real and fake [R]; NaN where a class has no images."""
    tn, fp, fn, tp = cells.T
    with np.errstate(invalid="ignore"):
        fake, real = 2 * tp / (2 * tp + fp + fn), 2 * tn / (2 * tn + fp + fn)
    return np.where((tn + fp > 0) & (fn + tp > 0), (fake + real) / 2, np.nan)


def score_set(
    name: str,
    labels: NDArray[np.int64],
    scores: Floats,
    groups: Sequence[str],
    reals: list[str],
    threshold: float = 0.5,
    bootstrap: int = 1000,
    seed: int = 0,
) -> DetectionScores:
    """All metrics of one set of images with 95 % intervals over groups. Labels, scores and groups
    are [N].
    """
    called = scores >= threshold

    def measure(weights: Floats) -> dict[str, Floats]:
        counts = Counts.of(labels, scores, weights)
        cells = confusion_counts(labels, called, weights)
        return {
            "accuracy": accuracy(cells),
            "macro_f1": macro_f1(cells),
            "auc": auc(counts),
            "average_precision": average_precision(counts),
            "eer": eer(counts),
            "tpr_at_1_fpr": tpr_at_fpr(counts, 0.01),
            "tpr_at_5_fpr": tpr_at_fpr(counts, 0.05),
        }

    both = 0 < labels.sum() < len(labels)
    ece = (
        float(expected_calibration_error(labels, scores, balanced(labels)[None])[0])
        if both
        else None
    )
    n_groups, fake_groups = (
        len(set(groups)),
        len({g for g, label in zip(groups, labels, strict=True) if label}),
    )
    shares_of = {
        "accuracy": n_groups,
        "auc": count_pairs(labels, groups),
        "tpr_at_1_fpr": fake_groups,
        "tpr_at_5_fpr": fake_groups,
    }
    figures = with_intervals(measure, groups, labels, bootstrap, seed, shares_of)
    tn, fp, fn, tp = (
        confusion_counts(labels, called, np.ones((1, len(labels))))[0].astype(int).tolist()
    )
    return DetectionScores(
        name=name,
        reals=reals,
        n_real=tn + fp,
        n_fake=fn + tp,
        n_groups=n_groups,
        # Without an interval: it is biased upwards by chance, and drawn sets are more so.
        ece=Interval(value=ece),
        ece_expected=expected_ece(labels, scores, seed),
        confusion=Confusion(real_as_real=tn, real_as_fake=fp, fake_as_real=fn, fake_as_fake=tp),
        **figures,
    )


def detection_report(
    manifest: Manifest,
    scores: Floats,
    *,
    model: str,
    model_hash: str,
    threshold: float = 0.5,
    bootstrap: int = 1000,
    seed: int = 0,
) -> DetectionReport:
    """Scores P(fake) [N], in the manifest's order, as a report: pooled, and per generator against
    its matched reals.
    """
    labels = manifest.labels
    sources = np.array(["" if row.label else row.source for row in manifest.rows])
    groups = np.array([row.group for row in manifest.rows])
    *per_generator, pooled = (
        score_set(
            name,
            labels[keep],
            scores[keep],
            groups[keep].tolist(),
            reals,
            threshold=threshold,
            bootstrap=bootstrap,
            seed=seed,
        )
        for name, keep, reals in list_parts(manifest)
    )
    real_accuracy = {
        source: _share(~(scores[keep] >= threshold), groups[keep].tolist(), bootstrap, seed)
        for source in manifest.sources
        if (keep := sources == source).any()
    }
    splits = sorted({row.split for row in manifest.rows})
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
        generators=per_generator,
        real_accuracy=real_accuracy,
    )


def list_parts(manifest: Manifest) -> Iterator[tuple[str, NDArray[np.bool_], list[str]]]:
    """What is judged apart: (generator, its and its matched reals' rows [N], their sources), and
    last all pooled.
    """
    generators = np.array([row.generator for row in manifest.rows])
    sources = np.array(["" if row.label else row.source for row in manifest.rows])
    labels = manifest.labels
    for name in manifest.generators:
        reals = manifest.matched_reals(name)
        yield name, (generators == name) & (labels == 1) | np.isin(sources, reals), reals
    yield "pooled", np.ones(len(labels), dtype=bool), manifest.sources


def evaluate(
    detector: AnyDetector, manifest: Manifest, bootstrap: int = 1000, seed: int = 0
) -> DetectionReport:
    """Judge a detector on every image of `manifest`; pass one split, as in `evaluate(detector,
    data.test)`.
    """
    from fauxlab.data.cache import load_images

    if not len(manifest):
        raise LabError("there is no image to evaluate on: this split of the manifest is empty")
    images = load_images(manifest, detector.size)
    scores = predict_scores(detector, images)
    return detection_report(
        images.manifest,
        scores,
        model=detector.config.architecture,
        model_hash=detector.hash,
        threshold=detector.config.threshold,
        bootstrap=bootstrap,
        seed=seed,
    )


def predict_scores(detector: AnyDetector, images: ImageArray) -> Floats:
    """P(fake) float64 [N] for all images. Raises LabError where the model gives one no finite
    score.
    """
    check_pipeline(detector)
    rows = [
        np.arange(start, min(start + BATCH, len(images))) for start in range(0, len(images), BATCH)
    ]
    logits = [detector.predict(images.take(part)).logits for part in rows]
    scores = detector.scores(np.concatenate([np.zeros(0, dtype=np.float32), *logits]))
    if len(bad := np.flatnonzero(~np.isfinite(scores))):
        raise LabError(
            f"the model gives {len(bad)} of {len(scores)} pictures no finite score, the first "
            f"{printable(images.manifest.rows[bad[0]].path)}; train it again"
        )
    return scores


def predict_logits(
    model: torch.nn.Module, images: ImageArray, rows: NDArray[np.int64], batch: int = BATCH
) -> NDArray[np.float32]:
    """Logits [len(rows)] in evaluation mode, on the device that the model is on; its mode is
    restored.
    """
    import torch

    from fauxlab.models.inputs import to_input

    device = next(model.parameters()).device
    was_training = model.training
    model.eval()
    logits = [np.zeros(0, dtype=np.float32)]
    with torch.inference_mode():
        for start in range(0, len(rows), batch):
            pixels = torch.from_numpy(images.take(rows[start : start + batch])).to(device)
            logits.append(model(to_input(pixels)).float().cpu().numpy())
    model.train(was_training)
    return np.concatenate(logits)


def _share(hits: NDArray[np.bool_], groups: Sequence[str], bootstrap: int, seed: int) -> Interval:
    def measure(weights: Floats) -> dict[str, Floats]:
        return {"share": weights @ hits / weights.sum(axis=1)}

    same = np.zeros(len(hits), dtype=np.int64)
    return with_intervals(measure, groups, same, bootstrap, seed, {"share": len(set(groups))})[
        "share"
    ]
