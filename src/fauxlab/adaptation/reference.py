"""The reference that a bundle carries: what its detector makes of known pictures, as numbers.

New heads are fitted against it, and false alarms are checked on it. It holds no pictures, no paths
and no names of people: groups are mere numbers.
"""

from __future__ import annotations

import io
import zipfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fauxlab.adaptation.space import Space
from fauxlab.bundle.decision import can_tell
from fauxlab.bundle.folder import REFERENCE
from fauxlab.errors import LabError
from fauxlab.io.reading import read_bytes
from fauxlab.io.text import describe_error, printable, replace_file

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fauxlab.bundle.config import DetectorConfig

    Floats = NDArray[np.floating]
    Bools = NDArray[np.bool_]

FORMAT = 1
MOST_BYTES = 2**26
MOST_PICTURES = 2_500
MOST_NAME = 100  # characters of a kind
MANIPULATIONS = ("", "made", "altered")  # of a real picture, and of fakes
LARGEST = 60_000  # 16-bit floats end at 65,504
ADVICE = "make one with `fauxlab detector calibrate MODEL MANIFEST --reference`"


@dataclass(frozen=True)
class Reference:
    """N pictures in coordinates of a space of K dimensions, and what is known of them.

    A kind is the source of a real picture, or the generator of a fake. `head_logits` [N, H] are of
    the detector's heads, on one scale. `limits` [N, 3] are distance, sharpness and tint, from which
    "cannot tell" follows.
    """

    space: Space
    coordinates: Floats  # [N, K]
    kinds: NDArray[np.str_]  # [N]
    groups: NDArray[np.int64]  # [N]
    manipulations: NDArray[np.int64]  # [N], places in MANIPULATIONS
    head_logits: Floats  # [N, H]
    limits: Floats  # [N, 3]

    def __len__(self) -> int:
        return len(self.kinds)

    @property
    def is_real(self) -> Bools:
        """Which pictures [N] are real."""
        is_real: Bools = self.manipulations == 0
        return is_real

    def told(self, config: DetectorConfig) -> Bools:
        """Which pictures [N] get a verdict, and not "cannot tell"."""
        told = [can_tell(config, *limits) for limits in self.limits.tolist()]
        return np.array(told, dtype=np.bool_)

    def with_head(self, logits: Floats) -> Reference:
        """The reference of a detector with one more head, whose logits [N] are on the one scale."""
        extended = np.column_stack([self.head_logits, logits])
        return replace(self, head_logits=extended)


# --- write


def write_reference(folder: Path, reference: Reference) -> None:
    """Put the reference into a bundle's folder, in place of an older one."""
    replace_file(folder / REFERENCE, encode_reference(reference))


def encode_reference(reference: Reference) -> bytes:
    """The bytes of the file; equal references give equal bytes."""
    space = reference.space
    stream = io.BytesIO()
    np.savez(
        stream,
        format=np.array(FORMAT),
        mean=space.mean.astype(np.float32),
        scale=space.scale.astype(np.float32),
        basis=space.basis.astype(np.float16),
        coordinates=_halve(reference.coordinates),
        kinds=reference.kinds,
        groups=reference.groups.astype(np.int32),
        manipulations=reference.manipulations.astype(np.uint8),
        head_logits=reference.head_logits.astype(np.float32),
        limits=reference.limits.astype(np.float32),
    )
    return stream.getvalue()


def _halve(numbers: Floats) -> NDArray[np.float16]:
    bounded = np.clip(numbers, -LARGEST, LARGEST)
    return bounded.astype(np.float16)


# --- read


def read_reference(folder: Path) -> Reference:
    """The reference in a bundle's folder. Raises LabError where it is missing or damaged."""
    path = folder / REFERENCE
    if not path.is_file():
        raise LabError(f"no {REFERENCE} in {printable(folder)}, which adapting needs; {ADVICE}")
    content = read_bytes(path, MOST_BYTES)
    try:
        return decode_reference(content)
    # A damaged zip raises errors of many kinds, and a stated size can be beyond the memory.
    except Exception as error:
        reason = describe_error(error)
        raise LabError(f"{printable(path)} cannot be used ({reason}); {ADVICE}") from None


def decode_reference(content: bytes) -> Reference:
    """The reference from the bytes of its file. Raises whatever is wrong with it."""
    arrays = _read_arrays(content)
    space = Space(
        arrays["mean"],
        arrays["scale"],
        arrays["basis"].astype(np.float32),
    )
    reference = Reference(
        space,
        arrays["coordinates"].astype(np.float64),
        arrays["kinds"],
        arrays["groups"].astype(np.int64),
        arrays["manipulations"].astype(np.int64),
        arrays["head_logits"].astype(np.float64),
        arrays["limits"].astype(np.float64),
    )
    _check(reference)
    return reference


def _read_arrays(content: bytes) -> dict[str, NDArray[Any]]:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        # Stored as they are, so that no small file becomes a large one.
        for member in archive.infolist():
            if member.compress_type != zipfile.ZIP_STORED:
                raise ValueError("it is compressed")
    with np.load(io.BytesIO(content), allow_pickle=False) as archive:
        if int(archive["format"]) != FORMAT:
            raise ValueError("it is of another version")
        return {name: archive[name] for name in archive.files}


def _check(reference: Reference) -> None:
    """Raise ValueError where the arrays do not fit each other, or hold what cannot be used."""
    mean, scale, basis = reference.space
    head_logits = reference.head_logits
    size = len(mean)
    n = len(reference.kinds)
    dimensions = basis.shape[1] or size
    shapes = {
        "scale": (scale.shape, (size,)),
        "basis": (basis.shape[:1], (size,)),
        "coordinates": (reference.coordinates.shape, (n, dimensions)),
        "groups": (reference.groups.shape, (n,)),
        "manipulations": (reference.manipulations.shape, (n,)),
        "head_logits": (head_logits.shape[:1], (n,)),
        "limits": (reference.limits.shape, (n, 3)),
    }
    for name, (shape, expected) in shapes.items():
        if shape != expected:
            raise ValueError(f"its {name} have the shape {list(shape)}, expected {list(expected)}")
    _check_contents(reference)


def _check_contents(reference: Reference) -> None:
    n = len(reference.kinds)
    if reference.head_logits.ndim != 2 or reference.kinds.dtype.kind != "U":
        raise ValueError("its logits or kinds have another form")
    if not 0 < n <= MOST_PICTURES:
        raise ValueError(f"it holds {n:,} pictures, expected 1 to {MOST_PICTURES:,}")
    numbers = [
        *reference.space,
        reference.coordinates,
        reference.head_logits,
        reference.limits,
    ]
    are_finite = all(np.isfinite(array).all() for array in numbers)
    is_scale = (reference.space.scale > 0).all()
    if not are_finite or not is_scale:
        raise ValueError("it holds numbers that are not finite")
    known = range(len(MANIPULATIONS))
    if not np.isin(reference.manipulations, known).all():
        raise ValueError("it names a manipulation that there is not")
    for kind in reference.kinds.tolist():
        if len(kind) > MOST_NAME or kind != printable(kind):
            raise ValueError("it names a kind in letters that cannot be shown")
