"""What a model's folder says of the model: `config.json`, the model card, and what its scores mean.

Nothing here needs torch, so that whoever only uses a model can do without it.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple, Protocol, Self, TypeVar

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, PositiveInt, ValidationError, model_validator

from fauxlab.errors import LabError
from fauxlab.records import SCHEMA_VERSION

if TYPE_CHECKING:
    from numpy.typing import NDArray

# A bundle is a folder of CONFIG, CARD, and WEIGHTS for torch or GRAPH for onnxruntime.
WEIGHTS, GRAPH, CONFIG, CARD = "model.safetensors", "model.onnx", "config.json", "README.md"
BUNDLE = frozenset((WEIGHTS, GRAPH, CONFIG, CARD))
TEMPERATURES = (0.01, 100.0)  # of a calibration: what lies outside says that the logits are no evidence
MOST_BIAS = 1e6


C = TypeVar("C", "DetectorConfig", "GeneratorConfig")
Label = Literal["real", "fake"]
Share = Annotated[float, Field(ge=0, le=1)]
Rate = Annotated[float, Field(gt=0, lt=1)]


class Judged(NamedTuple):
    """What a detector makes of N pictures: float32 logits [N], evidence [N, h, w] and distance [N].

    The evidence of a picture sums to its logit; distance is how far it lies from what the network was fitted to, 0
    where it was not.
    """

    logits: NDArray[np.float32]
    evidence: NDArray[np.float32]
    distance: NDArray[np.float32]


class AnyDetector(Protocol):
    """What detectors have in common, whichever package runs them."""

    @property
    def config(self) -> DetectorConfig:
        """What its folder says of it."""

    @property
    def hash(self) -> str:
        """Of weights and config, 16 hexadecimal digits."""

    @property
    def size(self) -> int:
        """Side of the input images in pixels."""

    def judge(self, pixels: NDArray[np.uint8]) -> Judged:
        """Judge pictures uint8 [N, 3, size, size] RGB."""

    def scores(self, logits: NDArray[np.float32]) -> NDArray[np.float64]:
        """P(fake) [N] from logits [N]."""


class Calibration(BaseModel):
    """P(fake) = sigmoid(logit / temperature + bias) where half of the pictures are fake, and what that is worth.

    Scores in [low, high) are uncertain. Below `low` lie at most `alpha` of the fakes, at or above `high` at most
    `alpha` of the reals; at or above the detector's threshold at most `false_alarm_rate` of the reals of every source.
    All of it holds for pictures like those that it was fitted on: `n_real` of each source and `n_fake` of each
    generator, `degraded` or as they are. Without these fields only the scores are calibrated.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    temperature: float = Field(ge=TEMPERATURES[0], le=TEMPERATURES[1])
    bias: float = Field(ge=-MOST_BIAS, le=MOST_BIAS)
    false_alarm_rate: Rate | None = None
    alpha: Rate | None = None
    low: Share | None = None
    high: Share | None = None
    n_real: dict[str, PositiveInt] = {}
    n_fake: dict[str, PositiveInt] = {}
    degraded: bool = False
    ece_before: Share | None = Field(None, description="expected calibration error of the scores as they were")
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


class Typicality(BaseModel):
    """What a picture must be like for the detector to judge it: near what it was made for, and not too blurred.

    At most `rate` of new pictures like the `n` that it was fitted on, as they are or degraded, lie beyond the `limit`
    of the distance. Below the least `detail` (`fauxlab.evaluation.typicality.measure_detail`) a face has lost what it
    is judged by; None: blur is no reason.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    limit: float = Field(ge=0, allow_inf_nan=False)
    rate: Rate
    n: PositiveInt
    detail: Share | None = None


class Preprocessing(BaseModel):
    """How a picture becomes the network's input; training and use share it."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    size: int = Field(ge=16, le=1024)
    crop: Literal["centre-square"] = "centre-square"
    resize: Literal["bicubic-antialiased"] = "bicubic-antialiased"
    input_range: tuple[Annotated[float, Field(ge=-1, le=-1)], Annotated[float, Field(ge=1, le=1)]] = (-1.0, 1.0)
    pipeline_version: int


class DetectorConfig(BaseModel):
    """`config.json` of a detector bundle."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    schema_version: int = Field(SCHEMA_VERSION, le=SCHEMA_VERSION)
    kind: Literal["detector"] = "detector"
    architecture: str
    options: dict[str, Any] = {}
    precision: Literal["float32", "int8"] = "float32"
    preprocessing: Preprocessing
    labels: tuple[Literal["real"], Literal["fake"]] = ("real", "fake")
    threshold: float = Field(0.5, ge=0, le=1)
    calibration: Calibration | None = None
    typicality: Typicality | None = None
    training: dict[str, Any] = {}
    metrics: dict[str, Any] = {}

    @model_validator(mode="after")
    def _check_threshold(self) -> Self:
        band = None if self.calibration is None else self.calibration.band
        if band and not band[0] <= self.threshold <= band[1]:
            raise ValueError("the threshold lies outside the uncertain band: labels would contradict it")
        return self

    def scores(self, logits: NDArray[np.float32]) -> NDArray[np.float64]:
        """P(fake) [N] from logits [N]: calibrated where there is a calibration, else the plain sigmoid."""
        fit = self.calibration
        evidence = logits.astype(np.float64) if fit is None else logits / fit.temperature + fit.bias
        with np.errstate(over="ignore"):  # e^710 is infinite, and the score rightly 0
            return np.asarray(1 / (1 + np.exp(-evidence)), dtype=np.float64)

    def decide(self, score: float) -> tuple[Label, bool]:
        """The label of a score P(fake), by the threshold, and whether it is uncertain: in the calibration's band."""
        band = None if self.calibration is None else self.calibration.band
        label: Label = "fake" if score >= self.threshold else "real"
        return label, band is not None and band[0] <= score < band[1]

    def can_judge(self, distance: float, detail: float) -> bool:
        """Whether a picture at this distance and of this detail is one to give a verdict on."""
        return self.typical(distance) and self.sharp(detail)

    def typical(self, distance: float) -> bool:
        """Whether a picture at this distance is like those of the fit; True where no limit is known."""
        return self.typicality is None or distance <= self.typicality.limit

    def sharp(self, detail: float) -> bool:
        """Whether a picture of this detail shows enough to judge; True where no least is known."""
        return self.typicality is None or self.typicality.detail is None or detail >= self.typicality.detail


class GeneratorConfig(BaseModel):
    """`config.json` of a generator bundle."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    schema_version: int = Field(SCHEMA_VERSION, le=SCHEMA_VERSION)
    kind: Literal["generator"] = "generator"
    architecture: str
    latent: int = Field(ge=1, le=65536)
    size: int = Field(ge=16, le=1024)
    options: dict[str, Any] = {}
    training: dict[str, Any] = {}
    metrics: dict[str, Any] = {}


def read_config(folder: Path, kind: type[C], what: str, weights: str = WEIGHTS) -> C:
    """The config of a bundle. Raises LabError when it is none: a part missing, damaged, or of another kind of model."""
    if folder.is_file():
        raise LabError(
            f"{folder} is a file; a model is a folder with {CONFIG} and {WEIGHTS} "
            "(pickled checkpoints can run code and are never loaded)"
        )
    for name in (CONFIG, weights):
        if not (folder / name).is_file():
            raise LabError(f"no {name} in {folder}; {_where_to_look(folder)}")
    try:
        found = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
        other = found.get("kind", what) if isinstance(found, dict) else what
        commands = {"detector": "detector", "generator": "gan"}
        if other != what and other in commands:
            raise LabError(f"{folder} is a {other}, no {what}; give one of `fauxlab {commands[what]} train`")
        return kind.model_validate(found)
    except (ValueError, RecursionError) as error:
        raise LabError(
            f"{folder / CONFIG} is not a {what}'s config ({first_line(error)}); fetch or train the model again"
        ) from None


def _where_to_look(folder: Path) -> str:
    """What to do where a folder holds no model."""
    if (folder / "best" / CONFIG).is_file():
        return f"this is a run, its model {folder / 'best'}"
    for run in (folder, folder.parent):
        if (run / "config.toml").is_file() and not (run / "best").exists():
            return f"the run {run} has no model yet: it was stopped before its first evaluation; go on with --resume"
    return "a model is a folder such as runs/<name>/best"


def to_floats(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Pixels uint8 of any shape to float32 in [-1, 1]."""
    scaled = pixels.astype(np.float32)
    scaled /= 127.5
    scaled -= 1
    return scaled


def check_place(folder: Path) -> None:
    """Raise LabError where a bundle would replace anything but a bundle: it replaces the whole folder."""
    names = {path.name for path in folder.iterdir()} if folder.is_dir() else {folder.name} if folder.exists() else set()
    if not names:
        return
    others = names - BUNDLE
    try:
        ours = not others and "architecture" in json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    except (OSError, ValueError, TypeError, RecursionError):
        ours = False
    if not ours:
        which = f" (it holds {min(others)!r})" if others else ""
        raise LabError(f"{folder} is there and is no model{which}; name a new folder")


def write_bundle(folder: Path, config: DetectorConfig | GeneratorConfig, weights: str, content: bytes) -> str:
    """Write a bundle, whole or not at all, replacing an older one; returns its hash. `weights`: WEIGHTS or GRAPH.

    Raises LabError where the folder holds anything that is no part of a bundle.
    """
    folder = folder.resolve()  # a link's target is replaced, not the link
    check_place(folder)
    aside = folder.with_name(f".{folder.name}.{os.getpid()}.tmp")
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir(parents=True)
    (aside / weights).write_bytes(content)
    (aside / CONFIG).write_text(config.model_dump_json(indent=2) + "\n", encoding="utf-8")
    found = hash_bundle(aside, weights)
    card = _detector_card(config, found) if isinstance(config, DetectorConfig) else _generator_card(config, found)
    (aside / CARD).write_text(card, encoding="utf-8")
    if folder.exists():
        old = folder.with_name(f".{folder.name}.{os.getpid()}.old")
        os.replace(folder, old)
        os.replace(aside, folder)
        shutil.rmtree(old)
    else:
        os.replace(aside, folder)
    return found


def hash_bundle(folder: Path, weights: str = WEIGHTS) -> str:
    """16 hexadecimal digits of SHA-256 over config and weights."""
    digest = hashlib.sha256((folder / CONFIG).read_bytes())
    with (folder / weights).open("rb") as stream:
        while chunk := stream.read(2**20):
            digest.update(chunk)
    return digest.hexdigest()[:16]


def first_line(error: Exception) -> str:
    """One line of what an error says; of several faults in a config the first, with its place."""
    if isinstance(error, ValidationError):
        first = error.errors()[0]
        return ": ".join(part for part in (".".join(map(str, first["loc"])), first["msg"].lower()) if part)
    return (str(error) or type(error).__name__).splitlines()[0]


def _detector_card(config: DetectorConfig, found: str) -> str:
    calibrated = "calibrated" if config.calibration else "not calibrated: a raw sigmoid, no probability"
    told = "" if config.calibration is None else _describe_calibration(config.calibration, config.threshold)
    if told and config.precision == "int8":
        told = f"Measured before the weights were rounded to 8 bits, and not again:\n\n{told}"
    told += "" if config.typicality is None else _describe_typicality(config.typicality)
    return f"""# {config.architecture}: is this face photo real or generated?

Model hash `{found}`. Input: RGB, centre square, {config.preprocessing.size}×{config.preprocessing.size} pixels, in
[-1, 1]. Output: one logit; its sigmoid is the score for "fake" ({calibrated}). Label order: 0 = real, 1 = fake.
Threshold: {config.threshold:.6g}.

{told}Use it with `fauxlab scan PHOTO --model THIS_FOLDER`. A score is evidence, not proof: on generators, cameras and
compressions that were not in training it can be wrong in either direction.

| trained with | |
|---|---|
{_rows(config.training)}

| measured on validation | |
|---|---|
{_rows(config.metrics)}
"""


def _describe_calibration(fit: Calibration, threshold: float) -> str:
    lines = [f"Score = sigmoid(logit / {fit.temperature:.6g} + {fit.bias:.6g}), as if half of all pictures were fake."]
    if fit.ece_before is not None and fit.ece_after is not None:
        lines.append(f"Expected calibration error: {fit.ece_before:.3f} before, {fit.ece_after:.3f} after.")
    if fit.false_alarm_rate is not None:
        lines.append(f"At most {fit.false_alarm_rate:.3g} of the reals of each source reach the threshold.")
    if fit.low is not None and fit.high is not None and fit.alpha is not None:
        lines.append(
            f"Scores from {fit.low:.3f} to below {fit.high:.3f} are uncertain: at most {fit.alpha:.3g} of the fakes\n"
            f"score lower, at most {fit.alpha:.3g} of the reals higher."
        )
    if fit.n_real or fit.n_fake:
        parts = (f"{n} {name}" for name, n in (*fit.n_real.items(), *fit.n_fake.items()))
        state = "degraded at random" if fit.degraded else "as they are"
        lines.append(f"Fitted on {', '.join(parts)}, {state}:\nthis holds for pictures like these and no others.")
    return "\n".join(lines) + "\n\n"


def _describe_typicality(fit: Typicality) -> str:
    words = (
        f"Of a picture whose distance is above {fit.limit:.4g} the model cannot tell: it is unlike those that it was\n"
        f"made for. Of faces like the {fit.n} that this was fitted on, at most {fit.rate:.3g} lie beyond.\n"
    )
    if fit.detail is not None:
        words += f"Nor can it of a picture whose detail is below {fit.detail:.3g}: too blurred, or too small.\n"
    return words + "\n"


def _generator_card(config: GeneratorConfig, found: str) -> str:
    return f"""# {config.architecture}: faces of people who do not exist

Model hash `{found}`. {config.latent} standard normal numbers in, one RGB face of {config.size}×{config.size}
pixels in [-1, 1] out; unconditional: it takes no picture and no name of anybody.

Use it with `fauxlab gan sample THIS_FOLDER`, which marks every picture as AI-generated. Faces that look like somebody
in the training data can occur; `fauxlab gan eval` measures how many.

| trained with | |
|---|---|
{_rows(config.training)}

| measured | |
|---|---|
{_rows(config.metrics)}
"""


def _rows(table: dict[str, Any]) -> str:
    return "\n".join(f"| {key} | {value} |" for key, value in table.items())
