"""Can the recommended detector be trusted? The report's way of training against ours: one split,
one table.

    fauxlab data index FACES --out faces/manifest.csv --pair stylegan=ffhq --pair dfdc-swap=dfdc-real \
        --pair sd21=ffhq,celeba --pair generated-photos=ffhq,celeba
    fauxlab reproduce faces/manifest.csv --out runs/faces --only detector --no-extended
    fauxlab detector train faces/manifest.csv --recipe detector
    fauxlab detector train faces/manifest.csv --recipe detector --leave-one-out --set train.epochs=2
    fauxlab detector calibrate runs/detector/best faces/manifest.csv --degraded
    .venv/bin/python -m benchmarks.detector.trust faces/manifest.csv report=runs/faces/report-unified/best \
        joint=runs/faces/unified-joint/best detector=runs/detector/best-calibrated \
        --unseen detector=runs/detector-leave-one-out.json
    fauxlab detector train faces/manifest.csv --recipe report-unified --leave-one-out
    .venv/bin/python -m benchmarks.detector.trust faces/manifest.csv \
        --unseen report=runs/report-unified-leave-one-out.json

Each NAME=BUNDLE is judged on the test split: as it is, at its threshold, after every degradation
(`--kinds` for some), and on odd pictures that are no faces. Writes
benchmarks/results/detector_trust.json; models that it holds already stay, so that they can be
measured one after the other, and given what they are worth on generators left out.
"""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from pathlib import Path
from typing import Any

import numpy as np
from benchmarks.detector.ood_images import KINDS, draw_ood_image
from numpy.typing import NDArray

from fauxlab.auditing.audit import metadata_baseline
from fauxlab.bundle.detector import AnyDetector, Prediction
from fauxlab.bundle.opening import open_detector
from fauxlab.data.cache import load_images
from fauxlab.data.manifest import Manifest
from fauxlab.environment import describe_environment
from fauxlab.evaluation.robustness import robustness_report
from fauxlab.io.sharpness import measure_sharpness
from fauxlab.records import DetectionReport

RESULTS = Path(__file__).parents[1] / "results" / "detector_trust.json"
ODD, FIRST_SEED = 50, 10_000  # a kind; seeds that no fit or choice has seen
DECISIONS = ("real", "fake", "uncertain", "cannot tell")
ASKED = ("jpeg q50", "resize ×0.5")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("manifest", type=Path)
    parser.add_argument("models", nargs="*", metavar="NAME=BUNDLE")
    parser.add_argument(
        "--unseen", nargs="*", default=[], metavar="NAME=JSON", help="leave-one-out reports"
    )
    parser.add_argument("--kinds", help="degradations, separated by commas; all by default")
    options = parser.parse_args()
    manifest = Manifest.load(options.manifest)
    held = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    if held.get("data_hash") != manifest.data_hash:
        held = {"data_hash": manifest.data_hash, "models": {}}
        held["file_traits_auc"] = {
            name: auc.model_dump()
            for name, auc in metadata_baseline(manifest.train, manifest.test).items()
        }
    unseen = {
        name: describe_unseen(json.loads(Path(path).read_text()))
        for name, _, path in (item.partition("=") for item in options.unseen)
    }
    for name in unseen.keys() & held["models"].keys():
        held["models"][name] |= {
            "never_seen": unseen[name],
            "never_seen_command": shlex.join(sys.argv),
        }
        RESULTS.write_text(json.dumps(held, indent=1) + "\n")
    for item in options.models:
        name, _, folder = item.partition("=")
        found = measure(Path(folder), manifest, options.kinds.split(",") if options.kinds else None)
        if name in unseen:
            found["never_seen"] = unseen[name]
        if RESULTS.exists():  # another model may have been measured beside this one
            held["models"] |= json.loads(RESULTS.read_text())["models"]
        found |= {
            "command": shlex.join(sys.argv),
            "environment": describe_environment(manifest.data_hash),
        }
        held["models"][name] = found
        RESULTS.write_text(json.dumps(held, indent=1) + "\n")
    print(table(held["models"]))


def measure(folder: Path, manifest: Manifest, kinds: list[str] | None) -> dict[str, Any]:
    """All figures of one bundle."""
    detector = Recorder(open_detector(folder))
    images = load_images(manifest.test, detector.size)
    report = robustness_report(detector, images, kinds)
    clean = report.clean
    rounds = ["clean", *(row.name for row in report.degraded)]
    decisions = np.array(detector.decisions).reshape(len(rounds), len(images))
    return {
        "architecture": detector.config.architecture,
        "hash": detector.hash,
        "precision": detector.config.precision,
        "training": detector.config.training,
        "threshold": clean.threshold,
        "calibration": detector.config.calibration and detector.config.calibration.model_dump(),
        "n": clean.n,
        "generators": {
            s.name: {
                "reals": s.reals,
                "n": s.n_real + s.n_fake,
                "auc": s.auc.model_dump(),
                "accuracy": s.accuracy.model_dump(),
                "tpr_at_1_fpr": s.tpr_at_1_fpr.model_dump(),
                "called_fake": s.confusion.fake_as_fake / s.n_fake,
            }
            for s in clean.generators
        },
        "pooled": {
            "auc": clean.pooled.auc.model_dump(),
            "ece": clean.pooled.ece.value,
            "ece_expected": clean.pooled.ece_expected,
        },
        "false_alarms": false_alarms(clean),
        "degraded": {
            row.name: {
                "auc_change": row.auc_change.model_dump(),
                "generators": {s.name: s.auc.value for s in row.generators},
                "real_accuracy": {
                    source: share.value for source, share in row.real_accuracy.items()
                },
            }
            for row in report.degraded
        },
        "worst": report.worst,
        "decisions": {
            name: shares(row, images.manifest) for name, row in zip(rounds, decisions, strict=True)
        },
        "odd_pictures_not_told": odd_shares(detector.detector),
    }


class Recorder:
    """A detector that remembers what `scan` would have said of every picture that it judged."""

    def __init__(self, detector: AnyDetector) -> None:
        self.detector, self.config, self.hash, self.size = (
            detector,
            detector.config,
            detector.hash,
            detector.size,
        )
        self.scores = detector.scores
        self.decisions: list[str] = []

    def predict(self, pixels: NDArray[np.uint8]) -> Prediction:
        """As the detector does."""
        found = self.detector.predict(pixels)
        scores = self.scores(found.logits).tolist()
        for picture, score, distance in zip(
            pixels, scores, found.ood_distances.tolist(), strict=True
        ):
            label, uncertain = self.config.decide(score)
            sure = self.config.can_tell(distance, measure_sharpness(picture))
            self.decisions.append(
                "cannot tell" if not sure else "uncertain" if uncertain else label
            )
        return found


def shares(decisions: NDArray[np.str_], manifest: Manifest) -> dict[str, dict[str, float]]:
    """Share of each decision among each generator's fakes and each source's reals."""
    names = np.array([row.generator or row.source for row in manifest.rows])
    return {
        name: {what: float(np.mean(decisions[names == name] == what)) for what in DECISIONS}
        for name in [*manifest.generators, *manifest.sources]
    }


def false_alarms(report: DetectionReport) -> dict[str, Any]:
    """Share of each source of reals called fake at the model's threshold, with its interval."""

    def rest(value: float | None) -> float | None:
        return None if value is None else 1 - value

    return {
        source: {"value": rest(share.value), "low": rest(share.high), "high": rest(share.low)}
        for source, share in report.real_accuracy.items()
    }


def odd_shares(detector: AnyDetector) -> dict[str, float] | None:
    """Share of each kind of odd picture that is answered with "cannot tell"; None where the model
    never does.
    """
    if detector.config.ood is None:
        return None
    found = {}
    for kind in KINDS:
        pictures = np.stack(
            [draw_ood_image(kind, detector.size, FIRST_SEED + k) for k in range(ODD)]
        )
        found[kind] = float(
            np.mean(
                [
                    not detector.config.in_distribution(float(d))
                    for d in detector.predict(pictures).ood_distances
                ]
            )
        )
    return found


def describe_unseen(report: dict[str, Any]) -> dict[str, Any]:
    """AUC on each generator by the model that never saw it."""
    return {
        row["scores"]["name"]: {
            "auc": row["scores"]["auc"],
            "tpr_at_1_fpr": row["scores"]["tpr_at_1_fpr"],
        }
        for row in report["generators"]
    }


def table(models: dict[str, Any]) -> str:
    """The models side by side."""
    rows: list[tuple[str, list[str]]] = []

    def add(title: str, value: Any) -> None:
        rows.append((title, [value(model) for model in models.values()]))

    for name in next(iter(models.values()))["generators"]:
        add(f"{name}: AUC", lambda m, n=name: interval(m["generators"][n]["auc"]))
        add(
            "  accuracy at the threshold",
            lambda m, n=name: interval(m["generators"][n]["accuracy"]),
        )
        add("  TPR at 1 % FPR", lambda m, n=name: interval(m["generators"][n]["tpr_at_1_fpr"]))
        add(
            "  AUC, never seen",
            lambda m, n=name: interval(m.get("never_seen", {}).get(n, {}).get("auc")),
        )
    for source in next(iter(models.values()))["false_alarms"]:
        add(f"false alarms on {source}", lambda m, s=source: interval(m["false_alarms"][s]))
    add("threshold", lambda m: f"{m['threshold']:.3f}")
    add("ECE", lambda m: f"{m['pooled']['ece']:.3f}")
    for change in ASKED:
        add(
            f"AUC change, {change}",
            lambda m, c=change: interval(m["degraded"].get(c, {}).get("auc_change")),
        )
    add("worst degradation", lambda m: m["worst"] or "n/a")
    add("  AUC change", lambda m: interval(m["degraded"].get(m["worst"], {}).get("auc_change")))
    add(
        "odd pictures not told",
        lambda m: "n/a" if not (o := m["odd_pictures_not_told"]) else f"{mean(o):.3f}",
    )
    head = f"{'':<32}" + "".join(f"{name:<26}" for name in models)
    return "\n".join(
        [
            head,
            *(f"{title:<32}" + "".join(f"{cell:<26}" for cell in cells) for title, cells in rows),
        ]
    )


def interval(value: dict[str, float | None] | None) -> str:
    if not value or value["value"] is None:
        return "n/a"
    bounds = "" if value["low"] is None else f" [{value['low']:.3f}, {value['high']:.3f}]"
    return f"{value['value']:.3f}{bounds}"


def mean(shares: dict[str, float]) -> float:
    return sum(shares.values()) / len(shares)


if __name__ == "__main__":
    main()
