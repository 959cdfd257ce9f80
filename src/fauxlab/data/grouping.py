"""Which pictures belong together by their names: frames of one video, pictures of one person.

Read in this order, `auto` takes the first that applies to a picture:

1. The group that a table or a layout declares.
2. The first folder below its source or generator, if it holds at most LARGEST pictures.
   Folders that only sort (`c23`, `train`, FFHQ's `01000/01234.png`) do not count.
3. The start of its name before the number of a frame, as in `003_frame0007.jpg`.
   In one folder there must be several such starts. Names of cameras (`IMG_0001`) and of numbered
   collections (`seed_0001`, or `sd21_0001` throughout the folder) do not count.
4. Its whole name: pictures of one name below real and fake are versions of one picture.

A folder or a start that names two videos or persons, as `000_003` and `id0_id1_0000`, belongs to
both.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import mean, median
from typing import Literal, get_args

from fauxlab.data.entries import Entry, stem_of
from fauxlab.data.names import (
    ends_on_number,
    is_number_of_video,
    is_shelf,
    names_a_video,
    numbers_a_collection,
    only_sorts,
    parse_frame,
    subjects,
)
from fauxlab.errors import LabError, suggest
from fauxlab.io.text import printable

GroupBy = Literal["auto", "folder", "stem", "none"]
RULES: tuple[GroupBy, ...] = get_args(GroupBy)

LARGEST = 1000  # pictures of one video or person; folders of more are collections
# Fewer folders or starts of names than FEW, with more pictures each, are collections as well.
FEW = 5
HOLD_AT_MOST = 100
# Where names are no numbers of videos: pictures a start of names, as a multiple of their number.
FEW_OTHERS = 10
# From so many small folders of any name on, folders directly below real/ are no sources.
MANY = 10
NUMBERED_SHARE = 0.9  # of the pictures of videos end on a number

Folders = tuple[str, ...]
Place = tuple[int, str]  # label, and the generator or source


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
        lines = [
            f"grouped ({self.rule}): {found}; {len(sizes):,} groups in all, the largest of "
            f"{largest:,} images"
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
        kind, name = finder.find(entry)
        groups: tuple[str, ...] = () if kind == "alone" else (name,)
        if kind in ("folder", "series"):
            groups = subjects_of(name)
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


def tied_by_names(entries: Sequence[Entry]) -> list[tuple[str, ...]]:
    """For each entry the videos and persons that its names tie it to, by the rule "auto"."""
    finder = _Finder(entries, "auto")
    tied = []
    for entry in entries:
        kind, name = finder.find(entry)
        tied.append(subjects_of(name) if kind in ("folder", "series") else ())
    return tied


def subjects_of(path: str) -> tuple[str, ...]:
    """The videos or persons of a folder or of a start of names, with the folders before it."""
    above, slash, last = path.rpartition("/")
    return tuple(f"{above}{slash}{name}" for name in subjects(last))


class _Finder:
    """Finds the group of an entry among all of them."""

    def __init__(self, entries: Sequence[Entry], rule: GroupBy) -> None:
        open_entries = [entry for entry in entries if not entry.groups]
        self.rule = rule
        self.large: dict[str, None] = {}
        self.below: Counter[tuple[Place, Folders]] = Counter()
        self.children: dict[tuple[Place, Folders], set[str]] = defaultdict(set)
        self.files: dict[tuple[Place, Folders], list[str]] = defaultdict(list)
        self.shelves: dict[tuple[Place, Folders], set[str]] = {}
        self.videos: dict[tuple[Place, Folders], set[str]] = {}
        for entry in open_entries:
            self._count(entry)
        self.series = _find_series(self.files.values()) if rule == "auto" else set()

    def _count(self, entry: Entry) -> None:
        place = _place(entry)
        *folders, file = entry.name.split("/")
        path: Folders = ()
        for folder in folders:
            self.children[place, path].add(folder)
            path = (*path, folder)
            self.below[place, path] += 1
        self.files[place, path].append(file)

    def find(self, entry: Entry) -> tuple[str, str]:
        """The kind of group, "folder", "series", "name" or "alone" without a name, and its name."""
        if self.rule == "none":
            return "alone", ""
        *folders, file = entry.name.split("/")
        if self.rule != "stem":
            group = self._folder(entry, tuple(folders))
            if self.rule == "folder" and not group and entry.source not in ("", "real"):
                group = entry.source
            if group:
                return "folder", group
        if self.rule != "folder":
            frame = parse_frame(file)
            if frame and (self.rule == "stem" or frame.stem in self.series):
                return "series", frame.stem
        return "name", entry.own or stem_of(entry.name)

    def _folder(self, entry: Entry, folders: Folders) -> str:
        """The folder that is the group of an entry in these folders, or nothing."""
        place = _place(entry)
        kept: list[str] = []
        for depth, folder in enumerate(folders, start=1):
            path = folders[:depth]
            if self._only_sorts(place, path) or (entry.is_free and not self._is_video(place, path)):
                continue
            kept.append(folder)
            if self.rule == "folder" or self.below[place, path] <= LARGEST:
                return "/".join(kept)
            if depth == len(folders):
                self.large["/".join((place[1], *path))] = None
        if self.rule == "folder" and folders:
            return folders[-1]
        return ""

    def _only_sorts(self, place: Place, path: Folders) -> bool:
        is_known = only_sorts(path[-1])
        return is_known or self._leads_on(place, path) or self._is_shelf(place, path)

    def _is_video(self, place: Place, path: Folders) -> bool:
        """Whether a folder is one of a video or person by its name and those of its neighbours."""
        above = path[:-1]
        known = self.videos.get((place, above))
        if known is None:
            known = find_video_folders(self._files_beside(place, above), label=0)
            self.videos[place, above] = known
        return path[-1] in known

    def _leads_on(self, place: Place, path: Folders) -> bool:
        """Whether a folder is the only one beside no picture, and holds only further folders."""
        above = path[:-1]
        is_only = len(self.children[place, above]) == 1 and (place, above) not in self.files
        has_folders = bool(self.children.get((place, path)))
        return is_only and has_folders and (place, path) not in self.files

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


def find_shelves(tops: Mapping[str, Sequence[str]]) -> set[str]:
    """The folders, if all of them only repeat a part of the names in them; else none."""
    are_shelves = len(tops) > 1 and all(
        files and is_shelf(top, files) for top, files in tops.items()
    )
    return set(tops) if are_shelves else set()


def _find_series(folders: Iterable[Sequence[str]]) -> set[str]:
    """The starts of names that are those of videos or persons, from the files of each folder."""
    found: set[str] = set()
    for files in folders:
        sizes: Counter[str] = Counter()
        marked: set[str] = set()
        for file in files:
            frame = parse_frame(file)
            if frame is None or (numbers_a_collection(frame.stem) and not frame.is_marked):
                continue
            sizes[frame.stem] += 1
            if frame.is_marked:
                marked.add(frame.stem)
        found |= {stem for stem in marked if sizes[stem] <= LARGEST}
        found |= _find_several(sizes, len(files))
    return found


def _find_several(sizes: Counter[str], files: int) -> set[str]:
    """The series among the `files` of a folder: there are several, and none numbers most of it."""
    if len(sizes) < 2:
        return set()
    largest = max(sizes.values())
    if largest > LARGEST or (largest > HOLD_AT_MOST and 2 * largest > files):
        return set()
    named = {stem: size for stem, size in sizes.items() if names_a_video(stem)}
    others = {stem: size for stem, size in sizes.items() if stem not in named}
    found: set[str] = set()
    if named and (len(sizes) >= FEW or mean(named.values()) <= HOLD_AT_MOST):
        found.update(named)
    if others and mean(others.values()) <= FEW_OTHERS * len(sizes):
        found.update(others)
    return found


def find_video_folders(tops: Mapping[str, Sequence[str]], label: int) -> set[str]:
    """The folders directly below real/ or fake/ that are videos or persons, not collections.

    `tops` holds the files in each. Below real/ these are many small folders of numbered files.
    Below fake/ a folder is a generator, unless its name is the number of a video.
    """
    numbered = {folder: len(files) for folder, files in tops.items() if _are_numbered(files)}
    is_named = is_number_of_video if label else names_a_video
    named = {folder: size for folder, size in numbered.items() if is_named(folder)}
    if _are_videos(named):
        return set(named)
    are_all_numbered = len(numbered) == len(tops)
    if not label and are_all_numbered and len(tops) >= MANY:
        typical = median(numbered.values())
        if typical <= 2 * len(tops):
            return set(numbered)
    return set()


def _are_videos(sizes: Mapping[str, int]) -> bool:
    """Whether folders with names of videos are as many and as small as those of videos are."""
    if len(sizes) < 2:
        return False
    most = LARGEST if len(sizes) >= FEW else HOLD_AT_MOST
    return median(sizes.values()) <= most


def _are_numbered(files: Sequence[str]) -> bool:
    numbered = sum(ends_on_number(file) for file in files)
    return numbered >= NUMBERED_SHARE * len(files)


def _place(entry: Entry) -> Place:
    return entry.label, entry.generator if entry.label else entry.source
