"""GAN training: rounds of the game, log, evaluations, the guard and exact resume, on one process or
several.

The budget counts the real images that the discriminator was shown.
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from accelerate import Accelerator
from accelerate.utils import broadcast_object_list
from torch import Tensor, nn

from fauxlab.config import GanRecipe, value_at
from fauxlab.data.cache import ImageArray, load_images
from fauxlab.data.manifest import Manifest
from fauxlab.errors import LabError
from fauxlab.training.gan.collapse_guard import Guard
from fauxlab.training.gan.monitor import Judge, may_go_back
from fauxlab.training.gan.plan import GanPlan, check_gan, create_sides, plan_gan
from fauxlab.training.gan.step_controller import Steps
from fauxlab.training.gan.updates import Game, State
from fauxlab.training.run import (
    CHECKPOINT_SECONDS,
    OnStep,
    Run,
    any_process,
    fits_checkpoint,
    open_run,
    point_latest,
    start_accelerator,
    train_alone,
)

LOG_EVERY = 20  # rounds
# Called with one line of text after every evaluation and whenever the guard has something to say.
OnEvent = Callable[[str], None]


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
    """Train a generator into `out/name` and return its run; `run.generator` is the best by
    distance.

    `weights` is the file of the recipe's feature network, where that needs one; `on_event` gets a
    line of text after every evaluation and at every alarm; `resume` and `max_minutes` are as for
    `train_detector`. Raises LabError on bad input and when a loss is no longer finite. A run that
    the collapse guard stopped says so in its log's last line and in `run.stopped_by_guard`.
    """
    deadline = math.inf if max_minutes is None else time.monotonic() + 60 * max_minutes
    accelerator = start_accelerator(recipe.train.precision)
    if recipe.train.batch % accelerator.num_processes:
        raise LabError(
            f"train.batch = {recipe.train.batch} cannot be shared evenly by {accelerator.num_processes} processes"
        )
    # What the folder holds is asked by one process only: the first may have begun the run before
    # another looks.
    plan = check_gan(
        manifest, recipe, out, name, resume or not accelerator.is_main_process, weights
    )
    images = load_images(plan.manifest, recipe.data.size)
    if images.skipped:
        plan = plan_gan(images.manifest, recipe)
    with accelerator.main_process_first():
        folder = Path(out) / (name or recipe.name)
        run = open_run(
            folder, recipe, images.manifest.data_hash, resume or not accelerator.is_main_process
        )
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
    judge = (
        Judge(run, recipe, plan, images, accelerator.device, weights, on_event) if main else None
    )
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
        # Reading a loss waits for the device, so finiteness, log, clock and checkpoint share one
        # reading.
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
            # Before the checkpoint: a run killed in between is finished, not one that goes on past
            # the guard's stop.
            if main and (stopped or state.images >= plan.images):
                run.log(
                    "end",
                    images=state.images,
                    round=state.round,
                    reason="guard" if stopped else "budget",
                )
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
        """An evaluation at each multiple of its interval and at the end, a check at each multiple
        of its own.
        """

        def passed(every: int) -> bool:
            return every > 0 and now // every > before // every

        return cls(passed(plan.evaluate_every) or now >= plan.images, passed(recipe.guard.every))


def _start(accelerator: Accelerator, run: Run, recipe: GanRecipe) -> State:
    """Build both sides, fresh or from the run's checkpoint; the seed gives every process the same
    weights.
    """
    train = recipe.train
    torch.manual_seed(train.seed)
    sides: list[nn.Module] = []
    for created in create_sides(recipe):
        together = accelerator.num_processes > 1 and accelerator.device.type == "cuda"
        side: nn.Module = nn.SyncBatchNorm.convert_sync_batchnorm(created) if together else created  # type: ignore[no-untyped-call]
        sides.append(side.to(accelerator.device).to(memory_format=torch.channels_last).train())  # type: ignore[call-overload]
    average = copy.deepcopy(sides[0]).eval().requires_grad_(False) if recipe.gan.ema else None
    betas = (train.beta1, value_at(train.beta2, 0.0))
    optimizers = tuple(
        torch.optim.Adam(side.parameters(), 1.0, betas, fused=True) for side in sides
    )
    steps = Steps(recipe.gan.generator_steps, recipe.gan.discriminator_steps)
    guard = Guard(recipe.guard.patience)
    state = State(sides[0], sides[1], average, (optimizers[0], optimizers[1]), steps, guard)
    saved = run.load_checkpoint(to_resume=True)
    if saved is not None:
        with fits_checkpoint(run):
            state.load(saved, recipe.guard.patience)
    if accelerator.is_main_process:
        run.rewind_log(saved["log_bytes"] if saved else 0)
        if saved is None:  # no run goes back to a state of the one that stood here before it
            (run.folder / "checkpoints" / "best.pt").unlink(missing_ok=True)
    return state


def _assess(
    accelerator: Accelerator,
    run: Run,
    recipe: GanRecipe,
    state: State,
    judge: Judge | None,
    due: Due,
) -> bool:
    """Evaluate and check where due, on the first process; roll back on all. Returns whether
    training must stop.
    """
    decision = [""]
    if judge is not None:
        if due.evaluation:
            judge.evaluate(state)
        if due.check:
            decision = [judge.check(state)]
            if decision == ["stop"] and not due.evaluation:
                # so that a run which is stopped early leaves a generator, too
                judge.evaluate(state)
        state.generator.train()
    if accelerator.num_processes > 1:
        broadcast_object_list(decision)
    if decision[0] == "rollback":
        _go_back(run, state)
    return decision[0] == "stop"


def _go_back(run: Run, state: State) -> None:
    """To the best state's networks; what follows is gentler, see `fauxlab.training.gan.updates`."""
    best = run.load_checkpoint("best.pt")
    assert best is not None  # a rollback is decided only where there is one
    with fits_checkpoint(run):
        state.load_networks(best)
        state.guard.forget_after(best["images"])
    state.window.clear()  # the controller's accuracies are those of the networks that are gone
    state.rollbacks += 1


def _mean_losses(accelerator: Accelerator, losses: list[dict[str, Tensor]]) -> dict[str, float]:
    """Means by name over rounds and processes; a penalty that comes every few updates is averaged
    over those.
    """
    names = list(dict.fromkeys(name for found in losses for name in found))
    means = torch.stack(
        [torch.stack([f[name] for f in losses if name in f]).mean() for name in names]
    )
    return dict(zip(names, accelerator.reduce(means, "mean").tolist(), strict=True))


def _mend_or_refuse(
    accelerator: Accelerator,
    run: Run,
    recipe: GanRecipe,
    state: State,
    means: dict[str, float],
    on_event: OnEvent | None,
) -> bool:
    """Losses that are no numbers: back to the best state where the recipe allows it (True), else
    LabError.
    """
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
