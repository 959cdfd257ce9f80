"""What a model is: the `config.json` of its folder, and what its scores mean.

Nothing here needs torch, so that whoever only uses a model can do without it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, PositiveInt, model_validator

from fauxlab.records.base import Record

if TYPE_CHECKING:
    Band = tuple[float, float]

# The version of `config.json`, counted apart from that of the verdicts. It rises only when a model
# could be misread by a fauxlab that knows the version before, because each refuses newer ones.
SCHEMA_VERSION = 5
# Generators hold nothing that readers of this version do not know.
GENERATOR_VERSION = 4
# What version 5 brought to a detector's config, and to its calibration.
NEW_FIELDS = ("name", "version", "heads")
NEW_IN_CALIBRATION = ("points", "left_out")

# A calibration outside these bounds shows that the logits say nothing about the pictures.
TEMPERATURES = (0.01, 100.0)
MOST_BIAS = 1e6
LONGEST_NAME = 100  # characters

Label = Literal["real", "fake"]
# How a picture is fake: made whole by a generator, or a real photo that was altered inside (a swap,
# an inpainting, a composite).
Manipulation = Literal["made", "altered"]
Labels = tuple[Literal["real"], Literal["fake"]]
Settings = dict[str, Any]
Counts = dict[str, PositiveInt]
Share = Annotated[float, Field(ge=0, le=1)]
Rate = Annotated[float, Field(gt=0, lt=1)]
MinusOne = Annotated[float, Field(ge=-1, le=-1)]
PlusOne = Annotated[float, Field(ge=1, le=1)]
Side = Annotated[int, Field(ge=16, le=1024)]  # of a picture, in pixels
InputRange = tuple[MinusOne, PlusOne]
Name = Annotated[str, Field(max_length=LONGEST_NAME)]
SchemaVersion = Annotated[int, Field(le=SCHEMA_VERSION)]


class LeftOut(Record):
    """Shares of each kind of real photos by limits that were fitted without the kind.

    The kind was left out of the `calibration` alone, or of the `training`, too. Limits are chosen
    so that the mean of `called_fake` keeps the stated rate, so the mean is no test of it.
    """

    of: Literal["calibration", "training"]
    called_fake: dict[str, Share] = Field(min_length=1)
    uncertain: dict[str, Share] = Field(min_length=1)

    @property
    def mean_called_fake(self) -> float:
        """The mean share that is called fake; each kind counts alike."""
        return sum(self.called_fake.values()) / len(self.called_fake)

    @property
    def worst(self) -> tuple[str, float]:
        """The kind of which most is called fake, and the share."""
        return max(self.called_fake.items(), key=lambda pair: pair[1])

    @property
    def mean_uncertain(self) -> float:
        """The mean share that is uncertain; each kind counts alike."""
        return sum(self.uncertain.values()) / len(self.uncertain)


class OperatingPoint(Record):
    """A stated false-alarm rate, and the scores from which on verdicts keep it.

    The fields mean what those of a `Calibration` do.
    """

    rate: Rate
    threshold: Share
    low: Share
    high: Share
    alpha: Rate | None = None
    left_out: LeftOut | None = None

    @model_validator(mode="after")
    def _check_order(self) -> Self:
        if not self.low <= self.threshold <= self.high:
            raise ValueError("low, threshold and high of a further rate are not in this order")
        return self


class Calibration(Record):
    """How logits become probabilities, and what is promised of the scores.

    P(fake) = sigmoid(logit / temperature + bias) where half of the pictures are fake.

    - Scores in [low, high) are uncertain: at most `alpha` of the fakes score below `low`, and at
      most `alpha` of the reals at or above `high`.
    - At most `false_alarm_rate` of the reals of every source are called fake: they reach the
      detector's threshold, and do not get "cannot tell". Where `left_out` is given, the rate is
      that which can be expected of a further source; `left_out` says how it held.

    Both hold for pictures like those that the calibration was fitted on: `n_real` of each source
    and `n_fake` of each generator, degraded at random where `degraded` says so. Without these
    fields nothing is promised but the probabilities.
    """

    temperature: float = Field(ge=TEMPERATURES[0], le=TEMPERATURES[1])
    bias: float = Field(ge=-MOST_BIAS, le=MOST_BIAS)
    false_alarm_rate: Rate | None = None
    alpha: Rate | None = None
    low: Share | None = None
    high: Share | None = None
    points: tuple[OperatingPoint, ...] = Field(
        (), description="further false-alarm rates that may be asked for, with their thresholds"
    )
    left_out: LeftOut | None = None
    n_real: Counts = Field({})
    n_fake: Counts = Field({})
    degraded: bool = False
    ece_before: Share | None = Field(
        None, description="expected calibration error of the scores as they were"
    )
    ece_after: Share | None = None
    data_hash: str | None = Field(None, description="of the pictures that it was fitted on")

    @property
    def band(self) -> Band | None:
        """The uncertain scores [low, high); None where the calibration names none."""
        if self.low is None or self.high is None:
            return None
        return self.low, self.high

    @model_validator(mode="after")
    def _check_band(self) -> Self:
        missing = [self.low, self.high, self.alpha].count(None)
        if missing not in (0, 3):
            raise ValueError("low, high and alpha go together")
        if self.band is None:
            return self
        low, high = self.band
        if low > high:
            raise ValueError("low is above high")
        return self


class OodLimits(Record):
    """The limits beyond which a picture is out of distribution, so that its score means nothing.

    At most `rate` of new pictures like the `n` that this was fitted on, degraded or not, lie beyond
    the `limit` of the distance. A face below this `sharpness` (`fauxlab.io.sharpness`) has lost the
    finest structure, where generators leave their traces; None sets no such limit. Nor can a model
    that has learned no toned pictures tell of a face above this `tint` (`fauxlab.io.tint`), which
    shows nearly one colour; None sets no such limit.
    """

    FORMER_NAMES: ClassVar = {"detail": "sharpness"}
    limit: float = Field(ge=0, allow_inf_nan=False)
    rate: Rate
    n: PositiveInt
    sharpness: Share | None = Field(None, serialization_alias="detail")
    tint: float | None = Field(None, ge=0, allow_inf_nan=False)


class Head(Record):
    """A question that a detector answers of its own: was the picture made, or altered?

    The order of a config's heads is that of `Prediction.head_logits`.
    """

    name: Name
    manipulation: Manipulation


class Preprocessing(Record):
    """How a picture becomes the network's input; training and use share it."""

    size: Side
    crop: Literal["centre-square"] = "centre-square"
    resize: Literal["bicubic-antialiased"] = "bicubic-antialiased"
    input_range: InputRange = (-1.0, 1.0)
    pipeline_version: int


class DetectorConfig(Record):
    """The `config.json` of a detector's bundle.

    Results call the model by `name` and `version`; "" where its maker gave none. Weights of the
    precision "float16" are stored in 16 bits, and computed with in 32.
    """

    FORMER_NAMES: ClassVar = {"typicality": "ood"}
    schema_version: SchemaVersion = SCHEMA_VERSION
    kind: Literal["detector"] = "detector"
    name: Name = ""
    version: Name = ""
    architecture: str
    options: Settings = Field({})
    precision: Literal["float32", "float16", "int8"] = "float32"
    preprocessing: Preprocessing
    labels: Labels = ("real", "fake")
    heads: tuple[Head, ...] = Field(
        (), description="the questions behind the score; empty: real or fake alone"
    )
    threshold: Share = 0.5
    calibration: Calibration | None = None
    ood: OodLimits | None = Field(None, serialization_alias="typicality")
    training: Settings = Field({})
    metrics: Settings = Field({})

    @model_validator(mode="after")
    def _check_threshold(self) -> Self:
        band = self.band
        if band is None:
            return self
        low, high = band
        if not low <= self.threshold <= high:
            raise ValueError(
                "the threshold lies outside the uncertain band: labels would contradict it"
            )
        return self

    @property
    def band(self) -> Band | None:
        """The uncertain scores [low, high); None where the calibration names none."""
        if self.calibration is None:
            return None
        return self.calibration.band


class GeneratorConfig(Record):
    """The `config.json` of a generator's bundle."""

    schema_version: SchemaVersion = GENERATOR_VERSION
    kind: Literal["generator"] = "generator"
    architecture: str
    latent: int = Field(ge=1, le=65536)
    size: Side
    options: Settings = Field({})
    training: Settings = Field({})
    metrics: Settings = Field({})


def config_text(config: DetectorConfig | GeneratorConfig) -> str:
    """The text of a `config.json`.

    A model's hash covers this text. So that older bundles keep theirs, fields keep the names that
    they had before version 0.2 (`typicality`, `detail`), and later fields are written only where
    they say something.
    """
    if isinstance(config, GeneratorConfig):
        return config.model_dump_json(indent=2) + "\n"
    if config.schema_version < SCHEMA_VERSION and _needs_version_5(config):
        config = config.model_copy(update={"schema_version": SCHEMA_VERSION})
    empty = _empty_fields(config)
    return config.model_dump_json(indent=2, by_alias=True, exclude=empty) + "\n"


def _needs_version_5(config: DetectorConfig) -> bool:
    """Whether a config holds what readers of older versions do not know."""
    fit = config.calibration
    is_newer_fit = fit is not None and any(getattr(fit, name) for name in NEW_IN_CALIBRATION)
    has_new_fields = any(getattr(config, name) for name in NEW_FIELDS)
    return is_newer_fit or has_new_fields or config.precision == "float16"


def _empty_fields(config: DetectorConfig) -> dict[str, Any]:
    """The later fields that say nothing, as pydantic's `exclude`."""
    empty: dict[str, Any] = {name: True for name in NEW_FIELDS if not getattr(config, name)}
    fit = config.calibration
    if fit is not None:
        empty["calibration"] = {name for name in NEW_IN_CALIBRATION if not getattr(fit, name)}
    if config.ood is not None and config.ood.tint is None:
        empty["ood"] = {"tint"}
    return empty
