"""Parquet shards of the hub as zips that the lab reads: a zip for each shard, a folder a person.

The pictures' bytes are copied unchanged. A picture's name says whom it shows, so the table beside
the zips can be written from the zips alone.
"""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from fauxlab.errors import LabError
from fauxlab.io.files import file_aside
from fauxlab.io.sources import zip_images
from fauxlab.io.text import csv_line, printable, replace_file

TABLE = "metadata.csv"
COLUMNS = ("file_name", "label", "generator", "group", "source")
BATCH = 128  # pictures in memory at once
_SUFFIXES = {b"\xff\xd8\xff": ".jpg", b"\x89PNG\r\n\x1a\n": ".png"}


def pack_shard(shard: Path, archive: Path, progress: Callable[[int], None] | None = None) -> int:
    """Write a shard's pictures into an uncompressed zip; returns how many there are.

    The members are named `<celeb_id>/<row><suffix>`. The shard's columns `image` (with the field
    bytes) and `celeb_id` are read, `BATCH` rows at a time. The same shard gives the same zip, whole
    or not at all. Raises LabError where the shard cannot be read or the zip not be written.
    """
    import pyarrow

    # Left by a killed run of version 0.2.
    archive.with_name(f".{archive.name}.tmp").unlink(missing_ok=True)
    number = 0
    try:
        with file_aside(archive) as stream, zipfile.ZipFile(stream, "w") as target:
            for number, (person, data) in enumerate(_pictures(shard), start=1):
                name = f"{person:05}/{number:05}{_suffix(data)}"
                target.writestr(zipfile.ZipInfo(name), data)
                if progress:
                    progress(1)
    except (OSError, pyarrow.ArrowException) as error:
        reason = getattr(error, "strerror", None) or str(error).partition("\n")[0]
        raise LabError(
            f"cannot turn {printable(shard)} into {printable(archive.name)}: {reason}; "
            "look for room and damage there, then run the same command again"
        ) from error
    return number


def write_table(folder: Path, archives: Iterable[str], source: str) -> None:
    """Write the metadata.csv of a folder's zips: all real, of one source, each person a group."""
    lines = [csv_line(COLUMNS)]
    for archive in archives:
        for member in zip_images(folder / archive):
            person, _, _ = member.partition("/")
            name = f"{archive.removesuffix('.zip')}/{member}"
            group = f"{source} {person}"
            generator = ""
            line = csv_line((name, "real", generator, group, source))
            lines.append(line)
    replace_file(folder / TABLE, "".join(lines))


def _pictures(shard: Path) -> Iterator[tuple[int, bytes]]:
    """Person and bytes of each picture, row by row.

    Nothing is read ahead: that would hold the whole shard in memory.
    """
    import pyarrow.parquet

    with pyarrow.parquet.ParquetFile(shard, pre_buffer=False) as table:
        columns = {column.path for column in table.schema}
        missing = {"image.bytes", "celeb_id"} - columns
        if missing:
            names = " and ".join(sorted(missing))
            raise LabError(
                f"{printable(shard)} lacks the column {names}; "
                "the data set has changed on the hub, please report it"
            )
        for batch in table.iter_batches(BATCH, columns=["image", "celeb_id"]):
            persons = batch.column("celeb_id").to_pylist()
            pictures = batch.column("image").to_pylist()
            for person, picture in zip(persons, pictures, strict=True):
                if person is None:
                    raise LabError(
                        f"{printable(shard)} has a picture of nobody: "
                        "without celeb_id people cannot be kept apart"
                    )
                # A picture without bytes is one bad file among many: indexing lists it.
                data = (picture or {}).get("bytes") or b""
                yield person, data


def _suffix(data: bytes) -> str:
    """The file suffix of a picture's bytes, .jpg where they are unknown."""
    for start, suffix in _SUFFIXES.items():
        if data.startswith(start):
            return suffix
    return ".jpg"
