"""`fauxlab data`: index image folders, draw the embedded data set."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fauxlab.cli.common import Pairs, index_folder, parse_pairs, say
from fauxlab.errors import LabError

app = typer.Typer(no_args_is_help=True, help="Index image folders and draw the embedded data set.")


@app.command("index")
def index(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="images in any layout that DATA LAYOUTS names")],
    out: Annotated[Path, typer.Option("--out", help="the manifest to write")] = Path("manifest.csv"),
    seed: Annotated[int, typer.Option(help="of the split", min=0)] = 0,
    fractions: Annotated[str, typer.Option("--split", help="train,val,calibration,test")] = ".7,.1,.1,.1",
    pair: Pairs = None,
) -> None:
    """Read every image below DIR into a manifest with group-safe splits.

    DATA LAYOUTS: real/ and fake/<generator>/; DeepFakeFace's wiki/ inpainting/ insight/ text2img/ as folders or zips; a
    metadata.csv (file_name, label, and optionally generator, group, source) beside images or beside zips.
    """

    try:
        shares = [float(part) for part in fractions.split(",")]
    except ValueError:
        raise LabError(f"--split {fractions!r}: give four numbers, as .7,.1,.1,.1") from None
    manifest = index_folder(folder, seed, shares, parse_pairs(pair))
    manifest.save(out)
    say(f"wrote {out}: {len(manifest):,} images, data hash {manifest.data_hash}")


@app.command("toyfaces")
def toyfaces(
    folder: Annotated[Path, typer.Argument(metavar="DIR")],
    n: Annotated[int, typer.Option(help="images in each of the four folders", min=1)] = 400,
    size: Annotated[int, typer.Option(help="side in pixels", min=32, max=512)] = 128,
    seed: Annotated[int, typer.Option(min=0)] = 0,
) -> None:
    """Draw the embedded data set in DeepFakeFace's layout."""
    from fauxlab.data.toyfaces import write_toyfaces

    say(f"wrote {write_toyfaces(folder, n=n, size=size, seed=seed)}")
