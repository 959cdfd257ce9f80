"""The user's pictures: files → faces, each once, and several views of each."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import numpy as np

from fauxlab.data.split import near_duplicates
from fauxlab.errors import LabError
from fauxlab.io.images import fingerprint, to_picture
from fauxlab.io.text import printable
from fauxlab.scan.paths import expand_paths
from fauxlab.scan.scanner import Scanner
from fauxlab.transforms.filters import jpeg, resize

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fauxlab.bundle.detector import AnyDetector
    from fauxlab.io.passed_over import PassedOver

    Pixels = NDArray[np.uint8]
    Bools = NDArray[np.bool_]

FEWEST = 3
MOST = 500  # faces of one kind; more bring nothing, and take memory
BATCH = 32
QUALITY = 80  # of the JPEG view
SHRUNK = 0.7  # of its size, and back


@dataclass(frozen=True)
class Faces:
    """One face of each picture, the largest: paths [n], and pixels uint8 [n, 3, size, size].

    `skipped` are pictures without a usable face (path, reason), `copies` those that show the same
    as an earlier one (path, earlier path). `left_out` says whether there were more than MOST.
    """

    paths: list[str]
    pixels: Pixels
    skipped: list[tuple[str, str]] = field(default_factory=list)
    copies: list[tuple[str, str]] = field(default_factory=list)
    left_out: bool = False

    def __len__(self) -> int:
        return len(self.paths)

    def take(self, rows: Sequence[int]) -> Faces:
        """Some of the faces."""
        paths = [self.paths[row] for row in rows]
        pixels = self.pixels[list(rows)]
        return Faces(paths, pixels)


def find_faces(
    detector: AnyDetector,
    paths: Iterable[str],
    crop: Literal["face", "none"],
    passed_over: PassedOver | None = None,
) -> Faces:
    """The faces of the pictures that paths name, as a scan takes and finds them."""
    scanner = Scanner(detector, crop)
    names: list[str] = []
    crops: list[Pixels] = []
    skipped = []
    left_out = False
    for explained in scanner.explain(expand_paths(paths, passed_over)):
        verdict = explained.verdict
        if not explained.first:
            continue
        if len(crops) == MOST:
            left_out = True
            break
        if explained.picture is None or verdict.score is None:
            skipped.append((verdict.path, verdict.message or verdict.decision))
        else:
            names.append(verdict.path)
            crops.append(explained.picture)
    shape = (0, 3, detector.size, detector.size)
    pixels = np.stack(crops) if crops else np.zeros(shape, dtype=np.uint8)
    faces = Faces(names, pixels)
    kept, copies = _first_of_each(faces)
    taken = faces.take(kept)
    return Faces(taken.paths, taken.pixels, skipped, copies, left_out)


def check_examples(faces: Faces, what: str, fewest: int = FEWEST) -> None:
    """Raise LabError where there are too few different faces; `what` names them."""
    if len(faces) >= fewest:
        return
    if not len(faces) and faces.skipped:
        path, reason = faces.skipped[0]
        raise LabError(
            f"no face in {len(faces.skipped):,} picture(s) of {what}, the first {path}: {reason}; "
            "--crop none takes pictures as faces already cropped"
        )
    parts = [f"{len(faces)} face(s) in {what}, and it takes {fewest}"]
    if faces.copies:
        copy, first = faces.copies[0]
        parts.append(f"{len(faces.copies):,} more show the same, as {copy} and {first}")
    if faces.skipped:
        path, reason = faces.skipped[0]
        parts.append(f"{len(faces.skipped):,} could not be used, the first {path}: {reason}")
    raise LabError("; ".join([*parts, "give more pictures of different faces"]))


def refuse_shared(fakes: Faces, reals: Faces) -> None:
    """Raise LabError where a picture stands among the fakes and among the reals."""
    paths = fakes.paths + reals.paths
    pixels = np.concatenate([fakes.pixels, reals.pixels])
    _, copies = _first_of_each(Faces(paths, pixels))
    if copies:
        copy, first = copies[0]
        raise LabError(
            f"{printable(first)} and {printable(copy)} show the same picture, and one is given as "
            "fake, the other as real; take it out of one of the two"
        )


def _first_of_each(faces: Faces) -> tuple[list[int], list[tuple[str, str]]]:
    """Rows of faces of which no earlier one is a near-duplicate; the others with the earlier."""
    rows = []
    marks = []
    for row, picture in enumerate(faces.pixels):
        mark = fingerprint(to_picture(picture))
        # A face of too little contrast has none, and is no copy of any.
        if mark is not None:
            rows.append(row)
            marks.append(mark)
    first_of = list(range(len(faces)))
    if marks:
        pairs = near_duplicates(np.stack(marks))
        for one, other in sorted(pairs):
            both = {first_of[rows[one]], first_of[rows[other]]}
            first = min(both)
            first_of = [first if row in both else row for row in first_of]
    kept = []
    copies = []
    for row, first in enumerate(first_of):
        if row == first:
            kept.append(row)
        else:
            copies.append((faces.paths[row], faces.paths[first]))
    return kept, copies


def make_views(pixels: Pixels) -> list[Pixels]:
    """Views of faces uint8 [n, 3, size, size]: as they are, mirrored, recompressed, shrunk.

    The changes are mild: real photos have gone through as much.
    """
    mirrored = np.ascontiguousarray(pixels[:, :, :, ::-1])
    recompressed = np.stack([jpeg(picture, QUALITY) for picture in pixels])
    shrunk = np.stack([resize(picture, SHRUNK) for picture in pixels])
    return [pixels, mirrored, recompressed, shrunk]
