"""Tune the LayerNorms of CLIP's image tower on fakes and reals, for the large detector.

    .venv/bin/python -m benchmarks.detector.tune_tower faces/manifest.csv TOWER.onnx OUT \
        --heads altered --images 8000

Only the weights and biases of the 26 LayerNorms learn (40,000 numbers; after "Deepfake Detection
that Generalizes Across Benchmarks", arXiv 2508.06248), with a linear head for each question: was
the picture made whole, or a real photo altered? The heads are thrown away: the detector's are
fitted on the tuned features.

A batch is half real and half fake. Kinds take turns, whatever their size; in a kind every group
counts alike. Half of the fakes were made whole. The others were altered: pictures that the manifest
calls so, and real photos blended onto themselves. Some of the reals are of the sources that altered
fakes are compared to, else a head could tell these by their origin. Every head learns from all
reals, and from the fakes that answer its own question.

Writes to OUT: layer_norms.npz, the tuned arrays by the names of the tower's file; tuning.json, what
they were made with; state.pt, from which the same command goes on where it was stopped.
"""

from __future__ import annotations

import argparse
import io
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from benchmarks.output import describe_machine
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from fauxlab.data.cache import ImageArray, load_images
from fauxlab.data.manifest import Manifest
from fauxlab.io.text import replace_file
from fauxlab.models.clip import FEATURES, SIZE, free_layer_norms, read_tower, to_bfloat16
from fauxlab.models.inputs import to_input
from fauxlab.transforms.degradations import degrade_batch
from fauxlab.transforms.self_blend import blend_batch

BATCH = 16
DEGRADED = 0.5  # share
WARM_UP = 30  # steps over which the rates of learning rise
MEASURED = 8  # batches that give the first means and deviations of the features
MOMENTUM = 0.02  # of these, per step
MOST_GRADIENT = 1.0  # norm
SAVED_EVERY = 120.0  # seconds
LOGGED_EVERY = 20  # steps

Pixels = NDArray[np.uint8]
Rows = NDArray[np.int64]


class Shares(NamedTuple):
    """How many pictures of each sort a batch holds."""

    reals: int  # of all kinds
    matched: int  # reals that the altered fakes are compared to
    made: int
    altered: int
    blended: int  # reals that are blended onto themselves


SHARES = {"both": Shares(6, 2, 4, 2, 2), "altered": Shares(6, 2, 0, 4, 4)}


class Batch(NamedTuple):
    """Pictures with what the heads are to say of them; -1 where a head does not learn."""

    pixels: Pixels  # uint8 [N, 3, 224, 224]
    targets: NDArray[np.float32]  # [N, 2]: made, altered


class Kinds:
    """The rows of several kinds; draws take the kinds in turn, and in a kind a random group."""

    def __init__(self, manifest: Manifest, rows: Sequence[int]) -> None:
        self.groups: dict[str, dict[str, list[int]]] = {}
        for number in rows:
            row = manifest.rows[number]
            groups = self.groups.setdefault(row.kind, {})
            groups.setdefault(row.group, []).append(number)
        self.names = sorted(self.groups)

    def draw(self, seed: int, step: int, count: int) -> list[int]:
        """The rows of a step, a function of its arguments alone."""
        rng = np.random.default_rng((seed, step, len(self.names)))
        rows: list[int] = []
        if not count:
            return rows
        for position in range(step * count, (step + 1) * count):
            turn, place = divmod(position, len(self.names))
            order = np.random.default_rng((seed, turn)).permutation(len(self.names))
            groups = self.groups[self.names[order[place]]]
            group = groups[list(groups)[rng.integers(len(groups))]]
            rows.append(group[rng.integers(len(group))])
        return rows


class Batches:
    """The batches of a tuning by the number of their step."""

    def __init__(self, images: ImageArray, shares: Shares, seed: int) -> None:
        self.images = images
        self.shares = shares
        self.seed = seed
        manifest = images.manifest
        altered = {row.generator for row in manifest.rows if row.manipulation == "altered"}
        matched = {source for name in altered for source in manifest.matched_reals(name)}
        reals, made, changed, near = [], [], [], []
        for number, row in enumerate(manifest.rows):
            if not row.label:
                reals.append(number)
            elif row.generator in altered:
                changed.append(number)
            else:
                made.append(number)
            if not row.label and row.source in matched:
                near.append(number)
        self.reals = Kinds(manifest, reals)
        self.matched = Kinds(manifest, near or reals)
        self.made = Kinds(manifest, made)
        self.altered = Kinds(manifest, changed or reals)
        self.has_altered = bool(changed)

    def __getitem__(self, step: int) -> Batch:
        rng = np.random.default_rng((self.seed, step))
        draws = [
            self.reals.draw(self.seed, step, self.shares.reals),
            self.matched.draw(self.seed + 1, step, self.shares.matched),
            self.made.draw(self.seed + 2, step, self.shares.made),
            self.altered.draw(self.seed + 3, step, self.shares.altered),
            self.reals.draw(self.seed + 4, step, self.shares.blended),
        ]
        rows = np.array([row for drawn in draws for row in drawn], dtype=np.int64)
        pixels = self.images.take(rows)
        # Without altered fakes, all pictures in their place are blends.
        blended = self.shares.blended
        if not self.has_altered:
            blended += self.shares.altered
        seeds = rng.integers(2**31, size=blended)
        pixels[-blended:] = blend_batch(pixels[-blended:], seeds)
        return Batch(self._change(pixels, rng), _targets(self.shares))

    def _change(self, pixels: Pixels, rng: np.random.Generator) -> Pixels:
        """All classes alike: a share degraded, half mirrored."""
        degraded = np.flatnonzero(rng.random(BATCH) < DEGRADED)
        seeds = rng.integers(2**31, size=len(degraded))
        if len(degraded):
            pixels[degraded] = degrade_batch(pixels[degraded], seeds)
        mirrored = np.flatnonzero(rng.random(BATCH) < 0.5)
        pixels[mirrored] = pixels[mirrored, :, :, ::-1]
        return pixels


class Heads(nn.Module):
    """Two linear heads on features standardised by running means and deviations."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(FEATURES, 2)
        nn.init.zeros_(self.linear.weight)
        nn.init.zeros_(self.linear.bias)
        self.register_buffer("mean", torch.zeros(FEATURES))
        self.register_buffer("variance", torch.ones(FEATURES))

    mean: Tensor
    variance: Tensor

    def forward(self, features: Tensor) -> Tensor:
        """Float [N, 6656] to logits [N, 2]."""
        deviation = self.variance.sqrt() + 1e-4
        logits: Tensor = self.linear((features - self.mean) / deviation)
        return logits

    def measure(self, features: Tensor, momentum: float) -> None:
        """Let the running means and deviations follow these features."""
        self.mean.lerp_(features.mean(0), momentum)
        squares = (features - self.mean).square().mean(0)
        self.variance.lerp_(squares, momentum)


class Tuning:
    """The tower, its heads, and the state of their learning."""

    def __init__(self, tower: Path, options: argparse.Namespace) -> None:
        self.tower = read_tower(tower)
        self.norms = free_layer_norms(self.tower)
        self.start = {name: norm.detach().clone() for name, norm in self.norms.items()}
        to_bfloat16(self.tower)
        self.heads = Heads()
        self.pull = options.pull
        self.rates = (options.lr, options.lr_heads)
        parameters = [
            {"params": list(self.norms.values()), "weight_decay": 0.0},
            {"params": list(self.heads.parameters()), "weight_decay": 0.01},
        ]
        self.optimizer = torch.optim.AdamW(parameters, lr=0.0)
        self.steps = options.images // BATCH
        self.step = 0

    def measure(self, batches: Batches) -> None:
        """The first means and deviations of the features; no weight learns."""
        with torch.no_grad():
            features = [self.tower(_inputs(batches[k])) for k in range(MEASURED)]
            self.heads.measure(torch.cat(features), 1.0)

    def learn(self, batch: Batch) -> tuple[float, float]:
        """One step; returns the two heads' losses."""
        factor = _schedule(self.step, self.steps)
        for group, rate in zip(self.optimizer.param_groups, self.rates, strict=True):
            group["lr"] = rate * factor
        features = self.tower(_inputs(batch))
        self.heads.measure(features.detach(), MOMENTUM)
        losses = _losses(self.heads(features), torch.from_numpy(batch.targets))
        self.optimizer.zero_grad()
        losses.sum().backward()
        torch.nn.utils.clip_grad_norm_(list(self.norms.values()), MOST_GRADIENT)
        self.optimizer.step()
        self._pull_back(self.rates[0] * factor)
        self.step += 1
        made, altered = losses.tolist()
        return made, altered

    def _pull_back(self, rate: float) -> None:
        """Weight decay towards where the LayerNorms started, not towards 0."""
        with torch.no_grad():
            for name, norm in self.norms.items():
                norm.lerp_(self.start[name], rate * self.pull)

    def save(self, folder: Path) -> None:
        """Write the tuned LayerNorms so far, and the state of the tuning."""
        arrays = {name: norm.detach().numpy() for name, norm in self.norms.items()}
        stream = io.BytesIO()
        np.savez(stream, **arrays)
        replace_file(folder / "layer_norms.npz", stream.getvalue())
        state = {
            "step": self.step,
            "norms": {name: norm.detach() for name, norm in self.norms.items()},
            "heads": self.heads.state_dict(),
            "optimizer": self.optimizer.state_dict(),
        }
        stream = io.BytesIO()
        torch.save(state, stream)
        replace_file(folder / "state.pt", stream.getvalue())

    def load(self, folder: Path) -> None:
        """Go on from a saved state."""
        state = torch.load(folder / "state.pt", weights_only=True)
        with torch.no_grad():
            for name, norm in self.norms.items():
                norm.copy_(state["norms"][name])
        self.heads.load_state_dict(state["heads"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.step = state["step"]


def main() -> None:
    options = read_options()
    manifest = Manifest.load(options.manifest).train
    left_out = _names(options.without)
    manifest = manifest.where(lambda row: row.kind not in left_out)
    images = load_images(manifest, SIZE)
    shares = SHARES[options.heads]
    batches = Batches(images, shares, options.seed)
    tuning = Tuning(options.tower, options)
    if (options.out / "state.pt").exists():
        tuning.load(options.out)
    else:
        tuning.measure(batches)
    seconds = tune(tuning, batches, options.out)
    description = {
        "images": options.images,
        "heads": options.heads,
        "kinds": {"real": batches.reals.names, "made": batches.made.names},
        "altered": batches.altered.names if batches.has_altered else [],
        "without": sorted(left_out),
        "seconds_of_this_run": round(seconds),
        "environment": describe_machine(manifest.data_hash),
    }
    replace_file(options.out / "tuning.json", json.dumps(description, indent=1) + "\n")


def read_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("manifest", type=Path)
    parser.add_argument("tower", type=Path, help="clip_encoder.int8.onnx")
    parser.add_argument("out", type=Path)
    parser.add_argument("--heads", choices=[*SHARES], default="both", help="those that learn")
    parser.add_argument("--without", default="", help="kinds to leave out, separated by commas")
    parser.add_argument("--images", type=int, default=15_000)
    parser.add_argument("--lr", type=float, default=1e-3, help="of the LayerNorms")
    parser.add_argument("--lr-heads", type=float, default=1e-4)
    parser.add_argument("--pull", type=float, default=0.1, help="decay towards the start")
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


def tune(tuning: Tuning, batches: Batches, folder: Path) -> float:
    """Learn until the last step, saving every few minutes; returns the seconds it took."""
    began = saved = time.monotonic()
    first = tuning.step
    recent: list[tuple[float, float]] = []
    while tuning.step < tuning.steps:
        recent.append(tuning.learn(batches[tuning.step]))
        now = time.monotonic()
        if tuning.step % LOGGED_EVERY == 0:
            made, altered = np.mean(recent, axis=0)
            speed = (tuning.step - first) * BATCH / (now - began)
            print(
                f"{tuning.step}/{tuning.steps}: loss made {made:.3f}, altered {altered:.3f}, "
                f"{speed:.2f} images/s",
                flush=True,
            )
            recent.clear()
        if now - saved > SAVED_EVERY:
            tuning.save(folder)
            saved = now
    tuning.save(folder)
    return time.monotonic() - began


def _losses(logits: Tensor, targets: Tensor) -> Tensor:
    """Each head's mean loss [2], over the pictures that it learns from."""
    counts = (targets >= 0).float()
    losses = F.binary_cross_entropy_with_logits(logits, targets.clamp(min=0), reduction="none")
    return (losses * counts).sum(0) / counts.sum(0).clamp(min=1)


def _targets(shares: Shares) -> NDArray[np.float32]:
    """What the heads are to say of a batch. One that sees no fake of its own learns nothing."""
    of_made = 0 if shares.made else -1
    real = [(of_made, 0)] * (shares.reals + shares.matched)
    made = [(1, -1)] * shares.made
    altered = [(-1, 1)] * (shares.altered + shares.blended)
    return np.array(real + made + altered, dtype=np.float32)


def _schedule(step: int, steps: int) -> float:
    """The share of the full rate of learning: a short rise, then half a cosine."""
    rise = min(1.0, (step + 1) / WARM_UP)
    return float(rise * (1 + np.cos(np.pi * step / steps)) / 2)


def _inputs(batch: Batch) -> Tensor:
    return to_input(torch.from_numpy(batch.pixels))


def _names(text: str) -> list[str]:
    return [name for name in text.split(",") if name]


if __name__ == "__main__":
    main()
