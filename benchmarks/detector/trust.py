r"""Can the recommended detector be trusted? It and the student paper's detectors on one test split.

    fauxlab data index FACES --out faces/manifest.csv \
        --pair stylegan=ffhq --pair dfdc-swap=dfdc-real \
        --pair sd21=ffhq,celeba --pair generated-photos=ffhq,celeba
    fauxlab reproduce faces/manifest.csv --out runs/faces --only detector --no-extended
    fauxlab detector train faces/manifest.csv --recipe detector
    fauxlab detector train faces/manifest.csv --recipe detector --leave-one-out \
        --set train.epochs=2
    fauxlab detector calibrate runs/detector/best faces/manifest.csv --degraded
    .venv/bin/python -m benchmarks.detector.trust faces/manifest.csv \
        report=runs/faces/report-unified/best joint=runs/faces/unified-joint/best \
        detector=runs/detector/best-calibrated --unseen detector=runs/detector-leave-one-out.json
    fauxlab detector train faces/manifest.csv --recipe report-unified --leave-one-out
    .venv/bin/python -m benchmarks.detector.trust faces/manifest.csv \
        --unseen report=runs/report-unified-leave-one-out.json

Measures every NAME=BUNDLE on the test split as it is, after every degradation (`--kinds` takes some
of them), and on pictures that are no photos of faces. `--unseen` adds the figures of detectors that
were trained without one generator.

Writes benchmarks/results/detector_trust.json after each model. Models that are already in the file
stay, so models can be measured one after the other.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
from benchmarks.detector.ood_images import KINDS, draw_ood_image
from benchmarks.output import command_line, describe_machine, load_results, save_results

from fauxlab.auditing.audit import metadata_baseline
from fauxlab.bundle.decision import in_distribution
from fauxlab.bundle.detector import AnyDetector
from fauxlab.bundle.opening import open_detector
from fauxlab.data.cache import load_images
from fauxlab.data.manifest import Manifest
from fauxlab.evaluation.robustness import robustness_report
from fauxlab.records import DegradedScores, DetectionReport

RESULTS = "detector_trust.json"
OOD_IMAGES = 50  # of each kind
# No fit and no choice has used pictures from these seeds on.
FIRST_SEED = 10_000
SHOWN_CHANGES = ("jpeg q50", "resize ×0.5")

Model = dict[str, Any]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("manifest", type=Path)
    parser.add_argument("models", nargs="*", metavar="NAME=BUNDLE")
    parser.add_argument(
        "--unseen", nargs="*", default=[], metavar="NAME=JSON", help="leave-one-out results"
    )
    parser.add_argument("--kinds", help="degradations, separated by commas; all by default")
    options = parser.parse_args()
    manifest = Manifest.load(options.manifest)
    kinds = options.kinds.split(",") if options.kinds else None
    results = load_results_for(manifest)
    unseen = {}
    for item in options.unseen:
        name, _, path = item.partition("=")
        unseen[name] = read_unseen(Path(path))
    for name in unseen.keys() & results["models"].keys():
        model = results["models"][name]
        model["never_seen"] = unseen[name]
        model["never_seen_command"] = command_line()
        save_results(RESULTS, results)
    for item in options.models:
        name, _, folder = item.partition("=")
        model = measure(Path(folder), manifest, kinds)
        if name in unseen:
            model["never_seen"] = unseen[name]
        model["command"] = command_line()
        model["environment"] = describe_machine(manifest.data_hash)
        # Another process may have measured another model in the meantime.
        results["models"] |= (load_results(RESULTS) or results)["models"]
        results["models"][name] = model
        save_results(RESULTS, results)
    print(format_table(results["models"]))


def load_results_for(manifest: Manifest) -> dict[str, Any]:
    """What was measured on the same data, or an empty file of results with the files' baseline."""
    results = load_results(RESULTS)
    if results and results["data_hash"] == manifest.data_hash:
        return results
    baseline = metadata_baseline(manifest.train, manifest.test)
    return {
        "data_hash": manifest.data_hash,
        "models": {},
        "file_traits_auc": {name: auc.model_dump() for name, auc in baseline.items()},
    }


def read_unseen(path: Path) -> dict[str, Any]:
    """The figures on each generator of the detector that never saw it."""
    results = json.loads(path.read_text(encoding="utf-8"))
    figures = {}
    for generator in results["generators"]:
        scores = generator["scores"]
        figures[scores["name"]] = {"auc": scores["auc"], "tpr_at_1_fpr": scores["tpr_at_1_fpr"]}
    return figures


# --- measuring one model


def measure(folder: Path, manifest: Manifest, kinds: list[str] | None) -> Model:
    """All figures of one bundle."""
    detector = open_detector(folder)
    images = load_images(manifest.test, detector.size)
    report = robustness_report(detector, images, kinds)
    clean = report.clean
    config = detector.config
    shares = {"clean": share_decisions(clean)}
    for row in report.degraded:
        shares[row.name] = share_decisions(row)
    return {
        "architecture": config.architecture,
        "hash": detector.hash,
        "precision": config.precision,
        "training": config.training,
        "threshold": clean.threshold,
        "calibration": config.calibration and config.calibration.model_dump(),
        "n": clean.n,
        "generators": {scores.name: describe_generator(scores) for scores in clean.generators},
        "pooled": {
            "auc": clean.pooled.auc.model_dump(),
            "ece": clean.pooled.ece.value,
            "ece_expected": clean.pooled.ece_expected,
        },
        "false_alarms": false_alarms(clean),
        "degraded": {row.name: describe_change(row) for row in report.degraded},
        "worst": report.worst,
        "decisions": shares,
        "odd_pictures_not_told": share_rejected(detector),
    }


def describe_generator(scores: Any) -> dict[str, Any]:
    return {
        "reals": scores.reals,
        "n": scores.n_real + scores.n_fake,
        "auc": scores.auc.model_dump(),
        "accuracy": scores.accuracy.model_dump(),
        "tpr_at_1_fpr": scores.tpr_at_1_fpr.model_dump(),
        "called_fake": scores.confusion.fake_as_fake / scores.n_fake,
    }


def describe_change(row: Any) -> dict[str, Any]:
    return {
        "auc_change": row.auc_change.model_dump(),
        "generators": {scores.name: scores.auc.value for scores in row.generators},
        "real_accuracy": {source: share.value for source, share in row.real_accuracy.items()},
    }


def share_decisions(scores: DetectionReport | DegradedScores) -> dict[str, dict[str, float]]:
    """Share of each decision among each generator's fakes and each source's reals."""
    shares = {}
    for name, decided in [*scores.fake_decisions.items(), *scores.real_decisions.items()]:
        shares[name] = {
            "real": decided.called_real.value or 0.0,
            "fake": decided.called_fake.value or 0.0,
            "uncertain": decided.uncertain.value or 0.0,
            "cannot tell": decided.cannot_tell.value or 0.0,
        }
    return shares


def false_alarms(report: DetectionReport) -> dict[str, Any]:
    """Share of each source of reals called fake at the model's threshold, with its interval."""
    alarms = {}
    for source, right in report.real_accuracy.items():
        alarms[source] = {
            "value": complement(right.value),
            "low": complement(right.high),
            "high": complement(right.low),
        }
    return alarms


def complement(share: float | None) -> float | None:
    return None if share is None else 1 - share


def share_rejected(detector: AnyDetector) -> dict[str, float] | None:
    """Share of each kind of OOD image that the detector calls out-of-distribution.

    None for a detector without a limit, which never does.
    """
    if detector.config.ood is None:
        return None
    shares = {}
    for kind in KINDS:
        pictures = []
        for number in range(OOD_IMAGES):
            picture = draw_ood_image(kind, detector.size, FIRST_SEED + number)
            pictures.append(picture)
        distances = detector.predict(np.stack(pictures)).ood_distances
        rejected = [not in_distribution(detector.config, float(d)) for d in distances]
        shares[kind] = float(np.mean(rejected))
    return shares


# --- the table on the terminal


def format_table(models: dict[str, Model]) -> str:
    """The models side by side, one figure a row."""
    every = list(models.values())
    first = every[0]
    lines = [format_row("", list(models))]

    def add(title: str, *path: str) -> None:
        figures = [interval(look_up(model, path)) for model in every]
        lines.append(format_row(title, figures))

    for name in first["generators"]:
        add(f"{name}: AUC", "generators", name, "auc")
        add("  accuracy", "generators", name, "accuracy")
        add("  TPR at 1 % FPR", "generators", name, "tpr_at_1_fpr")
        add("  AUC, never seen", "never_seen", name, "auc")
    for source in first["false_alarms"]:
        add(f"false alarms on {source}", "false_alarms", source)
    for change in SHOWN_CHANGES:
        add(f"AUC change, {change}", "degraded", change, "auc_change")
    thresholds = [f"{model['threshold']:.3f}" for model in every]
    lines.append(format_row("threshold", thresholds))
    errors = [f"{model['pooled']['ece']:.3f}" for model in every]
    lines.append(format_row("ECE", errors))
    lines.append(format_row("worst degradation", [model["worst"] or "n/a" for model in every]))
    lines.append(format_row("  AUC change", [worst_change(model) for model in every]))
    lines.append(format_row("OOD images rejected", [mean_rejected(model) for model in every]))
    return "\n".join(lines)


def look_up(model: Model, path: tuple[str, ...]) -> Any:
    """A figure by its keys; None where it was not measured."""
    figure: Any = model
    for key in path:
        figure = figure.get(key, {})
    return figure or None


def format_row(title: str, cells: list[str]) -> str:
    columns = [f"{cell:<26}" for cell in cells]
    return f"{title:<32}" + "".join(columns)


def worst_change(model: Model) -> str:
    return interval(look_up(model, ("degraded", model["worst"], "auc_change")))


def mean_rejected(model: Model) -> str:
    shares = model["odd_pictures_not_told"]
    if not shares:
        return "n/a"
    mean = sum(shares.values()) / len(shares)
    return f"{mean:.3f}"


def interval(figure: dict[str, float | None] | None) -> str:
    """A figure with its bounds: 0.937 [0.921, 0.953]; n/a where it was not measured."""
    if not figure or figure["value"] is None:
        return "n/a"
    value = f"{figure['value']:.3f}"
    if figure["low"] is None:
        return value
    return f"{value} [{figure['low']:.3f}, {figure['high']:.3f}]"


if __name__ == "__main__":
    main()
