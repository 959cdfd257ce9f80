"""The one inference path: files in, verdicts out. The command line, Python and servers all go
through here.
"""

from __future__ import annotations

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

from fauxlab.bundle.detector import check_pipeline
from fauxlab.bundle.opening import DEFAULT_MODEL, open_detector
from fauxlab.errors import LabError
from fauxlab.io.images import decode, to_square
from fauxlab.io.limits import ImageError
from fauxlab.io.sharpness import measure_sharpness
from fauxlab.io.sources import FileReader
from fauxlab.io.text import printable
from fauxlab.records import Box, Verdict
from fauxlab.scan.explain import Explained
from fauxlab.scan.faces import crop_face, survey_faces

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fauxlab.bundle.detector import AnyDetector

    Pixels = NDArray[np.uint8]

BLURRED = "too blurred or too small"
BATCH = 32  # pictures in memory at once, twice; large ones are decoded one a worker
Crop = Literal["face", "none"]


@dataclass(frozen=True)
class _Loaded:
    """A picture's upright size, and what of it is to be judged: squares uint8 [3, size, size], and
    where they stand.
    """

    width: int
    height: int
    squares: list[Pixels]
    boxes: list[Box | None]
    left_out: int = 0  # places that were not looked at


class Scanner:
    """Judges the faces in pictures with one detector.

    With `crop="face"` every face that is found in a picture is judged, framed as the detector's
    training pictures are; with "none" pictures are taken as faces that are cropped already.

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
        """A scanner for a model, as `open_detector` finds it. Raises LabError as it does, and on
        another pipeline's.
        """
        return cls(open_detector(model), crop)

    def __call__(self, path: str | Path) -> Verdict:
        """The verdict on one picture's largest face; `scan` tells of all."""
        return next(self.scan([str(path)]))

    def scan(self, paths: Iterable[str]) -> Iterator[Verdict]:
        """The verdicts on the pictures, in order, in constant memory: one a face, the largest
        first, or one a picture.

        A picture in which no face is found gets one verdict of status "no face", one that cannot be
        read "error".
        """
        return (explained.verdict for explained in self.explain(paths))

    def explain(self, paths: Iterable[str]) -> Iterator[Explained]:
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
                boxes: list[Box | None] = [
                    (f.left, f.top, f.left + f.side, f.top + f.side) for f in faces
                ]
                return _Loaded(image.width, image.height, squares, boxes, left_out)

            def start() -> list[tuple[str, Future[_Loaded | ImageError]]]:
                return [(path, pool.submit(load, path)) for path in islice(stream, BATCH)]

            batch = start()
            while batch:
                ahead = start()  # read and decoded while this batch is judged
                yield from self._judge([(path, future.result()) for path, future in batch])
                batch = ahead

    def _judge(self, batch: list[tuple[str, _Loaded | ImageError]]) -> Iterator[Explained]:
        squares = [
            square for _, item in batch if isinstance(item, _Loaded) for square in item.squares
        ]
        judged = self._explain_crops(squares)
        for path, item in batch:
            base = Verdict(path=printable(path), status="error", model_hash=self.detector.hash)
            if isinstance(item, ImageError):
                yield Explained(base.model_copy(update={"message": str(item)}))
                continue
            base = base.model_copy(
                update={"width": item.width, "height": item.height, "left_out": item.left_out}
            )
            if not item.squares:
                yield Explained(base.model_copy(update={"status": "no face"}))
            for box in item.boxes:
                fields, square, evidence = next(judged)
                verdict = Verdict.model_validate({**base.model_dump(), "face": box, **fields})
                yield Explained(verdict, square, evidence)

    def _explain_crops(
        self, squares: list[Pixels]
    ) -> Iterator[tuple[dict[str, object], Pixels, NDArray[np.float32] | None]]:
        """What each square's verdict says, the square, and the evidence where there is a score."""
        config = self.detector.config
        for start in range(0, len(squares), BATCH):
            part = squares[start : start + BATCH]
            found = self.detector.predict(np.stack(part))
            scores = self.detector.scores(found.logits).tolist()
            for square, score, evidence, distance in zip(
                part, scores, found.activation_maps, found.ood_distances, strict=True
            ):
                if not (math.isfinite(score) and np.isfinite(evidence).all()):
                    yield {"message": "the model gives no finite score for it"}, square, None
                    continue
                label, uncertain = config.decide(score)
                detail = measure_sharpness(square)
                yield (
                    {
                        "status": "ok",
                        "label": label,
                        "uncertain": uncertain,
                        "ood": not config.can_tell(float(distance), detail),
                        "message": None if config.sharp_enough(detail) else BLURRED,
                        "score": score,
                        "calibrated": config.calibration is not None,
                        "threshold": config.threshold,
                    },
                    square,
                    evidence,
                )


@contextmanager
def _workers() -> Iterator[ThreadPoolExecutor]:
    """A thread a core; whoever leaves early waits for what is being read, and not for what was to
    come.
    """
    pool = ThreadPoolExecutor(os.cpu_count())
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)
