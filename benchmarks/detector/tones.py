r"""How many real photos does a detector call fake after each tone and filter, by kind of photo?

    fauxlab data index FACES --out faces/manifest.csv --split 0,.2,.4,.4
    .venv/bin/python -m benchmarks.detector.tones faces/manifest.csv \
        before=OLDER-BUNDLE after=fauxlab

The bundles are of one network: they differ in their calibration. So every picture is predicted
once, and each bundle decides on the same numbers. The test split is measured as it is and after
each change of TONES at all its levels; the real photos after every change, the fakes after those of
FAKES_AFTER. Of each kind at most `--most` pictures are taken, from as many groups as there are.
`--predictions FOLDER` keeps the numbers, so that a second run need not predict again.

Writes benchmarks/results/tones.json.
"""

from __future__ import annotations

import argparse
import hashlib
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from benchmarks.output import describe_machine, save_results
from numpy.typing import NDArray

from fauxlab.bundle.config import DetectorConfig
from fauxlab.bundle.decision import can_tell, compute_scores, decide
from fauxlab.bundle.detector import AnyDetector
from fauxlab.bundle.opening import open_detector
from fauxlab.data.cache import ImageArray, load_images
from fauxlab.data.manifest import Manifest
from fauxlab.evaluation.predicting import predict_batches
from fauxlab.io.sharpness import measure_sharpness
from fauxlab.io.tint import measure_tint
from fauxlab.statistics import with_intervals
from fauxlab.transforms.protocol import degrade, list_degradations, name_degradation

RESULTS = "tones.json"
TONES = (
    "sepia",
    "duotone",
    "tint",
    "white balance",
    "faded",
    "auto-contrast",
    "gamma",
    "saturation",
    "cross-process",
    "film",
    "median",
    "denoise",
    "sharpen",
    "beauty",
    "night mode",
    "upscaled",
    "phone",
    "screen",
    "scan",
    "stage light",
)
CLEAN = "as they are"
FAKES_AFTER = (
    CLEAN,
    "sepia ×1",
    "white balance mired 150",
    "faded ×1",
    "denoise σ10",
    "sharpen ×3",
)
# What the packaged weights learned from; pictures of these kinds may have been among them.
LEARNED = (
    "celeba",
    "dfdc-real",
    "dfdc-swap",
    "ffhq",
    "generated-photos",
    "sd21",
    "stylegan",
)
DECISIONS = ("fake", "uncertain", "cannot tell")
BOOTSTRAP = 1000
PARTS = ("learned", "other")  # of the kinds: what the weights learned from, and what not

Pixels = NDArray[np.uint8]
Names = NDArray[np.str_]
Bools = NDArray[np.bool_]
Change = Callable[[Pixels], Pixels]


@dataclass(frozen=True)
class Predictions:
    """Logits, OOD distances, sharpness and tints [N] of pictures after one change."""

    logits: NDArray[np.float32]
    distances: NDArray[np.float32]
    sharpness: NDArray[np.float64]
    tints: NDArray[np.float64]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("manifest", type=Path)
    parser.add_argument("models", nargs="+", metavar="NAME=BUNDLE")
    parser.add_argument("--most", type=int, default=60, help="pictures of a kind")
    parser.add_argument("--predictions", type=Path, help="folder that keeps the numbers")
    options = parser.parse_args()
    manifest = Manifest.load(options.manifest)
    detectors = {}
    for item in options.models:
        name, _, folder = item.partition("=")
        detectors[name] = open_detector(folder)
    part = take_some(manifest.test, options.most)
    results = measure(detectors, part, options.predictions)
    results["environment"] = describe_machine(manifest.data_hash)
    save_results(RESULTS, results)
    print(format_table(results))


def take_some(manifest: Manifest, most: int) -> Manifest:
    """At most so many pictures of each kind: the first of every group, then the second ones."""
    in_group: Counter[str] = Counter()
    ranked = []
    for row in manifest.rows:
        kind = row.kind
        # A group holds the reals and fakes of a video: each kind counts by itself.
        key = f"{kind}/{row.group}"
        ranked.append((in_group[key], row))
        in_group[key] += 1
    ranked.sort(key=lambda item: item[0])
    taken: Counter[str] = Counter()
    rows = []
    for _, row in ranked:
        if taken[row.kind] < most:
            rows.append(row)
        taken[row.kind] += 1
    return Manifest(tuple(rows), manifest.root)


# --- predicting


def list_changes() -> Iterator[tuple[str, Change | None]]:
    """The names of the changes, and what makes them of a batch of pictures."""
    yield CLEAN, None
    for kind, level in list_degradations(TONES):
        yield name_degradation(kind, level), change_batch(kind, level)


def change_batch(kind: str, level: float) -> Change:
    def change(pixels: Pixels) -> Pixels:
        return np.stack([degrade(picture, kind, level) for picture in pixels])

    return change


def predict(
    detector: AnyDetector, images: ImageArray, change: Change | None, kept: Path | None
) -> Predictions:
    """Predict pictures after a change, or read what an earlier run predicted."""
    if kept and kept.exists():
        with np.load(kept) as arrays:
            return Predictions(**arrays)
    logits = []
    distances = []
    sharpness = []
    tints = []
    for pixels, predicted in predict_batches(detector, images, change):
        logits.append(predicted.logits)
        distances.append(predicted.ood_distances)
        sharpness += [measure_sharpness(picture) for picture in pixels]
        tints += [measure_tint(picture) for picture in pixels]
    predictions = Predictions(
        np.concatenate(logits), np.concatenate(distances), np.array(sharpness), np.array(tints)
    )
    if kept:
        kept.parent.mkdir(parents=True, exist_ok=True)
        np.savez(kept, **vars(predictions))
    return predictions


# --- measuring


def measure(
    detectors: dict[str, AnyDetector], manifest: Manifest, folder: Path | None
) -> dict[str, Any]:
    """Shares of decisions by change, kind of picture and bundle."""
    first = next(iter(detectors.values()))
    everything = load_images(manifest, first.size)
    reals = load_images(manifest.where(lambda row: row.label == 0), first.size)
    changes = {}
    for name, change in list_changes():
        images = everything if name in FAKES_AFTER else reals
        kept = folder and folder / f"{name_of_file(images.manifest, name)}.npz"
        predictions = predict(first, images, change, kept)
        changes[name] = share_by_bundle(detectors, images.manifest, predictions)
        print(f"{name}: {len(images)} pictures", flush=True)
    return {
        "models": {name: describe(detector) for name, detector in detectors.items()},
        "learned_from": list(LEARNED),
        "real_kinds": manifest.sources,
        "n": count_kinds(everything.manifest),
        "changes": changes,
    }


def name_of_file(manifest: Manifest, change: str) -> str:
    key = f"{manifest.data_hash} {change}"
    return hashlib.sha256(key.encode()).hexdigest()[:16]


def describe(detector: AnyDetector) -> dict[str, Any]:
    config = detector.config
    return {
        "hash": detector.hash,
        "threshold": config.threshold,
        "calibration": config.calibration and config.calibration.model_dump(),
        "ood": config.ood and config.ood.model_dump(),
    }


def count_kinds(manifest: Manifest) -> dict[str, dict[str, int]]:
    """Pictures and groups of each kind."""
    groups: dict[str, list[str]] = {}
    for row in manifest.rows:
        groups.setdefault(row.kind, []).append(row.group)
    counts = {}
    for kind, own in sorted(groups.items()):
        counts[kind] = {"pictures": len(own), "groups": len(set(own))}
    return counts


def share_by_bundle(
    detectors: dict[str, AnyDetector], manifest: Manifest, predictions: Predictions
) -> dict[str, Any]:
    """Shares of each decision among each kind, and among all real kinds of either part."""
    kinds = np.array([row.kind for row in manifest.rows])
    groups = np.array([row.group for row in manifest.rows])
    is_real = manifest.labels == 0
    is_learned = np.isin(kinds, LEARNED)
    shares: dict[str, Any] = {}
    for name, detector in detectors.items():
        decisions = decide_all(detector.config, predictions)
        own: dict[str, Any] = {}
        for kind in np.unique(kinds):
            rows = kinds == kind
            own[str(kind)] = share_decisions(decisions[rows], groups[rows])
        for label, is_label in (("real", is_real), ("fake", ~is_real)):
            for part, in_part in (("learned", is_learned), ("other", ~is_learned)):
                rows = is_label & in_part
                if rows.any():
                    own[f"all {label}, {part}"] = share_decisions(decisions[rows], groups[rows])
        shares[name] = own
    return shares


def decide_all(config: DetectorConfig, predictions: Predictions) -> Names:
    """The decision on each picture [N], as `fauxlab scan` prints it."""
    scores = compute_scores(config, predictions.logits)
    decisions = []
    for score, distance, sharpness, tint in zip(
        scores.tolist(),
        predictions.distances.tolist(),
        predictions.sharpness.tolist(),
        predictions.tints.tolist(),
        strict=True,
    ):
        label, uncertain = decide(config, score)
        if not can_tell(config, distance, sharpness, tint):
            decisions.append("cannot tell")
        else:
            decisions.append("uncertain" if uncertain else label)
    return np.array(decisions)


def share_decisions(decisions: Names, groups: Names) -> dict[str, Any]:
    """The share called fake with its 95 % interval over groups, and the shares without a label."""
    is_fake = decisions == "fake"

    def share(weights: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
        return {"fake": weights @ is_fake / weights.sum(1)}

    labels = np.zeros(len(decisions), np.int64)
    trials = {"fake": len(np.unique(groups))}
    interval = with_intervals(share, groups.tolist(), labels, BOOTSTRAP, 0, trials)["fake"]
    bounds = (interval.value, interval.low, interval.high)
    shares: dict[str, Any] = {"fake": [rounded(value) for value in bounds]}
    for decision in DECISIONS[1:]:
        shares[decision] = rounded(float(np.mean(decisions == decision)))
    return shares


def rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)


# --- the table on the terminal


def format_table(results: dict[str, Any]) -> str:
    """For every change and bundle: the real kinds together, and the worst of them."""
    names = list(results["models"])
    lines = [f"{'called fake':<26}" + "".join(f"{name:<52}" for name in names)]
    for change, shares in results["changes"].items():
        cells = [describe_alarms(shares[name], results["real_kinds"]) for name in names]
        lines.append(f"{change:<26}" + "".join(f"{cell:<52}" for cell in cells))
    return "\n".join(lines)


def describe_alarms(shares: dict[str, Any], real_kinds: list[str]) -> str:
    """As "learned 1.2%, other 3.4%, worst 8.0% (press)"."""
    parts = []
    for part in PARTS:
        value = shares[f"all real, {part}"]["fake"][0]
        parts.append(f"{part} {value:.1%}")
    kind, share = worst_kind(shares, real_kinds)
    return ", ".join([*parts, f"worst {share:.1%} ({kind})"])


def worst_kind(shares: dict[str, Any], real_kinds: list[str]) -> tuple[str, float]:
    """The real kind of which most pictures are called fake, and that share."""
    alarms = {kind: shares[kind]["fake"][0] for kind in real_kinds}
    worst = max(alarms, key=lambda kind: alarms[kind])
    return worst, alarms[worst]


if __name__ == "__main__":
    main()
