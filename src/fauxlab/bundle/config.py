"""What a model is: `config.json` of its folder, what its scores mean, and what all detectors have
in common.

Nothing here needs torch, so that whoever only uses a model can do without it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self

import numpy as np
from pydantic import Field, PositiveInt, model_validator

from fauxlab.records import SCHEMA_VERSION
from fauxlab.records.base import Record

if TYPE_CHECKING:
    from numpy.typing import NDArray

# of a calibration: what lies outside says that the logits are no evidence
TEMPERATURES = (0.01, 100.0)
MOST_BIAS = 1e6

Label = Literal["real", "fake"]
Share = Annotated[float, Field(ge=0, le=1)]
Rate = Annotated[float, Field(gt=0, lt=1)]


class Calibration(Record):
    """P(fake) = sigmoid(logit / temperature + bias) where half of the pictures are fake, and what
    that is worth.

    Scores in [low, high) are uncertain. Below `low` lie at most `alpha` of the fakes, at or above
    `high` at most `alpha` of the reals; at or above the detector's threshold at most
    `false_alarm_rate` of the reals of every source. All of it holds for pictures like those that it
    was fitted on: `n_real` of each source and `n_fake` of each generator, `degraded` or as they
    are. Without these fields only the scores are calibrated.
    """

    temperature: float = Field(ge=TEMPERATURES[0], le=TEMPERATURES[1])
    bias: float = Field(ge=-MOST_BIAS, le=MOST_BIAS)
    false_alarm_rate: Rate | None = None
    alpha: Rate | None = None
    low: Share | None = None
    high: Share | None = None
    n_real: dict[str, PositiveInt] = Field(default_factory=dict)
    n_fake: dict[str, PositiveInt] = Field(default_factory=dict)
    degraded: bool = False
    ece_before: Share | None = Field(
        None, description="expected calibration error of the scores as they were"
    )
    ece_after: Share | None = None
    data_hash: str | None = Field(None, description="of the pictures that it was fitted on")

    @property
    def band(self) -> tuple[float, float] | None:
        """The uncertain scores [low, high); None where the calibration names none."""
        return None if self.low is None or self.high is None else (self.low, self.high)

    @model_validator(mode="after")
    def _check_band(self) -> Self:
        if len({self.low is None, self.high is None, self.alpha is None}) > 1:
            raise ValueError("low, high and alpha go together")
        if self.band and self.band[0] > self.band[1]:
            raise ValueError("low is above high")
        return self


class OodLimits(Record):
    """What a picture must be like for the detector to judge it: near what it was made for, and not
    too blurred.

    At most `rate` of new pictures like the `n` that it was fitted on, as they are or degraded, lie
    beyond the `limit` of the distance. Below the least `sharpness`
    (`fauxlab.io.sharpness.measure_sharpness`) a face has lost what it is judged by; None: blur is no
    reason.
    """

    FORMER_NAMES: ClassVar = {"detail": "sharpness"}
    limit: float = Field(ge=0, allow_inf_nan=False)
    rate: Rate
    n: PositiveInt
    sharpness: Share | None = None


class Preprocessing(Record):
    """How a picture becomes the network's input; training and use share it."""

    size: int = Field(ge=16, le=1024)
    crop: Literal["centre-square"] = "centre-square"
    resize: Literal["bicubic-antialiased"] = "bicubic-antialiased"
    input_range: tuple[
        Annotated[float, Field(ge=-1, le=-1)], Annotated[float, Field(ge=1, le=1)]
    ] = (-1.0, 1.0)
    pipeline_version: int


class DetectorConfig(Record):
    """`config.json` of a detector bundle."""

    FORMER_NAMES: ClassVar = {"typicality": "ood"}
    schema_version: int = Field(SCHEMA_VERSION, le=SCHEMA_VERSION)
    kind: Literal["detector"] = "detector"
    architecture: str
    options: dict[str, Any] = Field(default_factory=dict)
    precision: Literal["float32", "int8"] = "float32"
    preprocessing: Preprocessing
    labels: tuple[Literal["real"], Literal["fake"]] = ("real", "fake")
    threshold: float = Field(0.5, ge=0, le=1)
    calibration: Calibration | None = None
    ood: OodLimits | None = None
    training: dict[str, Any] = Field(default_factory=dict)
    metrics: dict[str, Any] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _check_threshold(self) -> Self:
        band = None if self.calibration is None else self.calibration.band
        if band and not band[0] <= self.threshold <= band[1]:
            raise ValueError(
                "the threshold lies outside the uncertain band: labels would contradict it"
            )
        return self

    def scores(self, logits: NDArray[np.float32]) -> NDArray[np.float64]:
        """P(fake) [N] from logits [N]: calibrated where there is a calibration, else the plain
        sigmoid.
        """
        fit = self.calibration
        # in single precision the surest would all get the same score
        evidence = logits.astype(np.float64)
        evidence = evidence if fit is None else evidence / fit.temperature + fit.bias
        with np.errstate(over="ignore"):  # e^710 is infinite, and the score rightly 0
            return np.asarray(1 / (1 + np.exp(-evidence)), dtype=np.float64)

    def decide(self, score: float) -> tuple[Label, bool]:
        """The label of a score P(fake), by the threshold, and whether it is uncertain: in the
        calibration's band.
        """
        band = None if self.calibration is None else self.calibration.band
        label: Label = "fake" if score >= self.threshold else "real"
        return label, band is not None and band[0] <= score < band[1]

    def can_tell(self, distance: float, sharpness: float) -> bool:
        """Whether a picture at this distance and of this sharpness is one to give a verdict on."""
        return self.in_distribution(distance) and self.sharp_enough(sharpness)

    def in_distribution(self, distance: float) -> bool:
        """Whether a picture at this distance is like those of the fit; True where no limit is
        known.
        """
        return self.ood is None or distance <= self.ood.limit

    def sharp_enough(self, sharpness: float) -> bool:
        """Whether a picture of this sharpness shows enough to judge; True where no least is known."""
        return self.ood is None or self.ood.sharpness is None or sharpness >= self.ood.sharpness


class GeneratorConfig(Record):
    """`config.json` of a generator bundle."""

    schema_version: int = Field(SCHEMA_VERSION, le=SCHEMA_VERSION)
    kind: Literal["generator"] = "generator"
    architecture: str
    latent: int = Field(ge=1, le=65536)
    size: int = Field(ge=16, le=1024)
    options: dict[str, Any] = Field(default_factory=dict)
    training: dict[str, Any] = Field(default_factory=dict)
    metrics: dict[str, Any] = Field(default_factory=dict)
