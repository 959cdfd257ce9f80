"""Why a generator that was never seen is hard: what frozen features know of it, and what examples
would change.

    FAUXLAB_INCEPTION=WEIGHTS .venv/bin/python -m benchmarks.detector.unseen_curve faces/manifest.csv
    FAUXLAB_INCEPTION=WEIGHTS .venv/bin/python -m benchmarks.detector.unseen_curve faces/manifest.csv --runs runs \
        --recipe detector

A logistic model on the means and deviations of the maps at every depth of an Inception that was
trained on photographs, fitted on the training split to all generators but one, and judged on the
test split with that one against its matched reals. Then, at the depth that does best on the
validation split, with 10, 30, 100, 300 and 700 of its training images (all, where there are fewer)
added, which together weigh as much as any other generator. With `--runs`, where `detector train
--leave-one-out` left its detectors, instead the curve on what each of them sees of the generator
that it was trained without. Writes unseen_curve.json and unseen-curve.png into benchmarks/results/,
the second command into what the first has written.
"""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from torch import Tensor, nn

from fauxlab.data.cache import ImageArray, load_images
from fauxlab.data.manifest import Manifest, Row
from fauxlab.environment import describe_environment
from fauxlab.evaluation.networks import KERAS, load_pretrained
from fauxlab.models.detectors import InceptionTrunk
from fauxlab.models.inputs import to_input
from fauxlab.models.pretrained import Detector
from fauxlab.statistics import auc_interval

mpl.use("Agg")
from matplotlib import pyplot as plt

RESULTS = Path(__file__).parents[1] / "results" / "unseen_curve.json"
FIGURE = RESULTS.parent / "unseen-curve.png"
SIZE, MOST = 160, 700  # pixels; training images of a source or generator
DEPTHS = ("Conv2d_2b_3x3", "Conv2d_4a_3x3", "Mixed_5b", "Mixed_5d", "Mixed_6a", "Mixed_6c")
KNOWN = (0, 10, 30, 100, 300)
DRAWS = 3  # of the known examples; the middle one of their AUC is reported
RIDGE = 0.1  # of standardised features' weights, beside the mean loss
TUNED = "trained without it"
Features = NDArray[np.float64]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("manifest", type=Path)
    parser.add_argument(
        "--runs", type=Path, help="where the detectors trained without each generator are"
    )
    parser.add_argument("--recipe", default="detector", help="by which they were trained")
    options = parser.parse_args()
    manifest = Manifest.load(options.manifest)
    images = load_images(thin(manifest), SIZE)
    found = (
        json.loads(RESULTS.read_text())
        if RESULTS.exists()
        else {"by_known_examples": {}, "commands": []}
    )
    if options.runs:
        found["by_known_examples"][TUNED] = curves(
            images, lambda name: tuned(options.runs, options.recipe, images, name)
        )
    else:
        found |= never_seen(images, frozen(images))
    found["n"] = len(images)
    found["commands"] = sorted({*found["commands"], shlex.join(sys.argv)})
    found["environment"] = describe_environment(manifest.data_hash)
    RESULTS.write_text(json.dumps(found, indent=1) + "\n")
    draw(found["by_known_examples"])


def never_seen(images: ImageArray, features: dict[str, Features]) -> dict[str, Any]:
    """AUC on each generator without an example of it, by depth; at the best depth the curves over
    examples.
    """
    names, depths, chosen_by = images.manifest.generators, {}, {}
    for depth, values in features.items():
        on = {
            split: {
                name: curve(values, images.manifest, name, [0], split)[0]["auc"] for name in names
            }
            for split in ("val", "test")
        }
        depths[depth], chosen_by[depth] = (
            on["test"],
            sum(auc["value"] for auc in on["val"].values()),
        )
        print(
            depth, {name: round(auc["value"], 3) for name, auc in depths[depth].items()}, flush=True
        )
    best = max(chosen_by, key=lambda depth: chosen_by[depth])
    known = {f"frozen {best}": curves(images, lambda _: features[best])}
    return {"never_seen_by_depth": depths, "by_known_examples": known}


def thin(manifest: Manifest) -> Manifest:
    """All validation and test images, and at most MOST training images of every source and of every
    generator.
    """
    taken: Counter[str] = Counter()
    order = np.random.default_rng(0).permutation(len(manifest))
    kept = set()
    for row in (manifest.rows[i] for i in order):
        taken[row.generator or row.source] += row.split == "train"
        if row.split in ("val", "test") or (
            row.split == "train" and taken[row.generator or row.source] <= MOST
        ):
            kept.add(row)
    return manifest.where(lambda row: row in kept)


def frozen(images: ImageArray) -> dict[str, Features]:
    """Means and deviations [N, 2 × channels] of the maps at every depth."""
    trunk = InceptionTrunk(DEPTHS[-1])
    trunk.load_weights(load_pretrained(KERAS))
    found: dict[str, list[Tensor]] = {depth: [] for depth in DEPTHS}
    for x in batches(images):
        for name, block in trunk.eval().named_children():
            x = block(x)  # noqa: PLW2901
            if name in InceptionTrunk.POOLED:
                x = nn.functional.max_pool2d(x, 3, 2)  # noqa: PLW2901
            if name in found:
                found[name].append(torch.cat([x.mean((2, 3)), x.std((2, 3))], 1))
    return {depth: torch.cat(parts).double().numpy() for depth, parts in found.items()}


def tuned(runs: Path, recipe: str, images: ImageArray, name: str) -> Features:
    """What the detector that was trained without a generator averages before its last layer, [N,
    channels].
    """
    trunk = Detector.from_pretrained(runs / f"{recipe}-without-{name}" / "best").model.trunk.eval()
    return torch.cat([trunk(x)[-1].mean((2, 3)) for x in batches(images)]).double().numpy()


def batches(images: ImageArray, size: int = 64) -> Iterator[Tensor]:
    """All images in order, as networks take them."""
    with torch.inference_mode():
        for first in range(0, len(images), size):
            pixels = images.take(np.arange(first, min(first + size, len(images))))
            yield to_input(torch.from_numpy(pixels)).contiguous(memory_format=torch.channels_last)


def curves(
    images: ImageArray, features: Callable[[str], Features]
) -> dict[str, list[dict[str, Any]]]:
    """A curve for every generator."""
    found = {}
    for name in images.manifest.generators:
        training = sum(
            row.generator == name and row.split == "train" for row in images.manifest.rows
        )
        found[name] = curve(features(name), images.manifest, name, [*KNOWN, training])
        print(
            name,
            [(point["known"], round(point["auc"]["value"], 3)) for point in found[name]],
            flush=True,
        )
    return found


def curve(
    values: Features, manifest: Manifest, name: str, counts: list[int], split: str = "test"
) -> list[dict[str, Any]]:
    """AUC on a split of `name` against its matched reals, by how many of its training images were
    known.
    """
    rows, reals = manifest.rows, manifest.matched_reals(name)
    train = np.array([row.split == "train" for row in rows])
    fakes = np.array([row.generator == name for row in rows])
    matched = np.array([not row.label and row.source in reals for row in rows])
    held = np.array([row.split == split for row in rows])
    judged = np.flatnonzero(held & (fakes | matched))
    labels, groups = fakes[judged], [rows[i].group for i in judged]
    found = []
    for count in counts:
        drawn = []
        for seed in range(DRAWS if count else 1):
            some = np.random.default_rng((seed, count)).permutation(np.flatnonzero(train & fakes))[
                :count
            ]
            scores = fit(values, rows, np.append(np.flatnonzero(train & ~fakes), some))(judged)
            drawn.append(auc_interval(labels, scores, groups))
        drawn.sort(key=lambda auc: auc.value or 0)
        found.append({"known": count, "auc": drawn[len(drawn) // 2].model_dump()})
    return found


def fit(
    values: Features, rows: tuple[Row, ...], at: NDArray[np.int64]
) -> Callable[[NDArray[np.int64]], Features]:
    """A logistic model of the rows `at`, classes and then their generators and sources of equal
    weight.
    """
    mean, deviation = values[at].mean(0), values[at].std(0) + 1e-6
    kinds = [(rows[i].label, rows[i].generator or rows[i].source) for i in at]
    of_kind, of_label = Counter(kinds), Counter(label for label, _ in set(kinds))
    weights = [len(at) / 2 / of_kind[kind] / of_label[kind[0]] for kind in kinds]
    model = LogisticRegression(C=1 / (RIDGE * len(at)), max_iter=300)
    model.fit((values[at] - mean) / deviation, [label for label, _ in kinds], sample_weight=weights)
    return lambda wanted: np.asarray(model.decision_function((values[wanted] - mean) / deviation))


def draw(known: dict[str, dict[str, list[dict[str, Any]]]]) -> None:
    """One panel for each kind of features: AUC over known examples, with its intervals."""
    figure, panels = plt.subplots(
        1, len(known), figsize=(4.6 * len(known), 3.6), sharey=True, squeeze=False
    )
    for panel, (title, lines) in zip(panels[0], known.items(), strict=True):
        for name, points in lines.items():
            # a logarithmic axis has no place for none
            where = [max(point["known"], 3) for point in points]
            auc = [point["auc"] for point in points]
            (line,) = panel.plot(where, [a["value"] for a in auc], marker="o", label=name)
            panel.fill_between(
                where,
                [a["low"] for a in auc],
                [a["high"] for a in auc],
                alpha=0.15,
                color=line.get_color(),
            )
        panel.axhline(0.9, color="grey", linestyle=":")
        panel.set(xscale="log", title=title, xlabel="known examples of the generator")
        panel.set_xticks([3, 10, 30, 100, 300], ["none", "10", "30", "100", "300"])
    panels[0][0].set_ylabel("AUC on the test split")
    panels[0][0].legend(frameon=False)
    figure.tight_layout()
    figure.savefig(FIGURE, dpi=120)


if __name__ == "__main__":
    main()
