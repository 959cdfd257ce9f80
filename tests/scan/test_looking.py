"""Which frame of a picture and which of its faces get a verdict, and what is told of the others."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import pytest
from PIL import Image

from fauxlab.bundle.detector import AnyDetector
from fauxlab.io.images import Frame
from fauxlab.io.limits import ImageError
from fauxlab.scan.finding.faces import SMALLEST_JUDGED, Face, Found
from fauxlab.scan.scanner import Scanner

Levels = Sequence[int]
Film = Callable[..., None]


@pytest.fixture
def film(monkeypatch: pytest.MonkeyPatch) -> Film:
    """Makes every file an animation of grey frames, with faces in those of certain levels."""

    def make(
        levels: Levels, faces: dict[int, list[Face]], fault: str = "", coarse: bool = False
    ) -> None:
        def decode(data: bytes, limits: object) -> Iterator[Frame]:
            for number, level in enumerate(levels):
                if fault and number == len(levels) - 1:
                    raise ImageError(fault)
                yield Frame(Image.new("RGB", (200, 100), (level,) * 3), number, len(levels))

        def survey(image: Image.Image, most: int) -> Found:
            level = int(np.asarray(image)[0, 0, 0])
            found = faces.get(level, [])
            return Found(found[:most], len(found[most:]), coarse)

        monkeypatch.setattr("fauxlab.scan.scanner.decode_frames", decode)
        monkeypatch.setattr("fauxlab.scan.looking.survey_faces", survey)

    return make


LARGE = Face(10, 10, 64, 50.0, 90)
LEAST = Face(20, 20, SMALLEST_JUDGED, 20.0)
SMALL = Face(90, 30, SMALLEST_JUDGED - 1, 20.0)


def test_the_first_frame_with_a_face_is_used(brightness: AnyDetector, film: Film) -> None:
    film([0, 10, 200, 30], {200: [LARGE], 30: [LARGE]})
    (verdict,) = Scanner(brightness).scan([b"animation"])
    assert (verdict.frame, verdict.frames, verdict.decision) == (2, 4, "fake")
    assert (verdict.face, verdict.turned) == ((10, 10, 74, 74), 90)
    assert verdict.message is None


def test_no_face_in_any_frame_is_told_with_their_number(
    brightness: AnyDetector, film: Film
) -> None:
    film([0, 10, 20], {})
    verdict = Scanner(brightness)(b"animation")
    assert (verdict.status, verdict.frame, verdict.frames) == ("no face", None, 3)
    assert verdict.message == "3 of 3 frames looked at"
    film([0, 10, 20], {}, fault="damaged")
    verdict = Scanner(brightness)(b"animation")
    assert verdict.status == "no face"
    assert verdict.message == "2 of 3 frames looked at; the next one: damaged"
    film([0], {}, fault="damaged")
    verdict = Scanner(brightness)(b"animation")
    assert (verdict.status, verdict.message) == ("error", "damaged")


def test_no_frame_is_begun_when_the_time_is_over(brightness: AnyDetector, film: Film) -> None:
    film([0, 10, 200], {200: [LARGE]})
    verdict = Scanner(brightness, timeout=1e-9)(b"animation")
    assert verdict.message == "1 of 3 frames looked at"


def test_a_still_picture_has_no_frames(brightness: AnyDetector, film: Film) -> None:
    film([200], {200: [LARGE]})
    verdict = Scanner(brightness)(b"photo")
    assert (verdict.frame, verdict.frames, verdict.coarse) == (None, None, False)
    film([0], {})
    verdict = Scanner(brightness)(b"photo")
    assert (verdict.status, verdict.message, verdict.frames) == ("no face", None, None)


def test_cropped_faces_are_taken_from_the_first_frame(brightness: AnyDetector, film: Film) -> None:
    film([200, 0], {})
    verdict = Scanner(brightness, crop="none")(b"animation")
    assert (verdict.decision, verdict.frame, verdict.frames) == ("fake", 0, 2)


def test_a_face_too_small_for_a_score_is_a_row(brightness: AnyDetector, film: Film) -> None:
    film([200], {200: [LARGE, LEAST, SMALL]})
    large, least, small = Scanner(brightness).explain([b"photo"])
    assert brightness.seen == [2], "the detector does not get the small one"  # type: ignore[attr-defined]
    assert [row.verdict.decision for row in (large, least, small)] == [
        "fake",
        "fake",
        "cannot tell",
    ]
    assert (small.verdict.status, small.verdict.score, small.verdict.ood) == ("ok", None, True)
    assert small.verdict.face == (90, 30, 121, 61)
    assert small.verdict.message == "the face is 31 pixels wide, at least 32 are needed"
    assert small.activation_map is None
    assert small.picture is not None, "the page shows it"
    assert not small.first


def test_small_faces_give_way_to_a_frame_with_larger_ones(
    brightness: AnyDetector, film: Film
) -> None:
    film([10, 20, 200], {20: [SMALL], 200: [LARGE]})
    assert Scanner(brightness)(b"animation").frame == 2
    film([10, 20, 30], {20: [SMALL], 30: [SMALL]})
    verdict = Scanner(brightness)(b"animation")
    assert (verdict.decision, verdict.frame) == ("cannot tell", 1)
    assert verdict.message is not None
    assert verdict.message.endswith("needed; 3 of 3 frames looked at")


def test_faces_beyond_the_limit_are_counted(brightness: AnyDetector, film: Film) -> None:
    film([200], {200: [LARGE, LEAST, SMALL]})
    (verdict,) = Scanner(brightness, max_faces=1).scan([b"photo"])
    assert verdict.left_out == 2


@pytest.mark.parametrize("faces", [[], [LARGE]])
def test_a_coarse_look_is_told(brightness: AnyDetector, film: Film, faces: list[Face]) -> None:
    film([200], {200: faces}, coarse=True)
    verdict = Scanner(brightness)(b"photo")
    assert verdict.coarse
    assert verdict.message == "picture too large to look at closely, small faces may be missed"


def test_a_picture_that_breaks_the_search_is_a_row(
    brightness: AnyDetector, film: Film, monkeypatch: pytest.MonkeyPatch
) -> None:
    film([200], {200: [LARGE]})
    scanner = Scanner(brightness)
    (good,) = scanner.scan([b"photo"])

    def broken(image: Image.Image, most: int) -> Found:
        raise RuntimeError("assertion failed\nin a C++ file")

    monkeypatch.setattr("fauxlab.scan.looking.survey_faces", broken)
    (bad,) = scanner.scan([b"photo"])
    assert good.status == "ok"
    assert (bad.status, bad.message) == ("error", "cannot be examined: assertion failed")


def test_a_detector_that_fails_on_one_batch_goes_on_with_the_next(
    brightness: AnyDetector, monkeypatch: pytest.MonkeyPatch
) -> None:
    predict = brightness.predict
    calls = []

    def fail_once(pixels: np.ndarray) -> object:
        calls.append(len(pixels))
        if len(calls) == 1:
            raise MemoryError
        return predict(pixels)

    monkeypatch.setattr(brightness, "predict", fail_once)
    picture = Image.new("RGB", (40, 40))
    found = list(Scanner(brightness, crop="none").scan([picture] * 40))
    assert calls == [4, 8, 16, 12]
    assert [verdict.status for verdict in found] == ["error"] * 4 + ["ok"] * 36
    assert found[0].message == "the detector failed: MemoryError"
    assert found[0].width == 40


def test_the_threads_are_those_that_the_process_may_use(monkeypatch: pytest.MonkeyPatch) -> None:
    from fauxlab.scan import workers

    monkeypatch.setattr(workers, "usable_processors", lambda: 2)
    with workers.start_workers() as started:
        assert started.pool._max_workers == 2
        assert not started.stopping.is_set()
    assert started.stopping.is_set()
