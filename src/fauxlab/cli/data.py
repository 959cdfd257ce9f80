"""`fauxlab data`: index image folders, audit and extend them, draw a set, fetch public ones."""

from __future__ import annotations

import re
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from fauxlab.cli.common import (
    FINDING,
    USAGE,
    AsJson,
    Pairs,
    check_output,
    index_folder,
    parse_pairs,
    report_skipped,
    say,
)
from fauxlab.errors import LabError
from fauxlab.progress import count_images

if TYPE_CHECKING:
    from collections.abc import Collection

    from fauxlab.data.manifest import Manifest

app = typer.Typer(
    no_args_is_help=True, help="Index image folders, audit, extend, draw or fetch data sets."
)


class Fault(StrEnum):
    """The findings that --fail-on takes."""

    shortcut = "shortcut"
    leak = "leak"


class Grouping(StrEnum):
    """The rules that --group-by takes."""

    auto = "auto"
    folder = "folder"
    stem = "stem"
    none = "none"


class Fetchable(StrEnum):
    """The data sets that `data fetch` takes."""

    deepfakeface = "deepfakeface"
    celeba = "celeba"


class Crop(StrEnum):
    """What stands for a picture in the manifest."""

    none = "none"
    face = "face"


Images = Annotated[
    Path | None,
    typer.Argument(metavar="DIR", help="images in any layout that DATA LAYOUTS names"),
]
Reals = Annotated[
    list[Path] | None,
    typer.Option(
        "--real", metavar="DIR", help="in place of DIR: real photos; may be given several times"
    ),
]
Fakes = Annotated[
    list[Path] | None,
    typer.Option(
        "--fake",
        metavar="DIR",
        help="fakes, with a folder for each generator or all of one; may be given several times",
    ),
]
GroupRule = Annotated[
    Grouping, typer.Option(help="how names tie images that may not stand in two splits")
]
Altered = Annotated[
    list[str] | None,
    typer.Option(
        "--altered",
        metavar="GENERATOR,…",
        help="GENERATOR alters a part of real photos, as a face swap does; may be given several "
        "times",
    ),
]
CropTo = Annotated[
    Crop | None,
    typer.Option(
        "--crop",
        help="face: the largest face stands for each picture, which stays as it is  "
        "[default: none, or as in the manifest that is replaced]",
    ),
]
Table = Annotated[Path, typer.Option("--out", help="the manifest to write")]
SplitSeed = Annotated[int, typer.Option(help="of the split", min=0)]
Fractions = Annotated[str, typer.Option("--split", help="train,val,calibration,test")]
Resplit = Annotated[
    bool,
    typer.Option(
        "--resplit", help="draw all splits anew, instead of keeping those of a replaced manifest"
    ),
]
Terms = Annotated[bool, typer.Option("--accept-license", help="you have read the terms and agree")]
DataFolder = Annotated[
    Path | None, typer.Option("--out", metavar="DIR", help="[default: data/NAME]")
]
Parts = Annotated[
    str, typer.Option(metavar="PART,…", help="as wiki,text2img or valid [default: all]")
]
DeleteShards = Annotated[
    bool,
    typer.Option("--delete-shards", help="celeba: drop each parquet shard once its zip is written"),
]

Reconstructed = Annotated[Path, typer.Option("--out", metavar="DIR", help="folder to write")]
AutoencoderName = Annotated[
    str, typer.Option("--autoencoder", metavar="NAME", help="taef2, or the folder of its files")
]
WholeShare = Annotated[
    float, typer.Option("--share", help="of the real training photos, for whole copies")
]
PartShare = Annotated[
    float, typer.Option("--partly", help="of the real training photos, for copies changed in part")
]


@app.command("index")
def index(
    folder: Images = None,
    reals: Reals = None,
    fakes: Fakes = None,
    out: Table = Path("manifest.csv"),
    seed: SplitSeed = 0,
    fractions: Fractions = ".7,.1,.1,.1",
    pair: Pairs = None,
    resplit: Resplit = False,
    group_by: GroupRule = Grouping.auto,
    altered: Altered = None,
    crop: CropTo = None,
) -> None:
    """Read every image below DIR into a manifest with group-safe splits.

    Where a manifest is there already, its images keep their splits and only new ones are drawn. So
    no image that a model learned from gets among its tests.

    DATA LAYOUTS: real/ and fake/<generator>/; DeepFakeFace's wiki/ inpainting/ insight/ text2img/;
    a metadata.csv or metadata.jsonl beside images. Folders may be zips. A table needs the columns
    file_name and label, and may have generator, manipulation (of a fake: made or altered), source
    (where a picture comes from), compare_to (of a fake: the sources of reals to compare it with, ;
    between them) and group. Further columns are kept. --real DIR --fake DIR name folders of other
    names.

    --group-by: auto ties the frames of a video and the pictures of a person, by a folder below a
    source or generator, or by the start of names as in 003_frame0007.jpg. folder and stem use one
    of the two alone, wherever it applies. none uses no names. A table's column group comes first.

    --pair fills the column compare_to of the manifest. Fakes without an entry there are compared
    with all reals, which may differ from them in more than being real.

    --altered fills the column manipulation. A fake is "made", as a whole, where nothing else is
    said. The inpainting and insight of DeepFakeFace are "altered".

    --crop face is for ordinary photos: training and evaluation see the largest face in each, framed
    as `fauxlab scan` frames it. No picture is copied; the square stands in the manifest. Pictures
    without a face are skipped.

    Hidden files and folders are passed over. Files that cannot be used are listed, with the reason,
    in a table beside the manifest: manifest-skipped.csv.
    """
    from fauxlab.data.manifest import REQUIRED, SKIPPED_COLUMNS

    shares = _parse_fractions(fractions)
    check_output(out, "--out", "manifest.csv")
    skipped_table = out.with_name(f"{out.stem}-skipped.csv")
    _refuse_other_table(out, REQUIRED, "manifest")
    _refuse_other_table(skipped_table, SKIPPED_COLUMNS, "list of skipped files")
    earlier = None if resplit else _load_earlier(out)
    if folder is None and not reals:
        raise LabError("name a folder of images, or --real DIR --fake DIR")
    manifest = index_folder(
        folder,
        seed,
        shares,
        parse_pairs(pair),
        earlier,
        reals=reals or (),
        fakes=fakes or (),
        group_by=group_by.value,
        altered=_parse_names(altered),
        crop=_choose_crop(crop, earlier),
    )
    if earlier:
        _report_placed(manifest, earlier)
    manifest.save(out)
    # Beside a device there is no place for a second table.
    if out.is_file():
        _write_skipped(manifest, skipped_table)
    say(f"wrote {out}: {len(manifest):,} images, data hash {manifest.data_hash}")


def _parse_fractions(text: str) -> list[float]:
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        raise LabError(f"--split {text!r}: give four numbers, as .7,.1,.1,.1") from None


def _parse_names(items: list[str] | None) -> list[str]:
    """The values of --altered as names, each once."""
    names = [name for item in items or [] for name in item.split(",") if name]
    return list(dict.fromkeys(names))


def _choose_crop(crop: Crop | None, earlier: Manifest | None) -> Literal["none", "face"]:
    """What stands for each picture: as --crop says, or else as in the manifest that is replaced."""
    if crop:
        return crop.value
    if earlier and earlier.has_crops:
        say("the manifest that is replaced has crops: --crop face (--crop none takes them out)")
        return "face"
    return "none"


def _write_skipped(manifest: Manifest, path: Path) -> None:
    """The table of images that were left out; an earlier one goes where there are none."""
    if manifest.skipped:
        manifest.save_skipped(path)
        say(f"wrote {path}: {len(manifest.skipped):,} skipped, with the reasons")
    else:
        path.unlink(missing_ok=True)


def _report_placed(manifest: Manifest, earlier: Manifest) -> None:
    """Say how many images an earlier manifest holds, by their bytes or their group."""
    hashes = {row.sha256 for row in earlier.rows if row.split}
    groups = {row.group for row in earlier.rows if row.split}
    placed = [row for row in manifest.rows if row.sha256 in hashes or row.group in groups]
    say(
        f"{len(placed):,} images keep the splits of the manifest that is replaced "
        "(--resplit draws all anew)"
    )


def _load_earlier(path: Path) -> Manifest | None:
    """The manifest that is to be replaced, if there is one."""
    from fauxlab.data.manifest import Manifest

    if not path.is_file() or not path.stat().st_size:
        return None
    try:
        return Manifest.load(path)
    except LabError as error:
        raise LabError(f"{error}; --resplit replaces it and draws all splits anew") from error


def _refuse_other_table(path: Path, columns: Collection[str], what: str) -> None:
    """Raise LabError where another table is there, such as a data set's own metadata.csv.

    An empty file may be replaced.
    """
    from fauxlab.data.tables import open_table
    from fauxlab.io.text import printable

    if not path.is_file() or not path.stat().st_size:
        return
    with open_table(path) as stream:
        first_line = stream.readline(1000).replace('"', "").strip()
    # Spreadsheets may have saved it with semicolons or tabs.
    if not set(columns) <= set(re.split("[,;\t]", first_line)):
        raise LabError(f"--out: {printable(path)} is there and is no {what}; name another file")


@app.command("audit")
def audit(
    manifest: Annotated[
        Path, typer.Argument(metavar="MANIFEST", help="manifest.csv from `fauxlab data index`")
    ],
    limit: Annotated[
        int, typer.Option(help="most images of each generator and source of reals", min=1)
    ] = 2000,
    seed: Annotated[int, typer.Option(help="of the choice of images and the intervals", min=0)] = 0,
    pair: Pairs = None,
    json_: AsJson = False,
    fail_on: Annotated[Fault | None, typer.Option(help="exit with 3 when one is found")] = None,
) -> None:
    """Find what a network could cheat on: size, encoding, framing, colour, leaks between splits."""
    from fauxlab.auditing.audit import audit, sample_kinds
    from fauxlab.data.manifest import Manifest

    data = Manifest.load(manifest).pair(parse_pairs(pair))
    with count_images("measuring", len(sample_kinds(data, limit, seed))) as advance:
        report = audit(data, limit=limit, seed=seed, progress=advance)
    report_skipped(tuple(report.skipped))
    print(report.model_dump_json(indent=2) if json_ else report.table())
    if fail_on and any(finding.kind == fail_on.value for finding in report.findings):
        raise typer.Exit(FINDING)


@app.command("toyfaces")
def toyfaces(
    folder: Annotated[Path, typer.Argument(metavar="DIR")],
    n: Annotated[int, typer.Option(help="images in each of the four folders", min=1)] = 400,
    size: Annotated[int, typer.Option(help="side in pixels", min=32, max=512)] = 128,
    seed: Annotated[int, typer.Option(min=0)] = 0,
) -> None:
    """Draw the embedded data set in DeepFakeFace's layout."""
    from fauxlab.datasets.toyfaces import is_drawn, write_toyfaces

    was_drawn = is_drawn(folder)
    write_toyfaces(folder, n=n, size=size, seed=seed)
    if was_drawn:
        say(f"{folder} holds this set already; nothing was drawn")
    else:
        say(f"wrote {folder}")


@app.command("fetch")
def fetch(
    name: Annotated[Fetchable, typer.Argument(metavar="NAME")],
    accept_license: Terms = False,
    out: DataFolder = None,
    only: Parts = "",
    delete_shards: DeleteShards = False,
) -> None:
    """Fetch a public data set from the Hugging Face hub, once you accept its licence.

    Without --accept-license it shows the terms and fetches nothing. Every file is checked against
    the SHA-256 that the hub states; the same command continues an interrupted fetch. HF_ENDPOINT
    names another hub.
    """
    from fauxlab.datasets.fetch import describe_terms, fetch

    if not accept_license:
        say(describe_terms(name.value))
    folder = out or Path("data") / name.value
    try:
        fetch(
            name.value,
            folder,
            accept_license=accept_license,
            only=only.split(",") if only else (),
            delete_shards=delete_shards,
            tell=say,
            bar=count_images,
        )
    except LabError as error:
        if accept_license:
            raise
        # Without it nothing is fetched: an option is missing.
        say(f"error: {error}")
        raise typer.Exit(USAGE) from None
    except KeyboardInterrupt:
        say(f"what has come stays in {folder}; the same command continues")
        raise
    say(f"fetched {name.value} to {folder}; next: fauxlab data index {folder}")


@app.command("reconstruct")
def reconstruct(
    manifest: Annotated[
        Path, typer.Argument(metavar="MANIFEST", help="manifest.csv from `fauxlab data index`")
    ],
    out: Reconstructed,
    autoencoder: AutoencoderName = "taef2",
    share: WholeShare = 0.3,
    partly: PartShare = 0.0,
) -> None:
    """Add copies of real training photos that an autoencoder has drawn anew, as fakes to train on.

    They carry the traces of a generator's last layers, and nothing else of them is false. Whole
    copies are of the generator reconstructed-NAME and count as made. Copies of which only a region
    was drawn anew are of partly-NAME and count as altered. DIR/manifest.csv lists all images of
    MANIFEST and the copies, in the split train and the groups of their photos.

    The copies show real people. They are for training on this machine only.

    taef2 is fetched once (5.4 MB, MIT licence). The same command continues an interrupted one.
    """
    from fauxlab.data.manifest import Manifest
    from fauxlab.models.autoencoder import open_autoencoder
    from fauxlab.sample.reconstructions import plan_reconstructions, write_reconstructions

    data = Manifest.load(manifest)
    network = open_autoencoder(autoencoder)
    count = len(plan_reconstructions(data, network.name, share, partly))
    try:
        with count_images("drawing anew", count) as advance:
            joined = write_reconstructions(network, data, out, share, partly, advance)
    except KeyboardInterrupt:
        say(f"what is drawn stays in {out}; the same command continues")
        raise
    report_skipped(joined.skipped)
    new = len(joined) - len(data)
    say(f"wrote {out / 'manifest.csv'}: {len(joined):,} images, {new:,} of them new")
