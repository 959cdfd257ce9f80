r"""Why are generators hard that were never seen, and what would examples of them change?

    export FAUXLAB_INCEPTION=WEIGHTS
    .venv/bin/python -m benchmarks.detector.unseen_curve faces/manifest.csv
    .venv/bin/python -m benchmarks.detector.unseen_curve faces/manifest.csv \
        --runs runs --recipe detector

The first command takes an Inception that was trained on photographs and leaves it as it is. At
every depth it averages the maps, and their deviations, into features of a picture. A logistic model
on these features is fitted to the training split of all generators but one. Then it is scored on
that generator's test split against the reals it is compared to. At the depth that does best on the
validation split, the fit is repeated with 10, 30, 100, 300 and 700 (or all) training images of the
generator, which together weigh as much as any other generator.

The second command does the same with the features of the detectors that `detector train
--leave-one-out` left in `--runs`, each trained without the generator in question.

Writes benchmarks/results/unseen_curve.json and unseen-curve.png; each command keeps what the other
one wrote.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import torch
from benchmarks.output import RESULTS as FOLDER
from benchmarks.output import command_line, describe_machine, load_results, save_results
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from torch import Tensor, nn

from fauxlab.data.cache import ImageArray, load_images
from fauxlab.data.manifest import Manifest, Row
from fauxlab.evaluation.networks import KERAS, load_pretrained
from fauxlab.models.detectors import InceptionTrunk
from fauxlab.models.inputs import to_input
from fauxlab.models.pretrained import Detector
from fauxlab.statistics import auc_interval

mpl.use("Agg")
from matplotlib import pyplot as plt

RESULTS = "unseen_curve.json"
FIGURE = FOLDER / "unseen-curve.png"
SIZE = 160  # pixels
MOST_TRAINING = 700  # images of a source or generator
DEPTHS = ("Conv2d_2b_3x3", "Conv2d_4a_3x3", "Mixed_5b", "Mixed_5d", "Mixed_6a", "Mixed_6c")
KNOWN = (0, 10, 30, 100, 300)
# The examples are drawn so many times; the middle AUC is reported.
DRAWS = 3
# Of the standardised features' weights, added to the mean loss.
RIDGE = 0.1
TUNED = "trained without it"
# A logarithmic axis has no place for 0 examples; they stand at 3.
NONE_KNOWN = 3
TICKS = (NONE_KNOWN, 10, 30, 100, 300)
TICK_LABELS = ("none", "10", "30", "100", "300")

Features = NDArray[np.float64]
Indices = NDArray[np.int64]
Curve = list[dict[str, Any]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("manifest", type=Path)
    parser.add_argument("--runs", type=Path, help="where the leave-one-out detectors are")
    parser.add_argument("--recipe", default="detector", help="by which they were trained")
    options = parser.parse_args()
    manifest = Manifest.load(options.manifest)
    images = load_images(thin_out(manifest), SIZE)
    results = load_results(RESULTS) or {"by_known_examples": {}, "commands": []}
    if options.runs:

        def features_without(generator: str) -> Features:
            folder = options.runs / f"{options.recipe}-without-{generator}" / "best"
            return tuned_features(folder, images)

        results["by_known_examples"][TUNED] = measure_curves(images, features_without)
    else:
        results |= measure_frozen(images)
    results["n"] = len(images)
    results["commands"] = sorted({*results["commands"], command_line()})
    results["environment"] = describe_machine(manifest.data_hash)
    save_results(RESULTS, results)
    draw_figure(results["by_known_examples"])


def thin_out(manifest: Manifest) -> Manifest:
    """Validation, test, and at most MOST_TRAINING training images of each source and generator."""
    order = np.random.default_rng(0).permutation(len(manifest))
    taken: Counter[str] = Counter()
    chosen = set()
    for index in order:
        row = manifest.rows[index]
        if row.split in ("val", "test"):
            chosen.add(row)
        elif row.split == "train":
            origin = row.generator or row.source
            taken[origin] += 1
            if taken[origin] <= MOST_TRAINING:
                chosen.add(row)
    return manifest.where(lambda row: row in chosen)


# --- features


def frozen_features(images: ImageArray) -> dict[str, Features]:
    """Means and deviations [N, 2 × channels] of the maps at every depth of the photo network."""
    trunk = InceptionTrunk(DEPTHS[-1])
    trunk.load_weights(load_pretrained(KERAS))
    trunk.eval()
    parts: dict[str, list[Tensor]] = {depth: [] for depth in DEPTHS}
    for batch in iterate_batches(images):
        maps = batch
        # Follow the trunk's own pass, and look at the maps after each block.
        for name, block in trunk.named_children():
            maps = block(maps)
            if name in InceptionTrunk.POOLED:
                maps = nn.functional.max_pool2d(maps, 3, 2)
            if name in parts:
                mean = maps.mean((2, 3))
                deviation = maps.std((2, 3))
                parts[name].append(torch.cat([mean, deviation], 1))
    return {depth: join(of_depth) for depth, of_depth in parts.items()}


def tuned_features(folder: Path, images: ImageArray) -> Features:
    """What a detector averages before its last layer, [N, channels]."""
    trunk = Detector.from_pretrained(folder).model.trunk.eval()
    parts = []
    for batch in iterate_batches(images):
        last_maps = trunk(batch)[-1]
        parts.append(last_maps.mean((2, 3)))
    return join(parts)


def join(parts: list[Tensor]) -> Features:
    """The features of all batches."""
    joined = torch.cat(parts)
    return joined.double().numpy()


def iterate_batches(images: ImageArray, size: int = 64) -> Iterator[Tensor]:
    """All images in order, as networks take them."""
    with torch.inference_mode():
        for start in range(0, len(images), size):
            end = min(start + size, len(images))
            pixels = images.take(np.arange(start, end))
            batch = to_input(torch.from_numpy(pixels))
            yield batch.contiguous(memory_format=torch.channels_last)


# --- curves


def measure_frozen(images: ImageArray) -> dict[str, Any]:
    """AUC without an example by depth, and at the best depth the curves over examples."""
    features = frozen_features(images)
    on_test = {}
    on_validation = {}
    for depth, values in features.items():
        on_test[depth] = never_seen(values, images.manifest, "test")
        validation = never_seen(values, images.manifest, "val")
        on_validation[depth] = sum(auc["value"] for auc in validation.values())
        print(depth, flush=True)
        for name, auc in on_test[depth].items():
            print(f"  {name}: {auc['value']:.3f}", flush=True)
    best = max(on_validation, key=lambda depth: on_validation[depth])
    curves = measure_curves(images, lambda _: features[best])
    by_known_examples = {f"frozen {best}": curves}
    return {"never_seen_by_depth": on_test, "by_known_examples": by_known_examples}


def never_seen(values: Features, manifest: Manifest, split: str) -> dict[str, Any]:
    """AUC on each generator by the model that knows no example of it."""
    figures = {}
    for name in manifest.generators:
        (point,) = measure_curve(values, manifest, name, [0], split)
        figures[name] = point["auc"]
    return figures


def measure_curves(images: ImageArray, features_for: Callable[[str], Features]) -> dict[str, Curve]:
    """The curve of every generator."""
    curves = {}
    for name in images.manifest.generators:
        training = 0
        for row in images.manifest.rows:
            if row.generator == name and row.split == "train":
                training += 1
        counts = [*KNOWN, training]
        curves[name] = measure_curve(features_for(name), images.manifest, name, counts)
        print(name, flush=True)
        for point in curves[name]:
            print(f"  {point['known']} known: {point['auc']['value']:.3f}", flush=True)
    return curves


def measure_curve(
    values: Features, manifest: Manifest, name: str, counts: list[int], split: str = "test"
) -> Curve:
    """AUC on a generator against the reals it is compared to, by the number of known examples."""
    rows = manifest.rows
    reals = manifest.matched_reals(name)
    in_training = np.array([row.split == "train" for row in rows])
    in_split = np.array([row.split == split for row in rows])
    fakes = np.array([row.generator == name for row in rows])
    compared = np.array([not row.label and row.source in reals for row in rows])
    scored = np.flatnonzero(in_split & (fakes | compared))
    labels = fakes[scored]
    groups = [rows[index].group for index in scored]
    others = np.flatnonzero(in_training & ~fakes)
    examples = np.flatnonzero(in_training & fakes)
    curve = []
    for count in counts:
        draws = DRAWS if count else 1
        intervals = []
        for seed in range(draws):
            rng = np.random.default_rng((seed, count))
            known = rng.permutation(examples)[:count]
            model = fit_logistic(values, rows, np.append(others, known))
            intervals.append(auc_interval(labels, model(scored), groups))
        intervals.sort(key=lambda auc: auc.value or 0)
        middle = intervals[len(intervals) // 2]
        curve.append({"known": count, "auc": middle.model_dump()})
    return curve


def fit_logistic(
    values: Features, rows: tuple[Row, ...], training: Indices
) -> Callable[[Indices], Features]:
    """Fit a logistic model to some rows; returns what scores others.

    Both classes weigh the same, and within a class so do its generators or sources.
    """
    mean = values[training].mean(0)
    deviation = values[training].std(0) + 1e-6
    origins = []
    for index in training:
        row = rows[index]
        origins.append((row.label, row.generator or row.source))
    images_of = Counter(origins)
    origins_of = Counter(label for label, _ in set(origins))
    labels = []
    weights = []
    for origin in origins:
        label, _ = origin
        labels.append(label)
        of_class = len(training) / 2
        weights.append(of_class / images_of[origin] / origins_of[label])
    penalty = RIDGE * len(training)
    model = LogisticRegression(C=1 / penalty, max_iter=300)
    standardised = (values[training] - mean) / deviation
    model.fit(standardised, labels, sample_weight=weights)

    def score(wanted: Indices) -> Features:
        standardised = (values[wanted] - mean) / deviation
        return np.asarray(model.decision_function(standardised))

    return score


# --- the figure


def draw_figure(curves: dict[str, dict[str, Curve]]) -> None:
    """One panel for each kind of features: AUC over known examples, with its intervals."""
    count = len(curves)
    size = (4.6 * count, 3.6)
    figure, axes = plt.subplots(1, count, figsize=size, sharey=True, squeeze=False)
    panels = axes[0]
    for panel, (title, by_generator) in zip(panels, curves.items(), strict=True):
        for name, curve in by_generator.items():
            draw_curve(panel, name, curve)
        panel.axhline(0.9, color="grey", linestyle=":")
        panel.set(xscale="log", title=title, xlabel="known examples of the generator")
        panel.set_xticks(TICKS, TICK_LABELS)
    panels[0].set_ylabel("AUC on the test split")
    panels[0].legend(frameon=False)
    figure.tight_layout()
    figure.savefig(FIGURE, dpi=120)


def draw_curve(panel: Any, name: str, curve: Curve) -> None:
    """The AUC of one generator, with its interval as a band."""
    x = [max(point["known"], NONE_KNOWN) for point in curve]
    middle = [point["auc"]["value"] for point in curve]
    low = [point["auc"]["low"] for point in curve]
    high = [point["auc"]["high"] for point in curve]
    (line,) = panel.plot(x, middle, marker="o", label=name)
    panel.fill_between(x, low, high, alpha=0.15, color=line.get_color())


if __name__ == "__main__":
    main()
