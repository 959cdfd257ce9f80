"""What names say only side by side: many small folders are videos, few large ones collections."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from statistics import mean, median

from fauxlab.data.names import (
    are_drawn_names,
    ends_on_number,
    is_number_of_video,
    is_shelf,
    names_a_video,
    numbers_a_collection,
    parse_frame,
)

LARGEST = 1000  # pictures of one video or person; folders of more are collections
# Fewer folders or starts of names than FEW, with more pictures each, are collections as well.
FEW = 5
HOLD_AT_MOST = 100
# Where names are no numbers of videos: pictures a start of names, as a multiple of their number.
FEW_OTHERS = 10
# From so many small folders of any name on, folders directly below real/ are no sources.
MANY = 10
# Pictures of one name, as 1.jpg of each generator; of more, the name says nothing.
MOST_VERSIONS = 100
NUMBERED_SHARE = 0.9  # of the pictures of videos end on a number


def find_shelves(tops: Mapping[str, Sequence[str]]) -> set[str]:
    """The folders, if all of them only repeat a part of the names in them; else none."""
    are_shelves = len(tops) > 1 and all(
        files and is_shelf(top, files) for top, files in tops.items()
    )
    return set(tops) if are_shelves else set()


def find_series(folders: Iterable[Sequence[str]]) -> set[str]:
    """The starts of names that are those of videos or persons, from the files of each folder."""
    found: set[str] = set()
    for files in folders:
        sizes: Counter[str] = Counter()
        marked: set[str] = set()
        for file in files:
            frame = parse_frame(file)
            if frame is None:
                continue
            if frame.is_marked:
                marked.add(frame.stem)
            if frame.is_marked or not numbers_a_collection(frame.stem):
                sizes[frame.stem] += 1
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
    Below fake/ a folder is a generator, unless its name is the number of a video, or all names
    were drawn at random as those of DFDC's and YouTube's videos.
    """
    numbered = {folder: len(files) for folder, files in tops.items() if _are_numbered(files)}
    is_named = is_number_of_video if label else names_a_video
    named = {folder: size for folder, size in numbered.items() if is_named(folder)}
    if _are_videos(named):
        return set(named)
    are_all_numbered = len(numbered) == len(tops)
    may_be_videos = not label or are_drawn_names(list(tops))
    if may_be_videos and are_all_numbered and len(tops) >= MANY:
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
