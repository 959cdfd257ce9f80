"""The one inference path: files in, verdicts out.

The command line, Python and servers all go through `Scanner`.
"""

from __future__ import annotations

import math
import os
from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np

from fauxlab.bundle.decision import can_tell, decide, has_colours, sharp_enough
from fauxlab.bundle.detector import check_pipeline
from fauxlab.bundle.opening import DEFAULT_MODEL, open_detector
from fauxlab.errors import LabError
from fauxlab.io.images import decode, to_square
from fauxlab.io.limits import ImageError
from fauxlab.io.sharpness import measure_sharpness
from fauxlab.io.sources import FileReader
from fauxlab.io.text import printable
from fauxlab.io.tint import measure_tint
from fauxlab.records import Box, Verdict
from fauxlab.scan.explain import Explained
from fauxlab.scan.faces import Face, crop_face, survey_faces

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL import Image

    from fauxlab.bundle.config import DetectorConfig
    from fauxlab.bundle.detector import AnyDetector

    Fields = dict[str, object]  # of a verdict
    Pixels = NDArray[np.uint8]

BLURRED = "too blurred or too small"
TINTED = "nearly one colour, as of a sepia filter"
NOT_FINITE = "the model gives no finite score for it"
# Pictures in a batch. Two batches are in memory at once.
BATCH = 32
Crop = Literal["face", "none"]


class _Cut(NamedTuple):
    """A crop uint8 [3, size, size], and the face's box in the picture if it was looked for."""

    pixels: Pixels
    box: Box | None


@dataclass(frozen=True)
class _Loaded:
    """A picture's upright size, and the crops of it that get a verdict."""

    width: int
    height: int
    cuts: list[_Cut]
    left_out: int = 0  # places that were not looked at


class _Read(NamedTuple):
    """A path, and the picture there or the reason why there is none."""

    path: str
    result: _Loaded | ImageError

    @property
    def cuts(self) -> list[_Cut]:
        """The crops that get a verdict; none of a file that could not be read."""
        if isinstance(self.result, ImageError):
            return []
        return self.result.cuts


class _Scored(NamedTuple):
    """The detector's answer on one crop: fields of a verdict, and the activation map if any."""

    fields: Fields
    activation_map: NDArray[np.float32] | None


class Scanner:
    """Gives verdicts on the faces in pictures, with one detector.

    With `crop="face"` every face that is found in a picture gets a verdict, framed as the
    detector's training pictures are. With "none" pictures are taken as faces that are cropped
    already.

    >>> scanner = Scanner.from_pretrained()  # the detector that comes with the package
    >>> scanner("no-such-photo.jpg").decision
    'error'
    """

    def __init__(self, detector: AnyDetector, crop: Crop = "face") -> None:
        if crop not in ("face", "none"):
            raise LabError(f"crop {crop!r}: one of face, none")
        check_pipeline(detector)
        self.detector = detector
        self.crop = crop

    @classmethod
    def from_pretrained(cls, model: str | Path = DEFAULT_MODEL, crop: Crop = "face") -> Scanner:
        """A scanner for a model, which is named or found as by `open_detector`.

        Raises LabError as `open_detector` does, and where the model learned from pictures that
        were prepared in another way.
        """
        return cls(open_detector(model), crop)

    def __call__(self, path: str | Path) -> Verdict:
        """The verdict on one picture's largest face.

        `scan` gives the verdicts on all its faces.
        """
        verdicts = self.scan([str(path)])
        return next(verdicts)

    def scan(self, paths: Iterable[str]) -> Iterator[Verdict]:
        """The verdicts on pictures, in their order, in constant memory.

        There is one verdict a face, the largest face first. A picture in which no face is found
        gets one of status "no face", a file that cannot be read one of status "error".
        """
        return (explained.verdict for explained in self.explain(paths))

    def explain(self, paths: Iterable[str]) -> Generator[Explained, None, None]:
        """As `scan`, each verdict with the crop that it is on and its class activation map."""
        waiting = iter(paths)
        with FileReader() as reader, _workers() as pool:

            def start_batch() -> list[Future[_Read]]:
                """Begin to read the next pictures."""
                started = []
                for path in islice(waiting, BATCH):
                    started.append(pool.submit(self._read, reader, path))
                return started

            batch = start_batch()
            while batch:
                # The next batch is read and decoded while this one goes through the detector.
                following = start_batch()
                pictures = [future.result() for future in batch]
                yield from self._score_batch(pictures)
                batch = following

    def _read(self, reader: FileReader, path: str) -> _Read:
        try:
            data = reader.read(path)
            image = decode(data)
        except ImageError as error:
            return _Read(path, error)
        return _Read(path, self._cut(image))

    def _cut(self, image: Image.Image) -> _Loaded:
        """The crops of a picture that get a verdict."""
        size = self.detector.size
        if self.crop == "none":
            square = to_square(image, size)
            whole = _Cut(square, None)
            return _Loaded(image.width, image.height, [whole])
        faces, left_out, _ = survey_faces(image)
        cuts = []
        for face in faces:
            crop = crop_face(image, face)
            square = to_square(crop, size)
            cut = _Cut(square, _box(face))
            cuts.append(cut)
        return _Loaded(image.width, image.height, cuts, left_out)

    def _score_batch(self, batch: list[_Read]) -> Iterator[Explained]:
        """The verdicts on a batch, whose crops go through the detector together."""
        crops = [cut.pixels for read in batch for cut in read.cuts]
        answers = self._score_crops(crops)
        for path, result in batch:
            fields: Fields = {
                "path": printable(path),
                "model_hash": self.detector.hash,
            }
            if isinstance(result, ImageError):
                fields |= {"status": "error", "message": str(result)}
                yield Explained(Verdict.model_validate(fields))
            else:
                yield from _verdicts_of_picture(fields, result, answers)

    def _score_crops(self, crops: list[Pixels]) -> Iterator[_Scored]:
        for start in range(0, len(crops), BATCH):
            part = crops[start : start + BATCH]
            prediction = self.detector.predict(np.stack(part))
            scores = self.detector.scores(prediction.logits).tolist()
            maps = prediction.activation_maps
            distances = prediction.ood_distances.tolist()
            for crop, score, activation_map, distance in zip(
                part, scores, maps, distances, strict=True
            ):
                if _is_finite(score, activation_map):
                    fields = self._decide(crop, score, distance)
                    yield _Scored(fields, activation_map)
                else:
                    fields = {"status": "error", "message": NOT_FINITE}
                    yield _Scored(fields, None)

    def _decide(self, crop: Pixels, score: float, distance: float) -> Fields:
        """The fields of a verdict on a crop with this score and out-of-distribution distance."""
        config = self.detector.config
        sharpness = measure_sharpness(crop)
        tint = measure_tint(crop)
        label, uncertain = decide(config, score)
        return {
            "status": "ok",
            "label": label,
            "uncertain": uncertain,
            # Blur and tint count here, too: such pictures are unlike those of the fit in their way.
            "ood": not can_tell(config, distance, sharpness, tint),
            "message": _why_not(config, sharpness, tint),
            "score": score,
            "calibrated": config.calibration is not None,
            "threshold": config.threshold,
        }


def _why_not(config: DetectorConfig, sharpness: float, tint: float) -> str | None:
    """Why a crop gets no verdict, where it can be said in a few words."""
    if not sharp_enough(config, sharpness):
        return BLURRED
    if not has_colours(config, tint):
        return TINTED
    return None


def _verdicts_of_picture(
    fields: Fields, loaded: _Loaded, answers: Iterator[_Scored]
) -> Iterator[Explained]:
    """The verdicts on a picture: each of its crops takes the next of the answers."""
    fields["width"] = loaded.width
    fields["height"] = loaded.height
    fields["left_out"] = loaded.left_out
    if not loaded.cuts:
        fields["status"] = "no face"
        yield Explained(Verdict.model_validate(fields))
    first = True
    for crop, box in loaded.cuts:
        answer = next(answers)
        all_fields = fields | answer.fields
        all_fields["face"] = box
        verdict = Verdict.model_validate(all_fields)
        yield Explained(verdict, crop, answer.activation_map, first)
        first = False


def _is_finite(score: float, activation_map: NDArray[np.float32]) -> bool:
    if not math.isfinite(score):
        return False
    is_finite = np.isfinite(activation_map)
    return bool(is_finite.all())


def _box(face: Face) -> Box:
    right = face.left + face.side
    bottom = face.top + face.side
    return face.left, face.top, right, bottom


@contextmanager
def _workers() -> Iterator[ThreadPoolExecutor]:
    """A thread a core. Whoever leaves early waits for what is being read, and for nothing more."""
    pool = ThreadPoolExecutor(os.cpu_count())
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)
