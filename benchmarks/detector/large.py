r"""Make the large detector: heads on CLIP's tuned tower, and what they say of kinds left out.

    fauxlab models fetch fauxlab-large
    .venv/bin/python -m benchmarks.detector.tune_tower faces/manifest.csv TOWER.onnx tuned \
        --altered dfdc-swap --heads altered --images 8000
    .venv/bin/python -m benchmarks.detector.large features faces/manifest.csv tuned features
    .venv/bin/python -m benchmarks.detector.large fit faces/manifest.csv tuned features SMALL OUT

The heads are logistic layers on the tower's features: one tells pictures that were made whole from
real ones, the other real photos that were altered. Each learns from the train split as it is, and
from the same pictures after random filters and degradations. The altered head also learns from
real photos that are altered here (`fauxlab.transforms.alter`). Kinds count alike, and groups in a
kind. The penalty is chosen on the train split, by leaving families of generators out.

The tower was tuned for altered pictures alone. It saw no picture that was made whole, so a family
of generators is left out by fitting the heads anew.

`features` writes the tower's features to parts of OUT, and goes on where it was stopped. `fit`
writes the bundle, whose texture network is SMALL, an exported detector. It gives the out-of-
distribution distance; the heads give its features no weight. `fit --without KIND,KIND` leaves kinds
out. `fit --json FILE` writes what the heads say of families and kinds that they never saw.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from benchmarks.output import command_line, describe_machine
from numpy.typing import NDArray
from torch.nn import functional as F

from fauxlab.bundle.config import DetectorConfig, Head, Preprocessing
from fauxlab.bundle.folder import GRAPH
from fauxlab.bundle.heads import HeadWeights
from fauxlab.bundle.onnx import OnnxDetector
from fauxlab.bundle.tower import ARCHITECTURE, TOWER_FEATURES, TOWER_OPTION, describe_tokens
from fauxlab.bundle.tower import save_tower_bundle as save_bundle
from fauxlab.bundle.tower_session import SIZE, Tower
from fauxlab.bundle.tower_store import LARGE_MODEL, TOWER_SHA256, read_tower
from fauxlab.bundle.tower_weights import TowerWeights
from fauxlab.calibration.join import fit_join
from fauxlab.data.cache import ImageArray, load_images
from fauxlab.data.manifest import Manifest
from fauxlab.io.images import PIPELINE_VERSION
from fauxlab.io.text import replace_file
from fauxlab.statistics import Counts, auc
from fauxlab.transforms.alter import alter_batch
from fauxlab.transforms.degradations import degrade_batch, filter_batch
from fauxlab.version import __version__

PART = 256  # pictures in a file of features
CLEAN, CHANGED, ALTERED = "clean", "changed", "altered"
VIEWS = (CLEAN, CHANGED, ALTERED)
DEGRADED = 0.5  # share of the changed and altered pictures
HEADS = (Head(name="made", manipulation="made"), Head(name="altered", manipulation="altered"))
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

Floats = NDArray[np.float32]
Bools = NDArray[np.bool_]


class Table(NamedTuple):
    """Features of views of pictures, one row each."""

    features: Floats  # [N, 6656]
    kinds: NDArray[np.str_]
    groups: NDArray[np.str_]
    splits: NDArray[np.str_]
    sorts: NDArray[np.str_]  # "", made, altered
    views: NDArray[np.str_]

    def where(self, rows: Bools) -> Table:
        """The rows for which `rows` is true."""
        return Table(*[column[rows] for column in self])

    @property
    def is_real(self) -> Bools:
        """Which rows show a real photo as it was taken, changed or not."""
        return self.sorts == ""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(required=True)
    features = commands.add_parser("features")
    features.add_argument("manifest", type=Path)
    features.add_argument("tuned", type=Path, help="folder of layer_norms.npz")
    features.add_argument("out", type=Path)
    features.add_argument("--views", default=",".join(VIEWS))
    features.set_defaults(run=extract)
    fit = commands.add_parser("fit")
    fit.add_argument("manifest", type=Path)
    fit.add_argument("tuned", type=Path)
    fit.add_argument("features", type=Path)
    fit.add_argument("small", type=Path, help="exported bundle of the texture network")
    fit.add_argument("out", type=Path)
    fit.add_argument("--without", default="", help="kinds to leave out, separated by commas")
    fit.add_argument("--json", type=Path, help="leave families and kinds out, and write figures")
    fit.set_defaults(run=fit_bundle)
    options = parser.parse_args()
    options.run(options)


# --- features


def extract(options: argparse.Namespace) -> None:
    """Write the features of all views, part by part."""
    options.out.mkdir(parents=True, exist_ok=True)
    manifest = Manifest.load(options.manifest)
    images = load_images(manifest, SIZE)
    tower = Tower(read_tower(), read_layer_norms(options.tuned))
    for view in options.views.split(","):
        rows = rows_of_view(images.manifest, view)
        for start in range(0, len(rows), PART):
            path = options.out / f"{view}-{start // PART:03d}.npz"
            if path.exists():
                continue
            part = rows[start : start + PART]
            pixels = show(images, part, view)
            described = [describe_tokens(tower.run(picture)) for picture in pixels]
            temporary = path.with_suffix(".tmp.npz")
            keys = [images.manifest.rows[i].image_hash for i in part]
            np.savez(temporary, keys=keys, features=np.stack(described).astype(np.float16))
            temporary.rename(path)
            print(f"{view}: {start + len(part):,} of {len(rows):,}", flush=True)


def rows_of_view(manifest: Manifest, view: str) -> NDArray[np.int64]:
    """All pictures as they are; changed ones of the train split; altered ones of its reals."""
    rows = []
    for number, row in enumerate(manifest.rows):
        is_wanted = view == CLEAN or row.split == "train"
        if view == ALTERED:
            is_wanted = is_wanted and not row.label
        if is_wanted:
            rows.append(number)
    return np.array(rows)


def show(images: ImageArray, rows: NDArray[np.int64], view: str) -> NDArray[np.uint8]:
    """The pixels of these rows in a view; the same for the same rows."""
    pixels = images.take(rows)
    if view == CLEAN:
        return pixels
    seeds = rows.astype(np.int64)
    if view == ALTERED:
        pixels = alter_batch(pixels, seeds + 10**6)
    else:
        pixels = filter_batch(pixels, seeds + 2 * 10**6)
    draws = np.random.default_rng(int(rows[0])).random(len(rows))
    chosen = np.flatnonzero(draws < DEGRADED)
    changed = np.array(pixels)
    changed[chosen] = degrade_batch(changed[chosen], seeds[chosen])
    return changed


def read_layer_norms(folder: Path) -> dict[str, Floats]:
    with np.load(folder / "layer_norms.npz", allow_pickle=False) as arrays:
        return {name: arrays[name].astype(np.float32) for name in arrays.files}


def read_table(manifest: Manifest, folder: Path) -> Table:
    """The features of all parts, with what the manifest says of their pictures."""
    known = {row.image_hash: row for row in manifest.rows}
    columns: list[list[str]] = [[], [], [], [], []]
    features = []
    for path in sorted(folder.glob("*-???.npz")):
        view = path.name.split("-")[0]
        with np.load(path, allow_pickle=False) as part:
            keys = part["keys"].tolist()
            features.append(part["features"].astype(np.float32))
        for key in keys:
            row = known[key]
            sort = "altered" if view == ALTERED else row.manipulation
            kind = row.generator or row.source
            values = (kind, row.group, row.split, sort, view)
            for column, value in zip(columns, values, strict=True):
                column.append(value)
    return Table(np.concatenate(features), *[np.array(column) for column in columns])


# --- heads


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
    kinds = np.where((table.views == ALTERED), "altered here", table.kinds)
    weights = np.zeros(len(kinds), np.float32)
    for kind in np.unique(kinds):
        rows = kinds == kind
        groups, codes, sizes = np.unique(
            table.groups[rows], return_inverse=True, return_counts=True
        )
        weights[rows] = 1 / (len(groups) * sizes[codes])
    is_matched = (targets == 0) & np.isin(table.kinds, matched)
    if is_matched.any():
        others = weights[(targets == 0) & ~is_matched].sum()
        weights[is_matched] *= MATCHED / (1 - MATCHED) * others / weights[is_matched].sum()
    for target in (0, 1):
        rows = targets == target
        weights[rows] *= 0.5 / weights[rows].sum()
    return weights


def choose_penalty(train: Table) -> tuple[float, dict[str, float]]:
    """The penalty with the best mean AUC of families left out, on the train split."""
    means = {}
    for penalty in PENALTIES:
        areas = []
        for family in FAMILIES.values():
            rows = np.isin(train.kinds, family)
            if not rows.any():
                continue
            fit = fit_head(train.where(~rows), "made", penalty)
            clean = train.where(train.views == CLEAN)
            areas.append(mean_auc(fit.logits(clean.features), clean, family))
        means[f"{penalty:g}"] = float(np.mean(areas))
        print(f"penalty {penalty:g}: families left out {means[f'{penalty:g}']:.4f}", flush=True)
    best = max(means, key=lambda name: means[name])
    return float(best), means


def mean_auc(logits: Floats, table: Table, kinds: Iterable[str]) -> float:
    """Mean AUC of some kinds of fakes against the reals, of which every kind counts alike."""
    return float(np.mean([kind_auc(logits, table, kind) for kind in kinds]))


def kind_auc(logits: Floats, table: Table, kind: str) -> float:
    rows = table.is_real | (table.kinds == kind)
    own = table.where(rows)
    labels = (~own.is_real).astype(np.int64)
    weights = weigh(own, labels.astype(np.float32)).astype(np.float64)
    counts = Counts.of(labels, logits[rows].astype(np.float64), weights[None])
    return float(auc(counts)[0])


def fit_bundle(options: argparse.Namespace) -> None:
    """Fit the heads, write the bundle, and say how it does on what it never saw."""
    manifest = Manifest.load(options.manifest)
    left_out = [name for name in options.without.split(",") if name]
    table = read_table(manifest, options.features)
    known = table.where(~np.isin(table.kinds, left_out))
    train = known.where(known.splits == "train")
    penalty, means = choose_penalty(train)
    altered = [row.generator for row in manifest.rows if row.manipulation == "altered"]
    matched = sorted({source for name in set(altered) for source in manifest.matched_reals(name)})
    fits = [fit_head(train, "made", penalty), fit_head(train, "altered", penalty, matched)]
    val = known.where((known.splits == "val") & (known.views == CLEAN))
    logits = np.stack([fit.logits(val.features) for fit in fits], 1)
    names = [head.name for head in HEADS]
    centre, scale = fit_join(
        logits,
        (~val.is_real).astype(np.int64),
        val.sorts.tolist(),
        val.kinds.tolist(),
        val.groups.tolist(),
        names,
    )
    small = OnnxDetector.from_pretrained(options.small, trust=True)
    textures = small.predict(np.zeros((1, 3, small.size, small.size), np.uint8)).features.shape[1]
    weight = np.zeros((len(HEADS), TOWER_FEATURES + textures), np.float32)
    weight[:, :TOWER_FEATURES] = [fit.weight for fit in fits]
    bias = np.array([fit.bias for fit in fits], np.float32)
    heads = HeadWeights(weight, bias, centre.astype(np.float32), scale.astype(np.float32))
    layer_norms = read_layer_norms(options.tuned)
    config = describe(manifest, small, penalty, means, left_out)
    graph = (options.small / GRAPH).read_bytes()
    digest = save_bundle(options.out, config, TowerWeights(heads, layer_norms), graph)
    print(f"{options.out}: {digest}")
    if options.json:
        figures = leave_out(table.where(table.splits != "calibration"), penalty)
        figures["command"] = command_line()
        figures["environment"] = describe_machine(manifest.data_hash)
        replace_file(options.json, json.dumps(figures, indent=1) + "\n")


def describe(
    manifest: Manifest,
    small: OnnxDetector,
    penalty: float,
    means: dict[str, float],
    left_out: Sequence[str],
) -> DetectorConfig:
    """The config of the bundle, not yet calibrated."""
    training: dict[str, Any] = {
        "generators": [name for name in manifest.generators if name not in left_out],
        "sources": [name for name in manifest.sources if name not in left_out],
        "data_hash": manifest.data_hash,
        "penalty": penalty,
        "texture": small.hash,
        "fauxlab": __version__,
    }
    return DetectorConfig(
        name=LARGE_MODEL,
        architecture=ARCHITECTURE,
        options={TOWER_OPTION: TOWER_SHA256},
        preprocessing=Preprocessing(size=SIZE, pipeline_version=PIPELINE_VERSION),
        heads=HEADS,
        ood=small.config.ood,
        training=training,
        metrics={"auc_of_families_left_out_of_train": means},
    )


# --- kinds left out


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


if __name__ == "__main__":
    main()
