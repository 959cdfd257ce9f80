"""What a detector says of a face in a picture."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import computed_field, model_validator

from fauxlab.records.base import Box, Record

# 2: verdicts can be uncertain. 3: they are on faces, and can be "cannot tell". 4: also for blur, as
# `message` says. 5: `ood` is the name of what was `atypical`; both are written.
SCHEMA_VERSION = 5

Decision = Literal["real", "fake", "uncertain", "cannot tell", "no face", "error"]


class Verdict(Record):
    """What a detector says of one face in a picture, or of one picture that is a face.

    - `status` is "no face" of a picture without a face, and "error" of one that could not be
      judged; `message` gives the reason. Neither has a label or a score.
    - `score` is P(fake) after calibration. A model without a calibration gives the raw sigmoid;
      `calibrated` says which it is.
    - `label` compares the score with the model's `threshold`.
    - `uncertain`: the score lies in the calibration's band, where the stated error allows neither
      answer.
    - `ood` (out of distribution): the picture is unlike all that the model was made for, or too
      blurred, so that its score means nothing. `message` gives the reason where it is known.
    - `face` is the square in which a face was found, in pixels of the upright picture.
    - `left_out`: up to so many more places may show a face and were not judged.

    >>> from fauxlab import Verdict
    >>> verdict = Verdict(path="a.jpg", status="ok", label="fake", score=0.9, model_hash="0")
    >>> verdict.decision
    'fake'
    >>> Verdict.model_validate_json(verdict.model_dump_json()) == verdict
    True
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
    def _ignore_decision(cls, fields: Any) -> Any:
        """Drop the decision when a verdict is read, because it follows from the other fields."""
        if not isinstance(fields, dict):
            return fields
        return {name: value for name, value in fields.items() if name != "decision"}

    @computed_field  # type: ignore[prop-decorator]  # pydantic's documentation asks for this order
    @property
    def decision(self) -> Decision:
        """The verdict in a word: the label where it is certain."""
        if self.label is None:
            return "no face" if self.status == "no face" else "error"
        if self.ood:
            return "cannot tell"
        return "uncertain" if self.uncertain else self.label
