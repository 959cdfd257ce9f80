"""Shared fixtures: a cache of the test's own, a small data set, and the research faces where they
are present.
"""

from __future__ import annotations

import io
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from fauxlab import cli
from fauxlab.data.indexing import index
from fauxlab.data.manifest import Manifest

if TYPE_CHECKING:
    from torch import Tensor

Command = Callable[..., tuple[int, str, str]]

# The tests' networks are tiny: a second thread only waits, here and in the processes that tests
# start.
os.environ.setdefault("OMP_NUM_THREADS", "1")

FACES = Path(os.environ.get("FAUXLAB_FACES", Path(__file__).parents[2] / "shared" / "lineup"))


@pytest.fixture(autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No test reads or fills the user's cache."""
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("FAUXLAB_CACHE", str(folder))
    return folder


@pytest.fixture
def fauxlab(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Command:
    """Run a command in this process: (exit code, stdout, stderr)."""

    def run(*words: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["fauxlab", *map(str, words)])
        code = 0
        try:
            cli.main()
        except SystemExit as stop:
            code = stop.code if isinstance(stop.code, int) else 0
        return code, *capsys.readouterr()

    return run


@pytest.fixture
def full_disk(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Let every file that is written aside lie on a full disk, once the function is called."""
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("needs Linux's /dev/full")

    def fill() -> None:
        monkeypatch.setattr("fauxlab.io.files._make_file", lambda path: path.symlink_to(full))

    return fill


@pytest.fixture
def jpeg() -> Callable[..., bytes]:
    """JPEG bytes of a smooth random picture; the same seed gives the same picture."""

    def make(seed: int = 0, size: tuple[int, int] = (64, 64), **options: object) -> bytes:
        rng = np.random.default_rng(seed)
        coarse = Image.fromarray(rng.integers(0, 256, (6, 6, 3), dtype=np.uint8))
        stream = io.BytesIO()
        coarse.resize(size, Image.Resampling.BICUBIC).save(
            stream, "JPEG", **{"quality": 92, **options}
        )
        return stream.getvalue()

    return make


@pytest.fixture
def pictures() -> Callable[..., Tensor]:
    """uint8 [n, 3, size, size] of noise; the same seed gives the same pictures."""

    def make(n: int, size: int = 32, seed: int = 0) -> Tensor:
        import torch

        return torch.from_numpy(
            np.random.default_rng(seed).integers(0, 256, (n, 3, size, size), dtype=np.uint8)
        )

    return make


@pytest.fixture(scope="session")
def small_set(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    """Two generators and their reals, 40 images each; to read only, see `small`."""
    folder = tmp_path_factory.mktemp("small") / "set"
    rng = np.random.default_rng(0)
    for name, amplitude in {"real/photos": 0, "fake/grain": 60, "fake/speckle": 90}.items():
        (folder / name).mkdir(parents=True)
        for i in range(40):
            coarse = Image.fromarray(rng.integers(60, 190, (5, 5, 3), dtype=np.uint8))
            pixels = np.asarray(coarse.resize((48, 48), Image.Resampling.BICUBIC), dtype=np.int16)
            pixels = pixels + rng.integers(-amplitude, amplitude + 1, pixels.shape)
            picture = Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))
            picture.save(folder / name / f"{name[-3:]}{i:03}.png")
    return index(folder).split(seed=0)


@pytest.fixture
def small(small_set: Manifest, tmp_path: Path) -> Manifest:
    """A copy of the small set in the test's own folder: flat-noise fakes, which a network learns in
    seconds.
    """
    folder = tmp_path / "set"
    shutil.copytree(small_set.root, folder)
    return Manifest(small_set.rows, folder)


@pytest.fixture
def faces() -> Path:
    """The folder of real and fake research faces, which may not be passed on."""
    if not (FACES / "metadata.csv").is_file():
        pytest.skip(
            "the research faces are not on this machine (set FAUXLAB_FACES to their folder)"
        )
    return FACES
