"""What a recipe comes to on a manifest: made once, then checked, described and trained."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

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
from fauxlab.training.detector.manipulations import ALTERED, MADE, list_manipulations
from fauxlab.training.detector.schedule import Schedule, run_name, schedule_stages
from fauxlab.training.detector.teacher import open_teacher, training_rows


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
        # Stages share their reals.
        reals_by_id = {id(stage.reals): stage.reals for stage in self.schedule.stages}
        for reals in reals_by_id.values():
            hashes.update(rows[i].sha256 for i in reals)
        return hashes

    def without_skipped(self, images: ImageArray) -> TrainingPlan:
        """The plan for the images that could be decoded.

        Raises LabError where a class, or a head's fakes, have lost all of them.
        """
        if not images.skipped:
            return self
        schedule = schedule_stages(images.manifest, self.recipe)
        _check_manipulations(images.manifest, schedule, self.recipe)
        return replace(self, manifest=images.manifest, schedule=schedule)


def plan_training(manifest: Manifest, recipe: Recipe, *, read_weights: bool = True) -> TrainingPlan:
    """Choose the images, build the network and read its pretrained weights, each once.

    No image is decoded. Without `read_weights`, for a plan that is only looked at, pretrained
    weights are checked but neither read nor downloaded. Raises LabError where recipe and manifest,
    or the recipe's parts, do not fit, and where pretrained weights are absent or damaged.
    """
    _check_parts(recipe)
    schedule = schedule_stages(manifest, recipe)
    _check_manipulations(manifest, schedule, recipe)
    if recipe.train.teacher and read_weights:
        open_teacher(recipe)
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
    if recipe.model.heads:
        made, altered = _count_manipulations(manifest, schedule)
        lines.append(f"# of the fakes {made:,} were made whole, {altered:,} are altered photos")
    lines += [f"# {warning}" for warning in list_warnings(plan)]
    return "\n".join(lines)


def list_warnings(plan: TrainingPlan) -> list[str]:
    """What a user should know of a plan before hours of training, in lines."""
    labels = {plan.manifest.rows[i].label for i in plan.schedule.val_rows}
    needs_both = plan.recipe.evaluate.select == "val_auc"
    warnings = []
    if needs_both and labels != {0, 1}:
        warnings.append("no images of both classes to validate on: best/ will be the last epoch")
    if plan.recipe.model.heads and 0 not in labels:
        warnings.append("no real images to validate on: the heads will not be put on one scale")
    return warnings


def _build_network(recipe: Recipe, read_weights: bool) -> nn.Module:
    """The recipe's network with its first weights, which are a function of the recipe's seed."""
    pretrained = recipe.model.pretrained
    with torch.random.fork_rng(devices=[]):  # the caller's own draws are not disturbed
        torch.manual_seed(recipe.train.seed)
        network = _create(recipe)
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


def _create(recipe: Recipe) -> nn.Module:
    """The recipe's network with drawn weights."""
    name = recipe.model.name
    try:
        return create_detector(name, recipe.data.size, **network_options(recipe))
    except LabError as error:
        if recipe.model.heads and "argument 'heads'" in str(error):
            raise LabError(
                f"model {name} has one head only; use model.name=inception or trace, "
                "or leave out model.heads"
            ) from None
        raise


def network_options(recipe: Recipe) -> dict[str, Any]:
    """The options of the recipe's network, with the number of its heads where it has several."""
    heads = recipe.model.heads
    if not heads:
        return recipe.model.options
    return {**recipe.model.options, "heads": len(heads)}


def _check_parts(recipe: Recipe) -> None:
    """Raise LabError where parts of the recipe do not fit each other."""
    if "heads" in recipe.model.options:
        raise LabError('model.options.heads: write model.heads = ["made", "altered"] instead')
    for option in ("decode", "teacher"):
        if getattr(recipe.train, option) and not recipe.model.heads:
            raise LabError(f'train.{option} needs model.heads = ["made", "altered"]')


def _check_manipulations(manifest: Manifest, schedule: Schedule, recipe: Recipe) -> None:
    """Raise LabError where a head would see no fake."""
    if not recipe.model.heads:
        return
    made, altered = _count_manipulations(manifest, schedule)
    for name, count, option in (("made", made, "decode"), ("altered", altered, "blend")):
        if not count and not getattr(recipe.train, option):
            raise LabError(
                f"no {name} fakes to train the head {name} on; set train.{option} above 0, "
                "or leave out model.heads"
            )


def _count_manipulations(manifest: Manifest, schedule: Schedule) -> tuple[int, int]:
    """How many fakes that are trained on were made, and how many altered."""
    manipulations = list_manipulations(manifest)[training_rows(schedule)]
    made = (manipulations == MADE).sum()
    altered = (manipulations == ALTERED).sum()
    return int(made), int(altered)


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
