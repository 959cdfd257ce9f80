"""`fauxlab recipes`: the experiments that come with the package."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fauxlab.cli.common import say
from fauxlab.errors import LabError

recipes_app = typer.Typer(no_args_is_help=True, help="Experiments that come with the package.")
Destination = Annotated[Path | None, typer.Argument(help="file to write; NAME.toml by default")]


@recipes_app.command("list")
def recipes_list() -> None:
    """Names and purposes of the packaged recipes."""
    from fauxlab.config import list_recipes, recipe_text

    for name in list_recipes():
        first_line = recipe_text(name).splitlines()[0]
        print(f"{name:<22}{first_line.lstrip('# ')}")


@recipes_app.command("show")
def recipes_show(name: str) -> None:
    """Print a recipe's TOML."""
    from fauxlab.config import recipe_text

    print(recipe_text(name), end="")


@recipes_app.command("copy")
def recipes_copy(name: str, to: Destination = None) -> None:
    """Copy a recipe, to change it and train with --recipe FILE."""
    from fauxlab.config import recipe_text
    from fauxlab.io.text import replace_file

    path = to or Path(f"{name}.toml")
    text = recipe_text(name)
    if path.exists():
        raise LabError(f"{path} exists; choose another name")
    replace_file(path, text)
    say(f"wrote {path}")
