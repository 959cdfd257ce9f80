r"""Package a calibrated detector: its graph, its configuration and its model card.

    fauxlab data index FACES --out faces/manifest.csv \
        --pair stylegan=ffhq --pair dfdc-swap=dfdc-real \
        --pair sd21=ffhq,celeba --pair generated-photos=ffhq,celeba
    FAUXLAB_INCEPTION=WEIGHTS fauxlab detector train faces/manifest.csv --recipe detector
    fauxlab detector calibrate runs/detector/best faces/manifest.csv --degraded
    .venv/bin/python -m benchmarks.detector.trust …    # detector=runs/detector/best-calibrated
    .venv/bin/python -m benchmarks.detector.release faces/manifest.csv \
        runs/detector/best-calibrated

Writes `model.onnx`, `config.json` and the card into src/fauxlab/weights/detector. The card's tables
come from benchmarks/results/detector_trust.json and tones.json; a bundle whose figures are not in
the first is refused. Without a bundle only the card of the packaged detector is written anew, from
figures that `trust.py` measured on it, or on the bundle that it was exported from: a calibration
(`recalibrate.py`) changes no AUC.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
from benchmarks.detector.tones import CLEAN, PARTS, worst_kind
from benchmarks.detector.tones import RESULTS as TONES
from benchmarks.detector.trust import RESULTS, interval
from benchmarks.output import load_results, save_results

from fauxlab.bundle.detector import AnyDetector
from fauxlab.bundle.folder import CARD
from fauxlab.bundle.onnx import OnnxDetector
from fauxlab.bundle.opening import DEFAULT_MODEL, PACKAGED, open_detector
from fauxlab.data.cache import load_images
from fauxlab.data.manifest import Manifest
from fauxlab.io.text import replace_file
from fauxlab.models.export import TOLERANCE, export_onnx
from fauxlab.models.pretrained import Detector
from fauxlab.transforms.degradations import degrade_batch

# What the pictures of a source or generator are, and the terms that they come under.
ORIGINS = {
    "ffhq": ("portraits from Flickr", "FFHQ: non-commercial"),
    "celeba": ("celebrities", "CelebA: non-commercial research"),
    "dfdc-real": ("frames of video", "DFDC's own agreement"),
    "dfdc-swap": ("the same with swapped faces", "DFDC's own agreement"),
    "stylegan": ("StyleGAN trained on FFHQ", "as of FFHQ"),
    "sd21": ("Stable Diffusion 2.1", "as of its licence"),
    "generated-photos": ("portraits by a commercial GAN", "its publisher's"),
}
TEMPLATE = Path(__file__).with_name("card.md.j2")
COMMANDS = (__doc__ or "").split("\n\n")[1]
BATCH = 64


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("manifest", type=Path, help="the manifest that the model was trained with")
    parser.add_argument(
        "model", type=Path, nargs="?", help="a calibrated bundle; by default the packaged detector"
    )
    options = parser.parse_args()
    manifest = Manifest.load(options.manifest)
    results = load_results(RESULTS)
    if options.model is None:
        packaged = open_detector(DEFAULT_MODEL)
        exported_from = packaged.config.training["exported_from"]
        measured = find_figures(results, packaged.hash, exported_from)
    else:
        detector = Detector.from_pretrained(options.model, "cpu")
        measured = find_figures(results, detector.hash)
        packaged = export_onnx(detector, PACKAGED)
        difference = largest_difference(detector, packaged, manifest)
        results["graph_from_torch"] = difference
        save_results(RESULTS, results)
    learned_from = count_pictures(manifest.train)
    card = write_card(packaged, learned_from, measured, results, load_results(TONES))
    replace_file(PACKAGED / CARD, card)
    size = sum(path.stat().st_size for path in PACKAGED.iterdir())
    print(f"{PACKAGED}: {size / 2**20:.1f} MiB, model hash {packaged.hash}")


def find_figures(results: dict[str, Any], *hashes: str) -> dict[str, Any]:
    """What `trust.py` measured of the first of these models that it has measured."""
    measured = {figures["hash"]: figures for figures in results["models"].values()}
    for model_hash in hashes:
        if model_hash in measured:
            return measured[model_hash]
    raise SystemExit(
        f"benchmarks/results/{RESULTS} does not hold the figures of {' or '.join(hashes)}; "
        "run benchmarks.detector.trust"
    )


def largest_difference(detector: Detector, graph: OnnxDetector, manifest: Manifest) -> float:
    """Largest difference between torch and the graph on the test split, degraded at random.

    Compares logits, activation maps and distances; exits where they differ too much.
    """
    images = load_images(manifest.test, detector.size)
    largest = 0.0
    for start in range(0, len(images), BATCH):
        end = min(start + BATCH, len(images))
        rows = np.arange(start, end)
        pixels = degrade_batch(images.take(rows), rows)
        of_torch = detector.predict(pixels)
        of_graph = graph.predict(pixels)
        for a, b in zip(of_torch, of_graph, strict=True):
            difference = float(np.abs(a - b).max())
            largest = max(largest, difference)
    if largest > TOLERANCE:
        raise SystemExit(f"graph and torch differ by {largest:.2g}, more than {TOLERANCE:g}")
    return largest


def write_card(
    detector: AnyDetector,
    learned_from: list[dict[str, Any]],
    measured: dict[str, Any],
    results: dict[str, Any],
    tones: dict[str, Any],
) -> str:
    """The model card as Markdown."""
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined, keep_trailing_newline=True)
    environment.filters |= FILTERS
    template = environment.from_string(TEMPLATE.read_text(encoding="utf-8"))
    sizes = [tones["n"][kind]["pictures"] for kind in tones["real_kinds"]]
    return template.render(
        detector=detector,
        config=detector.config,
        fit=detector.config.calibration,
        ood=detector.config.ood,
        training_split=sum(row["count"] for row in learned_from),
        learned_from=learned_from,
        commands=COMMANDS,
        measured=measured,
        never_seen=measured.get("never_seen", {}),
        files_alone=results["file_traits_auc"],
        graph_from_torch=f"{results['graph_from_torch']:.1g}",
        kinds=describe_kinds(tones),
        tones=describe_tones(tones),
        least=min(sizes),
        most=max(sizes),
        worst_alarms=describe_worst_alarms(tones),
    )


def count_pictures(train: Manifest) -> list[dict[str, Any]]:
    """The number of pictures of every source of reals and of every generator."""
    counts: Counter[tuple[str, str]] = Counter()
    for row in train.rows:
        origin = (row.generator, "fake") if row.label else (row.source, "real")
        counts[origin] += 1
    rows = []
    for (name, kind), count in sorted(counts.items()):
        content, terms = ORIGINS[name]
        row = {"count": count, "kind": kind, "name": name, "content": content, "terms": terms}
        rows.append(row)
    return rows


def describe_kinds(tones: dict[str, Any]) -> list[dict[str, str]]:
    """The verdicts on each kind as it is: first the reals, those that it learned from ahead."""
    shares = tones["changes"][CLEAN]
    learned = tones["learned_from"]
    reals = tones["real_kinds"]
    kinds = sorted(tones["n"], key=lambda kind: (kind not in reals, kind not in learned, kind))
    rows = []
    for kind in kinds:
        label = "real" if kind in reals else "fake"
        part = ", learned" if kind in learned else ""
        counts = tones["n"][kind]
        now = shares["after"][kind]
        row = {
            "kind": f"{label}{part}: {kind}",
            "n": f"{counts['pictures']} ({counts['groups']})",
            "before": percent(shares["before"][kind]["fake"][0]),
            "fake": with_bounds(now["fake"]),
            "uncertain": percent(now["uncertain"]),
            "refused": percent(now["cannot tell"]),
        }
        rows.append(row)
    return rows


def describe_tones(tones: dict[str, Any]) -> list[dict[str, str]]:
    """False alarms after each change: of all reals of both parts, and of the worst kind."""
    rows = []
    for change, shares in tones["changes"].items():
        row = {"change": change}
        for column, name in (("_before", "before"), ("", "after")):
            own = shares[name]
            for part in PARTS:
                row[f"{part}{column}"] = percent(own[f"all real, {part}"]["fake"][0], 1)
            kind, share = worst_kind(own, tones["real_kinds"])
            row[f"worst{column}"] = f"{share:.0%} {kind}" if share else "none"
        refused = [shares["after"][f"all real, {part}"]["cannot tell"] for part in PARTS]
        row["refused"] = " / ".join(percent(share) for share in refused)
        rows.append(row)
    return rows


def describe_worst_alarms(tones: dict[str, Any], count: int = 3) -> str:
    """The changes after which most reals of a kind get the verdict "fake", in words."""
    alarms = []
    for change, shares in tones["changes"].items():
        kind, share = worst_kind(shares["after"], tones["real_kinds"])
        alarms.append((share, change, kind))
    worst = sorted(alarms, reverse=True)[:count]
    return ", ".join(f"{change} ({share:.0%} of {kind})" for share, change, kind in worst)


def with_bounds(figure: list[float | None]) -> str:
    """As 3% [1, 8]; without bounds where there are none."""
    value, low, high = figure
    words = percent(value or 0.0)
    if low is None or high is None:
        return words
    return f"{words} [{100 * low:.0f}, {100 * high:.0f}]"


def percent(value: float, digits: int = 0) -> str:
    return f"{value:.{digits}%}"


FILTERS: dict[str, Callable[..., str]] = {
    "interval": interval,
    "percent": percent,
    "figure": lambda value: f"{value:.3f}",
    "count": lambda value: f"{value:,}",
}


if __name__ == "__main__":
    main()
