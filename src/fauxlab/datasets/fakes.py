"""The pictures of toyfaces: real photos, and three kinds of fakes that disturb them.

The fakes work as their namesakes in DeepFakeFace (Song et al. 2023) do: inpainting redraws a region
of a photo, insight swaps a face, text2img draws a whole picture.
"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from PIL import Image

from fauxlab.datasets.appearance import Array, Face, Shot, draw_face, draw_shot
from fauxlab.datasets.camera import apply_tone, develop, expose, sharpen
from fauxlab.datasets.canvas import clamp, head_coordinates
from fauxlab.datasets.plan import Photo
from fauxlab.datasets.portraits import draw_scene

# Second part of every seed, so that no two uses share their random numbers. `plan` has 0.
IDENTITY, REAL, INPAINTING, INSIGHT, TEXT2IMG = 1, 2, 3, 4, 5

# Both are balanced against the camera's noise, so that fakes and real pictures compress to files of
# the same size.
FINISH = (0.12, 0.36)  # range of the sharpening of an edited picture
GRAIN = 0.019  # white noise of a synthesised one, standard deviation in display values of [0, 1]

SOFTNESS = 0.25  # width of the edge of a mask, in half widths of its oval
HEAD_TURN = 0.45  # how far the middle of the face moves when the head turns by one radian


class Oval(NamedTuple):
    """An egg on the face, in head units."""

    x: float
    y: float
    half_width: float
    half_height: float


EYES = Oval(0.0, -0.08, 0.72, 0.38)
LOWER_FACE = Oval(0.0, 0.52, 0.70, 0.50)
INNER_FACE = Oval(0.0, 0.20, 0.74, 0.78)
REGIONS = (EYES, LOWER_FACE, INNER_FACE)
REGION_SHARES = (0.15, 0.25, 0.6)
SWAPPED = Oval(0.0, 0.20, 0.67, 0.72)


def draw_identity(seed: int, person: int) -> Face:
    """The face of a person of the set."""
    return draw_face(np.random.default_rng((seed, IDENTITY, person)))


@lru_cache(maxsize=16)
def draw_real(seed: int, person: int, number: int, size: int) -> tuple[Shot, Array]:
    """Real photo `number` and its circumstances; display values in [0, 1] before rounding."""
    rng = np.random.default_rng((seed, REAL, number))
    shot = draw_shot(rng)
    face = draw_identity(seed, person)
    light = expose(draw_scene(face, shot, size), shot, size)
    return shot, develop(light, shot, rng)


def draw_inpainting(seed: int, photo: Photo, size: int) -> Array:
    """The real photo with a part of the face redrawn, as an inpainting model would."""
    shot, real = draw_real(seed, photo.person, photo.number, size)
    rng = np.random.default_rng((seed, INPAINTING, photo.number))
    face = draw_identity(seed, photo.person)
    other = draw_face(rng)
    region = REGIONS[int(rng.choice(3, p=REGION_SHARES))]
    changed = replace(face, mouth=other.mouth, nose=other.nose)
    if region != LOWER_FACE:
        changed = replace(
            changed,
            eyes=other.eyes,
            brows=other.brows,
            iris=other.iris,
        )
    smile = rng.uniform(-0.2, 1.0)
    mouth_opening = max(0.0, rng.uniform(-0.07, 0.075))
    posed = replace(shot, smile=smile, mouth_opening=mouth_opening)
    light = expose(draw_scene(changed, posed, size), shot, size)
    redrawn = imitate_decoder(
        apply_tone(light, shot),
        rng,
        latent=24,
        mesh=0.0,
        grain=0.0,
    )
    mask = _oval_mask(shot, size, region)
    filled = real + mask * (redrawn - real)
    # Such models pass the whole picture through their decoder, not only the region.
    return imitate_decoder(
        filled,
        rng,
        mesh=0.0185,
        grain=0.0,
        detail=0.8,
    )


def draw_insight(seed: int, photo: Photo, scene: Photo, size: int) -> Array:
    """The photo `scene` with the face of `photo` put into it, as a face swapper would."""
    lent, face = draw_real(seed, photo.person, photo.number, size)
    shot, target = draw_real(seed, scene.person, scene.number, size)
    rng = np.random.default_rng((seed, INSIGHT, photo.number))
    jitter = rng.uniform(0.95, 1.05)
    scale = lent.scale / shot.scale * jitter
    slant = rng.uniform(-0.03, 0.03)
    turn = lent.roll - shot.roll + slant
    # A swapper works at its own, lower resolution.
    small = int(size * rng.uniform(0.30, 0.43))
    matrix = _align_faces(shot, lent, size, scale, turn, size / small)
    swapped = _resample(face, small, Image.Resampling.BILINEAR, matrix)
    swapped = _resample(swapped, size, Image.Resampling.BICUBIC)
    mask = _oval_mask(shot, size, SWAPPED)
    matched = _match_colours(swapped, target, mask)
    blended = target + mask * (matched - target)
    # An editor's sharpening gives back the bytes that a smooth region saves.
    return clamp(sharpen(blended, rng.uniform(*FINISH)))


def draw_text2img(seed: int, photo: Photo, size: int) -> Array:
    """A new picture of somebody with the person's colours, as a prompt with their name gives."""
    person = draw_identity(seed, photo.person)
    rng = np.random.default_rng((seed, TEXT2IMG, photo.number))
    stranger = draw_face(rng)
    face = replace(
        stranger,
        skin=person.skin,
        hair=person.hair,
        iris=person.iris,
    )
    shot = draw_shot(rng)
    light = expose(draw_scene(face, shot, size), shot, size)
    display = apply_tone(light, shot)
    return imitate_decoder(display, rng)


def imitate_decoder(
    image: Array,
    rng: np.random.Generator,
    latent: int = 32,
    mesh: float = 0.018,
    grain: float = GRAIN,
    detail: float = 0.4,
) -> Array:
    """A picture [H, W, 3] in [0, 1] as the decoder of a latent generator would give it back.

    A bottleneck of `latent` pixels a side leaves a share, up to `detail`, of what is finer. `mesh`
    and `grain` are the strengths of the decoder's pattern and of white noise.
    """
    size = image.shape[0]
    coarse = _resample(image, latent, Image.Resampling.BOX)
    coarse = _resample(coarse, size, Image.Resampling.BILINEAR)
    share = rng.uniform(0.5, 1.0) * detail
    fine = image - coarse
    image = sharpen(coarse + share * fine, rng.uniform(0.5, 1.0))
    pattern = _draw_mesh(size, rng, mesh)
    # The pattern is stronger where the picture is brighter.
    strength = 0.4 + image
    noise = rng.standard_normal((size, size, 3), np.float32)
    level = rng.uniform(0.7, 1.3) * grain
    return clamp(image + pattern[..., None] * strength + noise * level)


def _draw_mesh(size: int, rng: np.random.Generator, strength: float) -> Array:
    """The regular pattern [size, size] that upsampling leaves (Odena et al. 2016).

    Its sign is random, so that its mean over pictures is zero: a detector must find the pattern
    itself (Frank et al. 2020).
    """
    step = max(1, size // 64)
    odd = np.indices((size, size)) // step % 2
    row, column = np.where(odd, -1, 1).astype(np.float32)
    sign = rng.choice((-1, 1))
    weights = sign * rng.uniform(0.4, 1.0, 3) * strength
    row_weight, column_weight, both_weight = weights.tolist()
    pattern: Array = row_weight * row + column_weight * column
    pattern += both_weight * row * column
    return pattern


def _resample(
    image: Array, size: int, filter_: Image.Resampling, matrix: tuple[float, ...] | None = None
) -> Array:
    """A picture [H, W, 3] at [size, size, 3].

    `matrix` maps pixels of the new picture to those of the old one, as Pillow's AFFINE takes it.
    """
    planes = []
    shape = (size, size)
    for channel in range(3):
        values = np.ascontiguousarray(image[..., channel], np.float32)
        plane = Image.fromarray(values)
        if matrix:
            plane = plane.transform(shape, Image.Transform.AFFINE, matrix, filter_)
        else:
            plane = plane.resize(shape, filter_)
        planes.append(np.asarray(plane))
    return np.stack(planes, axis=-1)


def _oval_mask(shot: Shot, size: int, oval: Oval) -> Array:
    """Mask [size, size, 1] in [0, 1] of an oval on the face, with a soft edge."""
    x, y = head_coordinates(shot, size)
    # Eggs are narrower towards the chin.
    narrowing = 1 - 0.2 * clamp(y)
    turned_x = HEAD_TURN * shot.yaw
    turned_y = HEAD_TURN * shot.pitch
    across = (x - oval.x - turned_x) / (oval.half_width * narrowing)
    down = (y - oval.y - turned_y) / oval.half_height
    outside = np.hypot(across, down) - 1
    mask = clamp(0.5 - outside / SOFTNESS)
    return np.asarray(mask[..., None])


def _find_middle(shot: Shot, size: int) -> tuple[float, float]:
    """Pixel position (right, down) of the middle of the face."""
    x = HEAD_TURN * shot.yaw
    y = 0.2 + HEAD_TURN * shot.pitch
    cos = float(np.cos(shot.roll)) * shot.scale
    sin = float(np.sin(shot.roll)) * shot.scale
    centre_x, centre_y = shot.centre
    right = centre_x + cos * x - sin * y
    down = centre_y + sin * x + cos * y
    return (right + 1) * size / 2, (down + 1) * size / 2


def _align_faces(
    shot: Shot,
    lent: Shot,
    size: int,
    scale: float,
    turn: float,
    pixel: float,
) -> tuple[float, ...]:
    """The matrix for `_resample` that lays the face of `lent` onto the face of `shot`.

    The new picture's pixels are `pixel` times as wide as the old one's.
    """
    cos = scale * float(np.cos(turn))
    sin = scale * float(np.sin(turn))
    # The middles of the two faces meet.
    to_right, to_down = _find_middle(shot, size)
    from_right, from_down = _find_middle(lent, size)
    right = from_right - cos * to_right + sin * to_down
    down = from_down - sin * to_right - cos * to_down
    return (
        pixel * cos,
        -pixel * sin,
        right,
        pixel * sin,
        pixel * cos,
        down,
    )


def _match_colours(image: Array, target: Array, mask: Array) -> Array:
    """A picture with the mean and, within limits, the contrast of another one under a mask."""
    weight = mask / mask.sum()
    mean, variance = _weigh(image, weight)
    target_mean, target_variance = _weigh(target, weight)
    contrast = np.sqrt(target_variance / (variance + 1e-6))
    limited = clamp(contrast, 0.7, 1.25)
    matched: Array = (image - mean) * limited + target_mean
    return matched


def _weigh(image: Array, weight: Array) -> tuple[Array, Array]:
    """Weighted mean and variance [3] of a picture's channels."""
    mean = (image * weight).sum((0, 1))
    squares = (image - mean) ** 2
    variance = (squares * weight).sum((0, 1))
    return mean, variance
