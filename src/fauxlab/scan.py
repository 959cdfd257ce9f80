"""The one inference path: files in, verdicts out. The command line, Python and servers all go through here."""

from __future__ import annotations

import glob
import math
import os
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from fauxlab.data.faces import crop_face, survey_faces
from fauxlab.data.files import SEPARATOR, FileReader, show, walk_images, zip_images
from fauxlab.data.images import decode, to_square
from fauxlab.data.limits import ImageError
from fauxlab.errors import LabError
from fauxlab.evaluation.detection import check_pipeline
from fauxlab.evaluation.typicality import measure_detail
from fauxlab.models import DEFAULT_MODEL, open_detector
from fauxlab.records import Box, Verdict
from fauxlab.report.explain import Exhibit

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fauxlab.models.config import AnyDetector

    Pixels = NDArray[np.uint8]

BLURRED = "too blurred or too small"
BATCH = 32  # pictures in memory at once, twice; large ones are decoded one a worker
Crop = Literal["face", "none"]


@dataclass(frozen=True)
class _Loaded:
    """A picture's upright size, and what of it is to be judged: squares uint8 [3, size, size], and where they stand."""

    width: int
    height: int
    squares: list[Pixels]
    boxes: list[Box | None]
    left_out: int = 0  # places that were not looked at


class Scanner:
    """Judges the faces in pictures with one detector.

    With `crop="face"` every face that is found in a picture is judged, framed as the detector's training pictures are;
    with "none" pictures are taken as faces that are cropped already.

    >>> scanner = Scanner.from_pretrained()  # doctest: +SKIP
    >>> scanner("photo.jpg").label  # doctest: +SKIP
    'fake'
    """

    def __init__(self, detector: AnyDetector, crop: Crop = "face") -> None:
        if crop not in ("face", "none"):
            raise LabError(f"crop {crop!r}: one of face, none")
        check_pipeline(detector)
        self.detector = detector
        self.crop = crop

    @classmethod
    def from_pretrained(cls, model: str | Path = DEFAULT_MODEL, crop: Crop = "face") -> Scanner:
        """A scanner for a model, as `open_detector` finds it. Raises LabError as it does, and on another pipeline's."""
        return cls(open_detector(model), crop)

    def __call__(self, path: str | Path) -> Verdict:
        """The verdict on one picture's largest face; `scan` tells of all."""
        return next(self.scan([str(path)]))

    def scan(self, paths: Iterable[str]) -> Iterator[Verdict]:
        """The verdicts on the pictures, in order, in constant memory: one a face, the largest first, or one a picture.

        A picture in which no face is found gets one verdict of status "no face", one that cannot be read "error".
        """
        return (exhibit.verdict for exhibit in self.examine(paths))

    def examine(self, paths: Iterable[str]) -> Iterator[Exhibit]:
        """As `scan`, each verdict with the square that was judged, and the evidence for it."""
        stream = iter(paths)
        with FileReader() as reader, _workers() as pool:

            def load(path: str) -> _Loaded | ImageError:
                try:
                    image = decode(reader.read(path))
                except ImageError as error:
                    return error
                size = self.detector.size
                if self.crop == "none":
                    return _Loaded(image.width, image.height, [to_square(image, size)], [None])
                faces, left_out = survey_faces(image)
                squares = [to_square(crop_face(image, face), size) for face in faces]
                boxes: list[Box | None] = [(f.left, f.top, f.left + f.side, f.top + f.side) for f in faces]
                return _Loaded(image.width, image.height, squares, boxes, left_out)

            def start() -> list[tuple[str, Future[_Loaded | ImageError]]]:
                return [(path, pool.submit(load, path)) for path in islice(stream, BATCH)]

            batch = start()
            while batch:
                ahead = start()  # read and decoded while this batch is judged
                yield from self._judge([(path, future.result()) for path, future in batch])
                batch = ahead

    def _judge(self, batch: list[tuple[str, _Loaded | ImageError]]) -> Iterator[Exhibit]:
        squares = [square for _, item in batch if isinstance(item, _Loaded) for square in item.squares]
        judged = self._exhibits(squares)
        for path, item in batch:
            base = Verdict(path=show(path), status="error", model_hash=self.detector.hash)
            if isinstance(item, ImageError):
                yield Exhibit(base.model_copy(update={"message": str(item)}))
                continue
            base = base.model_copy(update={"width": item.width, "height": item.height, "left_out": item.left_out})
            if not item.squares:
                yield Exhibit(base.model_copy(update={"status": "no face"}))
            for box in item.boxes:
                fields, square, evidence = next(judged)
                verdict = Verdict.model_validate({**base.model_dump(), "face": box, **fields})
                yield Exhibit(verdict, square, evidence)

    def _exhibits(
        self, squares: list[Pixels]
    ) -> Iterator[tuple[dict[str, object], Pixels, NDArray[np.float32] | None]]:
        """What each square's verdict says, the square, and the evidence where there is a score."""
        config = self.detector.config
        for start in range(0, len(squares), BATCH):
            part = squares[start : start + BATCH]
            found = self.detector.judge(np.stack(part))
            scores = self.detector.scores(found.logits).tolist()
            for square, score, evidence, distance in zip(part, scores, found.evidence, found.distance, strict=True):
                if not (math.isfinite(score) and np.isfinite(evidence).all()):
                    yield {"message": "the model gives no finite score for it"}, square, None
                    continue
                label, uncertain = config.decide(score)
                detail = measure_detail(square)
                yield (
                    {
                        "status": "ok",
                        "label": label,
                        "uncertain": uncertain,
                        "atypical": not config.can_judge(float(distance), detail),
                        "message": None if config.sharp(detail) else BLURRED,
                        "score": score,
                        "calibrated": config.calibration is not None,
                        "threshold": config.threshold,
                    },
                    square,
                    evidence,
                )


@contextmanager
def _workers() -> Iterator[ThreadPoolExecutor]:
    """A thread a core; whoever leaves early waits for what is being read, and not for what was to come."""
    pool = ThreadPoolExecutor(os.cpu_count())
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)


def expand_paths(arguments: Iterable[str]) -> Iterator[str]:
    """The pictures that the arguments name: files, `archive.zip!/member`, folders, zips in them too, glob patterns.

    A path that leads nowhere, a pattern that matches nothing and a damaged zip are passed on, so that they are reported
    in their place.
    """
    for argument in arguments:
        # os.path, not Path: it takes what cannot be asked (no permission, a name too long) for what is not there.
        if os.path.isdir(argument):
            for path in map(str, walk_images(Path(argument), (".zip",))):
                yield from _members(path) if _is_zip(path) else (path,)
        elif _is_zip(argument):
            yield from _members(argument)
        elif (
            glob.has_magic(argument)
            and not os.path.lexists(argument)
            and (matches := sorted(glob.iglob(argument, recursive=True), key=lambda match: match.split(os.sep)))
        ):
            yield from expand_paths(_outermost(matches))
        else:
            yield argument


def _outermost(matches: Iterable[str]) -> Iterator[str]:
    """Without what lies in a matched folder, which is gone through as a whole; sorted, as `**` may match both."""
    folder = None
    for match in matches:
        if folder is None or not match.startswith(folder):
            folder = os.path.join(match, "") if os.path.isdir(match) else None
            yield match


def _is_zip(path: str) -> bool:
    return path.lower().endswith(".zip") and os.path.isfile(path)


def _members(archive: str) -> Iterator[str]:
    try:
        members = zip_images(Path(archive))
    except LabError:
        members = [""]  # opening it again will say why
    return (f"{archive}{SEPARATOR}{member}" for member in members)
