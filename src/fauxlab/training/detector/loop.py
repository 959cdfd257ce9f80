"""Detector training: one plain loop, exact resume, on one process or several."""

from __future__ import annotations

import math
from pathlib import Path

import torch
from torch import Tensor

from fauxlab.config import Recipe
from fauxlab.data.cache import ImageArray, load_images
from fauxlab.data.manifest import Manifest
from fauxlab.data.seen import keep_training_images
from fauxlab.errors import LabError
from fauxlab.training.detector.inputs import TrainingInputs
from fauxlab.training.detector.losses import choose_loss
from fauxlab.training.detector.plan import TrainingPlan, plan_training
from fauxlab.training.detector.state import start_state
from fauxlab.training.detector.teacher import (
    TeacherAnswers,
    ask_about_training,
    keep_answers,
    read_answers,
)
from fauxlab.training.detector.validation import ValidationClock, end_epoch, release_early
from fauxlab.training.ema import update_average
from fauxlab.training.opening import run_folder
from fauxlab.training.prefetch import Prefetcher
from fauxlab.training.run import Run
from fauxlab.training.seeding import seed_networks
from fauxlab.training.session import OnStep, Session, session

LOG_EVERY = 10  # steps


def train_detector(
    manifest: Manifest,
    recipe: Recipe,
    out: str | Path = "runs",
    *,
    name: str | None = None,
    resume: bool = False,
    max_minutes: float | None = None,
    on_step: OnStep | None = None,
) -> Run:
    """Train a detector into `out/name` and return its run; `run.model` is the detector.

    `resume` continues a run from its last checkpoint, or does nothing when it is finished. After
    `max_minutes` the run is checkpointed and left resumable. A detector is then in `best/` even if
    the first epoch has not ended; it is validated where the time allows. Under torchrun the same
    call trains on all processes. Raises LabError on bad input, and when the loss is no longer
    finite (the files of that batch are named and logged).

    >>> run = train_detector(manifest, load_recipe("unified-joint"))  # doctest: +SKIP
    >>> run.model.save_pretrained("my-detector")  # doctest: +SKIP
    """
    return train_plan(
        plan_training(manifest, recipe),
        out,
        name=name,
        resume=resume,
        max_minutes=max_minutes,
        on_step=on_step,
    )


def train_plan(
    plan: TrainingPlan,
    out: str | Path = "runs",
    *,
    name: str | None = None,
    resume: bool = False,
    max_minutes: float | None = None,
    images: ImageArray | None = None,
    on_step: OnStep | None = None,
) -> Run:
    """Train a plan, as `train_detector` does; `images` are the plan's, where already loaded."""
    folder = run_folder(out, name or plan.name)
    with session(plan.recipe, folder, resume, max_minutes) as current:
        processes = current.accelerator.num_processes
        _check_batch(plan, processes)
        if images is None:
            images = load_images(plan.manifest, plan.recipe.data.size)
        plan = plan.without_skipped(images)
        _check_stages(plan, processes)
        run = current.open_run(images)
        if current.is_main:
            keep_training_images(run.folder, plan.training_hashes())
        if not run.finished:
            _train(current, run, plan, images, on_step)
    return run


def _train(
    current: Session,
    run: Run,
    plan: TrainingPlan,
    images: ImageArray,
    on_step: OnStep | None,
) -> None:
    """The loop. All that is random in it follows from the recipe's seed, step and process."""
    accelerator = current.accelerator
    main = current.is_main
    train = plan.recipe.train
    schedule = plan.schedule
    teacher = _answers_of_teacher(current, run, plan, images)
    state = start_state(accelerator, run, plan, images.skipped, teacher)
    inputs = TrainingInputs(accelerator, images, schedule, plan.recipe, teacher)
    loss_of = choose_loss(plan.recipe)
    losses: list[Tensor] = []  # since the last log line
    clock = ValidationClock(plan, state)

    with Prefetcher(inputs.batch) as batches:
        while state.step < schedule.steps:
            # This step's images come from the background thread, which then prepares the next.
            following = state.step + 1 if state.step + 1 < schedule.steps else None
            batch = batches.take(state.step, following)
            seed_networks(batch.generator)

            # The update: binary cross-entropy against 1 for fake, 0 for real, of each head.
            for group in state.optimizer.param_groups:
                group["lr"] = learning_rate(plan.recipe, state.step, schedule.steps)
            answers = state.model(batch.inputs)
            loss = loss_of(answers, batch.targets)
            state.optimizer.zero_grad()
            accelerator.backward(loss)
            state.optimizer.step()
            losses.append(loss.detach())

            moment = schedule.at(state.step)
            state.step += 1
            seen = state.step * train.batch

            # Where the recipe averages weights, the average is what will be validated and released.
            if state.average is not None:
                update_average(state.average, state.network, train.ema, seen, train.batch)

            # Reading a loss waits for the device. So log, clock and checkpoint share one reading,
            # every few steps and at the end of an epoch.
            stage = schedule.stages[moment.stage]
            epoch_ends = moment.step + 1 == stage.steps_per_epoch
            if len(losses) < LOG_EVERY and not epoch_ends:
                continue
            window = accelerator.reduce(torch.stack(losses), "mean").cpu()
            losses.clear()
            _check_finite(current, run, inputs, window, state.step)
            stop = current.out_of_time(clock.seconds(state))
            mean = window.mean().item()
            if main:
                run.log("step", step=state.step, images=seen, stage=stage.name, loss=mean)
                if on_step:
                    on_step(seen, schedule.steps * train.batch, mean)

            # Validation comes before the checkpoint: a run killed in between validates again.
            if epoch_ends:
                end_epoch(accelerator, run, plan, images, state)
            if main and (epoch_ends or stop or current.checkpoint_due()):
                current.save_checkpoint(run, state.as_dict())
            if stop:
                break

    release_early(current, run, plan, images, state, clock)
    if main and state.step == schedule.steps:
        run.log("end", step=state.step, images=state.step * train.batch)


def _answers_of_teacher(
    current: Session, run: Run, plan: TrainingPlan, images: ImageArray
) -> TeacherAnswers | None:
    """The recipe's teacher on the training pictures; the first process asks it, once for a run."""
    if not plan.recipe.train.teacher:
        return None
    with current.accelerator.main_process_first():
        answers = read_answers(run.folder, len(images))
        if answers is None:
            answers = ask_about_training(images.manifest, plan.schedule, plan.recipe)
            if current.is_main:
                keep_answers(run.folder, answers)
    return answers


def learning_rate(recipe: Recipe, step: int, steps: int) -> float:
    """The learning rate at a step: constant, or a half cosine from train.lr to 0."""
    share = 1.0
    if recipe.train.lr_schedule == "cosine":
        cosine = math.cos(math.pi * step / steps)
        share = 0.5 * (1 + cosine)
    return recipe.train.lr * share


def _check_batch(plan: TrainingPlan, processes: int) -> None:
    """Raise LabError where a batch cannot be shared by the processes."""
    batch = plan.recipe.train.batch
    if processes > 1 and batch % (2 * processes):
        raise LabError(
            f"train.batch = {batch} cannot be shared by {processes} processes in pairs of real and "
            f"fake; make it a multiple of {2 * processes}"
        )


def _check_stages(plan: TrainingPlan, processes: int) -> None:
    """Raise LabError where several processes would have to share less than a batch."""
    for stage in plan.schedule.stages:
        count = len(stage.rows)
        if processes > 1 and count < plan.recipe.train.batch:
            raise LabError(
                f"stage {stage.name}: {count} images are fewer than a batch, which cannot be "
                f"shared by {processes} processes; lower train.batch or train on one"
            )


def _check_finite(
    current: Session,
    run: Run,
    inputs: TrainingInputs,
    losses: Tensor,
    step: int,
) -> None:
    """Stop at the first loss that is not finite, before anything of these steps is saved.

    `losses` are those of the last steps before `step`.
    """
    is_broken = ~torch.isfinite(losses)
    broken = is_broken.nonzero().flatten()
    if not len(broken):
        return
    first = int(broken[0])
    loss = losses[first].item()
    first_step = step - len(losses)
    at = first_step + first
    files = [inputs.manifest.rows[i].path for i in inputs.rows(at)]
    if current.is_main:
        run.log("not_finite", step=at, loss=str(loss), files=files)
    raise LabError(
        f"the loss became {loss} at step {at} (train.lr = {inputs.train.lr}); the last checkpoint "
        f"is intact. Lower train.lr, or look at this batch's files: {', '.join(files)}"
    )
