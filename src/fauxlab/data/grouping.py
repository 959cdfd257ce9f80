"""Which pictures belong together by their names: frames of one video, pictures of one person.

Read in this order, `auto` takes the first that applies to a picture:

1. The group that a table or a layout declares.
2. The first folder below its source or generator, if it holds at most LARGEST pictures.
   Folders that only sort (`c23`, `train`, FFHQ's `01000/01234.png`) do not count.
3. The start of its name before the number of a frame, as in `003_frame0007.jpg`.
   In one folder there must be several such starts. Names of cameras (`IMG_0001`) and of numbered
   collections (`seed_0001`, or `sd21_0001` throughout the folder) do not count.
4. Its whole name: pictures of one name below real and fake are versions of one picture, unless
   there are more than MOST_VERSIONS of them.

A folder or a start that names two videos or persons, as `000_003` and `id0_id1_0000`, belongs to
both.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple, get_args

from fauxlab.data.entries import Entry, stem_of
from fauxlab.data.names import names_a_video, only_sorts, parse_frame, subjects
from fauxlab.data.neighbours import (
    LARGEST,
    MOST_VERSIONS,
    find_series,
    find_shelves,
    find_video_folders,
)
from fauxlab.errors import LabError, suggest
from fauxlab.io.text import printable

GroupBy = Literal["auto", "folder", "stem", "none"]
RULES: tuple[GroupBy, ...] = get_args(GroupBy)

Names = tuple[str, ...]
Folders = tuple[str, ...]
Place = tuple[int, str]  # label, and the generator or source
Spot = tuple[Place, Folders]  # a folder in one


@dataclass(frozen=True)
class Grouping:
    """How many pictures each rule tied, and by how many folders and starts of names."""

    rule: GroupBy
    declared: int
    in_folders: int
    folders: int
    in_series: int
    series: int
    large: tuple[str, ...]  # folders that hold too many pictures for a group

    def describe(self, groups: Sequence[str]) -> list[str]:
        """Lines on what was tied; `groups` [N] names the group of each picture in the end."""
        sizes = Counter(groups)
        parts = []
        if self.declared:
            parts.append(f"{self.declared:,} images by the groups that the data set declares")
        if self.in_folders:
            parts.append(f"{self.in_folders:,} images by {self.folders:,} folders")
        if self.in_series:
            parts.append(f"{self.in_series:,} images by {self.series:,} starts of names")
        found = ", ".join(parts) or "nothing by folders or starts of names"
        largest = max(sizes.values(), default=0)
        number = "1 group" if len(sizes) == 1 else f"{len(sizes):,} groups"
        lines = [
            f"grouped ({self.rule}): {found}; {number} in all, the largest of {largest:,} images"
        ]
        if self.large:
            lines.append(
                f"note: {len(self.large):,} folders of more than {LARGEST:,} images were not taken "
                f"for groups, the first {printable(self.large[0])}; where each is one video or "
                "person, use --group-by folder"
            )
        return lines


def check_rule(name: str) -> GroupBy:
    """A rule by its name. Raises LabError on any other text."""
    for rule in RULES:
        if name == rule:
            return rule
    raise LabError(f"group by {name!r}: one of {', '.join(RULES)}{suggest(name, RULES)}")


def group_entries(entries: Sequence[Entry], rule: GroupBy) -> tuple[list[Entry], Grouping]:
    """The entries with their groups, and what was found. Declared groups stay."""
    finder = _Finder(entries, rule)
    grouped = []
    counts: Counter[str] = Counter()
    names: dict[str, set[str]] = defaultdict(set)
    for entry in entries:
        if entry.groups:
            counts["declared"] += 1
            grouped.append(entry)
            continue
        kind, name, groups = finder.find(entry)
        counts[kind] += 1
        names[kind].add(name)
        grouped.append(replace(entry, groups=groups))
    found = Grouping(
        rule,
        declared=counts["declared"],
        in_folders=counts["folder"],
        folders=len(names["folder"]),
        in_series=counts["series"],
        series=len(names["series"]),
        large=tuple(finder.large),
    )
    return grouped, found


def tied_by_names(entries: Sequence[Entry]) -> list[Names]:
    """For each entry the videos and persons that its names tie it to, by the rule "auto"."""
    finder = _Finder(entries, "auto")
    found = [finder.find(entry) for entry in entries]
    return [tie.groups if tie.kind in ("folder", "series") else () for tie in found]


class _Tie(NamedTuple):
    """What the names of an entry say: the kind of tie, what ties, and the groups that it means."""

    kind: Literal["folder", "series", "name", "alone"]
    name: str = ""
    groups: Names = ()


class _Finder:
    """Finds the group of an entry among all of them."""

    def __init__(self, entries: Sequence[Entry], rule: GroupBy) -> None:
        open_entries = [entry for entry in entries if not entry.groups]
        self.rule = rule
        self.large: dict[str, None] = {}
        self.below: Counter[Spot] = Counter()
        self.children: dict[Spot, set[str]] = defaultdict(set)
        self.files: dict[Spot, list[str]] = defaultdict(list)
        self.shelves: dict[Spot, set[str]] = {}
        self.videos: dict[Spot, set[str]] = {}
        for entry in open_entries:
            self._count(entry)
        self.versions = Counter(_own_name(entry) for entry in open_entries)
        self.series = find_series(self.files.values()) if rule == "auto" else set()

    def _count(self, entry: Entry) -> None:
        place = _place(entry)
        *folders, file = entry.name.split("/")
        path: Folders = ()
        for folder in folders:
            self.children[place, path].add(folder)
            path = (*path, folder)
            self.below[place, path] += 1
        self.files[place, path].append(file)

    def find(self, entry: Entry) -> _Tie:
        """What ties an entry to others."""
        if self.rule == "none":
            return _Tie("alone")
        folder = self._folder(entry)
        if folder:
            return _Tie("folder", folder, _subjects_of(folder))
        stem = self._stem(entry)
        if stem:
            return _Tie("series", stem, subjects(stem))
        own = _own_name(entry)
        if self.versions[own] > MOST_VERSIONS:
            return _Tie("alone")
        return _Tie("name", own, (own,))

    def _stem(self, entry: Entry) -> str:
        """The start of a name that is the group of an entry, or nothing."""
        _, _, file = entry.name.rpartition("/")
        frame = None if self.rule == "folder" else parse_frame(file)
        is_group = frame and (self.rule == "stem" or frame.stem in self.series)
        return frame.stem if frame and is_group else ""

    def _folder(self, entry: Entry) -> str:
        """The folder that is the group of an entry, or nothing."""
        *parts, _ = entry.name.split("/")
        folders = tuple(parts)
        if self.rule == "stem":
            return ""
        found = self._first_group(entry, folders)
        if found or self.rule == "auto":
            return found
        # By "folder" there is a group wherever there is a folder, be it that of the source.
        if folders:
            return folders[-1]
        return "" if entry.source == "real" else entry.source

    def _first_group(self, entry: Entry, folders: Folders) -> str:
        """The first folder that is no larger than a group, with those before it."""
        place = _place(entry)
        kept: list[str] = []
        for depth, folder in enumerate(folders, start=1):
            path = folders[:depth]
            is_passed = entry.is_free and not self._is_video(place, path)
            if is_passed or self._only_sorts(place, path):
                continue
            kept.append(folder)
            is_small = self.below[place, path] <= LARGEST
            if is_small or self.rule == "folder":
                return "/".join(kept)
            if path == folders:
                self.large["/".join((place[1], *path))] = None
        return ""

    def _only_sorts(self, place: Place, path: Folders) -> bool:
        is_known = only_sorts(path[-1])
        return is_known or self._holds_all(place, path) or self._is_shelf(place, path)

    def _is_video(self, place: Place, path: Folders) -> bool:
        """Whether a folder is one of a video or person by its name and those of its neighbours."""
        above = path[:-1]
        known = self.videos.get((place, above))
        if known is None:
            known = find_video_folders(self._files_beside(place, above), label=0)
            self.videos[place, above] = known
        return path[-1] in known

    def _holds_all(self, place: Place, path: Folders) -> bool:
        """Whether a folder holds all pictures of the folder above, and has no name of a video."""
        above = path[:-1]
        is_only_folder = len(self.children[place, above]) == 1
        has_files_beside = (place, above) in self.files
        return is_only_folder and not has_files_beside and not names_a_video(path[-1])

    def _is_shelf(self, place: Place, path: Folders) -> bool:
        above = path[:-1]
        known = self.shelves.get((place, above))
        if known is None:
            known = find_shelves(self._files_beside(place, above))
            self.shelves[place, above] = known
        return path[-1] in known

    def _files_beside(self, place: Place, above: Folders) -> dict[str, list[str]]:
        """The files directly in each folder of a folder."""
        files = {}
        for folder in self.children[place, above]:
            files[folder] = self.files.get((place, (*above, folder)), [])
        return files


def _subjects_of(path: str) -> Names:
    """The videos or persons of a folder, each with the folders before it."""
    above, slash, last = path.rpartition("/")
    return tuple(f"{above}{slash}{name}" for name in subjects(last))


def _own_name(entry: Entry) -> str:
    return entry.own or stem_of(entry.name)


def _place(entry: Entry) -> Place:
    return entry.label, entry.generator if entry.label else entry.source
