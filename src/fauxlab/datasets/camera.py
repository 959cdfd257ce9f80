"""A simulated camera: lens, sensor, colour filter array, tone curve and sharpening.

It leaves the local statistics that real cameras leave, which is all that toyfaces' fakes can be
told by.
"""

from __future__ import annotations

import numpy as np

from fauxlab.datasets.portraits import Array, Shot


def _blur(image: Array, sigma: float) -> Array:
    """Three-tap Gaussian down and across, with repeated edges; sigma in pixels, up to about 0.8."""
    side = 0.5 * min(sigma**2, 0.66)
    p = np.pad(image, ((1, 1), (0, 0), (0, 0)), mode="edge")
    image = side * (p[:-2] + p[2:]) + (1 - 2 * side) * p[1:-1]
    p = np.pad(image, ((0, 0), (1, 1), (0, 0)), mode="edge")
    return np.asarray(side * (p[:, :-2] + p[:, 2:]) + (1 - 2 * side) * p[:, 1:-1])


def sharpen(image: Array, amount: float) -> Array:
    """Unsharp masking of a picture [H,W,3] by `amount` of its fine detail."""
    return image + amount * (image - _blur(image, 0.8))


def _demosaic(plane: Array) -> Array:
    """Bilinear reading [H,W,3] of an RGGB sensor plane [H,W]: a photograph's neighbouring pixels
    share their noise.
    """
    samples = np.zeros((*plane.shape, 3), np.float32)
    for row, column, channel in ((0, 0, 0), (0, 1, 1), (1, 0, 1), (1, 1, 2)):
        samples[row::2, column::2, channel] = plane[row::2, column::2]
    p = np.pad(samples, ((1, 1), (1, 1), (0, 0)), mode="reflect")
    cross = p[:-2, 1:-1] + p[2:, 1:-1] + p[1:-1, :-2] + p[1:-1, 2:]
    corner = p[:-2, :-2] + p[:-2, 2:] + p[2:, :-2] + p[2:, 2:]
    weights = np.array([[2, 1, 2], [1, 0, 1]], np.float32) / 4  # green has twice the samples
    return np.asarray(samples + weights[0] * cross + weights[1] * corner)


def tone(light: Array, shot: Shot) -> Array:
    """Display values in [0,1] of linear light: gamma and an S-curve."""
    display = np.clip(light, 0, 1) ** (1 / 2.2)
    return np.asarray(display + shot.contrast * display * (1 - display) * (display - 0.5))


def expose(scene: Array, shot: Shot, size: int) -> Array:
    """The light on the sensor, float32 [size,size,3]: lens blur, chromatic aberration, vignetting,
    exposure.
    """
    factor = scene.shape[0] // size
    if factor > 1:
        scene = scene.reshape(size, factor, size, factor, 3).mean(axis=(1, 3))
    light = _blur(scene, shot.blur * size / 64)
    v, u = np.meshgrid(*(np.linspace(-1, 1, size, dtype=np.float32),) * 2, indexing="ij")
    # red and blue are magnified a little differently from green
    for channel, sign in ((0, 1), (2, -1)):
        down, right = np.gradient(light[..., channel], 2 / size)
        light[..., channel] += sign * shot.aberration * (u * right + v * down)
    level = (0.24 * shot.exposure / max(float(light.mean()), 0.02)) ** 0.7  # automatic exposure
    return np.asarray(light * (level * (1 - shot.vignette * 0.5 * (u**2 + v**2)))[..., None])


def develop(light: Array, shot: Shot, rng: np.random.Generator) -> Array:
    """A photograph in display values of [0,1], float32 [size,size,3]: sensor noise, tone curve,
    sharpening.
    """
    size = light.shape[0]
    noise = _demosaic(rng.standard_normal((size, size), np.float32))
    # shot noise grows with the light, read noise does not
    spread = np.sqrt(0.0013 * np.clip(light, 0, 1) + 0.00002)
    light = light + shot.noise * (size / 64) ** 0.25 * spread * noise
    return np.clip(sharpen(tone(light, shot), shot.sharpen), 0, 1)
