"""Generators and discriminators: the report's layer by layer, the others by the properties they are
chosen for.
"""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn.utils.parametrize import is_parametrized

from fauxlab.bundle.config import GeneratorConfig
from fauxlab.errors import LabError
from fauxlab.models import GANS, create_discriminator, create_generator
from fauxlab.models.gans import R3Discriminator, R3Generator, ResidualBlock, draw_latents, to_pixels
from fauxlab.models.pretrained import Detector, Generator

SMALL = {32: [8, 8, 8, 8], 64: [8, 8, 8, 8, 8], 128: [8] * 6, 256: [8] * 7}


@pytest.mark.parametrize("name", sorted(GANS))
@pytest.mark.parametrize("size", [32, 64, 128, 256])
def test_every_pair_fits_together_at_every_size(name: str, size: int) -> None:
    generator = create_generator(name, size, 16, widths=SMALL[size])
    images = generator(torch.randn(2, 16))
    assert images.shape == (2, 3, size, size)
    widths = {} if name.startswith("report") else {"widths": SMALL[size]}
    logits = create_discriminator(name, size, **widths)(images)
    assert logits.shape == (2,)
    logits.sum().backward()
    assert all(p.grad is not None for p in generator.parameters())


@pytest.mark.parametrize(("name", "latent"), [("report-gan-v1", 512), ("report-gan-v2", 256)])
def test_the_reports_generator_layer_by_layer(name: str, latent: int) -> None:
    generator = create_generator(name, 128, latent)
    assert generator.dense.in_features == latent
    assert generator.dense.out_features == 512 * 4 * 4
    layers = list(generator.layers)
    convolutions = [layer for layer in layers if isinstance(layer, nn.Conv2d)]
    assert [c.out_channels for c in convolutions] == [256, 128, 64, 32, 32, 3]
    assert all(is_parametrized(c, "weight") for c in convolutions), "spectrally normalised"
    ups = [layer for layer in layers if isinstance(layer, nn.Upsample)]
    assert [(u.mode, u.scale_factor) for u in ups] == [("nearest", 2.0)] * 5
    assert not any(isinstance(layer, nn.ConvTranspose2d) for layer in generator.modules())
    norms = [layer for layer in layers if isinstance(layer, nn.BatchNorm2d)]
    assert len(norms) == 6, "after the dense layer and every hidden convolution"
    assert sum(isinstance(layer, nn.ReLU) for layer in layers) == 6
    assert isinstance(layers[-1], nn.Tanh)
    images = generator(torch.randn(4, latent))
    assert images.abs().max() <= 1


def test_the_reports_discriminator_is_its_detector() -> None:
    one, other = (
        create_discriminator("report-gan-v2", 128),
        create_discriminator("report-gan-v1", 128),
    )
    assert type(one) is type(other)
    assert [c.out_channels for c in one.modules() if isinstance(c, nn.Conv2d)] == [
        64,
        128,
        256,
        512,
    ]


def test_residual_blocks_start_as_the_identity() -> None:
    block = ResidualBlock(8, depth=4)
    x = torch.randn(2, 8, 6, 6)
    assert torch.equal(block(x), x)
    with torch.no_grad():
        block.out.weight.normal_()
    assert not torch.allclose(block(x), x)


def test_r3_has_no_normalisation_and_keeps_images_apart() -> None:
    for network in (R3Generator(32), R3Discriminator(32)):
        assert not any("Norm" in type(layer).__name__ for layer in network.modules())
        assert not any(is_parametrized(layer) for layer in network.modules())
    discriminator = R3Discriminator(32)
    images = torch.randn(3, 3, 32, 32)
    alone = torch.cat([discriminator(image[None]) for image in images])
    torch.testing.assert_close(discriminator(images), alone)


def test_r3_starts_in_range() -> None:
    torch.manual_seed(0)
    images = R3Generator(64, blocks=2)(torch.randn(16, 64))
    assert 0.3 < images.std() < 3, "neither vanishing nor exploding without normalisation"
    logits = R3Discriminator(64, blocks=2)(torch.randn(16, 3, 64, 64))
    assert 0.01 < logits.std() < 3


def test_spectral_norm_bounds_every_layer_of_sngan() -> None:
    torch.manual_seed(0)
    discriminator = create_discriminator("sngan", 32, widths=[8, 8, 8, 8])
    for _ in range(20):  # power iterations
        discriminator(torch.randn(2, 3, 32, 32))
    for layer in discriminator.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            largest = torch.linalg.matrix_norm(layer.weight.flatten(1), 2)
            assert largest.item() == pytest.approx(1.0, abs=0.05)


@pytest.mark.parametrize(
    ("name", "size", "options", "message"),
    [
        ("r4", 32, {}, "did you mean 'r3'"),
        ("r3", 48, {}, "power of two"),
        ("r3", 64, {"widths": [8, 8]}, "2 widths, expected 5"),
        ("sngan", 32, {"width": 3}, "width"),
    ],
)
def test_faults_are_named(name: str, size: int, options: dict[str, object], message: str) -> None:
    with pytest.raises(LabError, match=message):
        create_generator(name, size, 8, **options)


def test_a_seed_gives_the_same_latent_in_any_company() -> None:
    together = draw_latents(range(5, 9), 7)
    assert torch.equal(together[2], draw_latents([7], 7)[0])
    many = draw_latents(range(4000), 4)
    assert many.mean().abs() < 0.05
    assert many.std() == pytest.approx(1, abs=0.05)
    assert draw_latents([], 4).shape == (0, 4)


def test_pixels_are_rounded_not_cut() -> None:
    levels = torch.arange(256, dtype=torch.float32).view(1, 1, 16, 16)
    images = levels / 127.5 - 1
    assert torch.equal(to_pixels(images + 0.4 / 127.5), levels.to(torch.uint8))
    assert torch.equal(
        to_pixels(torch.tensor([[[[-3.0, 3.0]]]])), torch.tensor([[[[0, 255]]]], dtype=torch.uint8)
    )


def test_generator_bundle(tmp_path: object) -> None:
    folder = tmp_path / "g"  # type: ignore[operator]
    network = create_generator("r3", 32, 8, widths=[8, 8, 8, 8]).eval()
    config = GeneratorConfig(architecture="r3", latent=8, size=32, options={"widths": [8, 8, 8, 8]})
    saved = Generator(network, config).save_pretrained(folder)
    loaded = Generator.from_pretrained(folder, "cpu")
    assert loaded.hash == saved.hash
    assert len(saved.hash) == 16
    assert torch.equal(loaded.sample(3, 4), saved.sample(3, 4))
    assert torch.equal(loaded.sample(3, 4)[1:], loaded.sample(4, 3))
    assert loaded.sample(0, 2).dtype == torch.uint8
    with pytest.raises(LabError, match="is a generator, no detector"):
        Detector.from_pretrained(folder)
    (folder / "config.json").write_text('{"kind": "detector"}')
    with pytest.raises(LabError, match="is a detector, no generator"):
        Generator.from_pretrained(folder)


def test_r3_discriminator_takes_images_of_its_size_only() -> None:
    network = R3Discriminator(32, widths=[4, 4, 4, 4])
    for side in (8, 64):
        with pytest.raises(ValueError, match=rf"images of \[{side}, {side}\] pixels, made for 32"):
            network(torch.zeros(1, 3, side, side))
