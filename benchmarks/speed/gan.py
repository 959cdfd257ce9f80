r"""What does a lazy penalty save, and is the GAN's training loop as fast as a bare one?

    export FAUXLAB_INCEPTION=keras_inception_v3_mixed7a.pth
    .venv/bin/python -m benchmarks.speed.gan faces/manifest.csv

Rounds alternate between these, all with the networks and the batch size of one recipe (`--recipe`,
r3-32 by default), on a GPU where there is one:

- full, lazy: our updates with the penalty at every step, and at every fourth;
- ours: `train_gan` with the lazy penalty, its log included; without evaluation, guard and
  checkpoints;
- bare: a plain loop with the same losses over an array in memory;
- torch's, quick: a discriminator's update with a penalty, through torch's convolutions and through
  those of `fauxlab.models.convolution`.

Also measures how many images a second the feature networks take.
Writes benchmarks/results/gan_speed.json, or gan_speed-RECIPE-DEVICE.json for another recipe or on a
GPU. Ratios above 1 mean that the first named is faster.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from benchmarks.output import command_line, describe_machine, print_results, save_results
from benchmarks.speed.bare_gan import DEVICE, BareGan, autocast
from benchmarks.speed.timing import compare, measure_rounds, time_action

from fauxlab.config import GanRecipe, load_gan_recipe
from fauxlab.data.cache import ImageArray, load_images
from fauxlab.data.manifest import Manifest
from fauxlab.evaluation.features import extract
from fauxlab.evaluation.networks import load_features
from fauxlab.models import create_discriminator
from fauxlab.models.convolution import differentiated_twice
from fauxlab.training.distributed import start_accelerator
from fauxlab.training.gan.inputs import GanInputs
from fauxlab.training.gan.loop import train_gan
from fauxlab.training.gan.losses import squared_gradients
from fauxlab.training.gan.plan import GanPlan, plan_gan
from fauxlab.training.gan.state import start_state
from fauxlab.training.gan.step import Stepper
from fauxlab.training.run import Run

COMPARISONS = (("lazy", "full"), ("ours", "bare"), ("quick", "torch's"))
BATCHES = 160  # a round
WARM_UP = 4  # steps
NEVER = 10**9


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("manifest", type=Path)
    parser.add_argument("--recipe", default="r3-32")
    parser.add_argument("--sources", default="celeba")
    parser.add_argument("--images", type=int, help=f"images a round; {BATCHES} batches by default")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--features", default="randconv,keras-inception-7a")
    options = parser.parse_args()
    manifest = Manifest.load(options.manifest)
    batch = load_gan_recipe(options.recipe).train.batch
    count = options.images or BATCHES * batch
    full = quiet_recipe(options.recipe, options.sources, count, penalty_every=1)
    lazy = quiet_recipe(options.recipe, options.sources, count, penalty_every=4)
    plan = plan_gan(manifest, lazy)
    images = load_images(plan.manifest, lazy.data.size)
    contenders = {
        "full": partial(rate_of_updates, full, plan, images, count),
        "lazy": partial(rate_of_updates, lazy, plan, images, count),
        "ours": partial(rate_of_training, manifest, lazy),
        "bare": partial(rate_of_bare, lazy, plan, images, count),
        "torch's": partial(rate_of_penalty, lazy, count, quick=False),
        "quick": partial(rate_of_penalty, lazy, count, quick=True),
    }
    rates = measure_rounds(contenders, options.rounds)
    ratios = {f"{a} / {b}": compare(rates[a], rates[b]) for a, b in COMPARISONS}
    result = {
        "command": command_line(),
        "environment": describe_machine(manifest.data_hash),
        "recipe": lazy.name,
        "batch": batch,
        "images_a_round": count,
        "images_per_second": rates,
        "ratio": ratios,
        "features_images_per_second": {
            name: rate_of_features(name, images) for name in options.features.split(",")
        },
    }
    save_results(results_name(lazy.name), result)
    print_results(result, without=("environment", "images_per_second"))


def quiet_recipe(name: str, sources: str, images: int, penalty_every: int) -> GanRecipe:
    """The recipe without evaluations and checks."""
    overrides = [
        f"data.sources={sources}",
        f"gan.penalty_every={penalty_every}",
        f"train.images={images}",
        f"evaluate.every={NEVER}",
        "evaluate.n=64",
        "guard.every=0",
    ]
    return load_gan_recipe(name, overrides)


def results_name(recipe: str) -> str:
    is_usual = recipe == "r3-32" and DEVICE.type == "cpu"
    return "gan_speed.json" if is_usual else f"gan_speed-{recipe}-{DEVICE.type}.json"


# --- images a second


def rate_of_updates(recipe: GanRecipe, plan: GanPlan, images: ImageArray, count: int) -> float:
    """Images a second of our updates alone."""
    accelerator = start_accelerator(recipe.train.precision)
    plan = replace(plan, recipe=recipe)
    with (
        tempfile.TemporaryDirectory() as folder,
        GanInputs(accelerator, recipe, images, plan.train_rows) as inputs,
    ):
        state = start_state(accelerator, Run(Path(folder)), plan, ())
        stepper = Stepper(accelerator, recipe, inputs, plan.images)
        return rate_of_steps(lambda: stepper.step(state), count, recipe.train.batch)


def rate_of_training(manifest: Manifest, recipe: GanRecipe) -> float:
    """Images a second of `train_gan`, from its first log line to its last."""
    times: list[tuple[float, int]] = []

    def note_time(done: int, _total: int, _loss: float) -> None:
        times.append((time.perf_counter(), done))

    with tempfile.TemporaryDirectory() as folder:
        train_gan(manifest, recipe, folder, on_step=note_time)
    start, first = times[0]
    end, last = times[-1]
    return (last - first) / (end - start)


def rate_of_bare(recipe: GanRecipe, plan: GanPlan, images: ImageArray, count: int) -> float:
    """Images a second of the shortest loop with the same losses, augmentations and average."""
    gan = BareGan(recipe, images.take(plan.train_rows))
    return rate_of_steps(gan.step, count, recipe.train.batch)


def rate_of_penalty(recipe: GanRecipe, count: int, quick: bool) -> float:
    """Images a second of the discriminator's penalised gradient, on noise."""
    torch.manual_seed(0)
    size = recipe.data.size
    batch = recipe.train.batch
    network = create_discriminator(recipe.model.name, size, **recipe.model.discriminator)
    network.to(DEVICE).to(memory_format=torch.channels_last)
    noise = torch.randn(2 * batch, 3, size, size, device=DEVICE)
    images = noise.to(memory_format=torch.channels_last).requires_grad_()

    def step() -> None:
        network.zero_grad()
        with autocast(recipe), differentiated_twice(quick):
            logits = network(images).float()
        penalty = squared_gradients(logits, images)[0].mean()
        (logits.mean() + penalty).backward()

    return rate_of_steps(step, count, batch)


def rate_of_features(name: str, images: ImageArray) -> float:
    """Images a second of feature extraction, resize included."""
    network = load_features(name, device=DEVICE)
    most = 2000 if name == "randconv" else 128
    count = min(len(images), most)

    def take(first: int, n: int) -> torch.Tensor:
        rows = np.arange(first, first + n)
        return torch.from_numpy(images.take(rows))

    extract(network, take, 32)  # warm up
    seconds = time_action(lambda: extract(network, take, count))
    return count / seconds


def rate_of_steps(step: Callable[[], object], count: int, batch: int) -> float:
    """Images a second of steps that each see a batch."""
    for _ in range(WARM_UP):
        step()
    wait_for_device()
    steps = count // batch
    start = time.perf_counter()
    for _ in range(steps):
        step()
    wait_for_device()
    return steps * batch / (time.perf_counter() - start)


def wait_for_device() -> None:
    """A GPU works while Python goes on; wait until it has done everything."""
    if DEVICE.type == "cuda":
        torch.cuda.synchronize()


if __name__ == "__main__":
    main()
