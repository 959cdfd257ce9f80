"""GAN training: rounds of the game, log, evaluations, the guard and exact resume, on one process or several.

The budget counts the real images that the discriminator was shown.
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import broadcast_object_list
from torch import Tensor, nn

from fauxlab.config import GanRecipe, check_run_name, value_at
from fauxlab.data.cache import ImageArray, load_images
from fauxlab.data.manifest import Manifest
from fauxlab.errors import LabError
from fauxlab.evaluation.networks import check_features
from fauxlab.models import create_discriminator, create_generator
from fauxlab.training.balance import Steps
from fauxlab.training.game import Game, State, mixes_images
from fauxlab.training.guard import Guard
from fauxlab.training.judge import Judge, may_go_back
from fauxlab.training.run import (
    CHECKPOINT_SECONDS,
    OnStep,
    Run,
    any_process,
    fits_checkpoint,
    open_run,
    point_latest,
    refuse_taken,
    start_accelerator,
    train_alone,
)
from fauxlab.training.stages import Rows

LOG_EVERY = 20  # rounds
# Called with one line of text after every evaluation and whenever the guard has something to say.
OnEvent = Callable[[str], None]


@dataclass(frozen=True)
class GanPlan:
    """What a recipe means for a manifest, before any image is decoded."""

    manifest: Manifest  # the real images, all splits
    train_rows: Rows  # those learned from
    heldout_rows: Rows  # validation images: never trained on, the guard compares them with the others
    images: int
    evaluate_every: int


def plan_gan(manifest: Manifest, recipe: GanRecipe) -> GanPlan:
    """Choose the real images. Raises LabError when there are none, or when the recipe's parts exclude each other."""
    manifest.in_split("train")  # says so where the manifest was never split
    reals = manifest.reals(*recipe.data.sources)
    splits = np.array([row.split for row in reals.rows])
    train = measured = np.flatnonzero(splits == "train")
    if recipe.data.limit:
        train = np.sort(np.random.default_rng(recipe.train.seed).permutation(train)[: recipe.data.limit])
    if len(train) < recipe.train.batch:
        raise LabError(
            f"{len(train)} real images to learn from (source {', '.join(reals.sources) or 'none'}, split train), "
            f"fewer than a batch of {recipe.train.batch}; index more images or set train.batch={max(2, len(train))} or "
            "less"
        )
    if recipe.evaluate.n > len(measured):
        raise LabError(
            f"evaluate.n = {recipe.evaluate.n}, but there are {len(measured)} real images to compare with; index more "
            f"images or set evaluate.n={len(measured)}"
        )
    discriminator = create_discriminator(recipe.model.name, recipe.data.size, **recipe.model.discriminator)
    if (recipe.gan.r1, recipe.gan.r2) != (0.0, 0.0) and mixes_images(discriminator):
        raise LabError(
            f"gan.r1 and gan.r2 need a discriminator without batch normalisation; {recipe.model.name} has it "
            "(a gradient penalty is on the gradient of one image's logit)"
        )
    return GanPlan(
        reals,
        train,
        np.flatnonzero(splits == "val"),
        recipe.train.images or recipe.train.epochs * len(train),
        recipe.evaluate.every or recipe.evaluate.every_epochs * len(train),
    )


def check_gan(
    manifest: Manifest,
    recipe: GanRecipe,
    out: str | Path,
    name: str | None,
    resume: bool,
    weights: str | Path | None = None,
) -> GanPlan:
    """The plan; raises LabError for whatever can be refused before images are decoded and the folder is taken."""
    folder = Path(out) / check_run_name(name or recipe.name)
    plan = plan_gan(manifest, recipe)
    _create_networks(recipe)
    check_features(recipe.evaluate.features, weights)
    if not resume:
        refuse_taken(folder)
    return plan


def decode_reals(
    manifest: Manifest, recipe: GanRecipe, progress: Callable[[int], None] | None = None
) -> tuple[tuple[str, str], ...]:
    """Fill the store of decoded images with what the recipe needs; returns what had to be skipped, with reasons."""
    return load_images(plan_gan(manifest, recipe).manifest, recipe.data.size, progress).skipped


def describe_gan_plan(manifest: Manifest, recipe: GanRecipe, weights: str | Path | None = None) -> str:
    """The recipe as TOML, and in comments what it comes to on this manifest; errors as of `check_gan`."""
    plan = plan_gan(manifest, recipe)
    check_features(recipe.evaluate.features, weights)
    sides = _create_networks(recipe)
    counts = [sum(p.numel() for p in side.parameters()) for side in sides]
    return "\n".join(
        [
            recipe.to_toml(),
            f"# generator {counts[0]:,} parameters, discriminator {counts[1]:,}; data hash {plan.manifest.data_hash}",
            f"# {len(plan.train_rows):,} real images, {len(plan.heldout_rows):,} held out",
            f"# {plan.images:,} images in all, evaluated every {plan.evaluate_every:,} on {recipe.evaluate.n:,}",
        ]
    )


def train_gan(
    manifest: Manifest,
    recipe: GanRecipe,
    out: str | Path = "runs",
    *,
    name: str | None = None,
    resume: bool = False,
    max_minutes: float | None = None,
    weights: str | Path | None = None,
    on_step: OnStep | None = None,
    on_event: OnEvent | None = None,
) -> Run:
    """Train a generator into `out/name` and return its run; `run.generator` is the best by distance.

    `weights` is the file of the recipe's feature network, where that needs one; `on_event` gets a line of text after
    every evaluation and at every alarm; `resume` and `max_minutes` are as for `train_detector`. Raises LabError on bad
    input and when a loss is no longer finite. A run that the collapse guard stopped says so in its log's last line and
    in `run.stopped_by_guard`.
    """
    deadline = math.inf if max_minutes is None else time.monotonic() + 60 * max_minutes
    accelerator = start_accelerator(recipe.train.precision)
    if recipe.train.batch % accelerator.num_processes:
        raise LabError(
            f"train.batch = {recipe.train.batch} cannot be shared evenly by {accelerator.num_processes} processes"
        )
    # What the folder holds is asked by one process only: the first may have begun the run before another looks.
    plan = check_gan(manifest, recipe, out, name, resume or not accelerator.is_main_process, weights)
    images = load_images(plan.manifest, recipe.data.size)
    if images.skipped:
        plan = plan_gan(images.manifest, recipe)
    with accelerator.main_process_first():
        folder = Path(out) / (name or recipe.name)
        run = open_run(folder, recipe, images.manifest.data_hash, resume or not accelerator.is_main_process)
    if not run.finished:
        with train_alone(run, accelerator.is_main_process):
            _train(accelerator, run, recipe, plan, images, deadline, weights, on_step, on_event)
    if accelerator.is_main_process:
        point_latest(Path(out), folder)
    accelerator.wait_for_everyone()
    return run


def _train(
    accelerator: Accelerator,
    run: Run,
    recipe: GanRecipe,
    plan: GanPlan,
    images: ImageArray,
    deadline: float,
    weights: str | Path | None,
    on_step: OnStep | None,
    on_event: OnEvent | None,
) -> None:
    """The loop."""
    main = accelerator.is_main_process
    state = _start(accelerator, run, recipe)
    game = Game(accelerator, recipe, images, plan.train_rows, plan.images)
    judge = Judge(run, recipe, plan, images, accelerator.device, weights, on_event) if main else None
    losses: list[dict[str, Tensor]] = []
    saved, stopped = time.monotonic(), False
    while state.images < plan.images and not stopped:
        before = state.images
        losses.append(game.play(state))
        state.round += 1
        if state.decision and main:
            run.log("controller", images=state.images, **asdict(state.steps), reason=state.decision)
        due = Due.between(before, state.images, plan, recipe)
        if len(losses) < LOG_EVERY and not due.anything:
            continue
        # Reading a loss waits for the device, so finiteness, log, clock and checkpoint share one reading.
        means = _mean_losses(accelerator, losses)
        losses.clear()
        mended = _mend_or_refuse(accelerator, run, recipe, state, means, on_event)
        clock = any_process(accelerator, time.monotonic() > deadline)
        if main and not mended:
            run.log("step", images=state.images, round=state.round, **means, **game.values(state))
            if on_step:
                on_step(min(state.images, plan.images), plan.images, means["discriminator_loss"])
        if due.anything:
            stopped = _assess(accelerator, run, recipe, state, judge, due)
            # Before the checkpoint: a run killed in between is finished, not one that goes on past the guard's stop.
            if main and (stopped or state.images >= plan.images):
                run.log("end", images=state.images, round=state.round, reason="guard" if stopped else "budget")
        if main and (due.anything or clock or time.monotonic() - saved > CHECKPOINT_SECONDS):
            run.save_checkpoint(state.as_dict())
            saved = time.monotonic()
        if clock:
            break


@dataclass(frozen=True)
class Due:
    """What a round has brought due."""

    evaluation: bool
    check: bool

    @property
    def anything(self) -> bool:
        """Whether there is something to look at."""
        return self.evaluation or self.check

    @classmethod
    def between(cls, before: int, now: int, plan: GanPlan, recipe: GanRecipe) -> Due:
        """An evaluation at each multiple of its interval and at the end, a check at each multiple of its own."""

        def passed(every: int) -> bool:
            return every > 0 and now // every > before // every

        return cls(passed(plan.evaluate_every) or now >= plan.images, passed(recipe.guard.every))


def _create_networks(recipe: GanRecipe) -> tuple[nn.Module, nn.Module]:
    model, size = recipe.model, recipe.data.size
    return (
        create_generator(model.name, size, model.latent, **model.generator),
        create_discriminator(model.name, size, **model.discriminator),
    )


def _start(accelerator: Accelerator, run: Run, recipe: GanRecipe) -> State:
    """Build both sides, fresh or from the run's checkpoint; the seed gives every process the same weights."""
    train = recipe.train
    torch.manual_seed(train.seed)
    sides: list[nn.Module] = []
    for created in _create_networks(recipe):
        together = accelerator.num_processes > 1 and accelerator.device.type == "cuda"
        side: nn.Module = nn.SyncBatchNorm.convert_sync_batchnorm(created) if together else created  # type: ignore[no-untyped-call]
        sides.append(side.to(accelerator.device).to(memory_format=torch.channels_last).train())  # type: ignore[call-overload]
    average = copy.deepcopy(sides[0]).eval().requires_grad_(False) if recipe.gan.ema else None
    betas = (train.beta1, value_at(train.beta2, 0.0))
    optimizers = tuple(torch.optim.Adam(side.parameters(), 1.0, betas, fused=True) for side in sides)
    steps = Steps(recipe.gan.generator_steps, recipe.gan.discriminator_steps)
    guard = Guard(recipe.guard.patience)
    state = State(sides[0], sides[1], average, (optimizers[0], optimizers[1]), steps, guard)
    saved = run.load_checkpoint()
    if saved is not None:
        with fits_checkpoint(run):
            state.load(saved, recipe.guard.patience)
    if accelerator.is_main_process:
        run.rewind_log(saved["log_bytes"] if saved else 0)
    return state


def _assess(
    accelerator: Accelerator,
    run: Run,
    recipe: GanRecipe,
    state: State,
    judge: Judge | None,
    due: Due,
) -> bool:
    """Evaluate and check where due, on the first process; roll back on all. Returns whether training must stop."""
    decision = [""]
    if judge is not None:
        if due.evaluation:
            judge.evaluate(state)
        if due.check:
            decision = [judge.check(state)]
            if decision == ["stop"] and not due.evaluation:
                judge.evaluate(state)  # so that a run which is stopped early leaves a generator, too
        state.generator.train()
    if accelerator.num_processes > 1:
        broadcast_object_list(decision)
    if decision[0] == "rollback":
        _go_back(run, state)
    return decision[0] == "stop"


def _go_back(run: Run, state: State) -> None:
    """To the best state's networks; what follows is gentler, see `fauxlab.training.game`."""
    best = run.load_checkpoint("best.pt")
    assert best is not None  # a rollback is decided only where there is one
    with fits_checkpoint(run):
        state.load_networks(best)
        state.guard.forget_after(best["images"])
    state.window.clear()  # the controller's accuracies are those of the networks that are gone
    state.rollbacks += 1


def _mean_losses(accelerator: Accelerator, losses: list[dict[str, Tensor]]) -> dict[str, float]:
    """Means by name over rounds and processes; a penalty that comes every few updates is averaged over those."""
    names = list(dict.fromkeys(name for found in losses for name in found))
    means = torch.stack([torch.stack([f[name] for f in losses if name in f]).mean() for name in names])
    return dict(zip(names, accelerator.reduce(means, "mean").tolist(), strict=True))


def _mend_or_refuse(
    accelerator: Accelerator,
    run: Run,
    recipe: GanRecipe,
    state: State,
    means: dict[str, float],
    on_event: OnEvent | None,
) -> bool:
    """Losses that are no numbers: back to the best state where the recipe allows it (True), else LabError."""
    bad = [name for name, value in means.items() if not math.isfinite(value)]
    if not bad:
        return False
    back = any_process(accelerator, may_go_back(run, recipe, state))
    if accelerator.is_main_process:
        run.log("not_finite", images=state.images, losses=bad, action="rollback" if back else "")
    if not back:
        raise LabError(
            f"{bad[0]} is no longer finite at {state.images:,} images. What was best until then is in {run.folder}; "
            "start a new run (--name) with a lower train.lr, or higher gan.r1 and gan.r2 where the recipe has them"
        )
    if accelerator.is_main_process and on_event:
        on_event(f"{state.images:,} images: {bad[0]} is no longer finite; rollback")
    _go_back(run, state)
    return True
