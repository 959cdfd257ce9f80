"""Which folders hold the real pictures and which the fakes, by the names that data sets use."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest
from pathlib import Path

from fauxlab.data.names import only_sorts, word_set
from fauxlab.io.sources import is_hidden

_REAL = word_set(
    "real reals original originals authentic genuine pristine bonafide fide natural nature"
)
_FAKE = word_set(
    "fake fakes manipulated synthetic synthesis synthesized synthesised generated ai aigc "
    "deepfake deepfakes altered forged forgery tampered swapped morph morphs morphed"
)
_SIDES = _REAL | _FAKE
# Methods of FaceForensics++, whose folders people put beside the one of the originals.
_METHODS = word_set("deepfakes face2face faceswap neuraltextures faceshifter deepfakedetection")
# Words that say nothing of where pictures come from.
_FILLERS = word_set(
    "bona training train trainset validation valid val testing test images image imgs img faces "
    "face photos photo pictures pics sequences videos video frames data dataset samples"
)
_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+")
_DEPTH = 3  # folders between the given one and a pair of real and fake
_MOST_FOLDERS = 2_000  # that are looked into for such a pair


@dataclass(frozen=True)
class Side:
    """A folder or zip of pictures of one label.

    `name` names what lies directly in it; empty where the folder says only real or fake.
    """

    path: Path
    name: str = ""


@dataclass(frozen=True)
class Pair:
    """Sides that belong together.

    `place` is the folder that holds them, from the given one on, as `train/`. `others` lie beside
    them, and their names say neither real nor fake.
    """

    reals: list[Side]
    fakes: list[Side]
    place: str = ""
    others: tuple[Path, ...] = ()

    @property
    def name(self) -> str:
        """What names the pictures that lie in no folder of their own."""
        for part in self.place.split("/"):
            names_sides = _SIDES.intersection(_words(Path(part)))
            if part and not only_sorts(part) and not names_sides:
                return part
        return ""


def find_pairs(folder: Path) -> list[Pair]:
    """The pairs of real and fake in `folder`, or else in the folders below it.

    Directly in `folder`, reals alone are enough. None where nothing is found.
    """
    top = _pair_in(folder)
    are_for_gan = any("real" in _words(side.path) for side in top.reals)
    if top.reals and (top.fakes or are_for_gan):
        return [top]
    pairs: list[Pair] = []
    waiting = [folder]
    looked = 0
    while waiting and looked < _MOST_FOLDERS:
        here = waiting.pop()
        looked += 1
        pair = _pair_in(here)
        place = here.relative_to(folder)
        if pair.reals and pair.fakes:
            pairs.append(replace(pair, place=os.path.join(*place.parts, "")))
        elif len(place.parts) < _DEPTH:
            waiting.extend(reversed(_folders_in(here)))
    return pairs


def _pair_in(folder: Path) -> Pair:
    reals: list[Side] = []
    fakes: list[Side] = []
    children = _children(folder)
    has_methods = any(_is_method(path) for path in children if not _labels(_words(path)))
    for path in children:
        words = _words(path)
        labels = _labels(words)
        if has_methods and _is_method(path):
            fakes.append(Side(path, _plain(path)))
        elif len(labels) == 1:
            has_name = set(words) - _SIDES - _FILLERS
            side = Side(path, _plain(path) if has_name else "")
            sides = fakes if labels == {1} else reals
            sides.append(side)
    reals = _plainest(reals, "real")
    fakes = _plainest(fakes, "fake")
    taken = {side.path for side in (*reals, *fakes)}
    return Pair(reals, fakes, others=tuple(path for path in children if path not in taken))


def _labels(words: Sequence[str]) -> set[int]:
    """The labels that the words of a name speak of: 0 for real, 1 for fake."""
    labels = set()
    for word, following in zip_longest(words, words[1:]):
        # As in FakeVideo-RealAudio: the pictures of such a video are fake.
        is_of_sound = following == "audio"
        if word in _REAL and not is_of_sound:
            labels.add(0)
        if word in _FAKE and not is_of_sound:
            labels.add(1)
    return labels


def label_in_words(text: str) -> int | None:
    """The label that a text names in other words, as `genuine` and `AI-generated`; or None.

    Words that say nothing of a label may stand beside it, others may not: "not real" is no label.
    """
    words = [word.lower() for word in _WORD.findall(text)]
    labels = _labels(words)
    is_plain = not set(words) - _SIDES - _FILLERS
    return labels.pop() if len(labels) == 1 and is_plain else None


def _is_method(path: Path) -> bool:
    plain = re.sub("[ ._-]", "", _plain(path))
    return plain.casefold() in _METHODS


def _plainest(sides: list[Side], word: str) -> list[Side]:
    """The sides that are named by the word alone, where there are any: others may be leftovers."""
    exact = [side for side in sides if _plain(side.path).casefold() == word]
    return exact or sides


def _children(folder: Path) -> list[Path]:
    """Folders and zips, sorted, without hidden ones, and without zips beside what they hold."""
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError:
        return []
    shown = [entry for entry in entries if not is_hidden(entry.name)]
    # A link to itself is no folder; asked for it, the entry would raise.
    folders = [Path(entry.path) for entry in shown if os.path.isdir(entry.path)]
    unpacked = {path.name for path in folders}
    zips = []
    for entry in shown:
        path = Path(entry.path)
        is_zip = path.suffix.lower() == ".zip" and not os.path.isdir(entry.path)
        if is_zip and path.stem not in unpacked:
            zips.append(path)
    return folders + zips


def _folders_in(folder: Path) -> list[Path]:
    return [path for path in _children(folder) if path.suffix.lower() != ".zip"]


def _plain(path: Path) -> str:
    is_zip = path.suffix.lower() == ".zip"
    return path.stem if is_zip else path.name


def _words(path: Path) -> list[str]:
    words = _WORD.findall(_plain(path))
    return [word.lower() for word in words]
