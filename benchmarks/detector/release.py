r"""The detector that comes with the package, exported from a calibrated bundle, with a card of what
it is worth.

    fauxlab data index FACES --out faces/manifest.csv --pair stylegan=ffhq --pair dfdc-swap=dfdc-real \
        --pair sd21=ffhq,celeba --pair generated-photos=ffhq,celeba
    FAUXLAB_INCEPTION=WEIGHTS fauxlab detector train faces/manifest.csv --recipe detector
    fauxlab detector calibrate runs/detector/best faces/manifest.csv --degraded
    .venv/bin/python -m benchmarks.detector.trust …       # as at its head, with detector=runs/detector/best-calibrated
    .venv/bin/python -m benchmarks.detector.release faces/manifest.csv runs/detector/best-calibrated

Writes src/fauxlab/weights/detector: `model.onnx`, `config.json`, and the card, whose tables are
those of benchmarks/results/detector_trust.json. Refuses a bundle that this file does not hold the
figures of. Without a bundle only the card is written anew, for what is packaged, from figures
measured on that.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from benchmarks.detector.trust import interval

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

# What a source's or generator's pictures are, and the terms that they come under.
SOURCES = {
    "ffhq": "portraits from Flickr | FFHQ: non-commercial",
    "celeba": "celebrities | CelebA: non-commercial research",
    "dfdc-real": "frames of video | DFDC's own agreement",
    "dfdc-swap": "the same with swapped faces | DFDC's own agreement",
    "stylegan": "StyleGAN trained on FFHQ | as of FFHQ",
    "sd21": "Stable Diffusion 2.1 | as of its licence",
    "generated-photos": "portraits by a commercial GAN | its publisher's",
}
RESULTS = Path(__file__).parents[1] / "results" / "detector_trust.json"
BATCH = 64
COMMANDS = (__doc__ or "").split("\n\n")[1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "manifest",
        type=Path,
        help="that it was trained with; its test split compares graph and torch",
    )
    parser.add_argument(
        "model", type=Path, nargs="?", help="a calibrated bundle; by default what is packaged"
    )
    options = parser.parse_args()
    manifest = Manifest.load(options.manifest)
    detector = (
        Detector.from_pretrained(options.model, "cpu")
        if options.model
        else open_detector(DEFAULT_MODEL)
    )
    results = json.loads(RESULTS.read_text())
    models = [model for model in results["models"].values() if model["hash"] == detector.hash]
    if not models:
        raise SystemExit(
            f"{RESULTS} does not hold the figures of {detector.hash}; run benchmarks/detector/trust.py"
        )
    (measured,) = models
    made = detector
    if isinstance(detector, Detector):
        made = export_onnx(detector, PACKAGED)
        results["graph_from_torch"] = compare(detector, made, manifest)
        RESULTS.write_text(json.dumps(results, indent=1) + "\n")
    replace_file(PACKAGED / CARD, card(made, manifest, measured, results))
    size = sum(path.stat().st_size for path in PACKAGED.iterdir())
    print(f"{PACKAGED}: {size / 2**20:.1f} MiB, model hash {made.hash}")


def compare(detector: Detector, made: OnnxDetector, manifest: Manifest) -> float:
    """Largest difference of logits, evidence and distances on the test split, degraded at random."""
    images = load_images(manifest.test, detector.size)
    most = 0.0
    for start in range(0, len(images), BATCH):
        rows = np.arange(start, min(start + BATCH, len(images)))
        pixels = degrade_batch(images.take(rows), rows)
        pairs = zip(detector.predict(pixels), made.predict(pixels), strict=True)
        most = max(most, *(float(np.abs(a - b).max()) for a, b in pairs))
    if most > TOLERANCE:
        raise SystemExit(f"graph and torch differ by {most:.2g}, more than {TOLERANCE:g}")
    return most


def card(
    detector: AnyDetector, manifest: Manifest, measured: dict[str, Any], results: dict[str, Any]
) -> str:
    """The model card as Markdown."""
    fit, odd = detector.config.calibration, detector.config.ood
    assert fit is not None
    assert odd is not None
    training, threshold, size = detector.config.training, detector.config.threshold, detector.size
    return f"""# fauxlab's detector: does this face look generated?

Model hash `{detector.hash}`. One face in (RGB, {size}×{size} pixels), P(fake) out, with the evidence at each place,
which sums to the logit, and the distance from the faces that the model was made for. It comes with the package and is
what `fauxlab scan photo.jpg` runs, on a CPU, without torch.

**For research.** It learned from pictures that were given for non-commercial research (below); use it for no other.

## What a score means

- The score is P(fake) if half of all pictures were fake, for pictures like those in the tables. Where fakes are rare,
  most alarms are false: see RESPONSIBLE_USE.md.
- From {threshold:.3f} on the label is "fake": set so that at most {fit.false_alarm_rate:.0%} of the real
  photos of every source in the calibration split reach it, recompressed and rescaled as they may come.
- From {fit.low:.3f} to below {fit.high:.3f} the verdict is "uncertain": of each class at most {fit.alpha:.0%} are
  certain and wrong, for generators like those below.
- Beyond a distance of {odd.limit:.3f} it is "cannot tell": at most {odd.rate:.1%} of faces like these are refused. Also
  below a detail of {odd.detail:.3f}, which nearly all faces lack at a quarter of their size, and few as they are.
- A score is evidence, not proof. It says nothing about who made a picture, or why.

## What it learned from

{training["images"]:,} pictures drawn, with repeats, from the {len(manifest.train):,} of the training split:

| pictures | what | terms |
|---|---|---|
{learned_from(manifest.train)}

160×160 JPEG of quality 92, all prepared alike; no picture of them is in the package. The trunk began with weights that
Keras publishes for Inception-v3, learned from ImageNet. Trained, calibrated and measured by

{COMMANDS}

## What it is worth

Test split, a tenth of the groups (a video with all swaps made from it, else a picture) and none of them seen before;
95 % intervals over groups. The pictures carry no names: one person's may stand in two splits.

{generators(measured, results["file_traits_auc"])}

"Never seen" is the AUC of the same recipe, trained for two epochs without that generator: what to expect of the next
one. "Files alone" is what the files tell without their pixels: only what is above it is worth anything.

| real photos of | called fake at the threshold | verdict "fake" | "uncertain" | "cannot tell" |
|---|---|---|---|---|
{alarms(measured)}

Expected calibration error {measured["pooled"]["ece"]:.3f}; were the scores right, so many pictures would show
{measured["pooled"]["ece_expected"]:.3f}. The graph gives what torch gives: over this split, degraded at random, logits,
evidence and distances differ by at most {results["graph_from_torch"]:.1g}.

After recompression, rescaling and the like: what it costs, and how many **real** photos get which verdict:

{degraded(measured)}

Odd pictures, drawn by `benchmarks.detector.ood_images` (what the distance goes by was chosen on such, from other seeds):

| odd pictures | answered with "cannot tell" |
|---|---|
{odd_pictures(measured)}

## Known failures

- **Generators that it never saw pass as real** unless they resemble one that it did: see the column "never seen",
  where .5 is chance. The verdict "real" means "like no fake that it knows", and no more.
- **Real photos that were spoiled** are accused more often than the stated {fit.false_alarm_rate:.0%}: most after
  {worst_alarms(measured)}.
- **Face swaps in video** are hard for it even where it has seen their kind: more pass than are caught.
- Diffusion models of the day, hand-made edits, filters, and pictures of pictures were not tested.
- Faces in profile, below about 60 pixels, or covered are often not found; then there is no verdict at all.
- Error rates by skin tone, age or sex were not measured: the pictures carry no such labels.
- Pictures made to deceive it will: it was not hardened against them.
"""


def generators(measured: dict[str, Any], files: dict[str, Any]) -> str:
    head = "| fakes | against | N | AUC | caught at the threshold | TPR at 1 % FPR | AUC, never seen | files alone |"
    lines = [head, "|---" * 8 + "|"]
    for name, s in measured["generators"].items():
        unseen = measured.get("never_seen", {}).get(name, {}).get("auc")
        cells = [
            name,
            ", ".join(s["reals"]),
            f"{s['n']:,}",
            interval(s["auc"]),
            f"{s['called_fake']:.0%}",
            interval(s["tpr_at_1_fpr"]),
            interval(unseen),
            interval(files.get(name)),
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def learned_from(train: Manifest) -> str:
    counts = Counter(
        (row.generator, "fake") if row.label else (row.source, "real") for row in train.rows
    )
    return "\n".join(
        f"| {n:,} {kind}: {name} | {SOURCES[name]} |" for (name, kind), n in sorted(counts.items())
    )


def alarms(measured: dict[str, Any]) -> str:
    said = measured["decisions"]["clean"]
    return "\n".join(
        f"| {source} | {interval(share)} | "
        + " | ".join(f"{said[source][what]:.1%}" for what in ("fake", "uncertain", "cannot tell"))
        + " |"
        for source, share in measured["false_alarms"].items()
    )


def degraded(measured: dict[str, Any]) -> str:
    sources = list(measured["false_alarms"])
    heads = ["after", "change of the pooled AUC", *(f"{source}: fake" for source in sources)]
    heads += [f"{source}: cannot tell" for source in sources]
    lines = ["| " + " | ".join(heads) + " |", "|---" * len(heads) + "|"]
    for name, row in measured["degraded"].items():
        said = measured["decisions"][name]
        shares = [
            f"{said[source][what]:.1%}" for what in ("fake", "cannot tell") for source in sources
        ]
        lines.append("| " + " | ".join([name, interval(row["auc_change"]), *shares]) + " |")
    return "\n".join(lines)


def worst_alarms(measured: dict[str, Any], most: int = 3) -> str:
    """The degradations after which most reals of a source get the verdict "fake", in words."""
    found = [
        (said[source]["fake"], name, source)
        for name, said in measured["decisions"].items()
        for source in measured["false_alarms"]
    ]
    return ", ".join(
        f"{name} ({share:.0%} of {source})"
        for share, name, source in sorted(found, reverse=True)[:most]
    )


def odd_pictures(measured: dict[str, Any]) -> str:
    return "\n".join(
        f"| {kind} | {share:.0%} |" for kind, share in measured["odd_pictures_not_told"].items()
    )


if __name__ == "__main__":
    main()
