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

BILINEAR = Image.Resampling.BILINEAR
BICUBIC = Image.Resampling.BICUBIC

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
    rng = np.random.default_rng((seed, IDENTITY, person))
    return draw_face(rng)


@lru_cache(maxsize=16)
def draw_real(seed: int, person: int, number: int, size: int) -> tuple[Shot, Array]:
    """Real photo `number` and its circumstances; display values in [0, 1] before rounding."""
    rng = np.random.default_rng((seed, REAL, number))
    shot = draw_shot(rng)
    face = draw_identity(seed, person)
    scene = draw_scene(face, shot, size)
    light = expose(scene, shot, size)
    photo = develop(light, shot, rng)
    return shot, photo


def draw_inpainting(seed: int, photo: Photo, size: int) -> Array:
    """The real photo with a part of the face redrawn, as an inpainting model would."""
    shot, real = draw_real(seed, photo.person, photo.number, size)
    rng = np.random.default_rng((seed, INPAINTING, photo.number))
    face = draw_identity(seed, photo.person)
    other = draw_face(rng)
    number = int(rng.choice(3, p=REGION_SHARES))
    region = REGIONS[number]
    changed = replace(face, mouth=other.mouth, nose=other.nose)
    if region != LOWER_FACE:
        changed = replace(
            changed,
            eyes=other.eyes,
            brows=other.brows,
            iris=other.iris,
        )
    smile = rng.uniform(-0.2, 1.0)
    opening = rng.uniform(-0.07, 0.075)
    posed = replace(shot, smile=smile, mouth_opening=max(0.0, opening))
    scene = draw_scene(changed, posed, size)
    light = expose(scene, shot, size)
    redrawn = imitate_decoder(
        apply_tone(light, shot),
        rng,
        latent=24,
        mesh=0.0,
        grain=0.0,
    )
    mask = _oval_mask(shot, size, region)
    filled = _lay_over(real, redrawn, mask)
    # Inpainting models pass the whole picture through their decoder, not only the region.
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
    resolution = rng.uniform(0.30, 0.43)
    small = int(size * resolution)
    pixel = size / small
    matrix = _align_faces(shot, lent, size, scale, turn, pixel)
    swapped = _resample(face, small, BILINEAR, matrix)
    swapped = _resample(swapped, size, BICUBIC)
    mask = _oval_mask(shot, size, SWAPPED)
    matched = _match_colours(swapped, target, mask)
    blended = _lay_over(target, matched, mask)
    # An editor's sharpening gives back the bytes that a smooth region saves.
    finish = rng.uniform(*FINISH)
    finished = sharpen(blended, finish)
    return clamp(finished)


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
    scene = draw_scene(face, shot, size)
    light = expose(scene, shot, size)
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
    size, _, _ = image.shape
    coarse = _resample(image, latent, Image.Resampling.BOX)
    coarse = _resample(coarse, size, BILINEAR)
    share = rng.uniform(0.5, 1.0) * detail
    fine = image - coarse
    decoded = coarse + share * fine
    amount = rng.uniform(0.5, 1.0)
    decoded = sharpen(decoded, amount)
    pattern = _draw_mesh(size, rng, mesh)
    # The pattern is stronger where the picture is brighter.
    strength = 0.4 + decoded
    texture = pattern[..., None] * strength
    noise = rng.standard_normal((size, size, 3), np.float32)
    level = rng.uniform(0.7, 1.3) * grain
    textured = decoded + texture
    return clamp(textured + noise * level)


def _lay_over(image: Array, other: Array, mask: Array) -> Array:
    """A picture with another one laid over it where the mask [H, W, 1] is 1."""
    difference = other - image
    mixed: Array = image + mask * difference
    return mixed


def _draw_mesh(size: int, rng: np.random.Generator, strength: float) -> Array:
    """The regular pattern [size, size] that upsampling leaves (Odena et al. 2016).

    Its sign is random, so that its mean over pictures is zero: a detector must find the pattern
    itself (Frank et al. 2020).
    """
    step = max(1, size // 64)
    places = np.indices((size, size))
    odd = places // step % 2
    signs = np.where(odd, -1, 1)
    row, column = signs.astype(np.float32)
    checkerboard = row * column
    sign = rng.choice((-1, 1))
    weights = rng.uniform(0.4, 1.0, 3)
    weights = sign * weights * strength
    row_weight, column_weight, both_weight = weights.tolist()
    pattern: Array = row_weight * row
    pattern += column_weight * column
    pattern += both_weight * checkerboard
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
    below_middle = clamp(y)
    narrowing = 1 - 0.2 * below_middle
    turned_x = HEAD_TURN * shot.yaw
    turned_y = HEAD_TURN * shot.pitch
    half_width = oval.half_width * narrowing
    right = x - oval.x - turned_x
    across = right / half_width
    below = y - oval.y - turned_y
    down = below / oval.half_height
    outside = np.hypot(across, down) - 1
    mask = clamp(0.5 - outside / SOFTNESS)
    return np.asarray(mask[..., None])


def _find_middle(shot: Shot, size: int) -> tuple[float, float]:
    """Pixel position (right, down) of the middle of the face."""
    x = HEAD_TURN * shot.yaw
    y = 0.2 + HEAD_TURN * shot.pitch
    cos = shot.scale * float(np.cos(shot.roll))
    sin = shot.scale * float(np.sin(shot.roll))
    centre_x, centre_y = shot.centre
    right = centre_x + cos * x - sin * y
    down = centre_y + sin * x + cos * y
    column = (right + 1) * size / 2
    row = (down + 1) * size / 2
    return column, row


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
    ratio = target_variance / (variance + 1e-6)
    contrast = np.sqrt(ratio)
    limited = clamp(contrast, 0.7, 1.25)
    from_mean = image - mean
    matched: Array = from_mean * limited + target_mean
    return matched


def _weigh(image: Array, weight: Array) -> tuple[Array, Array]:
    """Weighted mean and variance [3] of a picture's channels."""
    weighted = image * weight
    mean = weighted.sum((0, 1))
    squares = (image - mean) ** 2
    weighted_squares = squares * weight
    variance = weighted_squares.sum((0, 1))
    return mean, variance
