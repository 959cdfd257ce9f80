"""GAN training: steps, log, evaluations, the guard and exact resume, on one process or several.

The budget counts the real images that the discriminator was shown.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from accelerate import Accelerator
from torch import Tensor

from fauxlab.config import GanRecipe
from fauxlab.data.cache import ImageArray, load_images
from fauxlab.data.manifest import Manifest
from fauxlab.errors import LabError
from fauxlab.evaluation.networks import check_features
from fauxlab.training.distributed import any_process, from_first_process
from fauxlab.training.gan.inputs import GanInputs
from fauxlab.training.gan.monitor import Monitor, may_go_back
from fauxlab.training.gan.plan import GanPlan, plan_gan
from fauxlab.training.gan.state import State, start_state
from fauxlab.training.gan.step import Stepper
from fauxlab.training.opening import run_folder
from fauxlab.training.run import Run
from fauxlab.training.session import OnEvent, OnStep, Session, session

LOG_EVERY = 20  # steps


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
    """Train a generator into `out/name` and return its run; `run.generator` is the nearest.

    `weights` is the file of the recipe's feature network, where that needs one. `on_event` gets a
    line of text after every evaluation, at every alarm, and about what takes long. `resume` and
    `max_minutes` are as for `train_detector`: a run that is stopped before its first evaluation
    leaves its generator in `best/`, measured where the time allows. Raises LabError on bad input
    and when a loss is no longer finite. A run that the collapse guard stopped says so in its log's
    last line and in `run.stopped_by_guard`.

    >>> run = train_gan(manifest, load_gan_recipe("r3-32"))  # doctest: +SKIP
    >>> faces = run.generator.sample(0, 16)  # doctest: +SKIP
    """
    return train_gan_plan(
        plan_gan(manifest, recipe),
        out,
        name=name,
        resume=resume,
        max_minutes=max_minutes,
        weights=weights,
        on_step=on_step,
        on_event=on_event,
    )


def train_gan_plan(
    plan: GanPlan,
    out: str | Path = "runs",
    *,
    name: str | None = None,
    resume: bool = False,
    max_minutes: float | None = None,
    weights: str | Path | None = None,
    images: ImageArray | None = None,
    on_step: OnStep | None = None,
    on_event: OnEvent | None = None,
) -> Run:
    """Train a plan, as `train_gan` does; `images` are the plan's, where already loaded."""
    recipe = plan.recipe
    check_features(recipe.evaluate.features, weights)
    folder = run_folder(out, name or plan.name)
    with session(recipe, folder, resume, max_minutes) as current:
        _check_batch(recipe, current.accelerator.num_processes)
        if images is None:
            images = load_images(plan.manifest, recipe.data.size)
        plan = plan.without_skipped(images)
        run = current.open_run(images)
        if not run.finished:
            _train(current, run, plan, images, weights, on_step, on_event)
    return run


def _train(
    current: Session,
    run: Run,
    plan: GanPlan,
    images: ImageArray,
    weights: str | Path | None,
    on_step: OnStep | None,
    on_event: OnEvent | None,
) -> None:
    """The loop."""
    accelerator = current.accelerator
    main = current.is_main
    recipe = plan.recipe
    say = on_event if main and on_event else _say_nothing
    state = start_state(accelerator, run, plan, images.skipped)
    monitor = None
    if main:
        monitor = Monitor(run, plan, images, accelerator.device, weights, say)
    losses: list[dict[str, Tensor]] = []  # since the last log line
    stopped = False

    with GanInputs(accelerator, recipe, images, plan.train_rows) as inputs:
        stepper = Stepper(accelerator, recipe, inputs, plan.images)
        while state.images < plan.images and not stopped:
            # The updates of both networks: step.py and updates.py.
            before = state.images
            losses.append(stepper.step(state))
            if state.decision and main:
                decided = {**asdict(state.steps), "reason": state.decision}
                run.log("controller", images=state.images, **decided)

            # Reading a loss waits for the device. So log, clock and checkpoint share one reading,
            # every few steps and before every evaluation and check.
            due = Due.between(before, state.images, plan)
            if len(losses) < LOG_EVERY and not due.anything:
                continue
            means = _mean_losses(accelerator, losses)
            losses.clear()

            # Losses that are no numbers would spoil all that follows.
            broken = [loss for loss, mean in means.items() if not math.isfinite(mean)]
            if broken:
                _go_back_or_refuse(current, run, plan, state, broken, say)
            out_of_time = current.out_of_time(_evaluation_seconds(current, state, monitor))
            if main and not broken:
                _log_step(run, state, means)
                if on_step:
                    shown = min(state.images, plan.images)
                    on_step(shown, plan.images, means["discriminator_loss"])

            # The first process evaluates and checks, and all do what it decides.
            if due.anything:
                stopped = _evaluate_and_check(accelerator, run, state, monitor, due)
                # The end is logged before the checkpoint is written: a run killed in between is
                # finished, and does not go on past the guard's stop.
                if main and (stopped or state.images >= plan.images):
                    reason = "guard" if stopped else "budget"
                    run.log("end", images=state.images, round=state.round, reason=reason)
            if main and (due.anything or out_of_time or current.checkpoint_due()):
                current.save_checkpoint(run, state.as_dict())
            if out_of_time:
                break

    if monitor is not None and not state.has_best and not run.finished:
        # The clock stopped the run before an evaluation. The checkpoint is written already.
        seconds = _evaluation_seconds(current, state, monitor)
        monitor.release_early(state, measured=current.affords(seconds))


@dataclass(frozen=True)
class Due:
    """What is to be done after a step."""

    evaluation: bool
    check: bool

    @property
    def anything(self) -> bool:
        """Whether there is something to be done."""
        return self.evaluation or self.check

    @classmethod
    def between(cls, before: int, now: int, plan: GanPlan) -> Due:
        """By the images before and after the step.

        An evaluation is due at each multiple of its interval and at the end, a check at each
        multiple of its own.
        """

        def passed(every: int) -> bool:
            if every == 0:
                return False
            return now // every > before // every

        at_the_end = now >= plan.images
        evaluation = passed(plan.evaluate_every) or at_the_end
        check = passed(plan.recipe.guard.every)
        return cls(evaluation, check)


def _evaluation_seconds(current: Session, state: State, monitor: Monitor | None) -> float:
    """About how long the last evaluation takes of a call that the clock may stop before any."""
    if monitor is None or state.has_best or math.isinf(current.budget):
        return 0.0
    return monitor.evaluation_seconds


def _check_batch(recipe: GanRecipe, processes: int) -> None:
    """Raise LabError where a batch cannot be shared by the processes."""
    batch = recipe.train.batch
    if batch % processes:
        raise LabError(f"train.batch = {batch} cannot be shared evenly by {processes} processes")


def _mean_losses(accelerator: Accelerator, losses: list[dict[str, Tensor]]) -> dict[str, float]:
    """Means by name over steps and processes; penalties over the steps that have them."""
    values: dict[str, list[Tensor]] = {}
    for step in losses:
        for name, value in step.items():
            values.setdefault(name, []).append(value)
    own_means = [torch.stack(value).mean() for value in values.values()]
    means = accelerator.reduce(torch.stack(own_means), "mean")
    return dict(zip(values, means.tolist(), strict=True))


def _log_step(run: Run, state: State, means: dict[str, float]) -> None:
    steps = {
        "generator_steps": state.steps.generator,
        "discriminator_steps": state.steps.discriminator,
    }
    generator_optimizer, _ = state.optimizers
    rate = generator_optimizer.param_groups[0]["lr"]
    run.log("step", images=state.images, round=state.round, **means, lr=rate, **steps)


def _go_back_or_refuse(
    current: Session,
    run: Run,
    plan: GanPlan,
    state: State,
    broken: list[str],
    say: OnEvent,
) -> None:
    """Go back to the best state where the recipe allows it, else raise LabError.

    `broken` names the losses that are no longer finite.
    """
    may = any_process(current.accelerator, may_go_back(run, plan.recipe, state))
    if current.is_main:
        action = "rollback" if may else ""
        run.log("not_finite", images=state.images, losses=broken, action=action)
    if not may:
        raise LabError(
            f"{broken[0]} is no longer finite at {state.images:,} images. What was best until then "
            f"is in {run.folder}; start a new run (--name) with a lower train.lr, or higher gan.r1 "
            "and gan.r2 where the recipe has them"
        )
    say(f"{state.images:,} images: {broken[0]} is no longer finite; rollback")
    state.go_back(run)


def _evaluate_and_check(
    accelerator: Accelerator,
    run: Run,
    state: State,
    monitor: Monitor | None,
    due: Due,
) -> bool:
    """Evaluate and check where due, on the first process; roll back on all.

    Returns whether training must stop.
    """
    action = ""
    if monitor is not None:
        if due.evaluation:
            monitor.evaluate(state)
        if due.check:
            action = monitor.check(state)
            if action == "stop" and not due.evaluation:
                monitor.evaluate(state)  # a run that is stopped early leaves a generator, too
        state.generator.train()
    action = from_first_process(accelerator, action)
    if action == "rollback":
        state.go_back(run)
    return action == "stop"


def _say_nothing(_: str) -> None:
    pass
