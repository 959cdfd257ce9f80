"""The parts of a layout: folders, or zips that stand for folders, and the images in them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

from fauxlab.io.sources import SEPARATOR, walk_images, zip_images

Listing = Iterator[tuple[str, str]]  # path, and name below the part


def find_part(folder: Path, name: str) -> Path | None:
    """The folder `name` or the archive `name.zip`, whichever is there."""
    plain = folder / name
    archive = folder / f"{name}.zip"
    for path in (plain, archive):
        if path.exists():
            return path
    return None


def list_part(part: Path, zips_are_collections: bool = False) -> Listing:
    """Path, and name below the part, of each image in a folder or zip.

    The images of a zip in a folder are named as if they lay beside it. With `zips_are_collections`,
    a zip directly in the folder stands for a folder of its name instead.
    """
    if not part.is_dir():
        yield from _list_zip(part, [part.stem])
        return
    collections = []
    for path in walk_images(part, (".zip",)):
        if not is_zip(path):
            yield str(path), path.relative_to(part).as_posix()
        elif zips_are_collections and path.parent == part:
            collections.append(path)
        else:
            folder = path.parent
            place = folder.relative_to(part)
            own_folders = (path.stem, folder.name)
            for member, name in _list_zip(path, own_folders):
                place_of_image = place / name
                yield member, place_of_image.as_posix()
    for path in collections:
        for member, name in _list_zip(path, [path.stem]):
            yield member, f"{path.stem}/{name}"


def _list_zip(archive: Path, own_folders: Sequence[str]) -> Listing:
    """Path and name of each image in a zip, without top folders that only repeat `own_folders`."""
    for member in zip_images(archive):
        name = plain_name(member)
        for folder in own_folders:
            name = name.removeprefix(f"{folder}/")
        yield f"{archive}{SEPARATOR}{member}", name


def is_zip(path: Path) -> bool:
    """Whether a path is of a zip by its name, in either case, and not of a folder."""
    return path.suffix.lower() == ".zip" and not path.is_dir()


def plain_name(name: str) -> str:
    """A name in a zip or table without the "./" and "//" that some packers write."""
    return PurePosixPath(name).as_posix()
