"""What a recipe comes to on a manifest: made once, then checked, described and trained."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import nn

from fauxlab.config import Recipe
from fauxlab.data.cache import ImageArray
from fauxlab.data.manifest import Manifest
from fauxlab.errors import LabError
from fauxlab.evaluation.networks import check_pretrained, load_pretrained
from fauxlab.io.text import describe_error
from fauxlab.models import create_detector
from fauxlab.models.detectors import InceptionTrunk
from fauxlab.training.detector.schedule import Schedule, run_name, schedule_stages


@dataclass(frozen=True)
class TrainingPlan:
    """All that is known before the first image is decoded."""

    manifest: Manifest
    recipe: Recipe
    schedule: Schedule
    network: nn.Module  # with its first weights, drawn or pretrained

    @property
    def name(self) -> str:
        """The run folder's default name."""
        return run_name(self.recipe)

    def training_hashes(self) -> set[str]:
        """The content hashes of the images that the stages train on."""
        rows = self.manifest.rows
        hashes: set[str] = set()
        for stage in self.schedule.stages:
            hashes.update(rows[i].sha256 for i in stage.fakes)
        for reals in {id(stage.reals): stage.reals for stage in self.schedule.stages}.values():
            hashes.update(rows[i].sha256 for i in reals)
        return hashes

    def without_skipped(self, images: ImageArray) -> TrainingPlan:
        """The plan for the images that could be decoded.

        Raises LabError where a class has lost all of them.
        """
        if not images.skipped:
            return self
        schedule = schedule_stages(images.manifest, self.recipe)
        return replace(self, manifest=images.manifest, schedule=schedule)


def plan_training(manifest: Manifest, recipe: Recipe, *, read_weights: bool = True) -> TrainingPlan:
    """Choose the images, build the network and read its pretrained weights, each once.

    No image is decoded. Without `read_weights`, for a plan that is only looked at, pretrained
    weights are checked but neither read nor downloaded. Raises LabError where recipe and manifest,
    or the recipe's parts, do not fit, and where pretrained weights are absent or damaged.
    """
    schedule = schedule_stages(manifest, recipe)
    network = _build_network(recipe, read_weights)
    _check_crop(network, recipe)
    return TrainingPlan(manifest, recipe, schedule, network)


def describe_plan(plan: TrainingPlan) -> str:
    """The recipe as TOML, and in comments what it comes to on the manifest."""
    manifest = plan.manifest
    recipe = plan.recipe
    schedule = plan.schedule
    parameters = sum(p.numel() for p in plan.network.parameters())
    lines = [recipe.to_toml()]
    lines.append(f"# {parameters:,} parameters; data hash {manifest.data_hash}")
    for stage in schedule.stages:
        reals = len(stage.reals)
        fakes = len(stage.fakes)
        lines.append(f"# stage {stage.name}: {reals:,} real, {fakes:,} fake, {stage.steps:,} steps")
    images = schedule.steps * recipe.train.batch
    lines.append(f"# {images:,} images in all; {len(schedule.val_rows):,} to validate on")
    lines += [f"# {warning}" for warning in list_warnings(plan)]
    return "\n".join(lines)


def list_warnings(plan: TrainingPlan) -> list[str]:
    """What a user should know of a plan before hours of training, in lines."""
    labels = {plan.manifest.rows[i].label for i in plan.schedule.val_rows}
    needs_both = plan.recipe.evaluate.select == "val_auc"
    if needs_both and labels != {0, 1}:
        return ["no images of both classes to validate on: best/ will be the last epoch"]
    return []


def _build_network(recipe: Recipe, read_weights: bool) -> nn.Module:
    """The recipe's network with its first weights, which are a function of the recipe's seed."""
    pretrained = recipe.model.pretrained
    with torch.random.fork_rng(devices=[]):  # the caller's own draws are not disturbed
        torch.manual_seed(recipe.train.seed)
        network = create_detector(recipe.model.name, recipe.data.size, **recipe.model.options)
    if pretrained:
        check_pretrained(pretrained)
        trunk = getattr(network, "trunk", None)
        if not isinstance(trunk, InceptionTrunk):
            raise LabError(
                f"model {recipe.model.name} takes no pretrained weights; use model.name=inception"
            )
        if read_weights:
            trunk.load_weights(load_pretrained(pretrained))
    return network


def _check_crop(network: nn.Module, recipe: Recipe) -> None:
    """Raise LabError when the training crops do not fit the images or the network."""
    crop = recipe.train.crop
    size = recipe.data.size
    if crop > size:
        raise LabError(f"train.crop = {crop} is more than data.size = {size}")
    side = crop or size
    try:
        black = torch.zeros(1, 3, side, side)
        with torch.no_grad():
            network.eval()(black)
    except RuntimeError as error:
        advice = "leave out train.crop, or make it larger" if crop else "change model.options"
        raise LabError(
            f"model {recipe.model.name} cannot take crops of {side} px ({describe_error(error)}); "
            f"{advice}"
        ) from None
