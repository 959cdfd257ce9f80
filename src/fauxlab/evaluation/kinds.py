"""Figures in which every kind of picture weighs alike, however many pictures it has.

A kind is a source of real photos or a generator of fakes. A pooled figure says how a detector does
on the largest kinds; these say how it does on a kind.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from fauxlab.evaluation.decisions import CANNOT_TELL, FAKE, UNCERTAIN, right_manipulations
from fauxlab.records import DecisionShares, Interval, KindMeans
from fauxlab.statistics import Counts, auc, tpr_at_fpr, with_intervals

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fauxlab.data.manifest import Manifest
    from fauxlab.evaluation.decisions import Decided

    Floats = NDArray[np.float64]
    Bools = NDArray[np.bool_]
    Texts = NDArray[np.str_]
    Shares = Mapping[str, DecisionShares]

# Figures of one bootstrap; no generator's begins as the means do.
AUC_OF = "auc of "
MEAN_AUC = "mean auc"
MEAN_TPR = "mean tpr"


def name_kinds(manifest: Manifest) -> Texts:
    """The kind of each picture [N]: a fake's generator, a real photo's source."""
    return np.array([row.kind for row in manifest.rows], dtype=np.str_)


def measure_kinds(
    manifest: Manifest,
    scores: Floats,
    decided: Decided,
    reals: Shares,
    bootstrap: int = 1000,
    seed: int = 0,
) -> tuple[dict[str, Interval], KindMeans]:
    """AUC of each generator with its real kinds weighing alike, and the means over kinds.

    `scores` are P(fake) [N]; `reals` are the shares of decisions of each real kind.
    """
    ranked = _rank(manifest, scores, bootstrap, seed)
    of_reals = _mean_shares(manifest, decided, 0, bootstrap, seed)
    of_fakes = _mean_shares(manifest, decided, 1, bootstrap, seed)
    means = KindMeans(
        n_real_kinds=len(manifest.sources),
        n_fake_kinds=len(manifest.generators),
        auc=ranked.mean_auc,
        tpr_at_1_fpr=ranked.mean_tpr,
        reals_called_fake=of_reals[FAKE],
        reals_uncertain=of_reals[UNCERTAIN],
        reals_cannot_tell=of_reals[CANNOT_TELL],
        fakes_called_fake=of_fakes[FAKE],
        fakes_manipulation_right=_mean_right(manifest, decided, bootstrap, seed),
        worst_real=_find_worst(reals),
    )
    return ranked.aucs, means


def mean_auc(manifest: Manifest, scores: Floats) -> float | None:
    """Mean over generators of the AUC against their matched reals, whose kinds weigh alike.

    None without fakes or without reals. `scores` [N] rise with P(fake).
    """
    return _rank(manifest, scores, bootstrap=0, seed=0).mean_auc.value


class _Ranked(NamedTuple):
    """AUC by generator, its mean, and the mean TPR at 1 % FPR."""

    aucs: dict[str, Interval]
    mean_auc: Interval
    mean_tpr: Interval


def _rank(manifest: Manifest, scores: Floats, bootstrap: int, seed: int) -> _Ranked:
    labels = manifest.labels
    kinds = name_kinds(manifest)
    names = manifest.generators
    groups = manifest.groups.tolist()
    if not names or not manifest.sources:
        nothing = Interval(value=None)
        aucs = dict.fromkeys(names, nothing)
        return _Ranked(aucs, nothing, nothing)

    is_real = labels == 0
    parts = {}
    for name in names:
        parts[name] = _compared(manifest, kinds, is_real, name)

    def measure(weights: Floats) -> dict[str, Floats]:
        alike = _weigh_alike(weights, is_real, kinds)
        figures = {}
        aucs = []
        tprs = []
        for name, rows in parts.items():
            counts = Counts.of(
                labels[rows],
                scores[rows],
                alike[:, rows],
            )
            own_auc = auc(counts)
            figures[AUC_OF + name] = own_auc
            aucs.append(own_auc)
            own_tpr = tpr_at_fpr(counts, 0.01)
            tprs.append(own_tpr)
        figures[MEAN_AUC] = _mean_of(aucs)
        figures[MEAN_TPR] = _mean_of(tprs)
        return figures

    figures = with_intervals(measure, groups, labels, bootstrap, seed)
    aucs = {name: figures[AUC_OF + name] for name in names}
    return _Ranked(
        aucs,
        figures[MEAN_AUC],
        figures[MEAN_TPR],
    )


def _compared(manifest: Manifest, kinds: Texts, is_real: Bools, generator: str) -> Bools:
    """A generator's fakes and the reals that they are compared with, as rows [N]."""
    matched = manifest.matched_reals(generator)
    is_generator = kinds == generator
    is_matched = np.isin(kinds, matched)
    own_fakes = ~is_real & is_generator
    own_reals = is_real & is_matched
    return own_fakes | own_reals


def _weigh_alike(weights: Floats, chosen: Bools, kinds: Texts) -> Floats:
    """Weights [R, N] in which each kind among the chosen pictures [N] weighs 1 in all."""
    alike = weights.copy()
    for kind in np.unique(kinds[chosen]):
        is_kind = kinds == kind
        inside = chosen & is_kind
        own_weights = weights[:, inside]
        totals = own_weights.sum(axis=1, keepdims=True)
        # A kind that a replicate has not drawn has no weight to share.
        divisors = np.where(totals > 0, totals, 1)
        alike[:, inside] = own_weights / divisors
    return alike


def _mean_of(figures: list[Floats]) -> Floats:
    """Mean [R] of figures [R], without those that a replicate has none of."""
    table = np.stack(figures)
    is_there = np.isfinite(table)
    present = np.where(is_there, table, 0)
    totals = present.sum(axis=0)
    n = is_there.sum(axis=0)
    with np.errstate(invalid="ignore"):
        return totals / n


def _mean_shares(
    manifest: Manifest, decided: Decided, label: int, bootstrap: int, seed: int
) -> dict[str, Interval]:
    """Mean over the kinds of a label of the shares that get each decision."""
    hits = {}
    for word in (FAKE, UNCERTAIN, CANNOT_TELL):
        hits[word] = decided.words == word
    of_label = manifest.labels == label
    return _mean_over_kinds(manifest, hits, of_label, bootstrap, seed)


def _mean_right(manifest: Manifest, decided: Decided, bootstrap: int, seed: int) -> Interval | None:
    """Mean over generators of the share of caught fakes whose manipulation is right."""
    is_named = decided.manipulations != ""
    if not is_named.any():
        return None
    is_fake = manifest.labels == 1
    is_caught = decided.words == FAKE
    caught = is_fake & is_caught & is_named
    hits = {"right": right_manipulations(manifest, decided)}
    means = _mean_over_kinds(manifest, hits, caught, bootstrap, seed)
    return means["right"]


def _mean_over_kinds(
    manifest: Manifest, hits: dict[str, Bools], chosen: Bools, bootstrap: int, seed: int
) -> dict[str, Interval]:
    """Mean over kinds of each share of hits [N] among the chosen pictures [N]."""
    kinds = name_kinds(manifest)[chosen]
    groups = manifest.groups[chosen].tolist()
    if not groups:
        return {name: Interval(value=None) for name in hits}
    members = [kinds == kind for kind in np.unique(kinds)]

    def measure(weights: Floats) -> dict[str, Floats]:
        means = {}
        for name, hit in hits.items():
            hit_here = hit[chosen]
            shares = []
            for inside in members:
                share = _share(weights, hit_here, inside)
                shares.append(share)
            means[name] = _mean_of(shares)
        return means

    one_class = np.zeros(len(groups), dtype=np.int64)
    n_groups = len(set(groups))
    trials = dict.fromkeys(hits, n_groups)
    return with_intervals(measure, groups, one_class, bootstrap, seed, trials)


def _share(weights: Floats, hits: Bools, inside: Bools) -> Floats:
    """Share [R] of hits [N] among some pictures [N]; NaN where a replicate has drawn none."""
    own = weights[:, inside]
    totals = own.sum(axis=1)
    own_hits = own @ hits[inside]
    with np.errstate(invalid="ignore"):
        return own_hits / totals


def _find_worst(reals: Shares) -> str | None:
    """The real kind that is called fake most often; None where none ever is."""
    worst = None
    highest = 0.0
    for name, shares in reals.items():
        rate = shares.called_fake.value or 0.0
        if rate > highest:
            worst = name
            highest = rate
    return worst
