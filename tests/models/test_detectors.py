"""The report's network, layer by layer against section III of the report."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrize

from fauxlab.errors import LabError
from fauxlab.models import DETECTORS, create_detector
from fauxlab.models.detectors import trace_net
from fauxlab.models.heads import Heads


@pytest.fixture
def network() -> nn.Module:
    torch.manual_seed(0)
    return create_detector("report-cnn", 64)


def test_layers_are_those_of_the_report(network: nn.Module) -> None:
    layers = [type(layer).__name__.removeprefix("Parametrized") for layer in network.features]
    block = ["Conv2d", "BatchNorm2d", "LeakyReLU", "Dropout"]
    assert layers == ["Conv2d", "LeakyReLU", *block, *block, *block]


def test_filters_slope_rate_and_head(network: nn.Module) -> None:
    convolutions = [m for m in network.modules() if isinstance(m, nn.Conv2d)]
    assert [c.out_channels for c in convolutions] == [64, 128, 256, 512]
    assert [c.in_channels for c in convolutions] == [3, 64, 128, 256]
    assert {m.negative_slope for m in network.modules() if isinstance(m, nn.LeakyReLU)} == {0.2}
    assert {m.p for m in network.modules() if isinstance(m, nn.Dropout)} == {0.3}
    assert (network.head.in_features, network.head.out_features) == (512 * 4 * 4, 1)


def test_every_convolution_is_spectrally_normalised(network: nn.Module) -> None:
    convolutions = [m for m in network.modules() if isinstance(m, nn.Conv2d)]
    network.train()
    with torch.no_grad():
        for _ in range(50):  # the power iteration runs with each training pass
            network(torch.zeros(2, 3, 64, 64))
    for convolution in convolutions:
        assert parametrize.is_parametrized(convolution, "weight")
        largest = torch.linalg.matrix_norm(convolution.weight.flatten(1), 2)
        assert largest.item() == pytest.approx(1, abs=0.02)


def test_logits_and_batch_independence_in_evaluation(network: nn.Module) -> None:
    images = torch.rand(5, 3, 64, 64) * 2 - 1
    network.eval()
    together = network(images)
    assert together.shape == (5,)
    alone = torch.cat([network(image[None]) for image in images])
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", sorted(DETECTORS))
@pytest.mark.parametrize("size", [32, 128])
def test_every_model_trains_at_every_size(name: str, size: int) -> None:
    network = create_detector(name, size)
    loss = nn.functional.binary_cross_entropy_with_logits(
        network(torch.zeros(2, 3, size, size)), torch.ones(2)
    )
    loss.backward()
    assert all(p.grad is not None for p in network.parameters())


@pytest.mark.parametrize(
    ("name", "size", "options", "message"),
    [
        ("report-cn", 64, {}, "did you mean 'report-cnn'"),
        ("report-cnn", 40, {}, "cannot be halved"),
        ("report-cnn", 64, {"depth": 3}, "depth"),
        ("report-cnn", 64, {"norm": "layer"}, "expected batch or none"),
        ("report-cnn", 64, {"dropout": 1.5}, "dropout 1.5"),
    ],
)
def test_bad_requests(name: str, size: int, options: dict[str, object], message: str) -> None:
    with pytest.raises(LabError, match=message):
        create_detector(name, size, **options)


@pytest.mark.parametrize("name", sorted(DETECTORS))
def test_evidence_sums_to_the_logit_of_forward(name: str) -> None:
    torch.manual_seed(0)
    network = create_detector(name, 64).eval()
    images = torch.rand(3, 3, 64, 64) * 2 - 1
    with torch.inference_mode():
        judged = network.predict(images)
        torch.testing.assert_close(judged.logits, network(images), rtol=0, atol=0)
    torch.testing.assert_close(
        judged.activation_maps.sum((1, 2)), judged.logits, rtol=1e-4, atol=1e-5
    )
    assert judged.ood_distances.tolist() == [0, 0, 0], "nothing was fitted"


@pytest.mark.parametrize("name", ["inception", "trace"])
def test_two_heads_are_joined(name: str) -> None:
    torch.manual_seed(0)
    network = create_detector(name, 64, heads=2).eval()
    with torch.no_grad():
        network.head.linear.weight.mul_(20)
        network.head.join.centre.copy_(torch.tensor([1.0, -1.0]))
        network.head.join.scale.copy_(torch.tensor([2.0, 0.5]))
    images = torch.rand(3, 3, 64, 64) * 2 - 1
    with torch.inference_mode():
        raw = network(images)
        predicted = network.predict(images)
        joined = network.join(raw)
    made = (raw[:, 0] - 1) / 2
    altered = (raw[:, 1] + 1) / 0.5
    by_hand = torch.log(made.exp() + altered.exp())
    torch.testing.assert_close(predicted.logits, by_hand)
    torch.testing.assert_close(joined, by_hand)
    torch.testing.assert_close(predicted.head_logits, torch.stack((made, altered), 1))
    torch.testing.assert_close(predicted.activation_maps.sum((1, 2)), by_hand)
    with torch.inference_mode():
        again = network.head.linear(predicted.features)
    torch.testing.assert_close(again, raw)


def test_the_map_of_a_joined_logit_weighs_heads_by_their_shares() -> None:
    """Where one head alone speaks, differences between places are that head's, on its scale."""
    torch.manual_seed(0)
    heads = Heads(4, 0.0, heads=2).eval()
    with torch.no_grad():
        heads.linear.bias.copy_(torch.tensor([100.0, -100.0]))
        heads.join.scale.copy_(torch.tensor([2.0, 2.0]))
    maps = torch.rand(1, 4, 3, 3)
    with torch.inference_mode():
        found = heads.explain(maps).activation_maps
        parts = (maps * heads.linear.weight[0][:, None, None]).sum(1) / 9 / 2
    torch.testing.assert_close(found - found.mean(), parts - parts.mean())


def test_a_network_has_heads_or_says_why_not() -> None:
    for name, count, message in (
        ("trace", 0, "0 heads, expected at least one"),
        ("report-cnn", 2, "unexpected keyword argument 'heads'"),
    ):
        with pytest.raises(LabError, match=message):
            create_detector(name, 64, heads=count)


@pytest.mark.parametrize(("name", "most"), [("trace", 2_000_000), ("inception", 1_000_000)])
def test_heads_that_average_take_any_size_and_stay_small(name: str, most: int) -> None:
    network = create_detector(name, 64).eval()
    assert sum(p.numel() for p in network.parameters()) < most
    with torch.inference_mode():
        assert [network(torch.zeros(2, 3, side, side)).shape for side in (64, 96, 131)] == [
            (2,)
        ] * 3


def test_distance_is_mahalanobis(network: nn.Module) -> None:
    torch.manual_seed(0)
    tested = create_detector("trace", 32).eval()
    images = torch.rand(4, 3, 32, 32) * 2 - 1
    with torch.inference_mode():
        features = tested.describe(images)
        tested.typicality.mean.copy_(features[0])
        tested.typicality.root.copy_(2 * torch.eye(features.shape[1]))
        distance = tested.predict(images).ood_distances
    by_hand = 2 * (features - features[0]).square().mean(1).sqrt()
    torch.testing.assert_close(distance, by_hand)
    assert distance[0] == 0


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("trace", {"blocks": [1]}, "1 blocks for 4 widths"),
        ("trace", {"dropout": 1.0}, "dropout"),
        ("inception", {"depth": "Mixed_9z"}, "expected one of Mixed_5d"),
        ("inception", {"depth": "Mixed_6b"}, "below the least for Mixed_6b, 75"),
    ],
)
def test_options_that_cannot_be(name: str, options: dict[str, object], message: str) -> None:
    with pytest.raises(LabError, match=message):
        create_detector(name, 32, **options)


def test_a_network_beyond_memory_is_refused_before_it_is_built() -> None:
    with pytest.raises(LabError, match="805,793,793 weights; none may have above 268,435,456"):
        create_detector("report-cnn", 128, widths=[4096] * 4)


def test_counting_weights_draws_no_random_number() -> None:
    options: dict[str, Any] = {"widths": [8, 16], "blocks": [1, 1], "stem": 8}
    torch.manual_seed(0)
    created = create_detector("trace", 32, **options)
    torch.manual_seed(0)
    built = trace_net(32, **options)
    for one, other in zip(created.parameters(), built.parameters(), strict=True):
        assert torch.equal(one, other)
