"""CLIP's tower in floats: what it computes, and that it is the 8-bit file's tower."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from fauxlab.bundle.tower import TOWER_FEATURES, describe_tokens
from fauxlab.bundle.tower_session import Tower
from fauxlab.bundle.tower_store import tower_path
from fauxlab.bundle.tower_weights import layer_norm_names
from fauxlab.datasets.toyfaces import draw, plan
from fauxlab.models.clip import (
    BLOCKS,
    FEATURES,
    SIZE,
    WIDTH,
    ClipTower,
    free_layer_norms,
    read_tower,
)
from fauxlab.models.inputs import to_input

# The user's own store: the fixture `cache` of all tests hides it.
FETCHED = tower_path()


@pytest.fixture(scope="module")
def drawn() -> ClipTower:
    """The tower with random weights."""
    torch.manual_seed(0)
    return ClipTower().eval()


def test_features_are_means_and_deviations_then_the_embedding(drawn: ClipTower) -> None:
    images = torch.rand(2, 3, SIZE, SIZE) * 2 - 1
    tokens: list[torch.Tensor] = []
    layer = drawn.vision_model.encoder.layers[5]
    handle = layer.register_forward_hook(lambda module, given, made: tokens.append(made))
    with torch.inference_mode():
        features = drawn(images)
    handle.remove()
    assert features.shape == (2, FEATURES) == (2, TOWER_FEATURES)
    # Block 6 is the second that is described.
    mean = features[:, 2 * WIDTH : 3 * WIDTH]
    deviation = features[:, 3 * WIDTH : 4 * WIDTH]
    torch.testing.assert_close(mean, tokens[0].mean(1))
    torch.testing.assert_close(deviation, tokens[0].std(1, correction=0))


def test_only_layer_norms_learn_by_the_names_of_the_file(drawn: ClipTower) -> None:
    norms = free_layer_norms(drawn)
    assert set(norms) == layer_norm_names()
    learning = [parameter for parameter in drawn.parameters() if parameter.requires_grad]
    assert len(learning) == len(norms)
    assert sum(parameter.numel() for parameter in learning) == 52 * WIDTH
    assert {id(parameter) for parameter in learning} == {id(norm) for norm in norms.values()}


@pytest.mark.skipif(
    not FETCHED.is_file(), reason="needs the tower: fauxlab models fetch fauxlab-large"
)
def test_it_is_the_tower_of_the_file() -> None:
    """On a drawn face. They differ where the session rounds activations to 8 bits."""
    pytest.importorskip("onnx")
    photos = plan(1, 0)
    picture = draw("wiki", photos, 0, SIZE).transpose(2, 0, 1).copy()
    rounded = describe_tokens(Tower(FETCHED.read_bytes(), {}).run(picture))
    tower = read_tower(FETCHED).eval()
    pixels = torch.from_numpy(picture[None])
    with torch.inference_mode():
        exact = tower(to_input(pixels))[0].numpy()
    parts = 2 * len(BLOCKS)
    for part in range(parts):
        place = slice(part * WIDTH, (part + 1) * WIDTH)
        assert np.corrcoef(rounded[place], exact[place])[0, 1] > 0.98
    embedding = slice(parts * WIDTH, None)
    assert np.corrcoef(rounded[embedding], exact[embedding])[0, 1] > 0.93
