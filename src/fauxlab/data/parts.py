"""The parts of a layout: folders, or zips that stand for folders, and the images in them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from fauxlab.errors import LabError
from fauxlab.io.sources import SEPARATOR, PassedOver, walk_images, zip_images


class Listed(NamedTuple):
    """An image's path, and its name below the part; or a zip, and why it cannot be read."""

    path: str
    name: str
    problem: str = ""


def find_part(folder: Path, name: str) -> Path | None:
    """The folder `name` or the archive `name.zip`, whichever is there."""
    plain = folder / name
    archive = folder / f"{name}.zip"
    for path in (plain, archive):
        if path.exists():
            return path
    return None


def list_part(part: Path, zips_are_collections: bool = False) -> Iterator[Listed]:
    """Each image in a folder or zip.

    The images of a zip in a folder are named as if they lay beside it. With `zips_are_collections`,
    a zip directly in the folder stands for a folder of its name instead. A damaged zip is given
    itself. What is passed over is logged at the end.
    """
    passed_over = PassedOver()
    if part.is_dir():
        yield from _list_folder(part, zips_are_collections, passed_over)
    else:
        yield from _list_zip(part, [part.stem], "", passed_over)
    passed_over.warn()


def _list_folder(
    part: Path, zips_are_collections: bool, passed_over: PassedOver
) -> Iterator[Listed]:
    collections = []
    for path in walk_images(part, (".zip",), passed_over):
        if not is_zip(path):
            yield Listed(str(path), path.relative_to(part).as_posix())
        elif zips_are_collections and path.parent == part:
            collections.append(path)
        else:
            folder = path.parent
            place = folder.relative_to(part)
            own_folders = (path.stem, folder.name)
            yield from _list_zip(path, own_folders, place.as_posix(), passed_over)
    for path in collections:
        yield from _list_zip(path, [path.stem], path.stem, passed_over)


def _list_zip(
    archive: Path, own_folders: Sequence[str], place: str, passed_over: PassedOver
) -> Iterator[Listed]:
    """Each image in a zip, without top folders that only repeat `own_folders`."""
    try:
        members = zip_images(archive, passed_over)
    except LabError as error:
        yield Listed(str(archive), archive.name, str(error))
        return
    for member in members:
        name = plain_name(member)
        for folder in own_folders:
            name = name.removeprefix(f"{folder}/")
        full_name = PurePosixPath(place) / name
        yield Listed(f"{archive}{SEPARATOR}{member}", full_name.as_posix())


def is_zip(path: Path) -> bool:
    """Whether a path is of a zip by its name, in either case, and not of a folder."""
    return path.suffix.lower() == ".zip" and not path.is_dir()


def plain_name(name: str) -> str:
    r"""A name in a zip or table without "./" and "//", and with / where Windows writes \."""
    return PurePosixPath(name.replace("\\", "/")).as_posix()
