r"""How well does a detector learn a generator that it does not know, from 3, 10 or 30 pictures?

    fauxlab data index FACES --out faces/manifest.csv
    .venv/bin/python -m benchmarks.detector.adapt faces/manifest.csv \
        --model sd12=WITHOUT-SD12 --unknown sd12=sd15,sd21 \
        --model all=fauxlab --unknown all=sd21

Each model is a bundle with a reference, as `fauxlab detector calibrate --reference` makes it. The
pictures of the generators behind `--unknown` should not have been in its training. They are taken
from the whole manifest, the real photos from its test split. What the reference holds of these
generators is left out of the figures.

Each draw takes so many pictures of a generator at random as examples. The new head is fitted and
scaled as `fauxlab detector adapt` does, with the views of the command. Then the other pictures of
the generator are ranked against the real photos: by the new head alone, and by the joined logit. A
generator that names real photos to compare with is compared with these. `caught` and `called_fake`
are at the new threshold, the latter the mean over kinds of real photos; once more for these
photos degraded, since the views of the examples must not teach that degraded means fake.

Writes benchmarks/results/adapt.json.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from benchmarks.output import describe_machine, save_results
from numpy.typing import NDArray

from fauxlab.adaptation.adapt import learn, rate_of
from fauxlab.adaptation.bundles import Adaptable, open_adaptable
from fauxlab.adaptation.examples import make_views
from fauxlab.adaptation.figures import call, extend, join, threshold_logit
from fauxlab.adaptation.lesson import Lesson, choose
from fauxlab.adaptation.making import choose_rows, kind_of
from fauxlab.adaptation.reference import Reference, read_reference
from fauxlab.adaptation.seeing import Seen, see
from fauxlab.bundle.config import DetectorConfig
from fauxlab.data.cache import load_images
from fauxlab.data.manifest import Manifest
from fauxlab.statistics import auc_between
from fauxlab.transforms.filters import jpeg, resize

RESULTS = "adapt.json"
COUNTS = (3, 10, 30)
MOST_FAKES = 400  # pictures of a generator
MOST_REALS = 2_000

Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]
Pixels = NDArray[np.uint8]


class Pool(NamedTuple):
    """Pictures as a detector sees them, and the kind of each."""

    seen: Seen
    kinds: NDArray[np.str_]

    def take(self, rows: NDArray[np.int64]) -> Seen:
        """Some of the pictures, in all views."""
        views, head_logits, told = self.seen
        return Seen(views[:, rows], head_logits[rows], told[rows])


def main() -> None:
    """Measure all models, and write the results."""
    options = parse_options()
    data = Manifest.load(options.manifest)
    figures = []
    for name, model in options.model.items():
        detector, folder = open_adaptable(model, trust=True)
        reference = read_reference(folder)
        reals = look(detector, reference, choose_reals(data))
        degraded = look(detector, reference, choose_reals(data), degrade)
        for generator in options.unknown[name].split(","):
            fakes = look(detector, reference, choose_fakes(data, generator), make_views)
            compared = find_compared(data, generator, reals)
            for count in COUNTS:
                if len(fakes.kinds) < 2 * count:
                    continue
                draws = list(
                    draw(detector, reference, fakes, reals, degraded, compared, count, options)
                )
                figures.append(
                    {"model": name, "hash": detector.hash, "generator": generator}
                    | {"examples": count, "draws": len(draws), "others": len(fakes.kinds) - count}
                    | summarise(draws)
                )
                print(figures[-1], flush=True)
    machine = describe_machine(data.data_hash)
    save_results(RESULTS, {"environment": machine, "figures": figures})


def parse_options() -> argparse.Namespace:
    """The options of the command line; `model` and `unknown` as tables by name."""
    parser = argparse.ArgumentParser(description="what a detector learns from a few examples")
    parser.add_argument("manifest", type=Path)
    for option in ("--model", "--unknown"):
        parser.add_argument(option, action="append", required=True, metavar="NAME=…")
    parser.add_argument("--draws", type=int, default=20)
    options = parser.parse_args()
    for option in ("model", "unknown"):
        pairs = dict(item.split("=", 1) for item in getattr(options, option))
        setattr(options, option, pairs)
    return options


def choose_reals(data: Manifest) -> Manifest:
    """Real photos of the test split, from all kinds evenly."""
    reals = data.where(lambda row: row.split == "test" and not row.label)
    return take(reals, MOST_REALS)


def choose_fakes(data: Manifest, generator: str) -> Manifest:
    """Pictures of a generator."""
    return take(data.where(lambda row: row.generator == generator), MOST_FAKES)


def take(data: Manifest, most: int) -> Manifest:
    """At most so many rows, from all kinds evenly."""
    chosen = [data.rows[number] for number in choose_rows(data.rows, most)]
    return Manifest(tuple(chosen), data.root)


def look(
    detector: Adaptable,
    reference: Reference,
    part: Manifest,
    change: Callable[[Pixels], list[Pixels]] = lambda pixels: [pixels],
) -> Pool:
    """What the detector makes of pictures, in the views that `change` makes of them."""
    images = load_images(part, detector.size)
    pixels = images.take(np.arange(len(images)))
    seen = see(detector, reference, change(pixels))
    kinds = np.array([kind_of(row) for row in images.manifest.rows])
    return Pool(seen, kinds)


def degrade(pixels: Pixels) -> list[Pixels]:
    """Pictures at half their size and back, then recompressed."""
    return [np.stack([jpeg(resize(picture, 0.5), 50) for picture in pixels])]


def find_compared(data: Manifest, generator: str, reals: Pool) -> Bools:
    """Which of the real photos a generator may fairly be compared with."""
    sources = data.matched_reals(generator)
    compared = np.isin(reals.kinds, sources)
    return compared if compared.any() else np.ones(len(reals.kinds), dtype=np.bool_)


def draw(
    detector: Adaptable,
    reference: Reference,
    fakes: Pool,
    reals: Pool,
    degraded: Pool,
    compared: Bools,
    count: int,
    options: argparse.Namespace,
) -> Iterator[dict[str, float]]:
    """The figures of each draw of so many examples."""
    config = detector.config
    for seed in range(options.draws):
        order = np.random.default_rng(seed).permutation(len(fakes.kinds))
        others = fakes.take(order[count:])
        lesson = Lesson.of(reference, config, fakes.take(order[:count]), None)
        learned = learn(lesson, threshold_logit(config), rate_of(config))
        changed = choose(config, lesson, learned.reals, rate_of(config))

        new = [learned.logits(pool.views[0]) for pool in (others, reals.seen)]
        old = [join(pool.head_logits) for pool in (others, reals.seen)]
        logits = [
            extend(pool.head_logits, own)
            for pool, own in zip((others, reals.seen), new, strict=True)
        ]
        joined = [join(each) for each in logits]
        of_degraded = extend(degraded.seen.head_logits, learned.logits(degraded.seen.views[0]))
        alarms = call(changed, logits[1], reals.seen.told)
        former = call(config, reals.seen.head_logits, reals.seen.told)
        yield {
            "auc_before": auc_between(old[0], old[1][compared]),
            "auc_new_head": auc_between(new[0], new[1][compared]),
            "auc": auc_between(joined[0], joined[1][compared]),
            "caught_before": float(call(config, others.head_logits, others.told).mean()),
            "caught": float(call(changed, logits[0], others.told).mean()),
            "caught_left_out": left_out_share(changed, learned.examples, fakes, order),
            "called_fake_before": mean_of_kinds(former, reals.kinds),
            "called_fake": mean_of_kinds(alarms, reals.kinds),
            "called_fake_degraded_before": alarm_rate(config, degraded, degraded.seen.head_logits),
            "called_fake_degraded": alarm_rate(changed, degraded, of_degraded),
        }


def left_out_share(
    changed: DetectorConfig, examples: Floats, fakes: Pool, order: NDArray[np.int64]
) -> float:
    """What `detector adapt` states: the share of the examples that is caught, each left out."""
    own = fakes.take(order[: len(examples)])
    return float(call(changed, extend(own.head_logits, examples), own.told).mean())


def alarm_rate(config: DetectorConfig, pool: Pool, head_logits: Floats) -> float:
    """The share of real photos that is called fake, as a mean over kinds."""
    return mean_of_kinds(call(config, head_logits, pool.seen.told), pool.kinds)


def mean_of_kinds(hits: Bools, kinds: NDArray[np.str_]) -> float:
    """The mean over kinds of the share that is hit."""
    return float(np.mean([hits[kinds == kind].mean() for kind in np.unique(kinds)]))


def summarise(draws: list[dict[str, float]]) -> dict[str, dict[str, float]]:
    """Mean and deviation of each figure over the draws."""
    summary = {}
    for name in draws[0]:
        values = [figures[name] for figures in draws]
        summary[name] = {
            "mean": round(float(np.mean(values)), 4),
            "deviation": round(float(np.std(values)), 4),
        }
    return summary


if __name__ == "__main__":
    main()
