"""Trained networks as bundles: `model.safetensors`, `config.json` and a model card; no pickles."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn

from fauxlab.bundle.config import DetectorConfig, GeneratorConfig
from fauxlab.bundle.decision import compute_scores
from fauxlab.bundle.detector import Prediction, check_head_count, predict_in_parts
from fauxlab.bundle.folder import (
    CONFIG,
    WEIGHTS,
    hash_bundle,
    read_config,
    write_bundle,
)
from fauxlab.errors import LabError
from fauxlab.io.text import describe_error, printable
from fauxlab.models import create_detector, create_generator
from fauxlab.models.batches import device_of
from fauxlab.models.costs import measure_costs
from fauxlab.models.gans import draw_latents, to_pixels
from fauxlab.models.inputs import to_input

# Bytes of the weights, and of the list of them at the beginning of the file.
MOST_BYTES = 2**30
MOST_HEADER = 2**20
HEADER_START = 8


@dataclass(frozen=True)
class Detector:
    """A network in evaluation mode, with all that is needed to use it.

    `hash` is of weights and config, "" before they are saved. `most` pictures are predicted at
    once, or any number.

    >>> import fauxlab as fl
    >>> detector = fl.Detector.from_pretrained("runs/latest/best")  # doctest: +SKIP
    >>> prediction = detector.predict(pixels)  # doctest: +SKIP
    >>> detector.scores(prediction.logits)  # doctest: +SKIP
    array([0.02, 0.97])
    """

    model: nn.Module
    config: DetectorConfig
    hash: str = ""
    most: int | None = None

    @property
    def size(self) -> int:
        """Side of the input images in pixels."""
        return self.config.preprocessing.size

    def predict(self, pixels: NDArray[np.uint8]) -> Prediction:
        """Predict pictures uint8 [N, 3, size, size] RGB, on the device of the network."""
        return predict_in_parts(self._run, pixels, self.most)

    def _run(self, pixels: NDArray[np.uint8]) -> Prediction:
        device = device_of(self.model)
        images = torch.from_numpy(pixels).to(device)
        with torch.inference_mode():
            # nn.Module types every attribute as a Tensor or a Module.
            prediction = self.model.predict(to_input(images))  # type: ignore[operator]
        arrays = []
        for tensor in prediction:
            on_cpu = tensor.float().cpu()
            arrays.append(on_cpu.numpy())
        return Prediction(*arrays)

    def scores(self, logits: NDArray[np.float32]) -> NDArray[np.float64]:
        """P(fake) [N] from logits [N]; see `DetectorConfig.scores`."""
        return compute_scores(self.config, logits)

    def save_pretrained(self, folder: str | Path) -> Detector:
        """Write the bundle, whole or not at all, over an older one; returns it with its hash."""
        saved_hash = _save(self.model, self.config, Path(folder))
        return Detector(self.model, self.config, saved_hash)

    @classmethod
    def from_pretrained(cls, folder: str | Path, device: str | None = None) -> Detector:
        """Read a bundle onto `device` (by default a GPU where there is one).

        Raises LabError when a part is missing, damaged, or does not fit the architecture, and when
        the network takes too much memory or time for one picture (`fauxlab.models.costs`).
        """
        folder = Path(folder)
        config = read_config(folder, DetectorConfig, "detector")

        def build() -> nn.Module:
            size = config.preprocessing.size
            return create_detector(config.architecture, size, **config.options)

        with _usable(folder):
            model = _load(build, folder, device)
            most = _check_score(model, config)
        bundle_hash = hash_bundle(folder)
        return cls(model, config, bundle_hash, most)


@dataclass(frozen=True)
class Generator:
    """A generator in evaluation mode; unconditional, so it takes latents only.

    `hash` is of weights and config, "" before they are saved.

    >>> import fauxlab as fl
    >>> generator = fl.Generator.from_pretrained("runs/latest/best")  # doctest: +SKIP
    >>> generator.sample(0, 4).shape  # doctest: +SKIP
    torch.Size([4, 3, 64, 64])
    """

    model: nn.Module
    config: GeneratorConfig
    hash: str = ""

    def __call__(self, latents: Tensor) -> Tensor:
        """Latents float [N, latent] to uint8 [N, 3, size, size] on the CPU."""
        device = device_of(self.model)
        with torch.inference_mode():
            images = self.model(latents.to(device))
            return to_pixels(images).cpu()

    def sample(self, first: int, count: int) -> Tensor:
        """The images uint8 [count, 3, size, size] of the seeds first, first + 1, …"""
        seeds = range(first, first + count)
        latents = draw_latents(seeds, self.config.latent)
        return self(latents)

    def save_pretrained(self, folder: str | Path) -> Generator:
        """Write the bundle, whole or not at all, over an older one; returns it with its hash."""
        saved_hash = _save(self.model, self.config, Path(folder))
        return Generator(self.model, self.config, saved_hash)

    @classmethod
    def from_pretrained(cls, folder: str | Path, device: str | None = None) -> Generator:
        """Read a bundle, as `Detector.from_pretrained` does."""
        folder = Path(folder)
        config = read_config(folder, GeneratorConfig, "generator")

        def build() -> nn.Module:
            name = config.architecture
            return create_generator(name, config.size, config.latent, **config.options)

        with _usable(folder):
            model = _load(build, folder, device)
            _check_image(model, config.latent)
        bundle_hash = hash_bundle(folder)
        return cls(model, config, bundle_hash)


def _save(model: nn.Module, config: DetectorConfig | GeneratorConfig, folder: Path) -> str:
    state = {}
    for name, tensor in model.state_dict().items():
        on_cpu = tensor.detach().cpu()
        state[name] = on_cpu.contiguous()
    content = save(state)
    return write_bundle(folder, config, WEIGHTS, content)


@contextmanager
def _usable(folder: Path) -> Iterator[None]:
    """Turn torch's errors on impossible options and weights into one line that names the folder."""
    try:
        yield
    except (LabError, TypeError, ValueError, RuntimeError) as error:
        names_folder = printable(folder) in str(error)
        if isinstance(error, LabError) and names_folder:
            raise
        raise LabError(
            f"the model in {printable(folder)} cannot be used ({describe_error(error)}); "
            "fetch or train it again"
        ) from None


def _load(build: Callable[[], nn.Module], folder: Path, device: str | None) -> nn.Module:
    """Build the network and load the folder's weights into it."""
    try:
        _check_header(folder / WEIGHTS)
        state = load_file(folder / WEIGHTS)
    except (SafetensorError, OSError, ValueError) as error:
        reason = describe_error(error)
        raise LabError(
            f"{printable(folder / WEIGHTS)} is damaged or no safetensors file: {reason}"
        ) from None
    # Compared without allocating memory, which a config for a huge network would exhaust.
    with torch.device("meta"):
        _check_weights(build(), state, folder)
    model = build()
    model.load_state_dict(state)
    model.eval()
    if not device:
        device = "cuda" if torch.cuda.is_available() else "cpu"
    return model.to(device)


def _check_header(path: Path) -> None:
    """Raise ValueError for a file that is too large, or whose list of weights is.

    The list is JSON behind its length, a whole number of HEADER_START bytes.
    """
    size = path.stat().st_size
    if size > MOST_BYTES:
        raise ValueError(f"its {size:,} bytes are above the limit of {MOST_BYTES:,}")
    with path.open("rb") as stream:
        length = int.from_bytes(stream.read(HEADER_START), "little")
    if length > MOST_HEADER:
        raise ValueError(f"its header of {length:,} bytes is above the limit of {MOST_HEADER:,}")


def _check_score(model: nn.Module, config: DetectorConfig) -> int:
    """How many pictures the network may predict at once.

    Raises ValueError where a grey picture gets no finite score, or costs too much, and where the
    network has other heads than its config names.
    """
    size = config.preprocessing.size
    grey = torch.zeros(1, 3, size, size, device=device_of(model))
    with torch.inference_mode(), measure_costs(model) as costs:
        logits = model(grey)
    heads = logits.shape[1] if logits.ndim == 2 else 0  # a column a head
    check_head_count(config, heads)
    if heads:
        logits = model.join(logits)  # type: ignore[operator]
    if logits.shape != (1,) or not _is_finite(logits):
        raise ValueError("a grey picture gets no finite score")
    return costs.pictures_at_once


def _check_image(model: nn.Module, latent: int) -> None:
    """Raise ValueError where an image costs too much."""
    latents = torch.zeros(1, latent, device=device_of(model))
    with torch.inference_mode(), measure_costs(model):
        model(latents)


def _check_weights(model: nn.Module, state: dict[str, Tensor], folder: Path) -> None:
    """Raise LabError where names, shapes or kinds of weights differ, or a weight is not finite."""
    expected = _forms(model.state_dict())
    present = _forms(state)
    wrong = []
    all_names = expected.keys() | present.keys()
    for name in sorted(all_names):
        form = present.get(name, "missing")
        expected_form = expected.get(name, "nothing")
        if name not in present or form != expected_form:
            wrong.append(f"{name} is {form}, expected {expected_form}")
    if wrong:
        more = f" and {len(wrong) - 1} more" if len(wrong) > 1 else ""
        raise LabError(
            f"the weights in {printable(folder)} do not fit its {CONFIG}: "
            f"{printable(wrong[0][:200])}{more}; fetch or train it again"
        )
    for tensor in state.values():
        if tensor.is_floating_point() and not _is_finite(tensor):
            raise LabError(
                f"the weights in {printable(folder)} hold NaN or infinity; fetch or train it again"
            )


def _is_finite(tensor: Tensor) -> bool:
    return bool(torch.isfinite(tensor).all())


def _forms(state: Mapping[str, Tensor]) -> dict[str, str]:
    """What must agree between a network and its file: each weight's kind of numbers and shape.

    The precision may differ.
    """
    forms = {}
    for name, tensor in state.items():
        kind = "whole "
        if tensor.is_complex():
            kind = "complex "
        elif tensor.is_floating_point():
            kind = ""
        shape = tuple(tensor.shape)
        forms[name] = f"{kind}{shape}"
    return forms
