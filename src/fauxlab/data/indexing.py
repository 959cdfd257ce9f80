"""A folder of images to its manifest: each file is read once, and what belongs together is tied."""

from __future__ import annotations

import hashlib
import logging
import os
import re
from collections.abc import Callable, Generator, Hashable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from fauxlab.data.entries import Entry
from fauxlab.data.grouping import GroupBy, check_rule, group_entries
from fauxlab.data.layouts import find_images, find_sides, list_collections
from fauxlab.data.manifest import Manifest
from fauxlab.data.naming import SourcesOf, check_altered, check_pairs
from fauxlab.data.rows import Row
from fauxlab.data.split import Pair, connected_components, near_duplicates
from fauxlab.errors import LabError
from fauxlab.io.images import decode, fingerprint
from fauxlab.io.limits import ImageError
from fauxlab.io.sources import SEPARATOR, FileReader
from fauxlab.io.squares import Square
from fauxlab.io.text import describe_error, printable
from fauxlab.processors import usable_processors

if TYPE_CHECKING:
    from numpy.typing import NDArray

Progress = Callable[[int], None]
Tell = Callable[[str], None]
Folders = Sequence[str | Path]
Skipped = list[tuple[str, str]]
Crop = Literal["none", "face"]
Crops = Mapping[str, Square]  # by the SHA-256 of the picture

WINDOW = 256  # files that are in memory at once
_ARCHIVE = re.compile(rf"\.zip(?={re.escape(SEPARATOR)})", re.IGNORECASE)

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Image:
    """An image that was read; `bits` is its fingerprint, None for too little contrast.

    `crop` is that of its largest face where faces are looked for.
    """

    entry: Entry
    sha256: str
    bits: NDArray[np.bool_] | None
    crop: Square | None


def index(
    folder: str | Path | None = None,
    progress: Progress | None = None,
    workers: int | None = None,
    *,
    reals: Folders = (),
    fakes: Folders = (),
    group_by: GroupBy = "auto",
    tell: Tell | None = None,
    pairs: SourcesOf | None = None,
    altered: Sequence[str] = (),
    crop: Crop = "none",
    earlier: Manifest | None = None,
) -> Manifest:
    """Read every image below `folder` into a manifest without splits.

    The layouts are those of `fauxlab.data.layouts`. In place of `folder`, `reals` and `fakes` may
    name folders of either label. Each file is hashed and decoded once. Images that cannot be
    decoded are left out and listed in `skipped`. Images that share a group, equal bytes or nearly
    equal looks get one group; `group_by` says how names tie images (`fauxlab.data.grouping`).
    `progress` is called with the number of images just read, `tell` with lines on what was grouped.
    `pairs` names the sources of reals that the fakes of a generator are compared with, `altered`
    the generators that alter a part of real photos. With `crop="face"` the largest face of each
    picture stands for it, framed as a scan frames it; a picture without one is left out. Crops of
    an `earlier` manifest are kept. Memory: about 2 kB an image, and a decoded picture a thread.
    Raises LabError when the layout is unknown or no image is left.

    >>> manifest = index("faces/").split(seed=0)  # doctest: +SKIP
    >>> manifest.save("manifest.csv")  # doctest: +SKIP
    """
    rule = check_rule(group_by)
    known = _known_crops(crop, earlier)
    listed = list(list_entries(folder, reals, fakes, rule))
    generators, sources = list_collections(listed)
    check_pairs(pairs or {}, generators, sources)
    check_altered(altered, generators)
    root = Path(folder).absolute() if folder else _common_folder((*reals, *fakes))
    entries, grouping = group_entries(listed, rule)
    skipped: Skipped = []
    with closing(_read_all(entries, known, workers or usable_processors())) as results:
        images = _take_usable(results, root, skipped, progress)
    images = _without_contradictions(images, root, skipped)
    if not images:
        raise LabError(_describe_nothing(root, skipped))
    groups = _name_groups(images, root)
    rows = [_to_row(image, group, root) for image, group in zip(images, groups, strict=True)]
    if tell:
        for line in grouping.describe(groups):
            tell(line)
    manifest = Manifest(tuple(rows), root, tuple(skipped))
    return manifest.mark_altered(altered).pair(pairs or {})


def list_entries(
    folder: str | Path | None, reals: Folders, fakes: Folders, group_by: GroupBy
) -> Iterator[Entry]:
    """The images that are named by a folder of any layout, or by folders of either label.

    Raises LabError where both or nothing is named, and as `find_images` and `find_sides` do.
    """
    if folder is None:
        return find_sides(reals, fakes, group_by)
    if reals or fakes:
        raise LabError(
            f"{printable(folder)} is named, and folders of real or fake images as well; "
            "give one folder with a known layout, or --real DIR and --fake DIR"
        )
    return find_images(folder, group_by)


def _common_folder(folders: Folders) -> Path:
    """The folder that holds all of these."""
    parents = []
    for folder in folders:
        path = Path(os.path.abspath(folder))
        parents.append(path if path.is_dir() else path.parent)
    return Path(os.path.commonpath(parents))


def _known_crops(crop: str, earlier: Manifest | None) -> Crops | None:
    """The crops that need not be sought again; None where pictures stay whole.

    Raises LabError on another `crop`.
    """
    if crop == "none":
        return None
    if crop != "face":
        raise LabError(f"crop {crop!r}: one of none, face")
    rows = earlier.rows if earlier else ()
    return {row.sha256: row.crop for row in rows if row.crop}


def _read_all(
    entries: Iterable[Entry], known: Crops | None, threads: int
) -> Generator[tuple[Entry, _Image | ImageError], None, None]:
    """Read images in parallel, in order, with at most WINDOW of them begun."""

    def read(entry: Entry) -> _Image | ImageError:
        try:
            return _read(entry, reader, known)
        except ImageError as error:
            # A new one: the first holds the functions that raised it, and with them the file.
            return ImageError(str(error))

    with FileReader() as reader, ThreadPoolExecutor(threads) as pool:
        stream = iter(entries)
        batch = list(islice(stream, WINDOW))
        try:
            while batch:
                results = pool.map(read, batch)
                yield from zip(batch, results, strict=True)
                batch = list(islice(stream, WINDOW))
        finally:
            # Who leaves early waits for the pictures in work, and for no others.
            pool.shutdown(cancel_futures=True)


def _read(entry: Entry, reader: FileReader, known: Crops | None) -> _Image:
    """Read and decode one image. Raises ImageError where it cannot be used."""
    if entry.problem:
        raise ImageError(entry.problem)
    data = reader.read(entry.path)
    thumbnail = decode(data, at_least=64)
    sha256 = hashlib.sha256(data).hexdigest()
    crop = None
    if known is not None:
        crop = known.get(sha256) or _find_crop(data, entry.path)
    return _Image(entry, sha256, fingerprint(thumbnail), crop)


def _find_crop(data: bytes, path: str) -> Square:
    """The crop of a picture's largest face. Raises ImageError where there is none."""
    from fauxlab.scan.finding.faces import frame_largest_face

    picture = decode(data)
    try:
        return frame_largest_face(picture)
    except LabError:  # no face, or a part of the installation is missing
        raise
    except Exception as error:
        # One picture that breaks the face search must not end an index of thousands.
        _logger.debug("cannot look for faces in %s", path, exc_info=True)
        raise ImageError(f"faces cannot be looked for: {describe_error(error)}") from error


def _take_usable(
    results: Iterable[tuple[Entry, _Image | ImageError]],
    root: Path,
    skipped: Skipped,
    progress: Progress | None,
) -> list[_Image]:
    """The images that could be read; the others are added to `skipped`."""
    images = []
    for entry, result in results:
        if isinstance(result, ImageError):
            path = _below(root, entry.path)
            skipped.append((path, str(result)))
        else:
            images.append(result)
        if progress:
            progress(1)
    return images


def _without_contradictions(
    images: Sequence[_Image],
    root: Path,
    skipped: Skipped,
) -> list[_Image]:
    """The images whose bytes have one label; the others are added to `skipped`."""
    labels: dict[str, set[int]] = {}
    for image in images:
        labels_of_bytes = labels.setdefault(image.sha256, set())
        labels_of_bytes.add(image.entry.label)
    consistent = []
    for image in images:
        if len(labels[image.sha256]) == 1:
            consistent.append(image)
        else:
            path = _below(root, image.entry.path)
            skipped.append((path, "the same bytes are labelled real and fake"))
    return consistent


def _name_groups(images: Sequence[_Image], root: Path) -> list[str]:
    """The name of each image's group: the first group of its first image, or its path."""
    keys: list[list[Hashable]] = []
    for image in images:
        content = ("sha256", image.sha256)
        declared = [("group", group) for group in image.entry.groups]
        keys.append([content, *declared])
    names = []
    for first in connected_components(keys, _near_pairs(images)):
        entry = images[first].entry
        names.append(entry.groups[0] if entry.groups else _below(root, entry.path))
    return names


def _near_pairs(images: Sequence[_Image]) -> Iterator[Pair]:
    """Pairs of images that look nearly equal."""
    numbers = []
    fingerprints = []
    for number, image in enumerate(images):
        if image.bits is not None:
            numbers.append(number)
            fingerprints.append(image.bits)
    if fingerprints:
        for a, b in near_duplicates(np.array(fingerprints)):
            yield numbers[a], numbers[b]


def _to_row(image: _Image, group: str, root: Path) -> Row:
    entry = image.entry
    return Row(
        path=_below(root, entry.path),
        label=entry.label,
        generator=entry.generator,
        source=entry.source,
        compare_to=entry.compare_to,
        group=group,
        split="",
        sha256=image.sha256,
        extra=entry.extra,
        manipulation=entry.manipulation,
        crop=image.crop,
    )


def _below(root: Path, path: str) -> str:
    """A path from `root` on. The name of a zip's member stays as it is: no other name opens it."""
    path = path.removeprefix(os.path.join(root, ""))
    archive = _ARCHIVE.search(path)
    end = archive.end() if archive else len(path)
    file = os.path.join(root, path[:end])
    return os.path.relpath(file, root) + path[end:]


def _describe_nothing(root: Path, skipped: Skipped) -> str:
    first = ""
    if skipped:
        path, reason = skipped[0]
        first = f", the first: {printable(path)}: {reason}"
    return f"{printable(root)}: no usable image ({len(skipped)} skipped{first})"
