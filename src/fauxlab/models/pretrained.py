"""Trained networks on disk: a folder of `model.safetensors`, `config.json` and a model card. No
pickles.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import nn

from fauxlab.bundle.config import DetectorConfig, GeneratorConfig
from fauxlab.bundle.detector import Prediction
from fauxlab.bundle.folder import (
    CONFIG,
    WEIGHTS,
    first_line,
    hash_bundle,
    read_config,
    write_bundle,
)
from fauxlab.errors import LabError
from fauxlab.models import create_detector, create_generator
from fauxlab.models.gans import draw_latents, to_pixels
from fauxlab.models.inputs import to_input


@dataclass(frozen=True)
class Detector:
    """A network in evaluation mode with all that is needed to use it. `hash` covers weights and
    config.
    """

    model: nn.Module
    config: DetectorConfig
    hash: str = ""

    @property
    def size(self) -> int:
        """Side of the input images in pixels."""
        return self.config.preprocessing.size

    def predict(self, pixels: NDArray[np.uint8]) -> Prediction:
        """Judge pictures uint8 [N, 3, size, size] RGB on the device that the network is on."""
        device = next(self.model.parameters()).device
        with torch.inference_mode():
            found = self.model.predict(to_input(torch.from_numpy(pixels).to(device)))  # type: ignore[operator]  # what nn.Module gives may be a Tensor
        return Prediction(*(part.float().cpu().numpy() for part in found))

    def scores(self, logits: NDArray[np.float32]) -> NDArray[np.float64]:
        """P(fake) [N] from logits [N], as of `DetectorConfig.scores`."""
        return self.config.scores(logits)

    def save_pretrained(self, folder: str | Path) -> Detector:
        """Write the bundle, whole or not at all, replacing an older one; returns the detector with
        its hash.
        """
        return Detector(self.model, self.config, _save(self.model, self.config, Path(folder)))

    @classmethod
    def from_pretrained(cls, folder: str | Path, device: str | None = None) -> Detector:
        """Read a bundle onto `device` (by default a GPU where there is one).

        Raises LabError when a part is missing, damaged, or does not fit the architecture.
        """
        folder = Path(folder)
        config = read_config(folder, DetectorConfig, "detector")
        size = config.preprocessing.size
        with _usable(folder):
            model = _load(
                lambda: create_detector(config.architecture, size, **config.options), folder, device
            )
            with torch.inference_mode():
                logit = model(torch.zeros(1, 3, size, size, device=next(model.parameters()).device))
            if logit.shape != (1,) or not bool(torch.isfinite(logit).all()):
                raise ValueError("a grey picture gets no finite score")
        return cls(model, config, hash_bundle(folder))


@dataclass(frozen=True)
class Generator:
    """A generator in evaluation mode; unconditional, so that all it takes is latents. `hash` as of
    `Detector`.
    """

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
        """Write the bundle, whole or not at all, replacing an older one; returns the generator with
        its hash.
        """
        return Generator(self.model, self.config, _save(self.model, self.config, Path(folder)))

    @classmethod
    def from_pretrained(cls, folder: str | Path, device: str | None = None) -> Generator:
        """Read a bundle, as `Detector.from_pretrained` does."""
        folder = Path(folder)
        config = read_config(folder, GeneratorConfig, "generator")
        with _usable(folder):
            model = _load(
                lambda: create_generator(
                    config.architecture, config.size, config.latent, **config.options
                ),
                folder,
                device,
            )
        return cls(model, config, hash_bundle(folder))


def _save(model: nn.Module, config: DetectorConfig | GeneratorConfig, folder: Path) -> str:
    state = {
        name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()
    }
    return write_bundle(folder, config, WEIGHTS, save(state))


@contextmanager
def _usable(folder: Path) -> Iterator[None]:
    """Whatever torch makes of odd options and weights becomes one line that names the folder."""
    try:
        yield
    except (LabError, TypeError, ValueError, RuntimeError) as error:
        if isinstance(error, LabError) and str(folder) in str(error):
            raise
        raise LabError(
            f"the model in {folder} cannot be used ({first_line(error)}); fetch or train it again"
        ) from None


def _load(make: Callable[[], nn.Module], folder: Path, device: str | None) -> nn.Module:
    try:
        state = load_file(folder / WEIGHTS)
    except (SafetensorError, OSError, ValueError) as error:
        raise LabError(
            f"{folder / WEIGHTS} is damaged or no safetensors file: {first_line(error)}"
        ) from None
    with torch.device("meta"):  # no memory for a network that the file's weights do not fit
        _compare(make(), state, folder)
    model = make()
    model.load_state_dict(state)
    return model.eval().to(device or ("cuda" if torch.cuda.is_available() else "cpu"))


def _compare(model: nn.Module, state: dict[str, torch.Tensor], folder: Path) -> None:
    expected = {name: _form(tensor) for name, tensor in model.state_dict().items()}
    found = {name: _form(tensor) for name, tensor in state.items()}
    wrong = [
        f"{name} is {found.get(name, 'missing')}, expected {expected.get(name, 'nothing')}"
        for name in sorted(expected.keys() | found.keys())
        if expected.get(name) != found.get(name)
    ]
    if wrong:
        more = f" and {len(wrong) - 1} more" if len(wrong) > 1 else ""
        raise LabError(
            f"the weights in {folder} do not fit its {CONFIG}: {wrong[0]}{more}; fetch or train it again"
        )
    if not all(
        bool(torch.isfinite(tensor).all())
        for tensor in state.values()
        if tensor.is_floating_point()
    ):
        raise LabError(f"the weights in {folder} hold NaN or infinity; fetch or train it again")


def _form(tensor: torch.Tensor) -> str:
    """What must agree between a network and its file: whole or real numbers, and the shape.
    Precision may differ.
    """
    kind = "complex " if tensor.is_complex() else "" if tensor.is_floating_point() else "whole "
    return f"{kind}{tuple(tensor.shape)}"
