"""taef2, a tiny autoencoder: pictures to latents at an eighth of the side, and back.

It imitates the autoencoder of FLUX.2 (Ollin Boer Bohan, MIT licence). Generators work in such a
space of latents, and their pictures come out of such a decoder. A real photo that went through both
halves shows the decoder's traces and nothing else that is false.

Layers keep the names of the published weights, which number them within each half.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fauxlab.errors import LabError
from fauxlab.io.text import hash_file, printable
from fauxlab.models.weights import download, read_weights
from fauxlab.privacy import cache_folder

NAME = "taef2"
CHANNELS = 32  # of the latents
STRIDE = 8  # pixels a latent, in each direction
WIDTH = 64  # channels of the layers between
POOLED_WIDTH = 256
POOLED_GROUPS = 4
BOUND = 3.0  # latents are brought softly within this distance of 0
URL = "https://github.com/madebyollin/taesd/raw/5cccb12dc72074a4be35680c3b108548a7c69978/"
# The published files and their SHA-256. They store weights as float16.
ENCODER_FILE = "taef2_encoder.pth"
DECODER_FILE = "taef2_decoder.pth"
HASHES = {
    ENCODER_FILE: "10a4e1021e89d7551eaf161352da8dbd0b1aa83872ae28b150c1df1ce2f147b6",
    DECODER_FILE: "0a44a31e1ae59eb9dbf9359d24942fd3ef5928162c1800d97a28c61d51be0ab5",
}


class Autoencoder(nn.Module):
    """An encoder and a decoder, each the inverse of the other as far as it can be."""

    def __init__(self, name: str = NAME, sha256: str = "") -> None:
        super().__init__()
        self.name = name
        self.sha256 = sha256  # of both files of weights together
        self.encoder = _encoder()
        self.decoder = _decoder()

    def encode(self, images: Tensor) -> Tensor:
        """Images [N, 3, H, W] in [-1, 1] to latents [N, 32, H/8, W/8] of deviation about 1.

        Raises LabError where a side is no multiple of 8.
        """
        _, _, height, width = images.shape
        if height % STRIDE or width % STRIDE:
            raise LabError(
                f"{self.name} takes sides that are multiples of {STRIDE}, not {width}x{height}; "
                "crop or pad the picture"
            )
        shares = (images + 1) / 2
        latents: Tensor = self.encoder(shares)
        return latents

    def decode(self, latents: Tensor) -> Tensor:
        """Latents [N, 32, h, w] to images [N, 3, 8h, 8w] in [-1, 1]."""
        bounded = torch.tanh(latents / BOUND) * BOUND
        shares: Tensor = self.decoder(bounded)
        return shares.clamp(0, 1) * 2 - 1

    def forward(self, images: Tensor) -> Tensor:
        """Images [N, 3, H, W] in [-1, 1], encoded and decoded."""
        return self.decode(self.encode(images))

    def reconstruct(self, pixels: Tensor) -> Tensor:
        """Pictures uint8 [N, 3, H, W] of any size, encoded and decoded; same shape.

        Where a side is no multiple of 8, the edge is repeated for the time between.
        """
        _, _, height, width = pixels.shape
        margins = (0, -width % STRIDE, 0, -height % STRIDE)
        images = pixels.float() / 127.5 - 1
        padded = F.pad(images, margins, mode="replicate")
        # More than twice as fast where the processor knows bfloat16. Pixels then differ by .6 of
        # 255, a tenth of what the encoding loses.
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, _knows_bfloat16()):
            decoded = self(padded).float()
        levels = (decoded + 1) * 127.5
        own = levels[:, :, :height, :width]
        rounded: Tensor = own.round().to(torch.uint8)
        return rounded


def open_autoencoder(name_or_path: str | Path = NAME) -> Autoencoder:
    """An autoencoder on the CPU, in evaluation mode, without gradients for its weights.

    `taef2` fetches its two files (5.4 MB) into the cache folder on first use. A path names the
    folder that holds them. Raises LabError on files that are absent, damaged, or of another
    network, and where they cannot be fetched.
    """
    if str(name_or_path) == NAME:
        folder = cache_folder() / "weights"
        _fetch_missing(folder)
    else:
        folder = Path(name_or_path)
    files = (folder / ENCODER_FILE, folder / DECODER_FILE)
    _need_files(files)
    autoencoder = Autoencoder(NAME, _hash_together(files))
    halves = (autoencoder.encoder, autoencoder.decoder)
    for path, half in zip(files, halves, strict=True):
        _load(half, path)
    return autoencoder.requires_grad_(False).eval()


def _fetch_missing(folder: Path) -> None:
    """Fetch the files that are not in a folder as they were published."""
    for name, sha256 in HASHES.items():
        path = folder / name
        if not path.is_file() or hash_file(path) != sha256:
            download(URL + name, path, sha256, ", or name the folder that holds it")


def _need_files(files: Sequence[Path]) -> None:
    for path in files:
        if not path.is_file():
            raise LabError(
                f"no weights {printable(path)}; name {NAME}, or a folder that holds "
                f"{ENCODER_FILE} and {DECODER_FILE}"
            )


def _hash_together(files: Sequence[Path]) -> str:
    digest = hashlib.sha256()
    for path in files:
        digest.update(bytes.fromhex(hash_file(path)))
    return digest.hexdigest()


def _load(half: nn.Module, path: Path) -> None:
    """Give a half the weights of a file, as float32."""
    state = read_weights(path, NAME)
    try:
        half.load_state_dict(state)
    except RuntimeError as error:
        reason = str(error).splitlines()[-1].strip()
        raise LabError(f"{printable(path)} does not fit {NAME}: {reason}; fetch it again") from None


def _knows_bfloat16() -> bool:
    """Whether this processor multiplies in bfloat16; elsewhere it would be slower, not faster."""
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


# --- layers


class Block(nn.Module):
    """Three convolutions whose result is added to their input.

    With `pooled`, a path through normalised groups of channels is added first. The groups are
    normalised over the whole picture, so each place learns of all others.
    """

    def __init__(self, pooled: bool = False) -> None:
        super().__init__()
        self.conv = nn.Sequential(
            _convolution(WIDTH, WIDTH),
            nn.ReLU(),
            _convolution(WIDTH, WIDTH),
            nn.ReLU(),
            _convolution(WIDTH, WIDTH),
        )
        self.pool = _pooled_path() if pooled else None

    def forward(self, x: Tensor) -> Tensor:
        """[N, 64, H, W] to the same shape, at least 0."""
        if self.pool is not None:
            x = x + self.pool(x)
        activations: Tensor = (self.conv(x) + x).relu_()
        return activations


def _encoder() -> nn.Sequential:
    layers: list[nn.Module] = [_convolution(3, WIDTH), Block()]
    for pooled in (False, False, True):
        layers.append(_halving())
        layers += _three_blocks(pooled)
    layers.append(_convolution(WIDTH, CHANNELS))
    return nn.Sequential(*layers)


def _decoder() -> nn.Sequential:
    # The published weights count the bound on the latents as layer 0; `decode` has it.
    layers: list[nn.Module] = [nn.Identity(), _convolution(CHANNELS, WIDTH), nn.ReLU()]
    for pooled in (True, False, False):
        layers += _three_blocks(pooled)
        layers += [nn.Upsample(scale_factor=2), _convolution(WIDTH, WIDTH, bias=False)]
    layers += [Block(), _convolution(WIDTH, 3)]
    return nn.Sequential(*layers)


def _three_blocks(pooled: bool) -> list[nn.Module]:
    return [Block(pooled) for _ in range(3)]


def _convolution(inputs: int, outputs: int, bias: bool = True) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 3, padding=1, bias=bias)


def _halving() -> nn.Conv2d:
    return nn.Conv2d(WIDTH, WIDTH, 3, stride=2, padding=1, bias=False)


def _pooled_path() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(WIDTH, POOLED_WIDTH, 1, bias=False),
        nn.GroupNorm(POOLED_GROUPS, POOLED_WIDTH),
        nn.ReLU(),
        nn.Conv2d(POOLED_WIDTH, WIDTH, 1, bias=False),
    )
