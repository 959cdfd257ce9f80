r"""Kinds beat volume: what further kinds of photos and of fakes bring on kinds that no one knows.

    .venv/bin/python -m benchmarks.detector.tower_features faces/manifest.csv tuned features
    .venv/bin/python -m benchmarks.detector.unseen faces/manifest.csv features

Two curves, of the head for pictures that were made whole, on the tower's features:

- false alarms on kinds of real photos that were left out, over the number of known kinds. The
  threshold lets 2 % of the known reals through, all of them together or those of the worst kind;
- AUC of generators that were left out, over the number of known generators; also of those whose
  whole family was left out.

Known kinds are drawn at random, DRAWS times for each number. Heads learn from the train split;
known kinds are judged on the other splits, left-out ones on all of their pictures but those of the
calibration split. Writes benchmarks/results/unseen.json and unseen-kinds.png.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from benchmarks.detector.linear_heads import (
    FALSE_ALARMS,
    FAMILIES,
    fit_head,
    kind_auc,
    worst_quantile,
)
from benchmarks.detector.tower_features import CLEAN, Table, read_table
from benchmarks.output import RESULTS as FOLDER
from benchmarks.output import describe_machine, load_results, save_results

from fauxlab.data.manifest import Manifest

mpl.use("Agg")
from matplotlib import pyplot as plt

RESULTS = "unseen.json"
FIGURE = FOLDER / "unseen-kinds.png"
KNOWN_REALS = (2, 4, 7, 11, 15, 19)
KNOWN_FAKES = (1, 2, 4, 7, 10, 14)
DRAWS = 8
PENALTY = 1e-5

Draw = dict[str, float]
Judge = Callable[[Table, Sequence[str]], Draw]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("manifest", type=Path)
    parser.add_argument("features", type=Path)
    parser.add_argument("--draws", type=int, default=DRAWS)
    options = parser.parse_args()
    manifest = Manifest.load(options.manifest)
    table = read_table(manifest, options.features)
    table = table.where((table.views == CLEAN) & (table.splits != "calibration"))
    table = table.where(table.sorts != "altered")
    reals = sorted(set(table.kinds[table.is_real]))
    fakes = sorted(set(table.kinds[~table.is_real]))
    results = load_results(RESULTS) or {}
    results["false_alarms"] = draw_curve(table, reals, KNOWN_REALS, judge_reals, options.draws)
    results["auc"] = draw_curve(table, fakes, KNOWN_FAKES, judge_fakes, options.draws)
    results["draws"] = options.draws
    results["environment"] = describe_machine(manifest.data_hash)
    save_results(RESULTS, results)
    draw_figure(results)


def draw_curve(
    table: Table, kinds: Sequence[str], counts: Sequence[int], judge: Judge, draws: int
) -> list[dict[str, Any]]:
    """For each number of known kinds: the mean and the spread of every figure over the draws."""
    curve = []
    for count in counts:
        if count >= len(kinds):
            continue
        every = []
        for seed in range(draws):
            rng = np.random.default_rng((seed, count))
            known = sorted(rng.choice(kinds, count, replace=False).tolist())
            left_out = [kind for kind in kinds if kind not in known]
            every.append(judge(table, left_out))
        point: dict[str, Any] = {"known": count}
        for name in every[0]:
            values = np.array([draw[name] for draw in every])
            point[name] = float(np.nanmean(values))
            point[f"{name}, spread"] = float(np.nanstd(values))
        curve.append(point)
        print(point, flush=True)
    return curve


def judge_reals(table: Table, left_out: Sequence[str]) -> Draw:
    """False alarms on the kinds of real photos that were left out."""
    is_new = np.isin(table.kinds, left_out)
    fit = fit_head(table.where(~is_new & (table.splits == "train")), "made", PENALTY)
    logits = fit.logits(table.features)
    is_known = ~is_new & (table.splits != "train")
    worst = worst_quantile(logits[is_known], table.where(is_known), [])
    pooled = float(np.quantile(logits[is_known & table.is_real], 1 - FALSE_ALARMS))
    shares = {"pooled": [], "worst kind": []}
    for kind in left_out:
        own = logits[table.kinds == kind]
        shares["pooled"].append(np.mean(own >= pooled))
        shares["worst kind"].append(np.mean(own >= worst))
    return {name: float(np.mean(values)) for name, values in shares.items()}


def judge_fakes(table: Table, left_out: Sequence[str]) -> Draw:
    """AUC of the generators that were left out, and of those of families that were."""
    is_new = np.isin(table.kinds, left_out)
    fit = fit_head(table.where(~is_new & (table.splits == "train")), "made", PENALTY)
    judged = table.where(is_new | (table.splits != "train"))
    logits = fit.logits(judged.features)
    areas = {kind: kind_auc(logits, judged, kind) for kind in left_out}
    apart = []
    for family in FAMILIES.values():
        if all(kind in areas for kind in family):
            apart += [areas[kind] for kind in family]
    return {
        "generators left out": float(np.mean(list(areas.values()))),
        "families left out": float(np.mean(apart)) if apart else float("nan"),
    }


def draw_figure(results: dict[str, Any]) -> None:
    """Both curves, side by side."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.4), layout="constrained")
    titles = (
        (left, "false_alarms", "known kinds of real photos", "called fake, kinds left out"),
        (right, "auc", "known generators", "AUC, left out"),
    )
    for axes, key, x_label, y_label in titles:
        curve = results[key]
        names = [name for name in curve[0] if name != "known" and not name.endswith(", spread")]
        for name in names:
            x = [point["known"] for point in curve]
            y = [point[name] for point in curve]
            spread = [point[f"{name}, spread"] for point in curve]
            axes.errorbar(x, y, spread, marker="o", capsize=2, label=name)
        axes.set_xlabel(x_label)
        axes.set_ylabel(y_label)
        axes.grid(alpha=0.3)
        axes.legend(frameon=False)
    figure.savefig(FIGURE, dpi=150)
    plt.close(figure)


if __name__ == "__main__":
    main()
