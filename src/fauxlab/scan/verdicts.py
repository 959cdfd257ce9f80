"""The verdicts on a picture, from what it shows and what the detector answered."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

from fauxlab.records import Box, Verdict
from fauxlab.scan.explain import Explained
from fauxlab.scan.finding.faces import SMALLEST_JUDGED, Face
from fauxlab.scan.looking import Cut, Looked

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Fields = dict[str, object]  # of a verdict

TOO_SMALL = "the face is {side} pixels wide, at least {least} are needed"
COARSE = "picture too large to look at closely, small faces may be missed"


class Answer(NamedTuple):
    """The detector's answer on one crop: fields of a verdict, and the activation map if any."""

    fields: Fields
    activation_map: NDArray[np.float32] | None


def make_verdicts(fields: Fields, looked: Looked, answers: Iterator[Answer]) -> Iterator[Explained]:
    """The verdicts on a picture: each of its scored crops takes the next of the answers."""
    fields |= {
        "width": looked.width,
        "height": looked.height,
        "frame": looked.frame,
        "frames": looked.frames,
        "left_out": looked.left_out,
        "coarse": looked.coarse,
    }
    if not looked.cuts:
        fields |= {"status": "no face", "message": _join(looked)}
        yield Explained(Verdict.model_validate(fields))
    first = True
    for cut in looked.cuts:
        answer = next(answers) if cut.is_scored else _tell_too_small(cut)
        fields_of_face = fields | answer.fields | _place(cut.face)
        fields_of_face["message"] = _join(looked, answer.fields["message"])
        verdict = Verdict.model_validate(fields_of_face)
        yield Explained(verdict, cut.pixels, answer.activation_map, first)
        first = False


def _tell_too_small(cut: Cut) -> Answer:
    """The answer on a face that is found, and too small for the detector."""
    side = 0 if cut.face is None else cut.face.side
    message = TOO_SMALL.format(side=side, least=SMALLEST_JUDGED)
    return Answer({"status": "ok", "ood": True, "message": message}, None)


def _join(looked: Looked, reason: object = None) -> str | None:
    """The reason of a verdict, and what is to be told of the whole picture."""
    coarse = COARSE if looked.coarse else None
    parts = [str(part) for part in (reason, looked.message, coarse) if part]
    return "; ".join(parts) or None


def _place(face: Face | None) -> Fields:
    if face is None:
        return {}
    box: Box = (face.left, face.top, face.left + face.side, face.top + face.side)
    return {"face": box, "turned": face.turn}
