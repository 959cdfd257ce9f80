r"""Train the small network that says how a face lies: upright, on a side, or upside down.

    fauxlab data index FACES --out faces/manifest.csv
    .venv/bin/python -m benchmarks.detector.face_turns faces/manifest.csv

FACES holds upright faces, real and fake. YuNet finds the face in each; a window around it, at a
random place, size and angle, is turned by 0, 90, 180 or 270 degrees, and the network learns which.
The kinds of HELD_OUT are not learned from: the accuracy is measured on these. `face_finding`
measures how often whole photos are turned upright.

Writes src/fauxlab/weights/faces/turns.onnx, and benchmarks/results/face_turns.json.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import warnings
from pathlib import Path

import numpy as np
import torch
from benchmarks.output import command_line, describe_machine, print_results, save_results
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional

from fauxlab.data.manifest import Manifest
from fauxlab.io.images import decode
from fauxlab.io.limits import ImageError
from fauxlab.io.sources import FileReader
from fauxlab.progress import count_images
from fauxlab.scan.finding.boxes import Boxes, one_a_face
from fauxlab.scan.finding.networks import FOLDER, propose_faces
from fauxlab.scan.finding.turns import SMALL_SIDE, TURNS
from fauxlab.scan.finding.views import cut_window, place_window

RESULTS = "face_turns.json"
HELD_OUT = ("snapshots", "pixabay", "dfdc-real", "community-africa", "sd3", "stylegan-512")
# Of the windows that are kept in memory, which leaves room to shift them.
LARGE_SIDE = 2 * SMALL_SIDE
KEPT = 2.25  # the side of such a window per the face's; a face crop shows less around the face
LEAST = 0.5  # YuNet's score for a face to learn from
WIDTHS = (16, 32, 64)
EPOCHS = 8
BATCH = 128

Pixels = NDArray[np.uint8]


class TurnNetwork(nn.Module):
    """Logits of the four turns, [N, 4], of windows uint8 [N, SMALL_SIDE, SMALL_SIDE, 3]."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels = 1
        for width in WIDTHS:
            layers += [
                nn.Conv2d(channels, width, 3, padding=1, bias=False),
                nn.BatchNorm2d(width),
                nn.ReLU(),
                nn.MaxPool2d(2),
            ]
            channels = width
        self.layers = nn.Sequential(*layers)
        # Where in the window something lies counts, so there is no pooling over places.
        self.head = nn.Linear(channels * (SMALL_SIDE // 2 ** len(WIDTHS)) ** 2, len(TURNS))
        self.drop = nn.Dropout(0.3)

    def forward(self, windows: Tensor) -> Tensor:
        """Logits of the turns."""
        grey = windows.float().mean(dim=3)
        # Brightness and contrast say nothing about the turn.
        mean = grey.mean(dim=(1, 2), keepdim=True)
        deviation = (grey - mean).square().mean(dim=(1, 2), keepdim=True).sqrt()
        normed = (grey - mean) / (deviation + 4)
        features = self.layers(normed[:, None])
        logits: Tensor = self.head(self.drop(features.flatten(1)))
        return logits


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("manifest", type=Path)
    options = parser.parse_args()
    windows, kinds = collect(Manifest.load(options.manifest))
    is_held_out = np.isin(kinds, HELD_OUT)
    network = train(windows[~is_held_out])
    digest = export(network)
    accuracy = {}
    for kind in HELD_OUT:
        accuracy[kind] = measure(network, windows[kinds == kind])
    results = {
        "sha256": digest,
        "learned_from": int((~is_held_out).sum()),
        "accuracy_of_kinds_held_out": accuracy,
        "command": command_line(),
        "environment": describe_machine(),
    }
    save_results(RESULTS, results)
    print_results(results)


def collect(manifest: Manifest) -> tuple[Pixels, NDArray[np.str_]]:
    """Windows around the faces, uint8 [N, LARGE_SIDE, LARGE_SIDE, 3], and the faces' kinds [N]."""
    windows, kinds = [], []
    with FileReader() as reader, count_images("cutting", len(manifest)) as advance:
        for row in manifest.rows:
            advance(1)
            try:
                picture = decode(reader.read(str(manifest.root / row.path)))
            except ImageError:
                continue
            found = one_a_face(propose_faces(np.asarray(picture), LEAST))
            if len(found.scores):
                windows.append(cut_large(picture, found))
                kinds.append(row.generator or row.source)
    return np.stack(windows), np.array(kinds)


def cut_large(picture: Image.Image, found: Boxes) -> Pixels:
    """A window around the surest face, larger than the network's by half."""
    window = place_window(picture.size, found.boxes[0], KEPT)
    return cut_window(picture, window, LARGE_SIDE)


def train(windows: Pixels) -> TurnNetwork:
    torch.manual_seed(0)
    network = TurnNetwork()
    optimizer = torch.optim.AdamW(network.parameters(), weight_decay=0.01)
    steps = EPOCHS * (len(windows) // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 3e-3, total_steps=steps)
    rng = np.random.default_rng(0)
    with count_images("training", steps * BATCH) as advance:
        for _ in range(EPOCHS):
            order = rng.permutation(len(windows))
            for start in range(0, len(order) - BATCH + 1, BATCH):
                batch = torch.from_numpy(windows[order[start : start + BATCH]])
                seen, turns = change(batch)
                loss = functional.cross_entropy(network(seen), turns, label_smoothing=0.02)
                optimizer.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]
                optimizer.step()
                schedule.step()
                advance(BATCH)
    return network.eval()


def change(windows: Tensor) -> tuple[Tensor, Tensor]:
    """Windows at random places, sizes and angles, of random light and sharpness; and their turns.

    A face that lies on a side is the upright one turned clockwise, so that the turn sets it right.
    """
    count = len(windows)
    turns = torch.randint(len(TURNS), (count,))
    tilt = torch.randn(count) * 0.22  # radians
    angle = tilt - turns * (torch.pi / 2)
    size = torch.empty(count).uniform_(0.55, 0.85)
    mirrored = torch.randint(2, (count,)) * 2 - 1.0
    cos, sin = torch.cos(angle) * size, torch.sin(angle) * size
    shift = torch.randn(count, 2) * 0.08
    # The face is mirrored before it is turned: a mirror afterwards would swap the two sides.
    first = torch.stack([cos * mirrored, -sin * mirrored, shift[:, 0]], dim=1)
    second = torch.stack([sin, cos, shift[:, 1]], dim=1)
    grid = functional.affine_grid(
        torch.stack([first, second], dim=1), [count, 3, SMALL_SIDE, SMALL_SIDE], align_corners=False
    )
    pixels = windows.permute(0, 3, 1, 2).float()
    seen = functional.grid_sample(pixels, grid, padding_mode="reflection", align_corners=False)
    blurred = functional.avg_pool2d(seen, 3, 1, 1)
    share = torch.rand(count, 1, 1, 1) * (torch.rand(count, 1, 1, 1) < 0.5)
    seen = seen * (1 - share) + blurred * share
    noise = torch.rand(count, 1, 1, 1) * 12
    seen = seen + noise * torch.randn_like(seen)
    # Light from a side: a ramp over the window.
    ramp = torch.linspace(-1, 1, SMALL_SIDE)
    across, down = torch.randn(2, count, 1, 1, 1) * 25
    seen = seen + across * ramp + down * ramp[:, None]
    return seen.clamp(0, 255).permute(0, 2, 3, 1), turns


def measure(network: TurnNetwork, windows: Pixels) -> dict[str, float]:
    """The share of windows whose turn is told, for each turn."""
    cut = (LARGE_SIDE - LARGE_SIDE * 2 // 3) // 2
    inner = windows[:, cut:-cut, cut:-cut]
    shares: dict[str, float] = {"n": len(windows)}
    for number, turn in enumerate(TURNS):
        turned = np.rot90(inner, -number, axes=(1, 2))
        pictures = [np.asarray(Image.fromarray(w).resize((SMALL_SIDE, SMALL_SIDE))) for w in turned]
        with torch.no_grad():
            told = network(torch.from_numpy(np.stack(pictures))).argmax(dim=1)
        shares[str(turn)] = round(float((told == number).float().mean()), 4)
    return shares


def export(network: TurnNetwork) -> str:
    """Write the ONNX file; returns its SHA-256."""
    windows = torch.zeros(2, SMALL_SIDE, SMALL_SIDE, 3, dtype=torch.uint8)
    stream = io.BytesIO()
    with warnings.catch_warnings():
        # The older exporter is enough for such a graph, and needs no further package.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            network,
            (windows,),
            stream,
            input_names=["windows"],
            output_names=["logits"],
            dynamic_axes={"windows": {0: "n"}, "logits": {0: "n"}},
            opset_version=17,
            dynamo=False,
        )
    content = stream.getvalue()
    (FOLDER / "turns.onnx").write_bytes(content)
    return hashlib.sha256(content).hexdigest()


if __name__ == "__main__":
    main()
