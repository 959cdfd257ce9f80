"""Trained networks on disk: a folder of `model.safetensors`, `config.json` and a model card. No pickles."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar

import torch
from pydantic import BaseModel, ConfigDict, Field, PositiveInt, ValidationError, model_validator
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from fauxlab.errors import LabError
from fauxlab.models import create_detector, create_generator
from fauxlab.models.gans import draw_latents, to_pixels
from fauxlab.records import SCHEMA_VERSION

WEIGHTS, CONFIG, CARD = "model.safetensors", "config.json", "README.md"
TEMPERATURES = (0.01, 100.0)  # of a calibration: what lies outside says that the logits are no evidence
MOST_BIAS = 1e6


C = TypeVar("C", "DetectorConfig", "GeneratorConfig")
Share = Annotated[float, Field(ge=0, le=1)]
Rate = Annotated[float, Field(gt=0, lt=1)]


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
    preprocessing: Preprocessing
    labels: tuple[Literal["real"], Literal["fake"]] = ("real", "fake")
    threshold: float = Field(0.5, ge=0, le=1)
    calibration: Calibration | None = None
    training: dict[str, Any] = {}
    metrics: dict[str, Any] = {}

    @model_validator(mode="after")
    def _check_threshold(self) -> Self:
        band = None if self.calibration is None else self.calibration.band
        if band and not band[0] <= self.threshold <= band[1]:
            raise ValueError("the threshold lies outside the uncertain band: labels would contradict it")
        return self


@dataclass(frozen=True)
class Detector:
    """A network in evaluation mode with all that is needed to use it. `hash` covers weights and config."""

    model: nn.Module
    config: DetectorConfig
    hash: str = ""

    @property
    def size(self) -> int:
        """Side of the input images in pixels."""
        return self.config.preprocessing.size

    def scores(self, logits: torch.Tensor) -> torch.Tensor:
        """P(fake) [N] from logits [N]: calibrated where the bundle carries a calibration, else the plain sigmoid."""
        fit = self.config.calibration
        return torch.sigmoid(logits if fit is None else logits / fit.temperature + fit.bias)

    def decide(self, score: float) -> tuple[Literal["real", "fake"], bool]:
        """The label of a score P(fake), by the threshold, and whether it is uncertain: in the calibration's band."""
        fit = self.config.calibration
        band = None if fit is None else fit.band
        label: Literal["real", "fake"] = "fake" if score >= self.config.threshold else "real"
        return label, band is not None and band[0] <= score < band[1]

    def save_pretrained(self, folder: str | Path) -> Detector:
        """Write the bundle, whole or not at all, replacing an older one; returns the detector with its hash."""
        return Detector(self.model, self.config, _save(self.model, self.config, _detector_card, Path(folder)))

    @classmethod
    def from_pretrained(cls, folder: str | Path, device: str | None = None) -> Detector:
        """Read a bundle onto `device` (by default a GPU where there is one).

        Raises LabError when a part is missing, damaged, or does not fit the architecture.
        """
        folder = Path(folder)
        config = _read_config(folder, DetectorConfig, "detector")
        size = config.preprocessing.size
        with _usable(folder):
            model = create_detector(config.architecture, size, **config.options)
            model = _load(model, folder, device)
            with torch.inference_mode():
                logit = model(torch.zeros(1, 3, size, size, device=next(model.parameters()).device))
            if logit.shape != (1,) or not bool(torch.isfinite(logit).all()):
                raise ValueError("a grey picture gets no finite score")
        return cls(model, config, _hash(folder))


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


@dataclass(frozen=True)
class Generator:
    """A generator in evaluation mode; unconditional, so that all it takes is latents. `hash` as of `Detector`."""

    model: nn.Module
    config: GeneratorConfig
    hash: str = ""

    def __call__(self, latents: torch.Tensor) -> torch.Tensor:
        """Latents float [N, latent] to uint8 [N, 3, size, size] on the CPU."""
        device = next(self.model.parameters()).device
        with torch.inference_mode():
            return to_pixels(self.model(latents.to(device))).cpu()

    def sample(self, first: int, count: int) -> torch.Tensor:
        """The images uint8 [count, 3, size, size] of the seeds first, first + 1, …"""
        return self(draw_latents(range(first, first + count), self.config.latent))

    def save_pretrained(self, folder: str | Path) -> Generator:
        """Write the bundle, whole or not at all, replacing an older one; returns the generator with its hash."""
        return Generator(self.model, self.config, _save(self.model, self.config, _generator_card, Path(folder)))

    @classmethod
    def from_pretrained(cls, folder: str | Path, device: str | None = None) -> Generator:
        """Read a bundle, as `Detector.from_pretrained` does."""
        folder = Path(folder)
        config = _read_config(folder, GeneratorConfig, "generator")
        with _usable(folder):
            model = create_generator(config.architecture, config.size, config.latent, **config.options)
            model = _load(model, folder, device)
        return cls(model, config, _hash(folder))


def _save(model: nn.Module, config: C, card: Callable[[C, str], str], folder: Path) -> str:
    aside = folder.with_name(f".{folder.name}.{os.getpid()}.tmp")
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir(parents=True)
    state = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
    save_file(state, aside / WEIGHTS)
    (aside / CONFIG).write_text(config.model_dump_json(indent=2) + "\n", encoding="utf-8")
    found = _hash(aside)
    (aside / CARD).write_text(card(config, found), encoding="utf-8")
    if folder.exists():
        old = folder.with_name(f".{folder.name}.{os.getpid()}.old")
        os.replace(folder, old)
        os.replace(aside, folder)
        shutil.rmtree(old)
    else:
        os.replace(aside, folder)
    return found


def _read_config(folder: Path, kind: type[C], what: str) -> C:
    if folder.is_file():
        raise LabError(
            f"{folder} is a file; a model is a folder with {CONFIG} and {WEIGHTS} "
            "(pickled checkpoints can run code and are never loaded)"
        )
    for name in (CONFIG, WEIGHTS):
        if not (folder / name).is_file():
            raise LabError(f"no {name} in {folder}; a model is a folder such as runs/<name>/best")
    try:
        return kind.model_validate(json.loads((folder / CONFIG).read_text(encoding="utf-8")))
    except (ValueError, RecursionError) as error:
        raise LabError(
            f"{folder / CONFIG} is not a {what}'s config ({_first_line(error)}); fetch or train the model again"
        ) from None


@contextmanager
def _usable(folder: Path) -> Iterator[None]:
    """Whatever torch makes of odd options and weights becomes one line that names the folder."""
    try:
        yield
    except (LabError, TypeError, ValueError, RuntimeError) as error:
        if isinstance(error, LabError) and str(folder) in str(error):
            raise
        raise LabError(
            f"the model in {folder} cannot be used ({_first_line(error)}); fetch or train it again"
        ) from None


def _load(model: nn.Module, folder: Path, device: str | None) -> nn.Module:
    try:
        state = load_file(folder / WEIGHTS)
    except (SafetensorError, OSError, ValueError) as error:
        raise LabError(f"{folder / WEIGHTS} is damaged or no safetensors file: {_first_line(error)}") from None
    _fit(model, state, folder)
    return model.eval().to(device or ("cuda" if torch.cuda.is_available() else "cpu"))


def _fit(model: nn.Module, state: dict[str, torch.Tensor], folder: Path) -> None:
    expected = {name: _form(tensor) for name, tensor in model.state_dict().items()}
    found = {name: _form(tensor) for name, tensor in state.items()}
    wrong = [
        f"{name} is {found.get(name, 'missing')}, expected {expected.get(name, 'nothing')}"
        for name in sorted(expected.keys() | found.keys())
        if expected.get(name) != found.get(name)
    ]
    if wrong:
        more = f" and {len(wrong) - 1} more" if len(wrong) > 1 else ""
        raise LabError(f"the weights in {folder} do not fit its {CONFIG}: {wrong[0]}{more}; fetch or train it again")
    if not all(bool(torch.isfinite(tensor).all()) for tensor in state.values() if tensor.is_floating_point()):
        raise LabError(f"the weights in {folder} hold NaN or infinity; fetch or train it again")
    model.load_state_dict(state)


def _form(tensor: torch.Tensor) -> str:
    """What must agree between a network and its file: whole or real numbers, and the shape. Precision may differ."""
    kind = "complex " if tensor.is_complex() else "" if tensor.is_floating_point() else "whole "
    return f"{kind}{tuple(tensor.shape)}"


def _hash(folder: Path) -> str:
    digest = hashlib.sha256((folder / CONFIG).read_bytes())
    with (folder / WEIGHTS).open("rb") as stream:
        while chunk := stream.read(2**20):
            digest.update(chunk)
    return digest.hexdigest()[:16]


def _first_line(error: Exception) -> str:
    if isinstance(error, ValidationError):
        first = error.errors()[0]
        return ": ".join(part for part in (".".join(map(str, first["loc"])), first["msg"].lower()) if part)
    return (str(error) or type(error).__name__).splitlines()[0]


def _detector_card(config: DetectorConfig, found: str) -> str:
    calibrated = "calibrated" if config.calibration else "not calibrated: a raw sigmoid, no probability"
    told = "" if config.calibration is None else _describe_calibration(config.calibration, config.threshold)
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
