"""What a detector training comes to on a manifest: its network, what is refused before it starts,
and what is shown.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

from fauxlab.bundle.folder import first_line
from fauxlab.config import Recipe, check_run_name
from fauxlab.data.manifest import Manifest
from fauxlab.errors import LabError
from fauxlab.evaluation.networks import check_pretrained, load_pretrained
from fauxlab.models import create_detector
from fauxlab.models.detectors import InceptionTrunk
from fauxlab.training.detector.sampling import Plan, plan_training, run_name
from fauxlab.training.run import refuse_taken


def check_training(
    manifest: Manifest, recipe: Recipe, out: str | Path, name: str | None, resume: bool
) -> Path:
    """The run's folder; raises LabError for whatever can be refused before images are decoded."""
    folder = Path(out) / check_run_name(name or run_name(recipe))
    check_plan(manifest, recipe)
    build_network(recipe)  # its pretrained weights may be absent or damaged
    if not resume:
        refuse_taken(folder)
    return folder


def check_plan(manifest: Manifest, recipe: Recipe) -> Plan:
    """The plan; raises LabError where recipe and manifest, or the recipe's parts, do not fit. No
    file is read.
    """
    plan = plan_training(manifest, recipe)
    _check_crop(_create_network(recipe), recipe)
    return plan


def describe_plan(manifest: Manifest, recipe: Recipe) -> str:
    """The recipe as TOML, and in comments what it comes to on this manifest; errors as of
    `check_plan`.
    """
    plan = check_plan(manifest, recipe)
    parameters = sum(p.numel() for p in _create_network(recipe).parameters())
    lines = [recipe.to_toml(), f"# {parameters:,} parameters; data hash {manifest.data_hash}"]
    for stage in plan.stages:
        fakes = sum(manifest.rows[i].label for i in stage.rows)
        lines.append(
            f"# stage {stage.name}: {len(stage.rows) - fakes:,} real, {fakes:,} fake, {stage.steps:,} steps"
        )
    lines.append(
        f"# {plan.steps * recipe.train.batch:,} images in all; {len(plan.val_rows):,} to validate on"
    )
    lines += [f"# {remark}" for remark in remark_on(manifest, recipe)]
    return "\n".join(lines)


def remark_on(manifest: Manifest, recipe: Recipe) -> list[str]:
    """What to tell of a plan before hours of training, in lines."""
    labels = {manifest.rows[i].label for i in plan_training(manifest, recipe).val_rows}
    if recipe.evaluate.select == "val_auc" and labels != {0, 1}:
        return ["no images of both classes to validate on: best/ will be the last epoch"]
    return []


def _check_crop(network: nn.Module, recipe: Recipe) -> None:
    """Raise LabError when the training squares do not fit the images or the network."""
    crop, size = recipe.train.crop, recipe.data.size
    if crop > size:
        raise LabError(f"train.crop = {crop} is more than data.size = {size}")
    side = crop or size
    try:
        network.eval()(torch.zeros(1, 3, side, side))
    except RuntimeError as error:
        advice = "leave out train.crop, or make it larger" if crop else "change model.options"
        raise LabError(
            f"model {recipe.model.name} cannot take squares of {side} px ({first_line(error)}); {advice}"
        ) from None


def build_network(recipe: Recipe) -> nn.Module:
    """The recipe's network with its first weights, drawn or pretrained."""
    network = _create_network(recipe)
    if recipe.model.pretrained:
        trunk: InceptionTrunk = network.trunk  # type: ignore[assignment]
        trunk.load_weights(load_pretrained(recipe.model.pretrained))
    return network


def _create_network(recipe: Recipe) -> nn.Module:
    """The network with drawn weights, and able to take the pretrained ones that the recipe names."""
    network = create_detector(recipe.model.name, recipe.data.size, **recipe.model.options)
    if recipe.model.pretrained:
        check_pretrained(recipe.model.pretrained)
        if not isinstance(getattr(network, "trunk", None), InceptionTrunk):
            raise LabError(
                f"model {recipe.model.name} takes no pretrained weights; use model.name=inception"
            )
    return network
