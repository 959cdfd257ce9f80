"""Parquet shards of the hub as zips that the lab reads: one zip a shard, in it one folder a person.

The pictures' bytes are copied as they are. Who a picture shows stands in its name, so that the
table beside the zips can be written from the zips alone.
"""

from __future__ import annotations

import os
import zipfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from fauxlab.errors import LabError
from fauxlab.io.sources import zip_images
from fauxlab.io.text import csv_line, printable, replace_file

TABLE = "metadata.csv"
COLUMNS = ("file_name", "label", "generator", "group", "source")
# Pictures in memory at once.
BATCH = 128
_SUFFIXES = {b"\xff\xd8\xff": ".jpg", b"\x89PNG\r\n\x1a\n": ".png"}


def pack_shard(shard: Path, archive: Path, progress: Callable[[int], None] | None = None) -> int:
    """Write a shard's pictures into a stored zip, whole or not at all, as
    `<celeb_id>/<row><suffix>`; their number.

    The shard's columns `image` (with the field bytes) and `celeb_id` are read, `BATCH` rows at a
    time. The same shard gives the same zip. Raises LabError where the shard cannot be read or the
    zip not be written.
    """
    import pyarrow

    # one name, so that a killed run leaves no more than one
    aside = archive.with_name(f".{archive.name}.tmp")
    number = 0
    try:
        with zipfile.ZipFile(aside, "w", zipfile.ZIP_STORED) as target:
            for number, (person, data) in enumerate(_pictures(shard), start=1):
                target.writestr(zipfile.ZipInfo(f"{person:05}/{number:05}{_suffix(data)}"), data)
                if progress:
                    progress(1)
        os.replace(aside, archive)
    except (OSError, pyarrow.ArrowException) as error:
        reason = getattr(error, "strerror", None) or str(error).partition("\n")[0]
        raise LabError(
            f"cannot turn {printable(shard)} into {printable(archive.name)}: {reason}; look for room and damage there, then run "
            "the same command again"
        ) from error
    finally:
        aside.unlink(missing_ok=True)
    return number


def write_table(folder: Path, archives: Iterable[str], source: str) -> None:
    """Write the metadata.csv of a folder's zips: all real, of one source, a person a group."""
    lines = [csv_line(COLUMNS)]
    for archive in archives:
        for member in zip_images(folder / archive):
            person = member.partition("/")[0]
            lines.append(
                csv_line(
                    (
                        f"{archive.removesuffix('.zip')}/{member}",
                        "real",
                        "",
                        f"{source} {person}",
                        source,
                    )
                )
            )
    replace_file(folder / TABLE, "".join(lines))


def _pictures(shard: Path) -> Iterator[tuple[int, bytes]]:
    """(person, bytes) row by row. Nothing is read ahead: that would hold the whole shard in memory."""
    import pyarrow.parquet

    with pyarrow.parquet.ParquetFile(shard, pre_buffer=False) as table:
        columns = {column.path for column in table.schema}
        if missing := {"image.bytes", "celeb_id"} - columns:
            raise LabError(
                f"{printable(shard)} lacks the column {' and '.join(sorted(missing))}; the data set has changed on the hub, "
                "please report it"
            )
        for batch in table.iter_batches(BATCH, columns=["image", "celeb_id"]):
            pairs = zip(
                batch.column("celeb_id").to_pylist(), batch.column("image").to_pylist(), strict=True
            )
            for person, picture in pairs:
                if person is None:
                    raise LabError(
                        f"{printable(shard)} has a picture of nobody: without celeb_id people cannot be kept apart"
                    )
                # A picture without bytes is one bad file among many: indexing lists it.
                yield person, (picture or {}).get("bytes") or b""


def _suffix(data: bytes) -> str:
    return next((suffix for start, suffix in _SUFFIXES.items() if data.startswith(start)), ".jpg")
