"""The networks that find faces, and tell how they lie, run by onnxruntime.

YuNet (Wu, Peng and Yu, 2023) is fast. It looks at the whole picture and proposes places. CenterFace
(Xu and others, 2019) is surer and four times slower a pixel. It looks at single places.

Their files in `fauxlab/weights/faces` were made from the published ones by
`benchmarks/detector/face_networks.py`: any number and size of pictures, uint8 RGB.
"""

from __future__ import annotations

import hashlib
import threading
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from fauxlab.bundle.sessions import make_session
from fauxlab.errors import LabError
from fauxlab.scan.finding.boxes import Boxes, join

if TYPE_CHECKING:
    import onnxruntime
    from numpy.typing import NDArray

    Pixels = NDArray[np.uint8]
    Floats = NDArray[np.float64]
    Indices = NDArray[np.intp]

FOLDER = Path(__file__).parents[2] / "weights" / "faces"
INPUT = "pictures"
STEP = 32  # both networks take sides that are multiples of this, in pixels


class Network(NamedTuple):
    """A network's file in FOLDER, and the SHA-256 of it."""

    file: str
    sha256: str


YUNET = Network("yunet.onnx", "828fb6755ecbd9795f3fab9ad2158230ff58393df57cbc26355f6ae71c32eaf4")
CENTERFACE = Network(
    "centerface.onnx", "472f391a790428b7b45318c7e96c94edf68eeff3141c9855d3e2c0ed169bd66e"
)
TURNS = Network("turns.onnx", "9a1d2d036717c956d6897c8b3284c925859b3913ecea3a1e84772754c467aaf7")

# YuNet has a row of outputs for each cell of three grids; a grid's cells are so many pixels wide.
GRIDS = (8, 16, 32)
_KINDS = ("cls", "obj", "bbox")
_YUNET_OUTPUTS = [f"{kind}_{stride}" for stride in GRIDS for kind in _KINDS]
# CenterFace has one grid: how much each cell is a face's middle, logarithms of height and width,
# and the middle's offset down and right, in cells.
CELL = 4
_CENTERFACE_OUTPUTS = ["537", "538", "539"]
# CenterFace's face must lie so near the middle of the box that it confirms, in sides of the box,
# and have so many times the box's area.
NEAR = 0.4
LEAST_AREA = 0.3
MOST_AREA = 4

_sessions: dict[str, onnxruntime.InferenceSession] = {}
_loading = threading.Lock()


def propose_faces(pixels: Pixels, least: float) -> Boxes:
    """What YuNet takes for faces in a picture uint8 [H, W, 3]: all boxes with at least this score.

    A face gets several boxes. Raises LabError where the network's file is damaged.
    """
    padded = _pad(pixels)
    session = _session(YUNET)
    arrays = session.run(_YUNET_OUTPUTS, {INPUT: padded[None]})
    outputs = dict(zip(_YUNET_OUTPUTS, arrays, strict=True))
    _, columns, _ = padded.shape
    found = [_read_grid(outputs, stride, columns // stride, least) for stride in GRIDS]
    return join(found)


def confirm_faces(windows: Pixels, boxes: Floats, which: Indices) -> Floats:
    """How sure CenterFace is of the face in each box [N, 4], 0 to 1, [N].

    Windows are uint8 [M, side, side, 3], the side a multiple of STEP; `which` [N] says in which
    window each box lies. Raises LabError where the network's file is damaged.
    """
    session = _session(CENTERFACE)
    heat, sizes, offsets = session.run(_CENTERFACE_OUTPUTS, {INPUT: windows})
    rows, columns = np.indices(heat.shape[2:])
    down = CELL * (rows + offsets[:, 0] + 0.5)
    right = CELL * (columns + offsets[:, 1] + 0.5)
    area = CELL**2 * np.exp(sizes[:, 0] + sizes[:, 1])
    answers = np.zeros(len(boxes))
    for number, (window, box) in enumerate(zip(which, boxes, strict=True)):
        left, top, width, height = box
        is_beside = np.abs(right[window] - left - width / 2) <= NEAR * width
        is_level = np.abs(down[window] - top - height / 2) <= NEAR * height
        ratio = area[window] / (width * height)
        is_alike = (ratio > LEAST_AREA) & (ratio < MOST_AREA)
        seen = heat[window, 0][is_beside & is_level & is_alike]
        answers[number] = seen.max(initial=0)
    return answers


def tell_turns(windows: Pixels) -> Floats:
    """How likely each turn sets a face upright, [N, 4], in natural logarithms.

    Windows around faces are uint8 [N, 32, 32, 3]. The turns are by 0, 90, 180 and 270 degrees,
    counter-clockwise. Raises LabError where the network's file is damaged.
    """
    (logits,) = _session(TURNS).run(None, {"windows": windows})
    precise = logits.astype(np.float64)
    largest = precise.max(axis=1, keepdims=True)
    total = np.exp(precise - largest).sum(axis=1, keepdims=True)
    likelihoods: Floats = precise - largest - np.log(total)
    return likelihoods


def _read_grid(
    outputs: dict[str, NDArray[np.float32]], stride: int, columns: int, least: float
) -> Boxes:
    """The boxes of YuNet's cells of one size, in pixels."""
    is_face = outputs[f"cls_{stride}"][0, :, 0]
    is_object = outputs[f"obj_{stride}"][0, :, 0]
    scores = np.sqrt(is_face * is_object)
    cells = np.flatnonzero(scores >= least)
    row, column = np.divmod(cells, columns)
    corner = np.column_stack([column, row])
    box = outputs[f"bbox_{stride}"][0, cells].astype(np.float64)
    middle = stride * (corner + box[:, :2])
    size = stride * np.exp(box[:, 2:])
    near_corner = middle - size / 2
    boxes = np.column_stack([near_corner, size])
    return Boxes(boxes, scores[cells].astype(np.float64))


def _pad(pixels: Pixels) -> Pixels:
    """The picture with black below and to the right, its sides multiples of STEP."""
    height, width, _ = pixels.shape
    below = -height % STEP
    beside = -width % STEP
    if not below and not beside:
        return pixels
    return np.pad(pixels, ((0, below), (0, beside), (0, 0)))


def _session(network: Network) -> onnxruntime.InferenceSession:
    """The session of a network, which all threads share.

    It computes in one thread: pictures are looked at side by side already.
    """
    with _loading:
        if network.file not in _sessions:
            content = _read(network)
            _sessions[network.file] = make_session(content, threads=1)
        return _sessions[network.file]


def _read(network: Network) -> bytes:
    path = FOLDER / network.file
    try:
        content = path.read_bytes()
    except OSError as error:
        reason = error.strerror or "cannot be read"
        raise LabError(f"{path}: {reason}; install fauxlab again") from None
    if hashlib.sha256(content).hexdigest() != network.sha256:
        raise LabError(f"{path} is not the file that fauxlab comes with; install fauxlab again")
    return content
