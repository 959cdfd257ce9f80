"""Colours of a picture with a profile, converted to sRGB.

Phones and cameras store wider colour spaces than sRGB: Display P3, Adobe RGB, ProPhoto. Read as if
they were sRGB, such pictures look faded.
"""

from __future__ import annotations

import io
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from fauxlab.io.decoding.metadata import MAX_PROFILE

if TYPE_CHECKING:
    from PIL import ImageCms

# Profiles that change a colour by no more than this are sRGB in another writing. Their pictures
# keep every bit.
SAME = 2
# No real profile makes a middle grey as dark as this, or as bright.
DARKEST = 16
# Profiles that are kept ready. Most pictures of a folder come with the same few.
KEPT = 8

# How modes of pictures and colour spaces of profiles fit together.
_MODE_OF_SPACE = {"RGB ": "RGB", "GRAY": "L", "CMYK": "CMYK"}
_LEVELS = 9  # of each ink or light, in the colours that are tried out


def to_srgb(image: Image.Image, profile: bytes) -> Image.Image:
    """A picture of mode RGB, L or CMYK in the colours of its profile, as RGB in those of sRGB.

    Returns the picture itself where the profile is missing, broken, too long, of another kind of
    picture, or sRGB already.
    """
    if not profile:
        return image
    found = _open_transform(profile) if len(profile) <= MAX_PROFILE else None
    if found is None:
        return image
    mode, transform = found
    if mode == "RGB" and image.mode == "L":
        image = image.convert("RGB")
    if image.mode != mode:
        return image
    from PIL import ImageCms

    converted = ImageCms.applyTransform(image, transform)
    return converted if converted is not None else image


@lru_cache(KEPT)
def _open_transform(profile: bytes) -> tuple[str, ImageCms.ImageCmsTransform] | None:
    """The mode of pictures that a profile is for, and its conversion; None where it has no use."""
    from PIL import ImageCms

    try:
        opened = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        mode = _MODE_OF_SPACE.get(opened.profile.xcolor_space)
        if mode is None:
            return None
        transform = ImageCms.buildTransform(
            opened,
            ImageCms.createProfile("sRGB"),
            mode,
            "RGB",
            ImageCms.Intent.RELATIVE_COLORIMETRIC,
            ImageCms.Flags.BLACKPOINTCOMPENSATION,
        )
        trial = _all_colours(mode)
        converted = ImageCms.applyTransform(trial, transform)
    # ImageCms raises its own error, and others for profiles of odd types.
    except Exception:
        return None
    if converted is None:
        return None
    if mode != "CMYK" and (_is_same(trial, converted) or _is_senseless(converted)):
        return None
    return mode, transform


def _all_colours(mode: str) -> Image.Image:
    """One row of colours all over the range of a mode."""
    if mode == "L":
        return Image.fromarray(np.arange(256, dtype=np.uint8)[None])
    channels = len(mode)
    levels = np.linspace(0, 255, _LEVELS).astype(np.uint8)
    grid = np.meshgrid(*[levels] * channels, indexing="ij")
    colours = np.stack(grid, axis=-1).reshape(1, -1, channels)
    return Image.frombytes(mode, colours.shape[1::-1], colours.tobytes())


def _is_senseless(converted: Image.Image) -> bool:
    """Whether a profile makes the middle grey, in the middle of all colours, black or white."""
    middle = converted.getpixel((converted.width // 2, 0))
    luma = np.mean(middle) if middle is not None else 0
    return not DARKEST <= luma <= 255 - DARKEST


def _is_same(trial: Image.Image, converted: Image.Image) -> bool:
    before = np.asarray(trial.convert("RGB"), dtype=np.int16)
    after = np.asarray(converted, dtype=np.int16)
    return int(np.abs(after - before).max()) <= SAME
