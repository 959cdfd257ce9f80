"""Faces in ordinary photos: where they stand, and crops that are framed as a detector's training
pictures were.

Two Haar cascades for frontal faces (Viola and Jones, 2001; Lienhart et al., 2003; trained weights:
OpenCV's) look twice. Quickly at the whole picture, where a single window that they take for a face
is a proposal; then at each proposal brought to one size, where the windows that agree on the face
are counted. That count, unlike the cascades' own weights, tells faces from leaves, and means the
same for faces of every size.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from PIL import Image

from fauxlab.errors import LabError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Grey = NDArray[np.uint8]  # [H, W]
    Squares = NDArray[np.float64]  # [N, 3], of one [3]: middle (right, down) and side, in pixels
    Indices = NDArray[np.intp]

# Chosen on training images of FFHQ, CelebA, DFDC and four generators and on pieces of two
# photographs without a face; benchmarks/detector/face_finding.py measures what they are worth there.
MARGIN = (
    # picture's side per face's side: median 1.5 in FFHQ and StyleGAN, 1.7 in CelebA, 1.3 in SD 2.1,
    # .9 in DFDC
    1.5
)
# how far below the middle a face stands, in face's sides: median .07 in FFHQ, .15 in CelebA, -.09
# in DFDC
LIFT = 0.07
SNUG = 1.25  # leaves 95 to 100 % of those pictures, in which a face fills the frame, as they are
ENOUGH = (
    # agreeing windows: 1 of 600 pieces without a face has them; of faces 0 to 2.5 % lack them, in
    # video 6 to 9 %
    14
)
ENOUGH_PROFILE = 10  # finds about a third of the faces that the frontal cascades miss

LONGEST = 1024  # the grey copy's longer side: bounds memory and time
SMALLEST = 24  # of a face on the grey copy
CLOSE, CLOSE_LONGEST = 120, 480  # sides of the copy on which close-ups are looked for
CLOSE_UP = 0.4  # of the picture's shorter side: faces above it are close-ups
# replicated around close-ups: the cascades need room around a face, which tight crops do not have
BORDER = 0.2
VIEW = 96  # a proposal's square of twice its side is brought to this
MOST = 256  # faces that are looked for; a look at one takes tens of ms
# looks at proposals that were no face: bounds the time that a picture without any can take
IN_VAIN = 64
PAIRS = 2**16  # of squares that are compared at once: bounds memory
_FRONTAL = ("haarcascade_frontalface_alt2.xml", "haarcascade_frontalface_alt.xml")
_PROFILE = ("haarcascade_profileface.xml",)
_NOTHING = np.empty((0, 3))
_local = threading.local()
# OpenCV replaces its own module while it loads: a second thread would see it half made
_importing = threading.Lock()


@dataclass(frozen=True)
class Face:
    """A face's square as found, in pixels of the upright picture; where the picture cuts the face
    it reaches beyond.

    `score` is the number of the cascades' windows that agree on it: from ENOUGH to some 200.
    For a profile those of the profile cascade, from ENOUGH_PROFILE.
    """

    left: int
    top: int
    side: int
    score: float


class Found(NamedTuple):
    """The faces of a picture, the largest first, and how many places were passed over that may show
    more.

    `left_out` counts faces beyond the number asked for, and proposals that were not looked at: MOST
    faces were found, or IN_VAIN looks had shown none.
    """

    faces: list[Face]
    left_out: int


def find_faces(image: Image.Image, most: int = MOST) -> list[Face]:
    """As `survey_faces`, the faces alone."""
    return survey_faces(image, most).faces


def survey_faces(image: Image.Image, most: int = MOST) -> Found:
    """The faces of an upright RGB picture, at most `most` (beyond MOST none is looked for), and
    what was left out.

    Profiles are looked for only where no frontal face is found. Deterministic, and safe to call
    from several threads; memory and time are bounded whatever the picture's size. Raises LabError
    when OpenCV or its cascades are missing.
    """
    scale = min(1.0, LONGEST / max(image.size))
    grey = _shrink(image, scale)
    found, left_out = _search(grey, _FRONTAL, ENOUGH)
    if not found:
        width = grey.shape[1]
        found, passed = _search(grey, _PROFILE, ENOUGH_PROFILE)
        mirrored, passed_mirrored = _search(
            np.ascontiguousarray(grey[:, ::-1]), _PROFILE, ENOUGH_PROFILE
        )
        found += [(np.array([width - x, y, side]), n) for (x, y, side), n in mirrored]
        left_out += passed + passed_mirrored
    faces = [
        Face(
            round((x - side / 2) / scale),
            round((y - side / 2) / scale),
            max(1, round(side / scale)),
            float(count),
        )
        for (x, y, side), count in _without_overlaps(found)
    ]
    faces.sort(key=lambda face: (-face.side, face.left, face.top))
    return Found(faces[:most], left_out + len(faces[most:]))


def crop_face(image: Image.Image, face: Face, margin: float = MARGIN) -> Image.Image:
    """The square of `margin` times the face's side around it, shifted, then shrunk, to lie inside
    the picture.

    The face stands a little below the middle, as it does in training pictures. Where the square
    would come within a factor of SNUG of the picture's shorter side it takes the whole of it: a
    picture that is a face crop already stays as it is.
    """
    wanted, shorter = margin * face.side, min(image.size)
    side = shorter if wanted * SNUG >= shorter else max(1, round(wanted))
    across, down = face.left + face.side / 2, face.top + (0.5 - LIFT) * face.side
    left = min(max(round(across - side / 2), 0), image.width - side)
    top = min(max(round(down - side / 2), 0), image.height - side)
    return image.crop((left, top, left + side, top + side))


def _shrink(image: Image.Image, scale: float) -> Grey:
    if scale < 1:
        size = max(1, round(image.width * scale)), max(1, round(image.height * scale))
        image = image.resize(size, Image.Resampling.BILINEAR, reducing_gap=2.0)
    return np.asarray(image.convert("L"))


# --- the search


def _search(
    grey: Grey, cascades: tuple[str, ...], enough: int
) -> tuple[list[tuple[Squares, int]], int]:
    """Squares [3] on which at least `enough` windows agree, with their number; and how many
    proposals were passed over.

    Ends at MOST squares, and each of the two ways to propose at IN_VAIN looks without one.
    """
    found: list[tuple[Squares, int]] = []
    kept = _NOTHING
    left_out = 0
    for propose in (_propose_close_ups, _propose):
        in_vain = 0
        for proposal in _distinct(propose(grey, cascades[0])):
            if _inside_any(proposal, kept):
                continue
            if len(found) >= MOST or in_vain >= IN_VAIN:
                left_out += 1
                continue
            square, count = _look_closer(grey, proposal, cascades)
            if count >= enough:
                kept = np.vstack([kept, square])
                found.append((square, count))
            else:
                in_vain += 1
    return found, left_out


def _propose(grey: Grey, cascade: str) -> Squares:
    return _windows(cascade, grey, SMALLEST, int(1.2 * CLOSE_UP * min(grey.shape)), 1.2)


def _propose_close_ups(grey: Grey, cascade: str) -> Squares:
    cv2 = _load_opencv()
    height, width = grey.shape
    scale = min(CLOSE / min(grey.shape), CLOSE_LONGEST / max(grey.shape))
    size = max(1, round(width * scale)), max(1, round(height * scale))
    small = cv2.resize(grey, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    border = int(BORDER * min(size))
    padded = cv2.copyMakeBorder(small, border, border, border, border, cv2.BORDER_REPLICATE)
    squares = _windows(cascade, padded, int(CLOSE_UP * min(size)), min(padded.shape), 1.1)
    return np.asarray((squares - np.array([border, border, 0])) / scale)


def _look_closer(grey: Grey, proposal: Squares, cascades: tuple[str, ...]) -> tuple[Squares, int]:
    """The square on which most windows near a proposal agree, and their number; each cascade must
    see one.
    """
    cv2 = _load_opencv()
    across, down, side = proposal
    reach = max(1, round(side))
    left, top = round(across) - reach, round(down) - reach
    # beyond the picture its edge goes on
    rows = np.clip(np.arange(top, top + 2 * reach), 0, grey.shape[0] - 1)
    columns = np.clip(np.arange(left, left + 2 * reach), 0, grey.shape[1] - 1)
    scale = VIEW / (2 * reach)
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    view = cv2.resize(grey[np.ix_(rows, columns)], (VIEW, VIEW), interpolation=how)
    found = _NOTHING
    for cascade in cascades:
        windows = _windows(cascade, view, int(0.36 * VIEW), int(0.66 * VIEW), 1.05)
        if not len(windows):
            return proposal, 0
        found = np.concatenate([found, windows])
    near = _Neighbours(found)
    agreeing = near.of(int(near.count().argmax()))
    square: Squares = found[agreeing].mean(axis=0) / scale + np.array([left, top, 0])
    return square, len(agreeing)


def _windows(cascade: str, grey: Grey, smallest: int, largest: int, step: float) -> Squares:
    """Every window that a cascade takes for a face, its sides from `smallest` to `largest`."""
    if largest < smallest or largest < SMALLEST:
        return _NOTHING
    classifier = _load_cascade(cascade)
    boxes = classifier.detectMultiScale(grey, step, 0, 0, (smallest, smallest), (largest, largest))
    left, top, width, _ = np.asarray(boxes, dtype=np.float64).reshape(-1, 4).T
    return np.column_stack([left + width / 2, top + width / 2, width])


def _alike(squares: Squares, others: Squares) -> NDArray[np.bool_]:
    """Which pairs of squares show one face, bool [N]: middles within a quarter of the smaller side,
    sides within √2.
    """
    side, other = squares[:, 2], others[:, 2]
    near = np.abs(squares[:, :2] - others[:, :2]) < np.minimum(side, other)[:, None] / 4
    ratio: NDArray[np.bool_] = np.abs(np.log2(side / other)) < 0.5
    return near.all(axis=1) & ratio


class _Neighbours:
    """Squares [N, 3] sorted into cells, so that each is compared with those around it alone, in O(N
    + PAIRS) memory.
    """

    def __init__(self, squares: Squares) -> None:
        self._squares = squares
        # half octaves: those alike differ by 1
        self._size = np.floor(2 * np.log2(squares[:, 2])).astype(np.int64)
        keys = _cell(squares, self._size)
        self._order = np.argsort(keys, kind="stable")
        self._keys = keys[self._order]

    def count(self) -> Indices:
        """How many squares each is alike, itself included, [N]."""
        n = len(self._squares)
        counts = np.zeros(n, dtype=np.intp)
        for start in range(0, n, PAIRS // 16):
            for rows, _ in self.pairs(np.arange(start, min(start + PAIRS // 16, n))):
                np.add.at(counts, rows, 1)
        return counts

    def of(self, row: int) -> Indices:
        """The squares that one is alike, itself included, in ascending order."""
        return np.sort(np.concatenate([columns for _, columns in self.pairs(np.array([row]))]))

    def pairs(self, rows: Indices) -> Iterator[tuple[Indices, Indices]]:
        """The pairs (row, any square) that are alike, by and by; at most PAIRS are compared at
        once.
        """
        # cells of three sizes in three rows of three, which stand side by side
        near = np.repeat(rows, 9)
        middles = _cell(
            self._squares[near],
            self._size[near] + np.tile([-1, -1, -1, 0, 0, 0, 1, 1, 1], len(rows)),
        )
        middles += np.tile([-_DOWN, 0, _DOWN], 3 * len(rows))
        first = np.searchsorted(self._keys, middles - 1)
        ends = np.cumsum(np.searchsorted(self._keys, middles + 1, side="right") - first)
        starts = np.concatenate([[0], ends[:-1]])
        for start in range(0, int(ends[-1]), PAIRS):
            flat = np.arange(start, min(start + PAIRS, int(ends[-1])))
            span = np.searchsorted(ends, flat, side="right")
            left, right = near[span], self._order[first[span] + flat - starts[span]]
            same = _alike(self._squares[left], self._squares[right])
            yield left[same], right[same]


# what a cell's number grows by from one row, and one size, to the next
_DOWN, _LARGER = 2**20, 2**40


def _cell(squares: Squares, size: NDArray[np.int64]) -> NDArray[np.int64]:
    """The number of the cell that a middle lies in, [N], where squares of a size (in half octaves)
    are sorted.

    A cell is a little wider than a quarter of the largest of them, so that those alike lie in cells
    side by side.
    """
    width = 0.26 * 2.0 ** ((size + 1) / 2)
    across, down = (np.floor(squares[:, k] / width).astype(np.int64) for k in (0, 1))
    return size * _LARGER + down * _DOWN + across


def _distinct(windows: Squares) -> Iterator[Squares]:
    """One square for each group of windows that are alike, the largest group first."""
    if not len(windows):
        return
    near = _Neighbours(windows)
    counts = near.count()  # of those left; below 1 for those that are gone
    while counts[best := int(counts.argmax())] > 0:
        group = near.of(best)
        group = group[counts[group] > 0]
        yield np.median(windows[group], axis=0)
        for _, columns in near.pairs(group):
            np.subtract.at(counts, columns, 1)
        counts[group] = 0


def _inside_any(square: Squares, others: Squares) -> bool:
    """Whether a square's middle lies inside the larger of it and another of some [N, 3], laid
    around the other's.
    """
    return bool(
        (
            np.abs(square[:2] - others[:, :2]).max(axis=1) < np.maximum(square[2], others[:, 2]) / 2
        ).any()
    )


def _without_overlaps(found: list[tuple[Squares, int]]) -> list[tuple[Squares, int]]:
    """The best of those that stand in one another's place."""
    kept: list[tuple[Squares, int]] = []
    places = _NOTHING
    for square, count in sorted(found, key=lambda item: -item[1]):
        if not _inside_any(square, places):
            kept.append((square, count))
            places = np.vstack([places, square])
    return kept


def _load_cascade(name: str) -> Any:
    """This thread's own classifier: none may be used by two threads at once."""
    held: dict[str, Any] = _local.__dict__
    if name not in held:
        cv2 = _load_opencv()
        cv2.setNumThreads(1)  # pictures are looked at side by side already
        held[name] = cv2.CascadeClassifier(os.path.join(cv2.data.haarcascades, name))
    return held[name]


def _load_opencv() -> Any:
    advice = "pip install 'opencv-python-headless>=4.8,<5'"
    try:
        with _importing:
            import cv2
    except ImportError:
        raise LabError(f"finding faces needs OpenCV, which is not installed: {advice}") from None
    folder = getattr(getattr(cv2, "data", None), "haarcascades", "")
    if not (
        hasattr(cv2, "CascadeClassifier") and os.path.isfile(os.path.join(folder, _FRONTAL[0]))
    ):
        raise LabError(
            f"OpenCV {cv2.__version__} comes without the cascades that find faces: {advice}"
        )
    return cv2
