"""What is looked at from time to time while a GAN trains: distance to reals, samples, the guard."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from fauxlab.evaluation.features import extract, has_features
from fauxlab.evaluation.generation import Reference, evaluate_generator, load_reference
from fauxlab.evaluation.networks import load_features
from fauxlab.io.marking import Mark, grid, save_png
from fauxlab.training.gan.bundles import wrap_generator
from fauxlab.training.gan.signals import SignalMeter
from fauxlab.training.session import OnEvent
from fauxlab.version import __version__

if TYPE_CHECKING:
    from fauxlab.config import GanRecipe
    from fauxlab.data.cache import ImageArray
    from fauxlab.models.pretrained import Generator
    from fauxlab.records import GenerationReport
    from fauxlab.training.gan.plan import GanPlan
    from fauxlab.training.gan.state import State
    from fauxlab.training.run import Run

PROBE = 8  # pictures of which the time of an evaluation is estimated
GRID_IMAGES = 64  # in a sample grid, always of the same latents
TELL_SECONDS = 15.0  # between two lines on something that takes long
LOGGED = {
    "n",
    "distance",
    "floor",
    "floor_n",
    "kid",
    "precision",
    "recall",
    "density",
    "coverage",
    "pairwise_ratio",
    "near_duplicate_share",
    "memorised_share",
}


class Monitor:
    """Writes its findings to the run folder: log lines, sample grids, `best/` and `last/`."""

    def __init__(
        self,
        run: Run,
        plan: GanPlan,
        images: ImageArray,
        device: torch.device,
        weights: str | Path | None = None,
        on_event: OnEvent | None = None,
    ) -> None:
        self.run = run
        self.plan = plan
        self.recipe = plan.recipe
        self.images = images
        self.say = on_event or (lambda _: None)
        self.network = load_features(self.recipe.evaluate.features, weights, device)
        self.meter = SignalMeter(plan, images, device)

    @cached_property
    def reference(self) -> Reference:
        """What the generator is measured against, made at the first evaluation.

        It holds features of all real images, since copies are looked for among all training images
        and compared with held-out ones. They are kept on disk, so this takes long only once.
        """
        title = f"features of real images in {self.network.name}"
        progress = tell_progress(self.say, title, len(self.images))
        n = self.recipe.evaluate.n
        seed = self.recipe.train.seed
        return load_reference(self.images, self.network, n, seed=seed, progress=progress)

    @cached_property
    def evaluation_seconds(self) -> float:
        """About how long the first evaluation takes, from the time of a few pictures."""
        extract(self.network, self._take, 1)  # the first call of a network takes longer
        start = time.monotonic()
        extract(self.network, self._take, PROBE)
        seconds = (time.monotonic() - start) / PROBE
        fakes = self.recipe.evaluate.n
        reals = 0 if has_features(self.network, self.images) else len(self.images)
        # Drawing the fakes and comparing the features come on top.
        return 1.5 * seconds * (fakes + reals)

    def evaluate(self, state: State) -> None:
        """Measure the released generator; save it as `last/`, and as `best/` if none was nearer."""
        report = self._measure(state)
        is_best = report.distance < state.best  # never so where the distance is no number
        figures = _figures(report)
        features = report.features.model_dump()
        self.run.log("eval", images=state.images, features=features, **figures)
        self.say(_describe_evaluation(state.images, report, is_best))

        bundle = self._save_last(state, figures)
        state.guard.note_evaluation(state.images, report.distance)
        if is_best:
            state.best = report.distance
            bundle.save_pretrained(self.run.folder / "best")
            if self.recipe.guard.on_collapse == "rollback":
                self.run.save_checkpoint(state.as_dict(), "best.pt")

    def release_early(self, state: State, measured: bool) -> None:
        """Write `last/` and `best/` for a run that its clock stopped before its first evaluation.

        The state stays as it is, so the run goes on as if this generator had not been made: the log
        is cut back, and the first evaluation replaces `best/`.
        """
        figures = {}
        if measured:
            report = self._measure(state)
            figures = _figures(report)
            self.say(_describe_evaluation(state.images, report, is_best=False))
        self.run.log("released_early", images=state.images, **figures)
        bundle = self._save_last(state, figures)
        bundle.save_pretrained(self.run.folder / "best")

    def check(self, state: State) -> str:
        """Let the guard check; returns what is to be done: "" (go on), "stop" or "rollback"."""
        signals = self.meter.measure(state)
        assessment, alarm = state.guard.check(signals)
        action = ""
        if alarm:
            action = self._decide(state)
            done = self._describe_action(state, action)
            self.say(f"{state.images:,} images: {assessment.state}: {assessment.reason}; {done}")
        self.run.log(
            "guard",
            **asdict(signals),
            state=assessment.state,
            reason=assessment.reason,
            alarm=alarm,
            action=action or ("warn" if alarm else ""),
        )
        return action

    def _decide(self, state: State) -> str:
        """What the recipe says is to be done at an alarm."""
        if self.recipe.guard.on_collapse == "warn":
            return ""
        if may_go_back(self.run, self.recipe, state):
            return "rollback"
        return "stop"

    def _describe_action(self, state: State, action: str) -> str:
        guard = self.recipe.guard
        if action != "stop" or guard.on_collapse != "rollback":
            return action or "going on"
        if state.rollbacks < guard.rollbacks:
            return "stop (no state to go back to)"
        return f"stop (rolled back {state.rollbacks} times)"

    def _take(self, first: int, count: int) -> torch.Tensor:
        """The first pictures, from which the time of an evaluation is estimated."""
        rows = np.arange(first, first + count) % len(self.images)
        return torch.from_numpy(self.images.take(rows))

    def _measure(self, state: State) -> GenerationReport:
        return evaluate_generator(
            self._bundle(state).sample,
            self.reference,
            model=self.recipe.model.name,
            model_hash="",
            seed=0,
        )

    def _save_last(self, state: State, figures: dict[str, Any]) -> Generator:
        """Write `last/` and its sample grid; gives the generator, to be saved elsewhere too."""
        bundle = self._bundle(state, figures)
        last = bundle.save_pretrained(self.run.folder / "last")
        self._save_grid(last, state.images)
        return bundle

    def _bundle(self, state: State, metrics: dict[str, Any] | None = None) -> Generator:
        """The released generator in evaluation mode."""
        training = {
            "recipe": self.recipe.name,
            "sources": self.plan.manifest.sources,
            "images": state.images,
            "seed": self.recipe.train.seed,
            "data_hash": self.run.environment["data_hash"],
            "fauxlab": __version__,
        }
        return wrap_generator(state.released, self.recipe, training, metrics)

    def _save_grid(self, generator: Generator, images: int) -> None:
        folder = self.run.folder / "samples"
        folder.mkdir(exist_ok=True)
        pixels = generator.sample(0, GRID_IMAGES).numpy()
        mark = Mark(model=generator.config.architecture, model_hash=generator.hash, seed=None)
        path = folder / f"fakes{images:09}.png"
        save_png(path, grid(pixels), mark)


def may_go_back(run: Run, recipe: GanRecipe, state: State) -> bool:
    """Whether a rollback is asked for, is left, and has a state to go back to."""
    guard = recipe.guard
    if guard.on_collapse != "rollback":
        return False
    if state.rollbacks >= guard.rollbacks:
        return False
    best = run.folder / "checkpoints" / "best.pt"
    return best.exists()


def tell_progress(say: OnEvent, title: str, total: int) -> Callable[[int], None]:
    """A function to be called with the number of images just done; says now and then how many.

    It says nothing before it is called, as where nothing is left to be done.
    """
    done = 0
    last = -TELL_SECONDS

    def advance(count: int) -> None:
        nonlocal done, last
        done += count
        now = time.monotonic()
        if now - last >= TELL_SECONDS or done >= total:
            say(f"{title}: {done:,}/{total:,} images")
            last = now

    return advance


def _figures(report: GenerationReport) -> dict[str, Any]:
    """The figures of an evaluation that the log and the bundle keep."""
    return {"label": report.distance_label, **report.model_dump(include=LOGGED)}


def _describe_evaluation(images: int, report: GenerationReport, is_best: bool) -> str:
    remark = ", the best so far" if is_best else ""
    return (
        f"{images:,} images: {report.distance_label} {report.distance:.4g} (N {report.n:,}, "
        f"floor {report.floor:.4g}), recall {report.recall:.3f}{remark}"
    )
