"""What a detector says of a face in a picture."""

from __future__ import annotations

from typing import Any, ClassVar, Literal, Self

from pydantic import computed_field, model_validator

from fauxlab.records.base import Box, Record

# 2: verdicts can be uncertain. 3: they are on faces, and can be "cannot tell". 4: also for blur, as
# `message` says. 5: `ood` is the name of what was `atypical`. 6: `label` is empty where there is no
# certain answer, and `decision` stands behind `path`; `turned`, `frame`, `frames`, `coarse`; faces
# too small for a verdict have a record. 7: `manipulation`, `model`, `model_version`.
SCHEMA_VERSION = 7

Decision = Literal["real", "fake", "uncertain", "cannot tell", "no face", "error"]
Manipulation = Literal["made", "altered"]


class Verdict(Record):
    """What a detector says of one face in a picture, or of one picture that is a face.

    - `decision` is the verdict in a word: real, fake, uncertain, cannot tell, no face or error. It
      follows from the other fields.
    - `status` is "no face" of a picture without a face, and "error" of one that could not be read
      or scored; `message` gives the reason. Neither has a label or a score.
    - `label` is "real" or "fake" where the decision is, and None otherwise.
    - `manipulation` says of a fake how it was more likely made: "made" whole by a generator, or a
      real photo "altered" inside, as by a face swap, an inpainting or a composite. None of any
      other decision, and of a model that does not ask.
    - `uncertain`: the score lies in the calibration's band, where the stated error allows neither
      answer.
    - `ood` (out of distribution): the face is unlike all that the model was made for, too blurred,
      too small or in nearly one colour, so that a score would mean nothing. `message` gives the
      reason.
    - `score` is P(fake) after calibration. A model without a calibration gives the raw sigmoid;
      `calibrated` says which it is. A face that is too small gets none.
    - `threshold`: certain verdicts are fake from this score on, and real below it.
    - `face` is the square in which a face was found, in pixels of the upright picture. It may
      reach beyond the picture.
    - `turned`: the picture must be turned by so many degrees, counter-clockwise, for the face to
      stand upright. One of 0, 90, 180, 270.
    - `frame`: which frame of an animation or page of a TIFF this is, counted from 0, of `frames`.
      Both are None where a file holds one picture.
    - `coarse`: the picture is so large that it was searched at a reduced size only, where small
      faces cannot be found.
    - `left_out`: up to so many more places may show a face and got no verdict.
    - `model` is the model's name, `model_version` the version that its maker gave it, None without.
      `model_hash` tells it from all other models.

    `schema_version` is 7. Records of older versions can be read, and become version 7.

    >>> from fauxlab import Verdict
    >>> verdict = Verdict(path="a.jpg", status="ok", label="fake", score=0.9, model_hash="0")
    >>> verdict.decision
    'fake'
    >>> Verdict.model_validate_json(verdict.model_dump_json()) == verdict
    True
    """

    FORMER_NAMES: ClassVar = {"atypical": "ood"}
    PLACES: ClassVar = {"decision": "path"}
    schema_version: int = SCHEMA_VERSION
    path: str
    status: Literal["ok", "no face", "error"]
    label: Literal["real", "fake"] | None = None
    manipulation: Manipulation | None = None
    uncertain: bool = False
    ood: bool = False
    score: float | None = None
    calibrated: bool = False
    threshold: float | None = None
    width: int | None = None
    height: int | None = None
    face: Box | None = None
    turned: int = 0
    frame: int | None = None
    frames: int | None = None
    coarse: bool = False
    left_out: int = 0
    model: str = ""
    model_version: str | None = None
    model_hash: str
    message: str | None = None

    @model_validator(mode="before")
    @classmethod
    def _read_older(cls, fields: Any) -> Any:
        """Drop the decision, which follows from the other fields, and an older version's number."""
        if not isinstance(fields, dict):
            return fields
        kept = {name: value for name, value in fields.items() if name != "decision"}
        version = kept.get("schema_version")
        if isinstance(version, int) and version < SCHEMA_VERSION:
            del kept["schema_version"]
        return kept

    @model_validator(mode="after")
    def _empty_uncertain(self) -> Self:
        """Leave no label without a certain answer, as before version 6, nor how a fake was made."""
        # Not by assignment, which a frozen record refuses.
        if self.label != self.decision:
            self.__dict__["label"] = None
        if self.decision != "fake":
            self.__dict__["manipulation"] = None
        return self

    @computed_field  # type: ignore[prop-decorator]  # pydantic's documentation asks for this order
    @property
    def decision(self) -> Decision:
        """The verdict in a word: the label where it is certain."""
        if self.status != "ok":
            return self.status
        if self.ood:
            return "cannot tell"
        if self.uncertain:
            return "uncertain"
        return self.label or "cannot tell"
