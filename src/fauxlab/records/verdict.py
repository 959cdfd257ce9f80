"""What a detector says of a face in a picture."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import computed_field, model_validator

from fauxlab.records.base import SCHEMA_VERSION, Box, Record

Decision = Literal["real", "fake", "uncertain", "cannot tell", "no face", "error"]


class Verdict(Record):
    """What a detector says of one face in a picture, or of one picture that is a face.

    `score` is P(fake) after calibration, or the raw sigmoid where the model carries no calibration
    (`calibrated` tells which). `label` compares the score with the model's threshold; it is
    `uncertain` where the score lies in the calibration's band, in which the stated error allows
    neither answer, and `ood` (out of distribution) where the picture is unlike all that the model was made for, or
    too blurred, so that its score means nothing: then `message` says why, where that is known.
    `face` is the square in which a face was found, in pixels of the upright picture, of which up to
    `left_out` more places may show one and were not judged. A picture without a face has status "no
    face", one that could not be judged "error" and the reason in `message`; neither has a label or
    a score.
    """

    FORMER_NAMES: ClassVar = {"atypical": "ood"}
    schema_version: int = SCHEMA_VERSION
    path: str
    status: Literal["ok", "no face", "error"]
    label: Literal["real", "fake"] | None = None
    uncertain: bool = False
    ood: bool = False
    score: float | None = None
    calibrated: bool = False
    threshold: float | None = None
    width: int | None = None
    height: int | None = None
    face: Box | None = None
    left_out: int = 0
    model_hash: str
    message: str | None = None

    @model_validator(mode="before")
    @classmethod
    def _decide_again(cls, told: Any) -> Any:
        return (
            {key: value for key, value in told.items() if key != "decision"}
            if isinstance(told, dict)
            else told
        )

    @computed_field  # type: ignore[prop-decorator]  # as pydantic would have it
    @property
    def decision(self) -> Decision:
        """The verdict in a word: the label where it is certain."""
        if self.label is None:
            return "no face" if self.status == "no face" else "error"
        return "cannot tell" if self.ood else "uncertain" if self.uncertain else self.label
