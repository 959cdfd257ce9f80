"""The one inference path: files in, verdicts out.

The command line, Python and servers all go through `Scanner`.
"""

from __future__ import annotations

import logging
import math
import operator
import time
from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import Future
from contextlib import closing
from itertools import chain, islice, repeat
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np

from fauxlab.bundle.decision import at_rate, decide, name_manipulation, why_cannot_tell
from fauxlab.bundle.detector import check_pipeline
from fauxlab.bundle.naming import describe_model, name_model
from fauxlab.bundle.opening import DEFAULT_MODEL, open_detector
from fauxlab.errors import LabError
from fauxlab.io.images import Frame, decode_frames
from fauxlab.io.limits import DEFAULT_LIMITS, MAX_FACES, ImageError, Limits
from fauxlab.io.sharpness import measure_sharpness
from fauxlab.io.sources import FileReader
from fauxlab.io.text import describe_error, printable
from fauxlab.io.tint import measure_tint
from fauxlab.records import Verdict
from fauxlab.scan.explain import Explained
from fauxlab.scan.inputs import Given, take, take_all
from fauxlab.scan.looking import Looked, look_for_faces, take_whole
from fauxlab.scan.verdicts import Answer, Fields, make_verdicts
from fauxlab.scan.workers import start_workers

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fauxlab.bundle.detector import AnyDetector
    from fauxlab.scan.inputs import Content, Input

    Pixels = NDArray[np.uint8]

NOT_FINITE = "the model gives no finite score for it"
# Pictures in a batch. Two batches are in memory at once.
BATCH = 32
# The first batches are smaller, so that the first verdicts come soon.
FIRST_BATCHES = (4, 8, 16)
LONGEST_TIMEOUT = 86_400  # a day; clocks of threads take no infinite time
Crop = Literal["face", "none"]

_logger = logging.getLogger(__name__)


class _Read(NamedTuple):
    """The name of a picture, and what it shows or the reason why it cannot be told."""

    name: str
    result: Looked | ImageError

    @property
    def scored(self) -> list[Pixels]:
        """The crops that the detector gets; none of a file that could not be read."""
        if isinstance(self.result, ImageError):
            return []
        return [cut.pixels for cut in self.result.cuts if cut.is_scored]


class Scanner:
    """Gives verdicts on the faces in pictures, with one detector.

    With `crop="face"` every face that is found in a picture gets a verdict, framed as the
    detector's training pictures are. With "none" pictures are taken as faces that are cropped
    already.

    A picture is a path, the bytes of a file, a file opened with "rb", a Pillow image (of any mode)
    or a NumPy array: uint8 [H, W, 3] RGB, [H, W, 4] RGBA or [H, W] grey. Anything else raises
    TypeError, an array of another shape ValueError. A picture that cannot be used gets a verdict of
    status "error". Of a Pillow image with several frames the present one is taken.

    A picture may have at most `max_pixels`. Decoding it may take `timeout` seconds; after that no
    further frame of it is begun. At most `max_faces` of its faces get a verdict.

    `rate` is one of the false-alarm rates that the detector states; None is its default. `config`
    is the detector's, with the threshold and the uncertain band of that rate. `name` is what the
    verdicts call the model, by default what its config does.

    Raises LabError on another `crop`, on a rate that the detector does not state, and on limits
    that are not positive.

    >>> scanner = Scanner.from_pretrained()  # the detector that comes with the package
    >>> scanner("no-such-photo.jpg").decision
    'error'
    >>> scanner(b"not a picture", name="upload").path
    'upload'
    """

    def __init__(
        self,
        detector: AnyDetector,
        crop: Crop = "face",
        *,
        max_pixels: int = DEFAULT_LIMITS.max_pixels,
        timeout: float = DEFAULT_LIMITS.timeout,
        max_faces: int = MAX_FACES,
        rate: float | None = None,
        name: str = "",
    ) -> None:
        if crop not in ("face", "none"):
            raise LabError(f"crop {crop!r}: one of face, none")
        if max_faces < 1:
            raise LabError(f"max_faces {max_faces}: a positive number")
        if timeout > LONGEST_TIMEOUT:
            raise LabError(f"timeout {timeout:g}: at most {LONGEST_TIMEOUT:,} seconds")
        check_pipeline(detector)
        self.detector = detector
        self.config = at_rate(detector.config, rate)
        self.crop = crop
        self.max_faces = operator.index(max_faces)
        self.name = name or name_model(detector.config)
        self.version = printable(detector.config.version) or None
        self._limits = Limits(int(max_pixels), timeout)

    @classmethod
    def from_pretrained(
        cls,
        model: str | Path = DEFAULT_MODEL,
        crop: Crop = "face",
        *,
        max_pixels: int = DEFAULT_LIMITS.max_pixels,
        timeout: float = DEFAULT_LIMITS.timeout,
        max_faces: int = MAX_FACES,
        trust: bool = False,
        rate: float | None = None,
    ) -> Scanner:
        """A scanner for a model, which is named, found and checked as by `open_detector`.

        Raises LabError as `open_detector` does, and where the model learned from pictures that
        were prepared in another way.
        """
        detector = open_detector(model, trust)
        return cls(
            detector,
            crop,
            max_pixels=max_pixels,
            timeout=timeout,
            max_faces=max_faces,
            rate=rate,
            name=name_model(detector.config, model),
        )

    @property
    def model(self) -> str:
        """The model's name, version and hash, in a line."""
        return describe_model(self.name, self.version, self.detector.hash)

    @property
    def max_pixels(self) -> int:
        """The most pixels that a picture may have."""
        return self._limits.max_pixels

    @property
    def timeout(self) -> float:
        """The most seconds that decoding a picture may take."""
        return self._limits.timeout

    def __call__(self, picture: Input, name: str | None = None) -> Verdict:
        """The verdict on one picture's largest face.

        `name` stands in the verdict as `path`, in place of the picture's own. `scan` gives the
        verdicts on all faces.
        """
        given = take(picture, self._limits, name)
        explained = next(self._explain(iter([given])))
        return explained.verdict

    def scan(self, pictures: Iterable[Input]) -> Iterator[Verdict]:
        """The verdicts on pictures, in their order, in constant memory.

        There is one verdict a face, the largest face first. A picture in which no face is found
        gets one of status "no face", one that cannot be read one of status "error". The pictures
        are asked for ahead of their verdicts, up to two batches of 32. Raises TypeError where one
        picture is given in place of a list.
        """
        explanations = self.explain(pictures)
        return (explained.verdict for explained in explanations)

    def explain(self, pictures: Iterable[Input]) -> Generator[Explained, None, None]:
        """As `scan`, each verdict with the crop that it is on and its class activation map."""
        return self._explain(take_all(pictures, self._limits))

    def _explain(self, waiting: Iterator[Given]) -> Generator[Explained, None, None]:
        with FileReader() as reader, start_workers() as workers:
            sizes = chain(FIRST_BATCHES, repeat(BATCH))

            def start_batch() -> list[Future[_Read]]:
                """Begin to read the next pictures."""
                started = []
                for given in islice(waiting, next(sizes)):
                    future = workers.pool.submit(self._read, reader, given, workers.stopping)
                    started.append(future)
                return started

            batch = start_batch()
            while batch:
                # The next batch is read and decoded while this one goes through the detector.
                following = start_batch()
                pictures = [future.result() for future in batch]
                yield from self._score_batch(pictures)
                batch = following

    def _read(self, reader: FileReader, given: Given, stopping: Event) -> _Read:
        """Read and decode a picture, and cut out what the detector gets."""
        frames = self._decode(reader, given.content)
        try:
            with closing(frames):
                return _Read(given.name, self._look(frames, stopping))
        except ImageError as error:
            # A new one: the first holds the functions that raised it, and with them the file.
            return _Read(given.name, ImageError(str(error)))
        except LabError:  # a part of the installation is missing
            raise
        except Exception as error:
            # One picture that breaks the face search must not end a scan of thousands.
            _logger.debug("cannot examine %s", given.name, exc_info=True)
            reason = describe_error(error)
            return _Read(given.name, ImageError(f"cannot be examined: {reason}"))

    def _look(self, frames: Iterator[Frame], stopping: Event) -> Looked:
        """What a picture shows. Raises ImageError where it cannot be read."""
        deadline = time.monotonic() + self.timeout

        def is_over() -> bool:
            return stopping.is_set() or time.monotonic() > deadline

        size = self.detector.size
        if self.crop == "none":
            return take_whole(frames, size)
        return look_for_faces(frames, size, self.max_faces, is_over)

    def _decode(self, reader: FileReader, content: Content) -> Generator[Frame, None, None]:
        if isinstance(content, ImageError):
            raise content
        if isinstance(content, str):
            content = reader.read(content)
        if isinstance(content, bytes):
            yield from decode_frames(content, self._limits)
        else:
            yield Frame(content, 0, 1)

    def _score_batch(self, batch: list[_Read]) -> Iterator[Explained]:
        """The verdicts on a batch, whose crops go through the detector together."""
        crops = [pixels for read in batch for pixels in read.scored]
        answers = self._score_crops(crops)
        for name, result in batch:
            fields: Fields = {
                "path": printable(name),
                "model": self.name,
                "model_version": self.version,
                "model_hash": self.detector.hash,
            }
            if isinstance(result, ImageError):
                fields |= {"status": "error", "message": printable(str(result))}
                yield Explained(Verdict.model_validate(fields))
            else:
                yield from make_verdicts(fields, result, answers)

    def _score_crops(self, crops: list[Pixels]) -> Iterator[Answer]:
        for start in range(0, len(crops), BATCH):
            part = crops[start : start + BATCH]
            try:
                yield from self._score_part(part)
            except Exception as error:
                # The runtime may fail, as for want of memory. Other batches can still be scored.
                _logger.debug("the detector failed", exc_info=True)
                message = f"the detector failed: {describe_error(error)}"
                failed = Answer({"status": "error", "message": message}, None)
                yield from [failed] * len(part)

    def _score_part(self, part: list[Pixels]) -> list[Answer]:
        """The detector's answers on at most BATCH crops."""
        prediction = self.detector.predict(np.stack(part))
        scores = self.detector.scores(prediction.logits).tolist()
        maps = prediction.activation_maps
        distances = prediction.ood_distances.tolist()
        answers = []
        for crop, score, activation_map, distance, head_logits in zip(
            part, scores, maps, distances, prediction.head_logits, strict=True
        ):
            if _is_finite(score, activation_map, head_logits):
                fields = self._decide(crop, score, distance)
                fields["manipulation"] = name_manipulation(self.detector.config, head_logits)
                answers.append(Answer(fields, activation_map))
            else:
                fields = {"status": "error", "message": NOT_FINITE}
                answers.append(Answer(fields, None))
        return answers

    def _decide(self, crop: Pixels, score: float, distance: float) -> Fields:
        """The fields of a verdict on a crop with this score and out-of-distribution distance."""
        config = self.config
        sharpness = measure_sharpness(crop)
        tint = measure_tint(crop)
        label, uncertain = decide(config, score)
        reason = why_cannot_tell(config, distance, sharpness, tint)
        return {
            "status": "ok",
            "label": label,
            "uncertain": uncertain,
            "ood": reason is not None,
            "message": reason,
            "score": score,
            "calibrated": config.calibration is not None,
            "threshold": config.threshold,
        }


def _is_finite(score: float, *outputs: NDArray[np.float32]) -> bool:
    if not math.isfinite(score):
        return False
    return all(np.isfinite(output).all() for output in outputs)
