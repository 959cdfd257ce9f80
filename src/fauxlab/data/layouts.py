"""The folder layouts that the lab reads, each turned into a stream of `Found` images.

| layout | looks like |
|---|---|
| real/fake | `real/…` (or `real/<source>/…`) and `fake/<generator>/…` (or `fake/…`; for a GAN no
fakes) |
| DeepFakeFace | `wiki/ inpainting/ insight/ text2img/`, as folders or as zips of those names |
| metadata | `metadata.csv` with file_name and label beside the images (a Hugging Face imagefolder)
or beside zips |
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from fauxlab.errors import LabError
from fauxlab.io.images import SUFFIXES
from fauxlab.io.sources import SEPARATOR, walk_images, zip_images
from fauxlab.io.text import printable

DEEPFAKEFACE_FAKES = ("inpainting", "insight", "text2img")
LABELS = {"real": 0, "fake": 1, "0": 0, "1": 1}


@dataclass(frozen=True, slots=True)
class Found:
    """One image as a layout describes it; images that share any of `groups` must stay on one side
    of a split.
    """

    path: str
    label: int
    generator: str
    source: str
    groups: tuple[str, ...]


def find_images(folder: str | Path) -> Iterator[Found]:
    """The images of `folder` in whichever layout it has; paths are absolute.

    Raises LabError when the layout is none of the known ones.
    """
    folder = Path(folder).absolute()
    if not folder.is_dir():
        raise LabError(
            f"{printable(folder)} is not a folder; give the folder that holds the images"
        )
    if (folder / "metadata.csv").is_file():
        return _metadata(folder)
    if _part(folder, "wiki") and any(_part(folder, name) for name in DEEPFAKEFACE_FAKES):
        return _deepfakeface(folder)
    if _part(folder, "real"):
        return _real_fake(folder)
    inside = ", ".join(sorted(printable(p.name) for p in folder.iterdir())[:8]) or "nothing"
    raise LabError(
        f"{printable(folder)} has no known layout (it holds {inside}); expected real/ and fake/<generator>/ (a GAN needs "
        "real/ alone), DeepFakeFace's wiki/ inpainting/ insight/ text2img/, or a metadata.csv with file_name and label"
    )


def list_collections(folder: str | Path) -> tuple[list[str], list[str]]:
    """Generators of the fakes and sources of the reals that the layout of `folder` names; no image
    is read.

    Raises LabError as `find_images` does.
    """
    generators: dict[str, None] = {}
    sources: dict[str, None] = {}
    for item in find_images(folder):
        if item.label:
            generators[item.generator] = None
        else:
            sources[item.source] = None
    return list(generators), list(sources)


def _part(folder: Path, name: str) -> Path | None:
    """The folder `name` or the archive `name.zip`, whichever is there."""
    for path in (folder / name, folder / f"{name}.zip"):
        if path.exists():
            return path
    return None


def _list(part: Path) -> Iterator[tuple[str, str]]:
    """(path, name below the part) of its images; a zip's own top folder of the same name does not
    count.
    """
    if part.is_dir():
        for path in walk_images(part):
            yield str(path), path.relative_to(part).as_posix()
    else:
        for member in zip_images(part):
            yield f"{part}{SEPARATOR}{member}", _plain(member).removeprefix(f"{part.stem}/")


def _zips(part: Path) -> list[Path]:
    """The archives in a folder."""
    return (
        sorted(path for path in part.iterdir() if path.suffix.lower() == ".zip")
        if part.is_dir()
        else []
    )


def _real_fake(folder: Path) -> Iterator[Found]:
    """Images of the same name below real/ and fake/<generator>/ are taken for versions of one
    picture.
    """
    real, fake = _part(folder, "real"), _part(folder, "fake")
    assert real is not None
    for path, name in _list(real):
        first, slash, rest = name.partition("/")
        source, rest = (_collection(first), rest) if slash else ("real", name)
        yield Found(path, 0, "", source, (_stem(rest),))
    for archive in _zips(real):
        for path, name in _list(archive):
            yield Found(path, 0, "", _collection(archive.stem), (_stem(name),))
    if fake and not fake.is_dir():
        for path, name in _list(fake):
            first, slash, rest = name.partition("/")
            yield Found(
                path,
                1,
                printable(first) if slash else "fake",
                "",
                (_stem(rest if slash else name),),
            )
        return
    for part in sorted(fake.iterdir()) if fake else ():
        packed = part.suffix.lower() == ".zip"
        if part.is_dir() or packed:
            for path, name in _list(part):
                yield Found(
                    path, 1, printable(part.stem if packed else part.name), "", (_stem(name),)
                )
        elif part.suffix.lower() in SUFFIXES:
            yield Found(str(part), 1, "fake", "", (_stem(part.name),))


def _deepfakeface(folder: Path) -> Iterator[Found]:
    """One name in all folders is one group, and so is one person (`<person id>_<birth
    date>_<year>.jpg`).

    insight/a.jpg is photo b's scene with a's face: b is read from `insight_pairs.csv` (file_name,
    scene) where there is one; else near-duplicate search finds the scene.
    """
    scenes: dict[str, str] = {}
    pairs = folder / "insight_pairs.csv"
    if pairs.is_file():
        scenes = {
            _plain(row["file_name"]): _plain(row["scene"])
            for row in _rows(pairs, ("file_name", "scene"))
        }
    for kind in ("wiki", *DEEPFAKEFACE_FAKES):
        part = _part(folder, kind)
        for path, name in _list(part) if part else ():
            groups = _deepfakeface_groups(name)
            if kind == "insight" and name in scenes:
                groups += _deepfakeface_groups(scenes[name])
            yield Found(path, int(kind != "wiki"), "" if kind == "wiki" else kind, "wiki", groups)


def _deepfakeface_groups(name: str) -> tuple[str, ...]:
    person, underscore, _ = name.rpartition("/")[2].partition("_")
    return (_stem(name), f"person {person}") if underscore else (_stem(name),)


def _metadata(folder: Path) -> Iterator[Found]:
    """Columns file_name, label (real or fake, 0 or 1; 1 = fake), and optionally generator, source,
    group (`a;b`).
    """
    members: dict[Path, dict[str, str]] = {}
    for line, row in enumerate(_rows(folder / "metadata.csv", ("file_name", "label")), start=2):
        label = LABELS.get(row["label"].strip().lower())
        if label is None:
            raise LabError(
                f"{printable(folder / 'metadata.csv')}, line {line}: label {row['label']!r:.80}; write real or fake (0 or 1)"
            )
        name = _plain(row["file_name"])
        top = name.partition("/")[0] if "/" in name else ("fake" if label else "real")
        groups = tuple(g for g in row.get("group", "").split(";") if g) or (name,)
        yield Found(
            _locate(folder, name, members),
            label,
            printable(row.get("generator") or top) if label else "",
            printable(row.get("source") or "") if label else _collection(row.get("source") or top),
            groups,
        )


def _collection(name: str) -> str:
    """The name of a collection of reals; a `;` in it would read as two where fakes name what they
    compare with.
    """
    return printable(name).replace(";", "_")


def _locate(folder: Path, name: str, members: dict[Path, dict[str, str]]) -> str:
    """The image beside metadata.csv, or in the zip named like its first folder; a missing one is
    found on reading.

    `members` keeps for each zip its members by their plain names.
    """
    top, _, rest = name.partition("/")
    archive = folder / f"{top}.zip"
    if not rest or (folder / top).is_dir() or not archive.is_file():
        return str(folder / name)
    if archive not in members:
        names = zip_images(archive)
        members[archive] = {_plain(member): member for member in names} | {
            member: member for member in names
        }
    return f"{archive}{SEPARATOR}{members[archive].get(rest) or members[archive].get(name, name)}"


def _rows(path: Path, required: tuple[str, ...]) -> Iterator[dict[str, str]]:
    try:
        with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as stream:
            reader = csv.DictReader(stream, restval="")
            missing = [column for column in required if column not in (reader.fieldnames or [])]
            if missing:
                raise LabError(
                    f"{printable(path)} lacks the column {' and '.join(missing)} (its first line: "
                    f"{name_columns(reader.fieldnames)}); save it as CSV with commas, in UTF-8"
                )
            yield from reader
    except OSError as error:
        raise LabError(f"cannot read {printable(path)}: {error.strerror or error}") from error
    except csv.Error as error:
        raise LabError(f"{printable(path)} is not CSV: {error}") from error


def name_columns(columns: Sequence[str] | None) -> str:
    """A table's first line for a message; what is no table can have a very long one."""
    line = printable(", ".join(columns or ()))
    return line if 0 < len(line) <= 100 else f"{line[:100]}…" if line else "empty"


def _plain(name: str) -> str:
    """A name in a zip or table without the "./" and "//" that some packers write."""
    return PurePosixPath(name).as_posix()


def _stem(name: str) -> str:
    return name.rpartition(".")[0] or name
