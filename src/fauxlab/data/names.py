"""What the name of a file or folder says: a frame of a video, a person, a folder that only sorts.

Video data sets name their parts in a few ways. Frames of one video share the start of their name,
as in `003_frame0007.jpg`. Swapped videos name both videos that they were made from, as in
`000_003` (FaceForensics++) and `id0_id1_0000` (Celeb-DF).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple


def word_set(text: str) -> frozenset[str]:
    """The words of a text."""
    return frozenset(text.split())


# Longer names, which only zips and tables can hold, say nothing: a file system allows no more.
LONGEST = 255
# A video has less than ten million frames. Longer numbers are dates, seeds and hashes.
_FRAME_DIGITS = 7
_VIDEO_SUFFIX = re.compile(r"\.(?:mp4|avi|mov|mkv|webm|m4v|mpe?g)$", re.IGNORECASE)
_DIGITS = "0123456789"
_SEPARATORS = " ._#-"
_FRAME_WORDS = ("frame", "frm")
# What tools add behind the number of a frame: the number of the face in it, or what was done.
_FACE = re.compile(r"[ ._-](?:face|crop|actor|person)[ ._-]?\d{1,2}$", re.IGNORECASE)
_TREATMENT = re.compile(
    r"[ ._-](?:crop|cropped|aligned|face|fake|real|swap|swapped|mask|masked|resized|original)$",
    re.IGNORECASE,
)
_ENDS_ON_NUMBER = re.compile(r"\d[^a-z0-9]*$", re.IGNORECASE)

_PERSON = re.compile(r"(?<![a-z0-9])id\d+(?![a-z0-9])", re.IGNORECASE)
_PAIR = re.compile(r"(\d{2,})_(\d{2,})(?:__.*)?")
_ACTOR = re.compile(r"(\d{2,})__.+")
_COUNTED = re.compile(
    r"(?:video|vid|clip|movie|film|scene|shot|sequence|seq|person|subject|subj|actor|identity"
    r"|speaker)s?[ ._-]?\d+",
    re.IGNORECASE,
)
# A name that begins with the number of the frame, as `frame0007_clip3`.
_FRAME_FIRST = re.compile(r"(?:frame|frm)[ ._-]?\d{1,7}[ ._-]+(.*[a-z0-9])", re.IGNORECASE)
_DATE = re.compile(r"(?:19|20)\d\d([ ._-]?)(?:0[1-9]|1[0-2])(?:\1(?:0[1-9]|[12]\d|3[01]))?")
_YEAR = re.compile(r"(?:19|20)\d\d")
_HEX = re.compile(r"[0-9a-f]+", re.IGNORECASE)
_DRAWN_LENGTH = 8  # from so many characters on, names may be drawn at random
_HASH_DIGITS = 16  # from so many hexadecimal digits on, a name is a hash

# Cameras and phones number all their pictures behind one of these, and may add a date.
_CAMERAS = word_set(
    "img dsc dscn dscf dcim pict pxl mvi gopr gp sam cimg imag hpim vlcsnap screenshot "
    "screen whatsapp wa signal telegram photo image picture pic scan comfyui download"
)
# Words that number the pictures of a collection.
_COLLECTION_WORDS = word_set(
    "seed sample samples output out result gen generated fake real face faces portrait "
    "person man woman men women male female boy girl people human frame frames img2img "
    "txt2img train test val valid validation data file no nr number item index crop images"
)
# Data sets and generators whose pictures are numbered through, mixed in one folder.
_COLLECTIONS = word_set(
    "ffhq celeba celebahq celebamask hq lfw wiki imdb utkface fairface casia vggface coco imagenet "
    "gan progan pggan stylegan biggan stargan attgan cyclegan diffusion ddpm ddim ldm sd sdxl "
    "flux dalle midjourney mj imagen firefly kandinsky pixart"
)
_SPLIT = re.compile(r"train|training|trainset|val|valid|validation|dev|test|testing", re.IGNORECASE)
# Folders that sort pictures by treatment, compression, part or split, and hold many subjects.
_SORTING = re.compile(
    r"c0|c23|c40|raw|hq|lq|lossless|images?|imgs?|frames?|faces?|crops?|cropped|aligned|videos?"
    r"|png|jpe?g|data|datasets?|real|fake|masks?|pictures|photos"
    r"|(?:.*[ ._-])?(?:part|shard|batch|chunk|fold|split|disk|volume)[ ._-]?\d*"
    r"|(?:images|thumbnails|faces)?\d+(?:x\d+|px)",
    re.IGNORECASE,
)


class Frame(NamedTuple):
    """A name that ends on a number: what stands before it, and whether it says to be a frame."""

    stem: str
    is_marked: bool


def parse_frame(file: str) -> Frame | None:
    """A file's name as a numbered frame, or None where its name is not of that kind.

    >>> parse_frame("003_frame0007.jpg")
    Frame(stem='003', is_marked=True)
    >>> parse_frame("00001.png") is None
    True
    """
    if len(file) > LONGEST:
        return None
    name, _, _ = file.rpartition(".")
    name = _without_treatment(name or file)
    first = _FRAME_FIRST.fullmatch(name)
    if first:
        return Frame(_VIDEO_SUFFIX.sub("", first[1]), is_marked=True)
    before = name.rstrip(_DIGITS)
    if not 0 < len(name) - len(before) <= _FRAME_DIGITS:
        return None
    stem = before.rstrip(_SEPARATORS)
    is_marked = False
    for word in _FRAME_WORDS:
        if stem.lower().endswith(word):
            is_marked = True
            stem = stem[: -len(word)].rstrip(_SEPARATORS)
    if before[-1:] in "fF" and before[-2:-1] in tuple(_SEPARATORS):
        # As in `clip_f0007`.
        stem = before[:-1].rstrip(_SEPARATORS)
    elif stem == before:
        return None
    stem = stem.lstrip(_SEPARATORS)
    plain = _VIDEO_SUFFIX.sub("", stem)
    if not plain:
        return None
    return Frame(plain, is_marked or plain != stem)


def _without_treatment(name: str) -> str:
    """A name without the words and face numbers that tools add behind the number of a frame."""
    shorter = _strip_treatment(name)
    while shorter != name and _ENDS_ON_NUMBER.search(shorter):
        name = shorter
        shorter = _strip_treatment(name)
    return name


def _strip_treatment(name: str) -> str:
    shorter = _TREATMENT.sub("", _FACE.sub("", name))
    return name if shorter == name else shorter.rstrip(_SEPARATORS)


def numbers_a_collection(stem: str) -> bool:
    """Whether a stem only numbers pictures, as `img`, `seed`, `ffhq` and `IMG_20230101` do.

    So does a date: the pictures of one day are not those of one person.
    """
    if _DATE.fullmatch(stem):
        return True
    words = re.findall(r"[a-z]+(?:2[a-z]+)?", stem.lower())
    if not words:
        return False
    if all(word in _CAMERAS for word in words) or all(word in _COLLECTIONS for word in words):
        return True
    has_number = any(character.isdigit() for character in stem)
    is_plain = all(word in _COLLECTION_WORDS or word in _CAMERAS for word in words)
    return is_plain and not has_number


def ends_on_number(file: str) -> bool:
    """Whether a file's name, without its suffix, ends on a digit."""
    if len(file) > LONGEST:
        return False
    name, _, _ = file.rpartition(".")
    name = _without_treatment(name or file)
    return bool(_ENDS_ON_NUMBER.search(name))


def subjects(name: str) -> tuple[str, ...]:
    """The videos or persons that the name of a video stands for.

    >>> subjects("000_003"), subjects("id0_id1_0000"), subjects("clip-12")
    (('000', '003'), ('id0', 'id1'), ('clip-12',))
    """
    if len(name) > LONGEST:
        return (name,)
    name = _VIDEO_SUFFIX.sub("", name)
    persons = _PERSON.findall(name)
    if persons:
        return tuple(dict.fromkeys(person.lower() for person in persons))
    pair = _PAIR.fullmatch(name)
    if pair and len(pair[1]) == len(pair[2]):
        return tuple(dict.fromkeys(pair.groups()))
    actor = _ACTOR.fullmatch(name)
    if actor:
        return (actor[1],)
    return (name,)


def is_number_of_video(folder: str) -> bool:
    """Whether a folder's name is a number, two numbers or a person's number, and no year."""
    plain = _VIDEO_SUFFIX.sub("", folder)
    if len(folder) > LONGEST or _YEAR.fullmatch(plain):
        return False
    is_named_by_ids = subjects(plain) != (plain,) or _PERSON.fullmatch(plain) is not None
    return plain.isdecimal() or plain != folder or is_named_by_ids


def names_a_video(folder: str) -> bool:
    """Whether a folder's name is that of a video or person, as `003`, `video_12` or `a.mp4`."""
    return is_number_of_video(folder) or _COUNTED.fullmatch(folder) is not None


def are_drawn_names(folders: Sequence[str]) -> bool:
    """Whether names look drawn at random: long, all of one length, and with different starts.

    So look `aagfhgtpmv` (DFDC) and `dQw4w9WgXcQ` (YouTube); names of generators do not.
    """
    lengths = {len(_VIDEO_SUFFIX.sub("", folder)) for folder in folders}
    starts = {folder[:2] for folder in folders}
    are_long = len(lengths) == 1 and min(lengths) >= _DRAWN_LENGTH
    return are_long and 2 * len(starts) >= len(folders)


def only_sorts(folder: str) -> bool:
    """Whether a folder sorts pictures by treatment, part or split, as `c23` and `train` do."""
    if len(folder) > LONGEST:
        return False
    return names_a_split(folder) or _SORTING.fullmatch(folder) is not None


def names_a_split(folder: str) -> bool:
    """Whether a folder's name is that of a split, as `train`."""
    return _SPLIT.fullmatch(folder) is not None


def is_shelf(folder: str, files: Sequence[str]) -> bool:
    """Whether a folder's name only repeats a part of the names in it.

    So do the folders of large sets that are numbered through (FFHQ's `01000/01234.png`), that are
    sorted by the last digits (IMDB-WIKI's `10/110_….jpg`) or by the first of a hash.
    """
    if _HEX.fullmatch(folder) is None or len(folder) > _FRAME_DIGITS:
        return False
    return all(_is_on_shelf(folder, file) for file in files)


def _is_on_shelf(folder: str, file: str) -> bool:
    name, _, _ = file.rpartition(".")
    is_hash = len(name) >= _HASH_DIGITS and _HEX.fullmatch(name) is not None
    if is_hash:
        return name.startswith(folder)
    digits = re.search(r"\d+", name)
    if digits is None or not folder.isdecimal():
        return False
    number = int(digits[0])
    if len(folder) == 2 and len(digits[0]) > 2 and digits[0].endswith(folder):
        return name.startswith(digits[0])
    sizes = (1000, 10_000, 100_000)
    return any(int(folder) in (number // size, number // size * size) for size in sizes)
