"""The one inference path: files in, verdicts out. The command line, Python and servers all go through here."""

from __future__ import annotations

import glob
import math
import os
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fauxlab.data.files import SEPARATOR, FileReader, show, walk_images, zip_images
from fauxlab.data.images import ImageError, decode, to_square
from fauxlab.errors import LabError
from fauxlab.evaluation.detection import check_pipeline
from fauxlab.models import open_detector
from fauxlab.records import Verdict

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fauxlab.models.card import AnyDetector

    Decoded = tuple[NDArray[np.uint8], int, int]

BATCH = 32  # pictures in memory at once; large ones are decoded one a worker


class Scanner:
    """Judges pictures with one detector.

    >>> scanner = Scanner.from_pretrained("runs/latest/best")  # doctest: +SKIP
    >>> scanner("photo.jpg").label  # doctest: +SKIP
    'fake'
    """

    def __init__(self, detector: AnyDetector) -> None:
        check_pipeline(detector)
        self.detector = detector

    @classmethod
    def from_pretrained(cls, model: str | Path) -> Scanner:
        """A scanner for a model, as `open_detector` finds it. Raises LabError as it does, and on another pipeline's."""
        return cls(open_detector(model))

    def __call__(self, path: str | Path) -> Verdict:
        """The verdict on one picture; one that cannot be read gets status "error"."""
        return next(self.scan([str(path)]))

    def scan(self, paths: Iterable[str]) -> Iterator[Verdict]:
        """One verdict a path, in order, in constant memory."""
        stream = iter(paths)
        with FileReader() as reader, ThreadPoolExecutor(os.cpu_count()) as pool:

            def load(path: str) -> Decoded | ImageError:
                try:
                    image = decode(reader.read(path))
                    return to_square(image, self.detector.size), image.width, image.height
                except ImageError as error:
                    return error

            while batch := list(islice(stream, BATCH)):
                yield from self._judge(batch, list(pool.map(load, batch)))

    def _judge(self, paths: list[str], loaded: list[Decoded | ImageError]) -> Iterator[Verdict]:
        good = [item[0] for item in loaded if not isinstance(item, ImageError)]
        scores = iter(self._scores(np.stack(good)) if good else [])
        for path, item in zip(paths, loaded, strict=True):
            score = math.nan if isinstance(item, ImageError) else next(scores)
            if isinstance(item, ImageError) or not math.isfinite(score):
                message = str(item) if isinstance(item, ImageError) else "the model gives no finite score for it"
                yield Verdict(path=show(path), status="error", message=message, model_hash=self.detector.hash)
                continue
            label, uncertain = self.detector.decide(score)
            yield Verdict(
                path=show(path),
                status="ok",
                label=label,
                uncertain=uncertain,
                score=score,
                calibrated=self.detector.config.calibration is not None,
                threshold=self.detector.config.threshold,
                width=item[1],
                height=item[2],
                model_hash=self.detector.hash,
            )

    def _scores(self, pixels: NDArray[np.uint8]) -> list[float]:
        scores: list[float] = self.detector.scores(self.detector.judge(pixels).logits).tolist()
        return scores


def expand_paths(arguments: Iterable[str]) -> Iterator[str]:
    """The pictures that the arguments name: files, `archive.zip!/member`, folders, zips, and glob patterns.

    A path that leads nowhere, a pattern that matches nothing and a damaged zip are passed on, so that they are reported
    in their place.
    """
    for argument in arguments:
        # os.path, not Path: it takes what cannot be asked (no permission, a name too long) for what is not there.
        if os.path.isdir(argument):
            yield from map(str, walk_images(Path(argument)))
        elif argument.lower().endswith(".zip") and os.path.isfile(argument):
            try:
                members = zip_images(Path(argument))
            except LabError:
                members = [""]  # opening it again will say why
            yield from (f"{argument}{SEPARATOR}{member}" for member in members)
        elif (
            glob.has_magic(argument)
            and not os.path.lexists(argument)
            and (matches := sorted(glob.iglob(argument, recursive=True)))
        ):
            yield from expand_paths(matches)
        else:
            yield argument
