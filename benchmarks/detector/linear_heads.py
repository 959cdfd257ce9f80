"""Logistic heads on features that were computed once, and what they say of kinds left out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from benchmarks.detector.tower_features import ALTERED, CLEAN, Floats, Table
from torch.nn import functional as F

from fauxlab.calibration.kinds import weigh_kinds
from fauxlab.statistics import Counts, auc

PENALTIES = (1e-6, 3e-6, 1e-5, 3e-5)
LEAST_SPREAD = 1e-3
STEPS = 80
FALSE_ALARMS = 0.02
MATCHED = 0.25  # share of the altered head's reals that come from where altered fakes do
# Generators that resemble each other, which are left out together.
FAMILIES = {
    "StyleGANs": (
        "stylegan",
        "stylegan-512",
        "generated-photos",
        "stylegan2-tpdne300",
        "stylegan2-seeprettyface",
        "sfhq-e4e-stylegan2",
        "interfacegan-edit",
    ),
    "Stable Diffusion 1 and 2": ("sd15", "sd21", "facechain-sd15"),
    "SDXL": ("sdxl",),
    "SD3": ("sd3",),
    "FLUX": ("flux", "infiniteyou-flux", "flux-headshot-persona"),
}
KIND_FOLDS = 5


class Fit(NamedTuple):
    """A logistic layer on standardised features, with the standardisation folded in."""

    weight: Floats  # [6656]
    bias: float

    def logits(self, features: Floats) -> Floats:
        """Logits [N] of features [N, 6656]."""
        return features @ self.weight + np.float32(self.bias)


def fit_head(table: Table, sort: str, penalty: float, matched: Sequence[str] = ()) -> Fit:
    """The layer that tells fakes of a sort from reals, with kinds weighed as `weigh` does."""
    own = table.where(table.is_real | (table.sorts == sort))
    targets = (~own.is_real).astype(np.float32)
    weights = weigh(own, targets, matched)
    mean = weights @ own.features
    spread = np.sqrt(weights @ np.square(own.features - mean)) + LEAST_SPREAD
    x = torch.from_numpy((own.features - mean) / spread)
    y = torch.from_numpy(targets)
    w = torch.from_numpy(weights)
    layer = torch.zeros(x.shape[1] + 1, requires_grad=True)
    optimizer = torch.optim.LBFGS([layer], max_iter=STEPS, line_search_fn="strong_wolfe")

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        logits = x @ layer[:-1] + layer[-1]
        losses = F.binary_cross_entropy_with_logits(logits, y, reduction="none")
        loss = (w * losses).sum() + penalty * layer[:-1].square().sum()
        loss.backward()
        return loss

    optimizer.step(closure)
    *coefficients, bias = layer.detach().numpy()
    weight = np.array(coefficients, np.float32) / spread
    return Fit(weight, float(bias - weight @ mean))


def weigh(table: Table, targets: Floats, matched: Sequence[str] = ()) -> Floats:
    """Weights [N]: half for each class, in it alike for kinds, in these alike for groups.

    Photos that are altered here count as a kind of their own. Reals of the `matched` kinds, which
    altered fakes come from, have a share of MATCHED among the reals: else their origin would tell
    the altered ones.
    """
    kinds = np.where(table.views == ALTERED, "altered here", table.kinds)
    weights = np.zeros(len(kinds))
    for target in (0, 1):
        rows = targets == target
        weights[rows] = 0.5 * weigh_kinds(kinds[rows], table.groups[rows])
    is_real = targets == 0
    is_matched = is_real & np.isin(kinds, matched)
    if is_matched.any():
        is_other = is_real & ~is_matched
        for rows, share in ((is_matched, MATCHED), (is_other, 1 - MATCHED)):
            weights[rows] *= 0.5 * share / weights[rows].sum()
    return weights.astype(np.float32)


def choose_penalty(table: Table) -> tuple[float, dict[str, float]]:
    """The penalty with the best mean AUC of families left out of the train split.

    A family's pictures of the train split are compared with the reals of the validation split.
    """
    clean = table.where(table.views == CLEAN)
    train = clean.where(clean.splits == "train")
    is_val_real = (clean.splits == "val") & clean.is_real
    means = {}
    for penalty in PENALTIES:
        areas = []
        for family in FAMILIES.values():
            is_new = np.isin(clean.kinds, family) & (clean.splits == "train")
            if is_new.any():
                fit = fit_head(train.where(~np.isin(train.kinds, family)), "made", penalty)
                judged = clean.where(is_new | is_val_real)
                present = sorted(set(judged.kinds[~judged.is_real]))
                areas.append(mean_auc(fit.logits(judged.features), judged, present))
        name = f"{penalty:g}"
        means[name] = float(np.mean(areas))
        print(f"penalty {name}: families left out {means[name]:.4f}", flush=True)
    best = max(means, key=lambda name: means[name])
    return float(best), means


def mean_auc(logits: Floats, table: Table, kinds: Iterable[str]) -> float:
    """Mean AUC of some kinds of fakes against the reals, of which every kind counts alike."""
    return float(np.mean([kind_auc(logits, table, kind) for kind in kinds]))


def kind_auc(logits: Floats, table: Table, kind: str) -> float:
    """AUC of a kind of fakes against the reals, of which every kind counts alike."""
    rows = table.is_real | (table.kinds == kind)
    own = table.where(rows)
    labels = (~own.is_real).astype(np.int64)
    weights = weigh(own, labels.astype(np.float32)).astype(np.float64)
    counts = Counts.of(labels, logits[rows].astype(np.float64), weights[None])
    return float(auc(counts)[0])


def leave_out(table: Table, penalty: float) -> dict[str, Any]:
    """Figures of families of generators and of kinds of reals that the heads never saw.

    Known kinds are judged on val and test pictures, left-out ones on all of theirs.
    """
    clean = table.where(table.views == CLEAN)
    train = table.where(table.splits == "train")
    families = {}
    for name, family in FAMILIES.items():
        fit = fit_head(train.where(~np.isin(train.kinds, family)), "made", penalty)
        families[name] = judge_family(fit, clean, family)
        print(name, families[name]["auc"], flush=True)
    real_kinds = sorted(set(clean.kinds[clean.is_real]))
    reals = {}
    for fold in range(KIND_FOLDS):
        kinds = real_kinds[fold::KIND_FOLDS]
        fit = fit_head(train.where(~np.isin(train.kinds, kinds)), "made", penalty)
        reals |= judge_reals(fit, clean, kinds)
    areas = [figure["auc"] for figure in families.values()]
    return {"families": families, "mean_auc_of_families": float(np.mean(areas)), "reals": reals}


def judge_family(fit: Fit, clean: Table, family: Sequence[str]) -> dict[str, Any]:
    is_new = np.isin(clean.kinds, family)
    held_out = clean.where(is_new | (clean.splits != "train"))
    logits = fit.logits(held_out.features)
    threshold = worst_quantile(logits, held_out, [])
    kinds = {}
    for kind in family:
        own = held_out.kinds == kind
        kinds[kind] = {
            "n": int(own.sum()),
            "auc": kind_auc(logits, held_out, kind),
            "caught": float(np.mean(logits[own] >= threshold)),
        }
    mean = float(np.mean([figure["auc"] for figure in kinds.values()]))
    return {"auc": mean, "kinds": kinds}


def judge_reals(fit: Fit, clean: Table, kinds: Sequence[str]) -> dict[str, Any]:
    logits = fit.logits(clean.features)
    known = clean.splits != "train"
    threshold = worst_quantile(logits[known], clean.where(known), kinds)
    figures = {}
    for kind in kinds:
        own = clean.kinds == kind
        figures[kind] = {
            "n": int(own.sum()),
            "called_fake": float(np.mean(logits[own] >= threshold)),
        }
    return figures


def worst_quantile(logits: Floats, table: Table, without: Sequence[str]) -> float:
    """The logit that at most FALSE_ALARMS of each known kind of reals reach, the worst kind's."""
    bounds = []
    for kind in sorted(set(table.kinds[table.is_real])):
        own = table.kinds == kind
        if kind not in without and own.sum() >= 20:
            bounds.append(np.quantile(logits[own], 1 - FALSE_ALARMS))
    return float(max(bounds))
