"""What a lazy penalty saves, whether our GAN loop is as fast as a bare one, and how fast a distance
is measured.

    FAUXLAB_INCEPTION=keras_inception_v3_mixed7a.pth .venv/bin/python -m benchmarks.speed.gan manifest.csv

Side by side in one run, rounds alternating, all on one recipe's networks and batch (`--recipe`,
r3-32 by default; on a GPU, where there is one):

- full, lazy: rounds of our game with the penalty on every update, and on every fourth
- ours: `train_gan` with the lazy penalty, its log included; evaluation, guard and checkpoints are
  not
- bare: a plain loop with the same losses over an array in memory
- torch's, quick: updates of the discriminator with a penalty, through torch's convolutions as they
  are and through those of fauxlab.models.convolution

Writes benchmarks/results/gan_speed.json, or gan_speed-RECIPE-DEVICE.json. Ratios above 1 mean that
the first named is faster.
"""

from __future__ import annotations

import argparse
import copy
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional as F

from fauxlab.config import GanRecipe, load_gan_recipe
from fauxlab.data.cache import ImageArray, load_images
from fauxlab.data.manifest import Manifest
from fauxlab.environment import describe_environment
from fauxlab.evaluation.features import extract
from fauxlab.evaluation.networks import load_features
from fauxlab.models import create_discriminator, create_generator
from fauxlab.models.convolution import differentiated_twice
from fauxlab.training.distributed import start_accelerator
from fauxlab.training.gan.inputs import GanInputs
from fauxlab.training.gan.loop import train_gan
from fauxlab.training.gan.losses import squared_gradients
from fauxlab.training.gan.plan import GanPlan, plan_gan
from fauxlab.training.gan.state import start_state
from fauxlab.training.gan.step import Stepper
from fauxlab.training.run import Run
from fauxlab.transforms.augment import augment_some, flip

RESULTS = Path(__file__).parents[1] / "results"
DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("manifest", type=Path)
    parser.add_argument("--recipe", default="r3-32")
    parser.add_argument("--sources", default="celeba")
    parser.add_argument("--images", type=int, help="images a round; 160 batches by default")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--features", default="randconv,keras-inception-7a")
    options = parser.parse_args()
    manifest = Manifest.load(options.manifest)
    options.images = options.images or 160 * load_gan_recipe(options.recipe).train.batch
    quiet = [
        f"train.images={options.images}",
        f"evaluate.every={10**9}",
        "evaluate.n=64",
        "guard.every=0",
    ]
    recipes = {
        name: load_gan_recipe(
            options.recipe,
            [f"data.sources={options.sources}", f"gan.penalty_every={every}", *quiet],
        )
        for name, every in (("full", 1), ("lazy", 4))
    }
    lazy = recipes["lazy"]
    plans = {name: plan_gan(manifest, recipe) for name, recipe in recipes.items()}
    plan = plans["lazy"]
    images = load_images(plan.manifest, lazy.data.size)
    rates: dict[str, list[float]] = {
        name: [] for name in ("full", "lazy", "ours", "bare", "torch's", "quick")
    }
    for _ in range(options.rounds):
        for name in recipes:
            rates[name].append(time_steps(plans[name], images, options.images))
        rates["ours"].append(time_ours(manifest, lazy))
        rates["bare"].append(time_bare(lazy, plan, images, options.images))
        for name, quick in (("torch's", False), ("quick", True)):
            rates[name].append(time_penalty(lazy, options.images, quick))
        print({name: round(values[-1], 1) for name, values in rates.items()}, file=sys.stderr)
    result = {
        "command": f"benchmarks/speed/gan.py {' '.join(sys.argv[1:])}",
        "environment": describe_environment(manifest.data_hash),
        "recipe": lazy.name,
        "batch": lazy.train.batch,
        "images_a_round": options.images,
        "images_per_second": rates,
        "ratio": {
            "lazy / full": ratio(rates["lazy"], rates["full"]),
            "ours / bare": ratio(rates["ours"], rates["bare"]),
            "quick / torch's": ratio(rates["quick"], rates["torch's"]),
        },
        "features_images_per_second": {
            name: time_features(name, images) for name in options.features.split(",")
        },
    }
    RESULTS.mkdir(exist_ok=True)
    name = (
        "gan_speed"
        if (lazy.name, DEVICE.type) == ("r3-32", "cpu")
        else f"gan_speed-{lazy.name}-{DEVICE.type}"
    )
    (RESULTS / f"{name}.json").write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps({k: result[k] for k in ("ratio", "features_images_per_second")}, indent=1))


def time_steps(plan: GanPlan, images: ImageArray, count: int) -> float:
    """Images/s of training steps alone."""
    recipe = plan.recipe
    accelerator = start_accelerator(recipe.train.precision)
    with (
        tempfile.TemporaryDirectory() as folder,
        GanInputs(accelerator, recipe, images, plan.train_rows) as inputs,
    ):
        state = start_state(accelerator, Run(Path(folder)), plan, ())
        stepper = Stepper(accelerator, recipe, inputs, plan.images)
        return rate(lambda: stepper.step(state), count, recipe.train.batch)


def time_ours(manifest: Manifest, recipe: GanRecipe) -> float:
    """Images/s of `train_gan` from its first log line to its last."""
    times: list[tuple[float, int]] = []
    with tempfile.TemporaryDirectory() as folder:
        train_gan(
            manifest,
            recipe,
            folder,
            on_step=lambda done, _all, _loss: times.append((time.perf_counter(), done)),
        )
    (start, first), (end, last) = times[0], times[-1]
    return (last - first) / (end - start)


def time_bare(recipe: GanRecipe, plan: GanPlan, images: ImageArray, count: int) -> float:
    """Images/s of the shortest loop with the same losses, augmentations and average."""
    torch.manual_seed(0)
    model, batch, size = recipe.model, recipe.train.batch, recipe.data.size
    generator = create_generator(model.name, size, model.latent, **model.generator).to(DEVICE)
    generator.to(memory_format=torch.channels_last)
    discriminator = create_discriminator(model.name, size, **model.discriminator).to(DEVICE)
    discriminator.to(memory_format=torch.channels_last)
    average = copy.deepcopy(generator).requires_grad_(False)
    optimizers = [
        torch.optim.Adam(n.parameters(), 2e-4, (0.0, 0.9)) for n in (generator, discriminator)
    ]
    pixels = torch.from_numpy(images.take(plan.train_rows)).to(DEVICE)
    names = recipe.gan.augment
    step = 0

    def show(x: torch.Tensor) -> torch.Tensor:
        return augment_some(x, names, 0.8)

    def play() -> None:
        nonlocal step
        reals = flip(pixels[torch.randint(len(pixels), (batch,))].float() / 127.5 - 1)
        discriminator.requires_grad_(True)
        with torch.no_grad(), narrow(recipe):
            fakes = generator(torch.randn(batch, model.latent, device=DEVICE)).float()
        both = torch.cat([reals, fakes]).requires_grad_(step % recipe.gan.penalty_every == 0)
        with narrow(recipe):
            logits = discriminator(torch.cat([show(part) for part in both.split(batch)])).float()
        loss = F.softplus(logits[batch:] - logits[:batch]).mean()
        if both.requires_grad:
            (gradient,) = torch.autograd.grad(logits.sum(), both, create_graph=True)
            loss = (
                loss + recipe.gan.penalty_every * 0.25 * 2 * gradient.square().sum((1, 2, 3)).mean()
            )
        optimizers[1].zero_grad()
        loss.backward()
        optimizers[1].step()
        discriminator.requires_grad_(False)
        with narrow(recipe):
            with torch.no_grad():
                real_logits = discriminator(show(reals)).float()
            fakes = generator(torch.randn(batch, model.latent, device=DEVICE)).float()
            fake_logits = discriminator(show(fakes)).float()
        loss = F.softplus(real_logits - fake_logits).mean()
        optimizers[0].zero_grad()
        loss.backward()
        optimizers[0].step()
        with torch.no_grad():
            for slow, fast in zip(average.parameters(), generator.parameters(), strict=True):
                slow.lerp_(fast, 0.01)
        step += 1

    return rate(play, count, batch)


def time_penalty(recipe: GanRecipe, count: int, quick: bool) -> float:
    """Images/s of the discriminator's penalised gradient, on noise, at the recipe's precision."""
    torch.manual_seed(0)
    size, batch = recipe.data.size, recipe.train.batch
    network = create_discriminator(recipe.model.name, size, **recipe.model.discriminator).to(DEVICE)
    network.to(memory_format=torch.channels_last)
    images = torch.randn(2 * batch, 3, size, size, device=DEVICE).to(
        memory_format=torch.channels_last
    )
    images.requires_grad_()

    def play() -> None:
        network.zero_grad()
        with narrow(recipe), differentiated_twice(quick):
            logits = network(images).float()
        (logits.mean() + squared_gradients(logits, images)[0].mean()).backward()

    return rate(play, count, batch)


def time_features(name: str, images: ImageArray) -> float:
    """Images/s of feature extraction, resize included; a network without its weights counts as 0."""
    network = load_features(name, device=DEVICE)
    count = min(len(images), 2000 if name == "randconv" else 128)

    def take(first: int, n: int) -> torch.Tensor:
        return torch.from_numpy(images.take(np.arange(first, first + n)))

    extract(network, take, 32)
    start = time.perf_counter()
    extract(network, take, count)
    return count / (time.perf_counter() - start)


def rate(play: Callable[[], object], count: int, batch: int) -> float:
    """Images/s of calls that each see a batch, after some to warm up."""
    for _ in range(4):
        play()
    wait()
    start = time.perf_counter()
    for _ in range(count // batch):
        play()
    wait()
    return count // batch * batch / (time.perf_counter() - start)


def narrow(recipe: GanRecipe) -> torch.autocast:
    """The recipe's precision."""
    return torch.autocast(DEVICE.type, torch.bfloat16, enabled=recipe.train.precision == "bf16")


def wait() -> None:
    """Until a GPU has done all that it was asked for."""
    if DEVICE.type == "cuda":
        torch.cuda.synchronize()


def ratio(a: list[float], b: list[float]) -> dict[str, float]:
    """Ratios round by round: what slows the machine for a while slows both."""
    ratios = sorted(x / y for x, y in zip(a, b, strict=True))
    return {"median": statistics.median(ratios), "lowest": ratios[0], "highest": ratios[-1]}


if __name__ == "__main__":
    main()
