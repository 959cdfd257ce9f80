"""Opens the folder of a run: a new one, or that of an earlier run of the same recipe and data."""

from __future__ import annotations

import json
import logging
import tomllib
from pathlib import Path
from typing import Any

from fauxlab.config import GanRecipe, Recipe, check_run_name, difference, parse_recipe
from fauxlab.environment import describe_environment
from fauxlab.errors import LabError
from fauxlab.io.reading import parse_toml, read_text
from fauxlab.io.text import replace_file, write_fault
from fauxlab.training.run import Run
from fauxlab.version import __version__

_logger = logging.getLogger(__name__)


def run_folder(out: str | Path, name: str) -> Path:
    """Where a run of this name lies. Raises LabError on a name that is no plain folder name."""
    return Path(out) / check_run_name(name)


def refuse_taken(folder: Path) -> None:
    """Raise LabError where the folder holds a run already."""
    if (folder / "config.toml").exists():
        raise LabError(
            f"{folder} holds a run already; continue it with --resume, "
            "or choose another --name or --out"
        )


def open_run(
    folder: Path,
    recipe: Recipe | GanRecipe,
    data_hash: str,
    resume: bool,
    precision: str | None = None,
) -> Run:
    """Create a run folder, or reopen one for the same recipe and data.

    `precision` is the one that the training computes in. Raises LabError when the folder is taken
    and `resume` is off, or when the run was started with other parameters (the difference is
    shown).
    """
    run = Run(folder)
    if not (folder / "config.toml").exists():
        _start_run(folder, recipe, data_hash, precision)
        return run
    if not resume:
        refuse_taken(folder)
    _check_parameters(run, recipe, data_hash)
    _check_precision(run, precision)
    _warn_of_another_version(run)
    return run


def _start_run(
    folder: Path,
    recipe: Recipe | GanRecipe,
    data_hash: str,
    precision: str | None,
) -> None:
    """Make the folder; config.toml comes last, since a folder without it holds no run."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise write_fault(folder, error) from error
    environment = describe_environment(data_hash)
    if precision:
        environment["precision"] = precision
    text = json.dumps(environment, indent=2)
    replace_file(folder / "environment.json", text + "\n")
    replace_file(folder / "config.toml", recipe.to_toml())


def _check_parameters(run: Run, recipe: Recipe | GanRecipe, data_hash: str) -> None:
    """Raise LabError where the run was started with another recipe or other data."""
    config = run.folder / "config.toml"
    # Parsed as a recipe, so that a key which is newer than the run counts as its default.
    kind: Any = type(recipe)
    started = parse_recipe(_read_toml(config), str(config), kind)
    before = tomllib.loads(started.to_toml())
    now = tomllib.loads(recipe.to_toml())
    changes = difference(before, now)
    hash_before = run.environment.get("data_hash")
    changes += difference({"data": hash_before}, {"data": data_hash})
    if changes:
        raise LabError(
            f"{run.folder} was started with other parameters, so it cannot be resumed: "
            + "; ".join(changes)
        )


def _check_precision(run: Run, precision: str | None) -> None:
    """Raise LabError where an unfinished run would go on in another precision."""
    # Runs of before version 0.4 name none: it was the recipe's.
    before = run.environment.get("precision")
    if before is None or precision is None or before == precision or run.finished:
        return
    raise LabError(
        f"{run.folder} was trained in precision {before!r}, this machine trains in {precision!r}: "
        "continue it on a machine like the first, or start over with "
        f"--set train.precision={precision}"
    )


def _warn_of_another_version(run: Run) -> None:
    """Say that another version began the run: its training may not be this version's."""
    begun_with = run.environment.get("fauxlab")
    if not run.finished and begun_with != __version__:
        _logger.warning(
            "%s was begun with fauxlab %s and goes on with %s. Where training changed in between "
            "(see the changelog), the result is that of neither version.",
            run.folder,
            begun_with,
            __version__,
        )


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        return parse_toml(read_text(path))
    except ValueError as error:
        raise LabError(f"{path} cannot be read: {error}") from error
