"""Public data sets behind their licences: fetched from the hub, and ready for `fauxlab data index`.

LICENCE-ACCEPTED.json beside the data says what was accepted, and what became of each file. With it,
the same command continues where it was stopped.
"""

from __future__ import annotations

import importlib
import json
import os
import shutil
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from fauxlab.data.layouts import DEEPFAKEFACE_FAKES
from fauxlab.datasets.hub import HubFile, count_present, data_page, list_files, obtain
from fauxlab.datasets.shards import TABLE, pack_shard, write_table
from fauxlab.errors import LabError
from fauxlab.io.reading import parse_json, read_text
from fauxlab.io.text import printable, replace_file

RECEIPT = "LICENCE-ACCEPTED.json"
SHARDS = "shards"
# Size of a zip of small pictures over the size of its shard: each picture has a name and an entry.
ZIP_GROWTH = 1.1
Bar = Callable[[str], AbstractContextManager[Callable[[int], None]]]


@dataclass(frozen=True, slots=True)
class HubSet:
    """A data set on the hub: its parts, the pattern of their files, and its terms in plain words.

    Where `packed`, the files are parquet shards, to be turned into zips.
    """

    repo: str
    parts: tuple[str, ...]
    pattern: str
    packed: bool
    terms: str


DEEPFAKEFACE_TERMS = """\
DeepFakeFace: 30,000 photos of known people, from IMDB-WIKI, and three sets of as many fakes \
made from them.
Its licence contradicts itself: the tag on the hub says openrail, a licence with limits on use; \
the text of its card
says Apache-2.0, which has none. Until its authors settle that, keep to the stricter one.
Neither gives away the rights of the people in the photos. Do not pass the images on."""

CELEBA_TERMS = """\
CelebA: 202,599 photos of celebrities, each with the person's number.
Its agreement allows non-commercial research only, and forbids passing the images on. \
Take what you train on them to be
for research only as well."""

SETS = {
    "deepfakeface": HubSet(
        repo="OpenRL/DeepFakeFace",
        parts=("wiki", *DEEPFAKEFACE_FAKES),
        pattern=r"(wiki|inpainting|insight|text2img)\.zip",
        packed=False,
        terms=DEEPFAKEFACE_TERMS,
    ),
    "celeba": HubSet(
        repo="flwrlabs/celeba",
        parts=("train", "valid", "test"),
        pattern=r"img_align\+identity\+attr/(train|valid|test)-\d+-of-\d+\.parquet",
        packed=True,
        terms=CELEBA_TERMS,
    ),
}


@dataclass(frozen=True, slots=True)
class Fetched:
    """A file of the hub that was checked, and what it became in the folder: itself, or a zip."""

    revision: str
    sha256: str
    bytes: int
    place: str
    place_bytes: int


def describe_terms(name: str) -> str:
    """A data set's licence in plain words, and where to read it.

    Raises LabError on an unknown name.
    """
    dataset = _find_set(name)
    return f"{dataset.terms}\nRead the terms themselves: {data_page(dataset.repo)}"


def fetch(
    name: str,
    folder: Path,
    *,
    accept_license: bool,
    only: Sequence[str] = (),
    delete_shards: bool = False,
    tell: Callable[[str], None] = lambda line: None,
    bar: Bar = lambda title: nullcontext(lambda n: None),
) -> None:
    """Fetch a data set into a folder that `fauxlab data index` reads; present files are left alone.

    `only` names parts (see SETS), `delete_shards` drops each parquet shard once its zip is written.
    `tell` takes lines on what happens, `bar` opens a bar over images. Raises LabError where the
    licence is not accepted, a package or room on the disk is missing, the hub does not give the
    files, or they are not the files that it states.
    """
    dataset = _find_set(name)
    _check_request(name, dataset, only, accept_license)
    folder = folder.absolute()
    receipt = Receipt(folder, dataset)
    parts = list(dict.fromkeys(only)) or dataset.parts
    files = list_files(dataset.repo, dataset.pattern, parts)
    waiting = [file for file in files if not receipt.holds(file)]
    tell(_describe_files(dataset, files, waiting))
    check_room(folder, dataset, waiting, delete_shards)
    receipt.accept(files[0].revision)
    for file in waiting:
        target = _target(folder, dataset, file)
        tell(f"fetching {file.name}, {_gigabytes(file.size)}")
        obtain(file, target, ours=file.name in receipt.files)
        if not dataset.packed:
            receipt.add(file, target)
            continue
        archive = _pack(file, target, folder, bar)
        receipt.add(file, archive)
        write_table(folder, receipt.places, name)
        if delete_shards:
            target.unlink()
    # The last run may have been killed before it wrote the table.
    if dataset.packed and not waiting:
        write_table(folder, receipt.places, name)


def _pack(file: HubFile, shard: Path, folder: Path, bar: Bar) -> Path:
    """Turn a shard into a zip in `folder`; returns the zip's path."""
    number, _, _ = file.base.partition("-of-")
    archive = folder / f"{number}.zip"
    with bar(f"packing {archive.name}") as advance:
        pack_shard(shard, archive, advance)
    return archive


class Receipt:
    """LICENCE-ACCEPTED.json: which terms were accepted when, and what became of each file."""

    def __init__(self, folder: Path, dataset: HubSet) -> None:
        """Raises LabError where the folder belongs to other data: fetching would write over it."""
        self.path = folder / RECEIPT
        self.dataset = dataset
        self.accepted: dict[str, str] = {}
        self.files: dict[str, Fetched] = {}
        repo = dataset.repo
        try:
            if os.path.lexists(self.path):
                content = parse_json(read_text(self.path))
                repo = content["dataset"]
                for name, entry in content["files"].items():
                    self.files[name] = Fetched(**entry)
        except (LabError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise LabError(
                f"{printable(self.path)} cannot be read ({error}); "
                "delete it or choose another --out"
            ) from error
        unknown_table = dataset.packed and not self.files and (folder / TABLE).exists()
        if repo != dataset.repo or unknown_table:
            raise LabError(
                f"{printable(folder)} holds other data; choose another folder with --out"
            )

    @property
    def places(self) -> list[str]:
        """Names of what the files became, in order, where it is still present."""
        folder = self.path.parent
        present = []
        for fetched in self.files.values():
            if (folder / fetched.place).is_file():
                present.append(fetched.place)
        return sorted(present)

    def holds(self, file: HubFile) -> bool:
        """Whether this version was fetched, and what became of it is present in its full length."""
        fetched = self.files.get(file.name)
        if not fetched or fetched.sha256 != file.sha256:
            return False
        place = self.path.parent / fetched.place
        if not place.is_file():
            return False
        return place.stat().st_size == fetched.place_bytes

    def accept(self, revision: str) -> None:
        """Record that the terms were accepted now, and make git ignore the folder."""
        self.accepted = {
            "dataset": self.dataset.repo,
            "revision": revision,
            "accepted": datetime.now(UTC).isoformat(timespec="seconds"),
            "terms": self.dataset.terms,
            "page": data_page(self.dataset.repo),
        }
        self._save()
        ignore = self.path.with_name(".gitignore")
        if not ignore.exists():
            replace_file(ignore, "*\n")

    def add(self, file: HubFile, place: Path) -> None:
        """Record a file that was checked, and what it became; its predecessor is forgotten."""
        others = {}
        for name, fetched in self.files.items():
            if fetched.place != place.name:
                others[name] = fetched
        size = place.stat().st_size
        fetched = Fetched(file.revision, file.sha256, file.size, place.name, size)
        self.files = {**others, file.name: fetched}
        self._save()

    def _save(self) -> None:
        files = {}
        for name, fetched in sorted(self.files.items()):
            files[name] = asdict(fetched)
        content = {**self.accepted, "files": files}
        replace_file(self.path, json.dumps(content, indent=2) + "\n")


def check_room(
    folder: Path, dataset: HubSet, waiting: Sequence[HubFile], delete_shards: bool
) -> None:
    """Raises LabError where the disk has too little room for what is to be fetched and packed."""
    need = _bytes_needed(folder, dataset, waiting, delete_shards)
    present_parent = next(place for place in (folder, *folder.parents) if place.is_dir())
    disk = shutil.disk_usage(present_parent)
    free = disk.free
    if need > free:
        advice = ""
        if dataset.packed and not delete_shards:
            advice = "; --delete-shards takes less"
        raise LabError(
            f"{printable(folder)}: {_gigabytes(need)} are needed, {_gigabytes(free)} are free; "
            f"make room, choose another folder with --out or a part with --only{advice}"
        )


def _bytes_needed(
    folder: Path, dataset: HubSet, waiting: Sequence[HubFile], delete_shards: bool
) -> int:
    """Bytes that the waiting files, and the zips made of them, will still take."""
    present = 0
    for file in waiting:
        target = _target(folder, dataset, file)
        present += count_present(file, target)
    total = _total(waiting)
    if not dataset.packed:
        return max(total - present, 0)
    shards = total
    if delete_shards:
        # No two shards are on the disk at the same time.
        shards = max((file.size for file in waiting), default=0)
    zips = round(ZIP_GROWTH * total)
    return max(shards - present, 0) + zips


def _check_request(name: str, dataset: HubSet, only: Sequence[str], accept_license: bool) -> None:
    """Raises LabError where the request itself cannot be met, before the hub is asked."""
    for part in only:
        if part not in dataset.parts:
            raise LabError(f"{name} has no part {part!r}; it has {', '.join(dataset.parts)}")
    if not accept_license:
        raise LabError(
            f"{name} is fetched once you accept its terms: read them, then pass --accept-license"
        )
    packages = ["huggingface_hub"]
    if dataset.packed:
        packages.append("pyarrow")
    for package in packages:
        try:
            importlib.import_module(package)
        except ModuleNotFoundError:
            raise LabError(
                f"fetching {name} needs the package {package}; pip install 'fauxlab[hub]'"
            ) from None
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:
        raise LabError(
            "nothing can be fetched offline: unset HF_HUB_OFFLINE "
            "(or TRANSFORMERS_OFFLINE) and run again"
        )


def _find_set(name: str) -> HubSet:
    if name not in SETS:
        raise LabError(f"no data set {name!r} to fetch; there are {', '.join(SETS)}")
    return SETS[name]


def _describe_files(dataset: HubSet, files: Sequence[HubFile], waiting: Sequence[HubFile]) -> str:
    """One line: revision, number and size of the files, and how many are present."""
    present = len(files) - len(waiting)
    already = f", {present} of them there" if present else ""
    total = _gigabytes(_total(files))
    return f"{dataset.repo} at {files[0].revision[:7]}: {len(files)} files, {total}{already}"


def _target(folder: Path, dataset: HubSet, file: HubFile) -> Path:
    """Where a file of the hub is fetched to."""
    if dataset.packed:
        return folder / SHARDS / file.base
    return folder / file.base


def _total(files: Iterable[HubFile]) -> int:
    return sum(file.size for file in files)


def _gigabytes(size: int) -> str:
    return f"{size / 1e9:,.2f} GB"
