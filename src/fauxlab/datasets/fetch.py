"""Public data sets behind their licences: fetched from the hub and laid out for `fauxlab data
index`.

What was accepted and what came of it stands in LICENCE-ACCEPTED.json beside the data; by it, the
same command goes on where it was stopped.
"""

from __future__ import annotations

import importlib
import json
import shutil
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from fauxlab.data.layouts import DEEPFAKEFACE_FAKES
from fauxlab.datasets.hub import HubFile, count_present, data_page, list_files, obtain
from fauxlab.datasets.shards import TABLE, pack_shard, write_table
from fauxlab.errors import LabError
from fauxlab.io.text import printable, replace_file

RECEIPT = "LICENCE-ACCEPTED.json"
SHARDS = "shards"
# A zip of small pictures, with a name and an entry for each, against the shard that they came in.
GROWTH = 1.1
Bar = Callable[[str], AbstractContextManager[Callable[[int], None]]]


@dataclass(frozen=True, slots=True)
class HubSet:
    """A data set on the hub: the parts it comes in, the pattern of their files, and its terms in
    plain words.

    Where `packed`, the files are parquet shards, to be turned into zips.
    """

    repo: str
    parts: tuple[str, ...]
    pattern: str
    packed: bool
    terms: str


SETS = {
    "deepfakeface": HubSet(
        "OpenRL/DeepFakeFace",
        ("wiki", *DEEPFAKEFACE_FAKES),
        r"(wiki|inpainting|insight|text2img)\.zip",
        False,
        """\
DeepFakeFace: 30,000 photos of known people, from IMDB-WIKI, and three sets of as many fakes made from them.
Its licence contradicts itself: the tag on the hub says openrail, a licence with limits on use; the text of its card
says Apache-2.0, which has none. Until its authors settle that, keep to the stricter one.
Neither gives away the rights of the people in the photos. Do not pass the images on.""",
    ),
    "celeba": HubSet(
        "flwrlabs/celeba",
        ("train", "valid", "test"),
        r"img_align\+identity\+attr/(train|valid|test)-\d+-of-\d+\.parquet",
        True,
        """\
CelebA: 202,599 photos of celebrities, each with the person's number.
Its agreement allows non-commercial research only, and forbids passing the images on. Take what you train on them to be
for research only as well.""",
    ),
}


@dataclass(frozen=True, slots=True)
class Kept:
    """A file of the hub that was checked, and what it became: itself, or a zip; `place` lies in the
    folder.
    """

    revision: str
    sha256: str
    bytes: int
    place: str
    place_bytes: int


def describe_terms(name: str) -> str:
    """What a data set's licence says, in plain words, and where to read it. Raises LabError on an
    unknown name.
    """
    dataset = _known(name)
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
    """Fetch a data set into a folder that `fauxlab data index` reads; what is there already is
    kept.

    `only` names parts (see SETS), `delete_shards` drops each parquet shard once its zip is written.
    `tell` takes lines on what happens, `bar` opens a bar over images. Raises LabError where the
    licence is not accepted, a package or room on the disk is missing, the hub does not give the
    files, or they are not what it states.
    """
    dataset = _known(name)
    _check_request(name, dataset, only, accept_license)
    folder = folder.absolute()
    receipt = Receipt(folder, dataset)
    files = list_files(dataset.repo, dataset.pattern, list(dict.fromkeys(only)) or dataset.parts)
    waiting = [file for file in files if not receipt.holds(file)]
    there = f", {len(files) - len(waiting)} of them there" if len(waiting) < len(files) else ""
    tell(
        f"{dataset.repo} at {files[0].revision[:7]}: {len(files)} files, {_gigabytes(_total(files))}{there}"
    )
    check_room(folder, dataset, waiting, delete_shards)
    receipt.accept(files[0].revision)
    for file in waiting:
        place = _place(folder, dataset, file)
        tell(f"fetching {file.name}, {_gigabytes(file.size)}")
        obtain(file, place, ours=file.name in receipt.files)
        if dataset.packed:
            shard, place = place, folder / f"{file.base.partition('-of-')[0]}.zip"
            with bar(f"packing {place.name}") as advance:
                pack_shard(shard, place, advance)
        receipt.add(file, place)
        if dataset.packed:
            write_table(folder, receipt.places, name)
        if dataset.packed and delete_shards:
            shard.unlink()
    # the last run may have been killed before it wrote the table
    if dataset.packed and not waiting:
        write_table(folder, receipt.places, name)


class Receipt:
    """LICENCE-ACCEPTED.json: which terms were accepted when, and what came of each file."""

    def __init__(self, folder: Path, dataset: HubSet) -> None:
        """Raises LabError where the folder belongs to other data: fetching would write over it."""
        self.path = folder / RECEIPT
        self.dataset = dataset
        self.accepted: dict[str, str] = {}
        self.files: dict[str, Kept] = {}
        repo = dataset.repo
        try:
            content = json.loads(self.path.read_bytes())
            repo = content["dataset"]
            self.files = {name: Kept(**entry) for name, entry in content["files"].items()}
        except FileNotFoundError:
            pass
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise LabError(
                f"{printable(self.path)} cannot be read ({error}); delete it or choose another --out"
            ) from error
        if repo != dataset.repo or (
            dataset.packed and not self.files and (folder / TABLE).exists()
        ):
            raise LabError(
                f"{printable(folder)} holds other data; choose another folder with --out"
            )

    @property
    def places(self) -> list[str]:
        """Names of what the files became, as far as it is there, in order."""
        return sorted(
            kept.place for kept in self.files.values() if (self.path.parent / kept.place).is_file()
        )

    def holds(self, file: HubFile) -> bool:
        """Whether this version of the file was fetched, and what became of it is there in its full
        length.
        """
        kept = self.files.get(file.name)
        if not kept or kept.sha256 != file.sha256:
            return False
        place = self.path.parent / kept.place
        return place.is_file() and place.stat().st_size == kept.place_bytes

    def accept(self, revision: str) -> None:
        """Record that the terms were accepted now, and keep git from ever taking the images up."""
        self.accepted = {
            "dataset": self.dataset.repo,
            "revision": revision,
            "accepted": datetime.now(UTC).isoformat(timespec="seconds"),
            "terms": self.dataset.terms,
            "page": data_page(self.dataset.repo),
        }
        self._save()
        if not (ignore := self.path.with_name(".gitignore")).exists():
            replace_file(ignore, "*\n")

    def add(self, file: HubFile, place: Path) -> None:
        """Record a file that was checked, and what became of it; what had that place before is
        forgotten.
        """
        self.files = {name: kept for name, kept in self.files.items() if kept.place != place.name}
        self.files[file.name] = Kept(
            file.revision, file.sha256, file.size, place.name, place.stat().st_size
        )
        self._save()

    def _save(self) -> None:
        content = self.accepted | {
            "files": {name: asdict(kept) for name, kept in sorted(self.files.items())}
        }
        replace_file(self.path, json.dumps(content, indent=2) + "\n")


def check_room(
    folder: Path, dataset: HubSet, waiting: Sequence[HubFile], delete_shards: bool
) -> None:
    """Raises LabError where the disk has less room than the files that wait, and the zips made of
    them, will take.
    """
    there = sum(count_present(file, _place(folder, dataset, file)) for file in waiting)
    shrinks = dataset.packed and delete_shards
    fetched = max((file.size for file in waiting), default=0) if shrinks else _total(waiting)
    need = max(fetched - there, 0) + (round(GROWTH * _total(waiting)) if dataset.packed else 0)
    home = next(place for place in (folder, *folder.parents) if place.is_dir())
    free = shutil.disk_usage(home).free
    if need > free:
        advice = "; --delete-shards takes less" if dataset.packed and not delete_shards else ""
        raise LabError(
            f"{printable(folder)}: {_gigabytes(need)} are needed, {_gigabytes(free)} are free; make room, choose another "
            f"folder with --out or a part with --only{advice}"
        )


def _check_request(name: str, dataset: HubSet, only: Sequence[str], accept_license: bool) -> None:
    for part in only:
        if part not in dataset.parts:
            raise LabError(f"{name} has no part {part!r}; it has {', '.join(dataset.parts)}")
    if not accept_license:
        raise LabError(
            f"{name} is fetched once you accept its terms: read them, then pass --accept-license"
        )
    for package in ("huggingface_hub", "pyarrow")[: 1 + dataset.packed]:
        try:
            importlib.import_module(package)
        except ModuleNotFoundError:
            raise LabError(
                f"fetching {name} needs the package {package}; pip install 'fauxlab[hub]'"
            ) from None
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:
        raise LabError(
            "nothing can be fetched offline: unset HF_HUB_OFFLINE (or TRANSFORMERS_OFFLINE) and run again"
        )


def _known(name: str) -> HubSet:
    if name not in SETS:
        raise LabError(f"no data set {name!r} to fetch; there are {', '.join(SETS)}")
    return SETS[name]


def _place(folder: Path, dataset: HubSet, file: HubFile) -> Path:
    """Where a file of the hub is fetched to."""
    return folder / SHARDS / file.base if dataset.packed else folder / file.base


def _total(files: Sequence[HubFile]) -> int:
    return sum(file.size for file in files)


def _gigabytes(size: int) -> str:
    return f"{size / 1e9:,.2f} GB"
