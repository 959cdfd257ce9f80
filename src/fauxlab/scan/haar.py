"""The face finder: OpenCV's Haar cascades, asked twice.

Two cascades for frontal faces (Viola and Jones, 2001; Lienhart et al., 2003; weights trained by
OpenCV) first look quickly at the whole picture. Each window that they take for a face is a
proposal. Then they look closely at each proposal, brought to one size, and the windows that agree
on the face are counted. This count tells faces from leaves, which the cascades' own weights do not,
and it means the same for faces of every size.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from fauxlab.errors import LabError
from fauxlab.scan.windows import NONE, Neighbours, group_windows, inside_any

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fauxlab.scan.windows import Square, Squares

    Grey = NDArray[np.uint8]  # [H, W]

# Windows that must agree on a face. Chosen as the framing in faces.py, and on pieces of two
# photographs without a face: 1 of 600 pieces has as many. Of frontal faces 0 to 2.5 % have fewer,
# in video 6 to 9 %.
ENOUGH = 14
# The same for profiles; finds about a third of the faces that the frontal cascades miss.
ENOUGH_PROFILE = 10

# Sides are in pixels of the picture that is searched.
SMALLEST = 24  # of a face
VIEW = 96  # a proposal with as much around it is brought to this size
CLOSE_UP = 0.4  # a face's side per picture's shorter side: faces above it are close-ups
# Close-ups are looked for on a small copy, with a border that repeats the edge: the cascades need
# room around a face, which tight crops do not have.
CLOSE = 120  # the copy's shorter side, unless its longer side would exceed CLOSE_LONGEST
CLOSE_LONGEST = 480
BORDER = 0.2  # of the copy's shorter side

MOST = 256  # faces that are looked for; a look at one takes tens of milliseconds
IN_VAIN = 64  # looks at proposals that were no face: bounds the time for a picture without faces

_FRONTAL = ("haarcascade_frontalface_alt2.xml", "haarcascade_frontalface_alt.xml")
_PROFILE = ("haarcascade_profileface.xml",)
_ADVICE = "pip install 'opencv-python-headless>=4.8,<5'"
_cascades = threading.local()
# OpenCV replaces its own module while it loads, and a second thread would see it half made.
_importing = threading.Lock()


class Candidate(NamedTuple):
    """A square [3] (middle and side) on which so many windows agree."""

    square: Square
    windows: int


class Search(NamedTuple):
    """The faces that were found, and how many proposals were not looked at."""

    candidates: list[Candidate]
    left_out: int


def search_faces(grey: Grey) -> Search:
    """The faces of a grey picture [H, W], without overlaps, the surest first.

    Profiles are looked for only where no frontal face is found. Raises LabError where OpenCV or its
    cascades are missing.
    """
    with _single_thread.use():
        candidates, left_out = _search(grey, _FRONTAL, ENOUGH)
        if not candidates:
            candidates, passed = _search_profiles(grey)
            left_out += passed
    return Search(_without_overlaps(candidates), left_out)


def _search_profiles(grey: Grey) -> Search:
    """Profiles that look to either side, though the cascade knows one side only."""
    _, width = grey.shape
    mirrored = np.ascontiguousarray(grey[:, ::-1])
    one_side = _search(grey, _PROFILE, ENOUGH_PROFILE)
    other_side = _search(mirrored, _PROFILE, ENOUGH_PROFILE)
    candidates = list(one_side.candidates)
    for (x, y, side), windows in other_side.candidates:
        square = np.array([width - x, y, side])
        candidates.append(Candidate(square, windows))
    left_out = one_side.left_out + other_side.left_out
    return Search(candidates, left_out)


def _search(grey: Grey, cascades: tuple[str, ...], enough: int) -> Search:
    """The squares on which at least `enough` windows agree.

    Ends at MOST squares, and each of the two ways to propose at IN_VAIN looks without one.
    """
    candidates: list[Candidate] = []
    squares = NONE
    left_out = 0
    for propose in (_propose_close_ups, _propose):
        in_vain = 0
        windows = propose(grey, cascades[0])
        for proposal in group_windows(windows):
            if inside_any(proposal, squares):
                continue
            if len(candidates) >= MOST or in_vain >= IN_VAIN:
                left_out += 1
                continue
            candidate = _look_closer(grey, proposal, cascades)
            if candidate.windows < enough:
                in_vain += 1
                continue
            squares = np.vstack([squares, candidate.square])
            candidates.append(candidate)
    return Search(candidates, left_out)


def _propose(grey: Grey, cascade: str) -> Squares:
    """Windows of all faces that are no close-ups."""
    shorter = min(grey.shape)
    largest = int(1.2 * CLOSE_UP * shorter)
    return _windows(cascade, grey, SMALLEST, largest, 1.2)


def _propose_close_ups(grey: Grey, cascade: str) -> Squares:
    """Windows of faces that fill much of the picture."""
    cv2 = _load_opencv()
    height, width = grey.shape
    shorter_scale = CLOSE / min(height, width)
    longer_scale = CLOSE_LONGEST / max(height, width)
    scale = min(shorter_scale, longer_scale)
    small_width = max(1, round(width * scale))
    small_height = max(1, round(height * scale))
    small = _resize(grey, (small_width, small_height), scale)
    shorter = min(small.shape)
    border = int(BORDER * shorter)
    sides = (border, border, border, border)
    padded = cv2.copyMakeBorder(small, *sides, cv2.BORDER_REPLICATE)
    smallest = int(CLOSE_UP * shorter)
    largest = min(padded.shape)
    squares = _windows(cascade, padded, smallest, largest, 1.1)
    shift = np.array([border, border, 0])
    unpadded = squares - shift
    return np.asarray(unpadded / scale)


def _look_closer(grey: Grey, proposal: Square, cascades: tuple[str, ...]) -> Candidate:
    """The square near a proposal on which most windows agree; every cascade must see a face."""
    across, down, side = proposal
    reach = max(1, round(side))
    left = round(across) - reach
    top = round(down) - reach
    scale = VIEW / (2 * reach)
    cut = _cut(grey, left, top, 2 * reach)
    view = _resize(cut, (VIEW, VIEW), scale)
    smallest = int(0.36 * VIEW)
    largest = int(0.66 * VIEW)
    windows = NONE
    for cascade in cascades:
        seen = _windows(cascade, view, smallest, largest, 1.05)
        if not len(seen):
            return Candidate(proposal, 0)
        windows = np.concatenate([windows, seen])
    neighbours = Neighbours(windows)
    counts = neighbours.count()
    best = int(counts.argmax())
    agreeing = neighbours.of(best)
    mean = windows[agreeing].mean(axis=0)
    shift = np.array([left, top, 0])
    square = mean / scale + shift
    return Candidate(square, len(agreeing))


def _cut(grey: Grey, left: int, top: int, side: int) -> Grey:
    """A square of the picture. Beyond the picture its edge is repeated."""
    height, width = grey.shape
    rows = np.arange(top, top + side)
    rows = np.clip(rows, 0, height - 1)
    columns = np.arange(left, left + side)
    columns = np.clip(columns, 0, width - 1)
    return grey[np.ix_(rows, columns)]


def _resize(grey: Grey, size: tuple[int, int], scale: float) -> Grey:
    cv2 = _load_opencv()
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    resized: Grey = cv2.resize(grey, size, interpolation=method)
    return resized


def _windows(cascade: str, grey: Grey, smallest: int, largest: int, step: float) -> Squares:
    """Every window that a cascade takes for a face, its sides from `smallest` to `largest`."""
    if largest < max(smallest, SMALLEST):
        return NONE
    least = (smallest, smallest)
    most = (largest, largest)
    classifier = _load_cascade(cascade)
    boxes = classifier.detectMultiScale(grey, step, 0, 0, least, most)
    numbers = np.asarray(boxes, dtype=np.float64).reshape(-1, 4)
    left, top, side, _ = numbers.T
    across = left + side / 2
    down = top + side / 2
    return np.column_stack([across, down, side])


def _without_overlaps(candidates: list[Candidate]) -> list[Candidate]:
    """The surest of the candidates that stand in each other's place."""
    best: list[Candidate] = []
    squares = NONE
    for candidate in sorted(candidates, key=_surest_first):
        if not inside_any(candidate.square, squares):
            best.append(candidate)
            squares = np.vstack([squares, candidate.square])
    return best


def _surest_first(candidate: Candidate) -> int:
    return -candidate.windows


# --- OpenCV


class _SingleThread:
    """Keeps OpenCV to one thread while faces are looked for, and then restores its own number.

    Pictures are looked at side by side already, and with more threads a cascade gives its windows
    in another order each time. OpenCV knows one number for the whole process, so the first to come
    sets it and the last to leave restores it.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._users = 0
        self._number_before = 0

    @contextmanager
    def use(self) -> Iterator[None]:
        cv2 = _load_opencv()
        with self._lock:
            if self._users == 0:
                self._number_before = cv2.getNumThreads()
                cv2.setNumThreads(1)
            self._users += 1
        try:
            yield
        finally:
            with self._lock:
                self._users -= 1
                if self._users == 0:
                    cv2.setNumThreads(self._number_before)


_single_thread = _SingleThread()


def _load_cascade(name: str) -> Any:
    """This thread's own classifier: two threads may not use one at the same time."""
    own: dict[str, Any] = _cascades.__dict__
    if name not in own:
        cv2 = _load_opencv()
        path = os.path.join(cv2.data.haarcascades, name)
        own[name] = cv2.CascadeClassifier(path)
    return own[name]


def _load_opencv() -> Any:
    try:
        with _importing:
            import cv2
    except ImportError:
        raise LabError(f"finding faces needs OpenCV, which is not installed: {_ADVICE}") from None
    data = getattr(cv2, "data", None)
    folder = getattr(data, "haarcascades", "")
    cascade = os.path.join(folder, _FRONTAL[0])
    has_classifier = hasattr(cv2, "CascadeClassifier")
    if not has_classifier or not os.path.isfile(cascade):
        raise LabError(
            f"OpenCV {cv2.__version__} comes without the cascades that find faces: {_ADVICE}"
        )
    return cv2
