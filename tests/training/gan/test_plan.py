"""A GAN's plan: both networks built once, and what is skipped told."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from fauxlab.config import GanRecipe
from fauxlab.data.manifest import Manifest
from fauxlab.training.gan import plan as planning
from fauxlab.training.gan.loop import train_gan_plan
from fauxlab.training.gan.plan import describe_gan_plan, plan_gan

MakeRecipe = Callable[..., GanRecipe]


def test_networks_are_built_once(
    small: Manifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, recipe: MakeRecipe
) -> None:
    calls: Counter[str] = Counter()
    for name in ("create_generator", "create_discriminator"):
        create = getattr(planning, name)

        def counted(*given: object, name: str = name, create: object = create, **more: object):  # type: ignore[no-untyped-def]
            calls[name] += 1
            return create(*given, **more)  # type: ignore[operator]

        monkeypatch.setattr(planning, name, counted)
    plan = plan_gan(small, recipe())
    assert "real images, " in describe_gan_plan(plan)
    train_gan_plan(plan, tmp_path, max_minutes=0)
    assert calls == {"create_generator": 1, "create_discriminator": 1}


def test_skipped_pictures_are_in_the_log(
    small: Manifest, tmp_path: Path, recipe: MakeRecipe
) -> None:
    broken = next(row for row in small.rows if row.label == 0 and row.split == "val")
    (Path(small.root) / broken.path).write_bytes(b"changed")
    run = train_gan_plan(plan_gan(small, recipe()), tmp_path, max_minutes=0)
    first = next(run.read_log())
    assert (first["event"], first["count"]) == ("skipped", 1)
    assert [path for path, _ in run.skipped] == [broken.path]
