"""The folder layouts that the lab reads, each turned into a stream of entries, one an image.

| layout | looks like |
|---|---|
| real/fake | `real/…` or `real/<source>/…`, and `fake/<generator>/…` or `fake/…` (none for a GAN) |
| DeepFakeFace | `wiki/ inpainting/ insight/ text2img/`, as folders or as zips of those names |
| metadata | `metadata.csv` or `metadata.jsonl` with file_name and label, beside images or zips |

The two folders of real/fake may have other names that data sets use (`fauxlab.data.sides`), and may
lie deeper, as in `train/real/`. A table may stand in the folder of each split. A zip stands for the
folder that it was packed from, wherever it lies: `real/ffhq.zip` is the source ffhq, and
`fake/gan/part1.zip` holds fakes of gan. A zip inside of a zip is not read.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from fauxlab.data.entries import Entry, collection_name, split_top, stem_of
from fauxlab.data.grouping import GroupBy
from fauxlab.data.metadata import PARQUET, find_table, find_tables_of_splits, read_entries
from fauxlab.data.names import only_sorts
from fauxlab.data.neighbours import find_shelves, find_video_folders
from fauxlab.data.parts import Listed, find_part, is_zip, list_part, plain_name
from fauxlab.data.sides import Pair, Side, find_pairs
from fauxlab.data.tables import read_table
from fauxlab.errors import LabError
from fauxlab.io.kinds import FOLDER_UNNAMED, ZIP_UNNAMED
from fauxlab.io.sources import PassedOver
from fauxlab.io.text import printable

__all__ = ["Entry", "find_images", "find_sides", "list_collections"]

DEEPFAKEFACE_FAKES = ("inpainting", "insight", "text2img")
# Real photos with another face inside; text2img makes whole pictures.
DEEPFAKEFACE_ALTERED = ("inpainting", "insight")
Names = list[str]


def find_images(folder: str | Path, group_by: GroupBy = "auto") -> Iterator[Entry]:
    """The images of `folder` in whichever layout it has; paths are absolute.

    By "auto" and "folder", folders of single videos directly below real/ are no sources. Raises
    LabError when the layout is none of the known ones.
    """
    folder = Path(folder).absolute()
    if not folder.is_dir():
        raise LabError(
            f"{printable(folder)} is not a folder; give the folder that holds the images"
        )
    table = find_table(folder)
    if table:
        return read_entries(table)
    fakes_of_wiki = any(find_part(folder, name) for name in DEEPFAKEFACE_FAKES)
    if find_part(folder, "wiki") and fakes_of_wiki:
        return _deepfakeface(folder)
    pairs = find_pairs(folder)
    if pairs:
        return _real_fake(pairs, group_by)
    tables = find_tables_of_splits(folder)
    if tables:
        return _tables(tables)
    raise LabError(_describe_unknown(folder))


def find_sides(
    reals: Sequence[str | Path], fakes: Sequence[str | Path], group_by: GroupBy = "auto"
) -> Iterator[Entry]:
    """The images of folders or zips that are named as real and as fake; paths are absolute.

    What lies directly in one has its name as source or generator. Raises LabError where one is
    missing, or stands on both sides.
    """
    if not reals:
        raise LabError("no folder of real photos is named; name it with --real DIR")
    pair = Pair(_named_sides(reals), _named_sides(fakes))
    for real in pair.reals:
        for fake in pair.fakes:
            _refuse_overlap(real.path, fake.path)
    return _real_fake([pair], group_by)


def _named_sides(folders: Sequence[str | Path]) -> list[Side]:
    sides: dict[Path, Side] = {}
    for folder in folders:
        path = Path(os.path.abspath(folder))
        is_archive = is_zip(path) and path.is_file()
        if not path.is_dir() and not is_archive:
            raise LabError(f"{printable(folder)} is no folder and no zip; name one with images")
        sides[path] = Side(path, path.stem if is_archive else path.name)
    return list(sides.values())


def _refuse_overlap(real: Path, fake: Path) -> None:
    real_place = real.resolve()
    fake_place = fake.resolve()
    if real_place.is_relative_to(fake_place) or fake_place.is_relative_to(real_place):
        raise LabError(
            f"{printable(real)} is named as real and {printable(fake)} as fake, and they share "
            "images; name separate folders"
        )


def list_collections(entries: Iterable[Entry]) -> tuple[Names, Names]:
    """Generators of the fakes and sources of the reals; no image is read."""
    generators: dict[str, None] = {}
    sources: dict[str, None] = {}
    for entry in entries:
        if entry.label:
            generators[entry.generator] = None
        else:
            sources[entry.source] = None
    return list(generators), list(sources)


def _describe_unknown(folder: Path) -> str:
    names = [printable(path.name) for path in folder.iterdir()]
    inside = ", ".join(sorted(names)[:8]) or "nothing"
    if (folder / PARQUET).is_file():
        return (
            f"{printable(folder / PARQUET)} is a table that fauxlab does not read; save it as "
            "metadata.csv, as pandas.read_parquet(…).to_csv(…, index=False) does"
        )
    return (
        f"{printable(folder)} has no known layout (it holds {inside}); "
        "expected real/ and fake/<generator>/ (a GAN needs real/ alone), "
        "DeepFakeFace's wiki/ inpainting/ insight/ text2img/, "
        "or a metadata.csv with file_name and label; "
        "or name the folders with --real DIR --fake DIR"
    )


def _tables(tables: Sequence[Path]) -> Iterator[Entry]:
    for table in tables:
        yield from read_entries(table, place=f"{table.parent.name}/")


def _real_fake(pairs: Sequence[Pair], group_by: GroupBy) -> Iterator[Entry]:
    """The layout real/fake.

    Images of the same name below real/ and fake/<generator>/ are taken for versions of one picture.
    """
    passed_over = PassedOver()
    for pair in pairs:
        for other in pair.others:
            passed_over.add(str(other), ZIP_UNNAMED if is_zip(other) else FOLDER_UNNAMED)
    passed_over.warn()
    for pair in pairs:
        for label, sides in enumerate((pair.reals, pair.fakes)):
            for side in sides:
                yield from _list_side(side, label, pair, group_by)


def _list_side(side: Side, label: int, pair: Pair, group_by: GroupBy) -> Iterator[Entry]:
    listed = list(list_part(side.path, zips_are_collections=True))
    otherwise = side.name or pair.name or ("fake" if label else "real")
    tops = _top_folders(listed)
    inner: set[str] = set()  # folders that are no collections
    if side.name:
        inner = {top for top in tops if only_sorts(top)} | find_shelves(tops)
    if group_by in ("auto", "folder"):
        inner |= find_video_folders(tops, label)
    for path, name, problem in listed:
        top, rest = split_top(name, otherwise)
        if top in inner:
            top, rest = otherwise, name
        yield Entry(
            path,
            label=label,
            generator=printable(top) if label else "",
            source="" if label else collection_name(top),
            name=rest,
            own=os.path.join(pair.place, stem_of(rest)),
            problem=problem,
        )


def _top_folders(listed: Sequence[Listed]) -> dict[str, list[str]]:
    """The names of the files below each first folder."""
    tops: dict[str, list[str]] = {}
    for _, name, problem in listed:
        top, slash, rest = name.partition("/")
        if slash and not problem:
            _, _, file = rest.rpartition("/")
            tops.setdefault(top, []).append(file)
    return tops


def _deepfakeface(folder: Path) -> Iterator[Entry]:
    """The layout of DeepFakeFace.

    Images of one name in all folders are one group. So are those of one person, whose file is
    `<person id>_<birth date>_<year>.jpg`. insight/a.jpg shows the face of photo a pasted into
    photo b. `insight_pairs.csv`, where there is one, holds the pairs (file_name a, scene b);
    otherwise the search for near-duplicates finds b.
    """
    scenes: dict[str, str] = {}
    pairs = folder / "insight_pairs.csv"
    if pairs.is_file():
        for row in read_table(pairs, ("file_name", "scene")):
            face = plain_name(row["file_name"])
            scenes[face] = plain_name(row["scene"])
    for kind in ("wiki", *DEEPFAKEFACE_FAKES):
        part = find_part(folder, kind)
        if part is None:
            continue
        for path, name, problem in list_part(part):
            groups = _deepfakeface_groups(name)
            if kind == "insight" and name in scenes:
                groups += _deepfakeface_groups(scenes[name])
            is_fake = kind != "wiki"
            yield Entry(
                path,
                label=int(is_fake),
                generator=kind if is_fake else "",
                manipulation="altered" if kind in DEEPFAKEFACE_ALTERED else "",
                source="" if is_fake else "wiki",
                compare_to="wiki" if is_fake else "",
                groups=groups,
                name=name,
                problem=problem,
            )


def _deepfakeface_groups(name: str) -> tuple[str, ...]:
    picture = stem_of(name)
    _, _, file = name.rpartition("/")
    person, underscore, _ = file.partition("_")
    if not underscore:
        return (picture,)
    return picture, f"person {person}"
