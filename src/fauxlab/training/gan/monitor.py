"""What a GAN's training looks at from time to time: distance to reals, samples, and the guard's
signals.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from fauxlab.bundle.config import GeneratorConfig
from fauxlab.evaluation.detection import predict_logits
from fauxlab.evaluation.features import extract
from fauxlab.evaluation.generation import evaluate_generator, load_reference, measure
from fauxlab.evaluation.networks import load_features
from fauxlab.io.marking import Mark, grid, save_png
from fauxlab.models.inputs import to_input
from fauxlab.models.pretrained import Generator
from fauxlab.training.gan.collapse_guard import Signals
from fauxlab.version import __version__

if TYPE_CHECKING:
    from fauxlab.config import GanRecipe
    from fauxlab.data.cache import ImageArray
    from fauxlab.training.gan.plan import GanPlan
    from fauxlab.training.gan.updates import State
    from fauxlab.training.run import Run

SHOWN = 64  # fixed latents in a sample grid
GUARD_FEATURES = "randconv"
LOGGED = {"n", "distance", "floor", "floor_n", "kid", "precision", "recall", "density", "coverage"}
LOGGED |= {"pairwise_ratio", "near_duplicate_share", "memorised_share"}


class Judge:
    """Writes what it finds to the run folder: log lines, sample grids, `best/` and `last/`."""

    def __init__(
        self,
        run: Run,
        recipe: GanRecipe,
        plan: GanPlan,
        images: ImageArray,
        device: torch.device,
        weights: str | Path | None = None,
        on_event: Callable[[str], None] | None = None,
    ) -> None:
        self.run, self.recipe, self.plan, self.images, self.device = (
            run,
            recipe,
            plan,
            images,
            device,
        )
        self.say = on_event or (lambda _: None)
        network = load_features(recipe.evaluate.features, weights, device)
        self.reference = load_reference(images, network, recipe.evaluate.n, seed=recipe.train.seed)
        n = min(recipe.guard.n, len(self.reference.training))
        self.guard_network = load_features(GUARD_FEATURES, device=device)
        self.guard_reference = load_reference(images, self.guard_network, n, seed=recipe.train.seed)
        self.guard_rows = np.random.default_rng(recipe.train.seed).permutation(plan.train_rows)[:n]

    def evaluate(self, state: State) -> None:
        """Distance of the shown generator; its weights become `last/`, and `best/` when none was
        nearer.
        """
        report = evaluate_generator(
            self._generator(state).sample,
            self.reference,
            model=self.recipe.model.name,
            model_hash="",
            seed=0,
        )
        figures = {"label": report.distance_label, **report.model_dump(include=LOGGED)}
        self.run.log("eval", images=state.images, features=report.features.model_dump(), **figures)
        self.say(
            f"{state.images:,} images: {report.distance_label} {report.distance:.4g} (N {report.n:,}, floor "
            f"{report.floor:.4g}), recall {report.recall:.3f}{', the best so far' * (report.distance < state.best)}"
        )
        bundle = self._generator(state, figures)
        last = bundle.save_pretrained(self.run.folder / "last")
        self._save_grid(last, state.images)
        state.guard.note_evaluation(state.images, report.distance)
        # A distance that is no number (a generator of one image) is never the best.
        if report.distance < state.best:
            state.best = report.distance
            bundle.save_pretrained(self.run.folder / "best")
            if self.recipe.guard.on_collapse == "rollback":
                self.run.save_checkpoint(state.as_dict(), "best.pt")

    def check(self, state: State) -> str:
        """Let the guard look; returns "" (go on), "stop" or "rollback"."""
        guard = self.recipe.guard
        signals = self.measure_signals(state)
        assessment, alarm = state.guard.check(signals)
        action = ""
        if alarm and guard.on_collapse != "warn":
            action = "rollback" if may_go_back(self.run, self.recipe, state) else "stop"
        if alarm:
            done = action or "going on"
            if (guard.on_collapse, action) == ("rollback", "stop"):
                left = state.rollbacks < guard.rollbacks
                done += (
                    " (no state to go back to)"
                    if left
                    else f" (rolled back {state.rollbacks} times)"
                )
            self.say(f"{state.images:,} images: {assessment.state}: {assessment.evidence}; {done}")
        self.run.log(
            "guard",
            **asdict(signals),
            state=assessment.state,
            evidence=assessment.evidence,
            alarm=alarm,
            action=action or ("warn" if alarm else ""),
        )
        return action

    def measure_signals(self, state: State) -> Signals:
        """The guard's signals now; costs some seconds on a CPU, most of it the generator's own
        time.
        """
        reference = self.guard_reference
        fakes = extract(self.guard_network, self._generator(state).sample, reference.n)
        figures = measure(
            reference.reals,
            fakes,
            spread=reference.spread,
            duplicate_distance=reference.duplicate_distance,
        )
        train = self._real_logits(state.discriminator, self.guard_rows)
        heldout = self._real_logits(state.discriminator, self.plan.heldout_rows)
        fake = self._fake_logits(state, reference.n)
        gap = train.mean() - fake.mean()
        return Signals(
            images=state.images,
            distance=figures.distance,
            spread=figures.pairwise_ratio or 0.0,
            recall=figures.recall,
            near_duplicates=figures.near_duplicate_share,
            separation=_share_above(train, fake),
            overfit=float((train.mean() - heldout.mean()) / gap)
            if len(heldout) and gap > 0
            else 0.0,
            real_sign=float(np.sign(train).mean()),
            fake_sign=float(np.sign(fake).mean()),
        )

    def _real_logits(
        self, discriminator: nn.Module, rows: np.ndarray[Any, np.dtype[np.int64]]
    ) -> np.ndarray[Any, Any]:
        return predict_logits(discriminator, self.images, rows).astype(np.float64)

    def _fake_logits(self, state: State, n: int) -> np.ndarray[Any, Any]:
        """Logits of the generator that the discriminator plays against, which is not the averaged
        one.
        """
        current = _wrapped(state.generator, self.recipe, {}, {})
        discriminator, logits = state.discriminator.eval(), []
        with torch.inference_mode():
            for first in range(0, n, 250):
                pixels: Tensor = current.sample(first, min(250, n - first)).to(self.device)
                logits.append(discriminator(to_input(pixels)).double().cpu().numpy())
        state.generator.train()
        discriminator.train()
        return np.concatenate(logits)

    def _generator(self, state: State, metrics: dict[str, Any] | None = None) -> Generator:
        """The shown generator in evaluation mode, as a bundle."""
        training = {
            "recipe": self.recipe.name,
            "sources": self.plan.manifest.sources,
            "images": state.images,
            "seed": self.recipe.train.seed,
            "data_hash": self.run.environment["data_hash"],
            "fauxlab": __version__,
        }
        return _wrapped(state.shown, self.recipe, training, metrics or {})

    def _save_grid(self, generator: Generator, images: int) -> None:
        folder = self.run.folder / "samples"
        folder.mkdir(exist_ok=True)
        pixels = generator.sample(0, SHOWN).numpy()
        mark = Mark(model=generator.config.architecture, model_hash=generator.hash, seed=None)
        save_png(folder / f"fakes{images:09}.png", grid(pixels), mark)


def may_go_back(run: Run, recipe: GanRecipe, state: State) -> bool:
    """Whether a rollback is asked for, left, and has a state to go back to."""
    guard = recipe.guard
    left = guard.on_collapse == "rollback" and state.rollbacks < guard.rollbacks
    return left and (run.folder / "checkpoints" / "best.pt").exists()


def _wrapped(
    network: nn.Module, recipe: GanRecipe, training: dict[str, Any], metrics: dict[str, Any]
) -> Generator:
    config = GeneratorConfig(
        architecture=recipe.model.name,
        latent=recipe.model.latent,
        size=recipe.data.size,
        options=recipe.model.generator,
        training=training,
        metrics=metrics,
    )
    return Generator(network.eval(), config)


def _share_above(high: np.ndarray[Any, Any], low: np.ndarray[Any, Any]) -> float:
    """Share of pairs in which the first is above the second, ties half: the AUC of one set against
    the other.
    """
    order = np.sort(low)
    below, upto = np.searchsorted(order, high, "left"), np.searchsorted(order, high, "right")
    return float((below + upto).mean() / 2 / len(low))
