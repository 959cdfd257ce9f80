"""The folder layouts that the lab reads, each turned into a stream of entries, one an image.

| layout | looks like |
|---|---|
| real/fake | `real/…` or `real/<source>/…`, and `fake/<generator>/…` or `fake/…` (none for a GAN) |
| DeepFakeFace | `wiki/ inpainting/ insight/ text2img/`, as folders or as zips of those names |
| metadata | `metadata.csv` with file_name and label, beside images or beside zips |

A zip stands for the folder that it was packed from, wherever it lies: `real/ffhq.zip` is the source
ffhq, and `fake/gan/part1.zip` holds fakes of gan. A zip inside of a zip is not read.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from fauxlab.data.parts import find_part, is_zip, list_part, plain_name
from fauxlab.data.rows import COLUMNS
from fauxlab.data.tables import further_columns, parse_label, read_sources, read_table
from fauxlab.errors import LabError
from fauxlab.io.images import SUFFIXES
from fauxlab.io.kinds import HIDDEN_FOLDER
from fauxlab.io.passed_over import PassedOver, is_hidden
from fauxlab.io.sources import SEPARATOR, is_picture, zip_images
from fauxlab.io.text import printable

DEEPFAKEFACE_FAKES = ("inpainting", "insight", "text2img")
METADATA = "metadata.csv"
Names = list[str]
MembersOf = dict[Path, dict[str, str]]


@dataclass(frozen=True, slots=True)
class Entry:
    """One image as its layout describes it; the fields have the meaning that they have in a Row.

    Images that share any of `groups` must stay on one side of a split.
    """

    path: str
    label: int
    generator: str = ""
    source: str = ""
    compare_to: str = ""
    groups: tuple[str, ...] = ()
    extra: Mapping[str, str] = field(default_factory=dict)


def find_images(folder: str | Path) -> Iterator[Entry]:
    """The images of `folder` in whichever layout it has; paths are absolute.

    Raises LabError when the layout is none of the known ones.
    """
    folder = Path(folder).absolute()
    if not folder.is_dir():
        raise LabError(
            f"{printable(folder)} is not a folder; give the folder that holds the images"
        )
    if (folder / METADATA).is_file():
        return _metadata(folder)
    fakes_of_wiki = any(find_part(folder, name) for name in DEEPFAKEFACE_FAKES)
    if find_part(folder, "wiki") and fakes_of_wiki:
        return _deepfakeface(folder)
    if find_part(folder, "real"):
        return _real_fake(folder)
    names = [printable(path.name) for path in folder.iterdir()]
    inside = ", ".join(sorted(names)[:8]) or "nothing"
    raise LabError(
        f"{printable(folder)} has no known layout (it holds {inside}); "
        "expected real/ and fake/<generator>/ (a GAN needs real/ alone), "
        "DeepFakeFace's wiki/ inpainting/ insight/ text2img/, "
        "or a metadata.csv with file_name and label"
    )


def list_collections(folder: str | Path) -> tuple[Names, Names]:
    """Generators of the fakes and sources of the reals in `folder`; no image is read.

    Raises LabError as `find_images` does.
    """
    generators: dict[str, None] = {}
    sources: dict[str, None] = {}
    for entry in find_images(folder):
        if entry.label:
            generators[entry.generator] = None
        else:
            sources[entry.source] = None
    return list(generators), list(sources)


def _real_fake(folder: Path) -> Iterator[Entry]:
    """The layout real/fake.

    Images of the same name below real/ and fake/<generator>/ are taken for versions of one picture.
    """
    real = find_part(folder, "real")
    if real:
        yield from _reals(real)
    fake = find_part(folder, "fake")
    if fake and fake.is_dir():
        yield from _fakes(fake)
    elif fake:
        yield from _packed_fakes(fake)


def _reals(part: Path) -> Iterator[Entry]:
    for path, name in list_part(part, zips_are_collections=True):
        collection, rest = _split_top(name, otherwise="real")
        yield Entry(
            path,
            label=0,
            source=_collection(collection),
            groups=(_stem(rest),),
        )


def _fakes(part: Path) -> Iterator[Entry]:
    passed_over = PassedOver()
    for child in sorted(part.iterdir()):
        if is_hidden(child.name):
            if child.is_dir():
                passed_over.add(str(child), HIDDEN_FOLDER)
        elif child.is_dir() or is_zip(child):
            is_packed = child.suffix.lower() == ".zip"
            generator = child.stem if is_packed else child.name
            for path, name in list_part(child):
                yield _fake(path, generator, name)
        elif child.suffix.lower() in SUFFIXES or is_picture(str(child), passed_over):
            yield _fake(str(child), "fake", child.name)
    passed_over.warn()


def _packed_fakes(archive: Path) -> Iterator[Entry]:
    for path, name in list_part(archive):
        generator, rest = _split_top(name, otherwise="fake")
        yield _fake(path, generator, rest)


def _fake(path: str, generator: str, name: str) -> Entry:
    return Entry(
        path,
        label=1,
        generator=printable(generator),
        groups=(_stem(name),),
    )


def _deepfakeface(folder: Path) -> Iterator[Entry]:
    """The layout of DeepFakeFace.

    Images of one name in all folders are one group. So are those of one person, whose file is
    `<person id>_<birth date>_<year>.jpg`. insight/a.jpg shows the face of
    photo a pasted into photo b. `insight_pairs.csv`, where there is one, holds the pairs
    (file_name a, scene b); otherwise the search for near-duplicates finds b.
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
        for path, name in list_part(part):
            groups = _deepfakeface_groups(name)
            if kind == "insight" and name in scenes:
                groups += _deepfakeface_groups(scenes[name])
            is_fake = kind != "wiki"
            yield Entry(
                path,
                label=int(is_fake),
                generator=kind if is_fake else "",
                source="" if is_fake else "wiki",
                compare_to="wiki" if is_fake else "",
                groups=groups,
            )


def _deepfakeface_groups(name: str) -> tuple[str, ...]:
    picture = _stem(name)
    _, _, file = name.rpartition("/")
    person, underscore, _ = file.partition("_")
    if not underscore:
        return (picture,)
    return picture, f"person {person}"


def _metadata(folder: Path) -> Iterator[Entry]:
    """The layout of a table: columns file_name, label (real or fake, 0 or 1; 1 = fake).

    It may also have generator, source, compare_to (`a;b`) and group (`a;b`). Further columns are
    kept, apart from those that indexing itself fills: path, split, sha256.
    """
    table = folder / METADATA
    members: MembersOf = {}
    rows = read_table(table, ("file_name", "label"))
    for line, row in enumerate(rows, start=2):
        label = parse_label(row["label"])
        if label is None:
            raise LabError(
                f"{printable(table)}, line {line}: "
                f"label {row['label']!r:.80}; write real or fake (0 or 1)"
            )
        name = plain_name(row["file_name"])
        top, _ = _split_top(name, otherwise="fake" if label else "real")
        source, compare_to = read_sources(row, label)
        generator = printable(row.get("generator") or top)
        declared = row.get("group", "").split(";")
        groups = tuple(group for group in declared if group)
        yield Entry(
            _locate(folder, name, members),
            label,
            generator=generator if label else "",
            source=source if label else _collection(source or top),
            compare_to=compare_to,
            groups=groups or (name,),
            extra=further_columns(row, ("file_name", *COLUMNS)),
        )


def _locate(folder: Path, name: str, members: MembersOf) -> str:
    """The image beside metadata.csv, or in the zip named like its first folder.

    A missing one is noticed on reading. `members` holds, for each zip, its members by the names
    that a table may give them.
    """
    top, _, rest = name.partition("/")
    archive = folder / f"{top}.zip"
    is_packed = archive.is_file() and not (folder / top).is_dir()
    if not rest or not is_packed:
        return str(folder / name)
    if archive not in members:
        names = zip_images(archive)
        by_plain_name = {plain_name(member): member for member in names}
        by_own_name = {member: member for member in names}
        members[archive] = by_plain_name | by_own_name
    inside = members[archive]
    member = inside.get(rest) or inside.get(name, name)
    return f"{archive}{SEPARATOR}{member}"


def _split_top(name: str, otherwise: str) -> tuple[str, str]:
    """The first folder of a name, and the rest; `otherwise` where the name has no folder."""
    top, slash, rest = name.partition("/")
    if slash:
        return top, rest
    return otherwise, name


def _collection(name: str) -> str:
    """The name of a collection of reals, without the `;` that separates names in `compare_to`."""
    return printable(name).replace(";", "_")


def _stem(name: str) -> str:
    stem, _, _ = name.rpartition(".")
    return stem or name
