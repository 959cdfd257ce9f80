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
from pathlib import Path, PurePosixPath

from fauxlab.data.rows import COLUMNS
from fauxlab.data.tables import further_columns, parse_label, read_sources, read_table
from fauxlab.errors import LabError
from fauxlab.io.images import SUFFIXES
from fauxlab.io.sources import SEPARATOR, is_hidden, walk_images, warn_of_hidden, zip_images
from fauxlab.io.text import printable

DEEPFAKEFACE_FAKES = ("inpainting", "insight", "text2img")
METADATA = "metadata.csv"


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
    if _part(folder, "wiki") and any(_part(folder, name) for name in DEEPFAKEFACE_FAKES):
        return _deepfakeface(folder)
    if _part(folder, "real"):
        return _real_fake(folder)
    names = sorted(printable(path.name) for path in folder.iterdir())
    inside = ", ".join(names[:8]) or "nothing"
    raise LabError(
        f"{printable(folder)} has no known layout (it holds {inside}); "
        "expected real/ and fake/<generator>/ (a GAN needs real/ alone), "
        "DeepFakeFace's wiki/ inpainting/ insight/ text2img/, "
        "or a metadata.csv with file_name and label"
    )


def list_collections(folder: str | Path) -> tuple[list[str], list[str]]:
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
    real = _part(folder, "real")
    if real:
        yield from _reals(real)
    fake = _part(folder, "fake")
    if fake and fake.is_dir():
        yield from _fakes(fake)
    elif fake:
        yield from _packed_fakes(fake)


def _reals(part: Path) -> Iterator[Entry]:
    for path, name in _list(part, zips_are_collections=True):
        collection, rest = _split_top(name, otherwise="real")
        yield Entry(path, 0, source=_collection(collection), groups=(_stem(rest),))


def _fakes(part: Path) -> Iterator[Entry]:
    hidden = []
    for child in sorted(part.iterdir()):
        is_collection = child.is_dir() or _is_zip(child)
        if is_hidden(child.name):
            if child.is_dir():
                hidden.append(str(child))
        elif is_collection:
            generator = printable(child.stem if child.suffix.lower() == ".zip" else child.name)
            for path, name in _list(child):
                yield Entry(path, 1, generator, groups=(_stem(name),))
        elif child.suffix.lower() in SUFFIXES:
            yield Entry(str(child), 1, "fake", groups=(_stem(child.name),))
    if hidden:
        warn_of_hidden(part, hidden)


def _packed_fakes(archive: Path) -> Iterator[Entry]:
    for path, name in _list(archive):
        generator, rest = _split_top(name, otherwise="fake")
        yield Entry(path, 1, printable(generator), groups=(_stem(rest),))


def _deepfakeface(folder: Path) -> Iterator[Entry]:
    """The layout of DeepFakeFace.

    Images of one name in all folders are one group. So are those of one person, whose file is
    `<person id>_<birth date>_<year>.jpg`. insight/a.jpg is the scene of photo b with the face of a.
    b is read from `insight_pairs.csv` (file_name, scene) where there is one; otherwise the search
    for near-duplicates finds it.
    """
    scenes: dict[str, str] = {}
    pairs = folder / "insight_pairs.csv"
    if pairs.is_file():
        for row in read_table(pairs, ("file_name", "scene")):
            scenes[_plain(row["file_name"])] = _plain(row["scene"])
    for kind in ("wiki", *DEEPFAKEFACE_FAKES):
        part = _part(folder, kind)
        if part is None:
            continue
        for path, name in _list(part):
            groups = _deepfakeface_groups(name)
            if kind == "insight" and name in scenes:
                groups += _deepfakeface_groups(scenes[name])
            if kind == "wiki":
                yield Entry(path, 0, source="wiki", groups=groups)
            else:
                yield Entry(path, 1, kind, compare_to="wiki", groups=groups)


def _deepfakeface_groups(name: str) -> tuple[str, ...]:
    file = name.rpartition("/")[2]
    person, underscore, _ = file.partition("_")
    return (_stem(name), f"person {person}") if underscore else (_stem(name),)


def _metadata(folder: Path) -> Iterator[Entry]:
    """The layout of a table: columns file_name, label (real or fake, 0 or 1; 1 = fake).

    It may also have generator, source, compare_to (`a;b`) and group (`a;b`). Further columns are
    kept, apart from those that indexing itself fills: path, split, sha256.
    """
    table = folder / METADATA
    members: dict[Path, dict[str, str]] = {}
    for line, row in enumerate(read_table(table, ("file_name", "label")), start=2):
        label = parse_label(row["label"])
        if label is None:
            raise LabError(
                f"{printable(table)}, line {line}: "
                f"label {row['label']!r:.80}; write real or fake (0 or 1)"
            )
        name = _plain(row["file_name"])
        top, _ = _split_top(name, otherwise="fake" if label else "real")
        source, compare_to = read_sources(row, label)
        groups = tuple(group for group in row.get("group", "").split(";") if group)
        yield Entry(
            _locate(folder, name, members),
            label,
            generator=printable(row.get("generator") or top) if label else "",
            source=source if label else _collection(source or top),
            compare_to=compare_to,
            groups=groups or (name,),
            extra=further_columns(row, ("file_name", *COLUMNS)),
        )


def _locate(folder: Path, name: str, members: dict[Path, dict[str, str]]) -> str:
    """The image beside metadata.csv, or in the zip named like its first folder.

    A missing one is noticed on reading. `members` holds, for each zip, its members by the names
    that a table may give them.
    """
    top, _, rest = name.partition("/")
    archive = folder / f"{top}.zip"
    if not rest or (folder / top).is_dir() or not archive.is_file():
        return str(folder / name)
    if archive not in members:
        names = zip_images(archive)
        by_plain_name = {_plain(member): member for member in names}
        by_own_name = {member: member for member in names}
        members[archive] = by_plain_name | by_own_name
    inside = members[archive]
    member = inside.get(rest) or inside.get(name, name)
    return f"{archive}{SEPARATOR}{member}"


def _part(folder: Path, name: str) -> Path | None:
    """The folder `name` or the archive `name.zip`, whichever is there."""
    for path in (folder / name, folder / f"{name}.zip"):
        if path.exists():
            return path
    return None


def _list(part: Path, zips_are_collections: bool = False) -> Iterator[tuple[str, str]]:
    """Path, and name below the part, of each image in a folder or zip.

    The images of a zip in a folder are named as if they lay beside it. With `zips_are_collections`,
    a zip directly in the folder stands for a folder of its name instead.
    """
    if not part.is_dir():
        yield from _list_zip(part, (part.stem,))
        return
    collections = []
    for path in walk_images(part, (".zip",)):
        if not _is_zip(path):
            yield str(path), path.relative_to(part).as_posix()
        elif zips_are_collections and path.parent == part:
            collections.append(path)
        else:
            place = path.parent.relative_to(part)
            for member, name in _list_zip(path, (path.stem, path.parent.name)):
                yield member, (place / name).as_posix()
    for path in collections:
        for member, name in _list_zip(path, (path.stem,)):
            yield member, f"{path.stem}/{name}"


def _list_zip(archive: Path, own_folders: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    """Path and name of each image in a zip; folders at its top that only repeat its own go."""
    for member in zip_images(archive):
        name = _plain(member)
        for folder in own_folders:
            name = name.removeprefix(f"{folder}/")
        yield f"{archive}{SEPARATOR}{member}", name


def _is_zip(path: Path) -> bool:
    return path.suffix.lower() == ".zip" and not path.is_dir()


def _split_top(name: str, otherwise: str) -> tuple[str, str]:
    """The first folder of a name, and the rest; `otherwise` where the name has no folder."""
    top, slash, rest = name.partition("/")
    return (top, rest) if slash else (otherwise, name)


def _collection(name: str) -> str:
    """The name of a collection of reals, without the `;` that separates names in `compare_to`."""
    return printable(name).replace(";", "_")


def _plain(name: str) -> str:
    """A name in a zip or table without the "./" and "//" that some packers write."""
    return PurePosixPath(name).as_posix()


def _stem(name: str) -> str:
    return name.rpartition(".")[0] or name
