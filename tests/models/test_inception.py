"""Inception-v3 against a forward pass written layer by layer from the raw weights, and against
SciPy.
"""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.signal import correlate
from torch import Tensor
from torch.nn import functional as F

from fauxlab.models.inception import Inception

State = dict[str, Tensor]


@cache
def random_weights(complete: bool) -> State:
    """Weights that keep activations near 1, with statistics far from 0 and 1, so that no term can
    go missing.
    """
    generator = torch.Generator().manual_seed(0)
    state = {}
    for name, old in Inception(complete).state_dict().items():
        if name.endswith("num_batches_tracked"):
            continue
        value = torch.randn(old.shape, generator=generator)
        if old.ndim == 4:
            value *= (2 / old[0].numel()) ** 0.5
        elif name.endswith(("running_var", "bn.weight")):
            value = 0.5 + torch.rand(old.shape, generator=generator)
        else:
            value *= 0.2
        state[name] = value
    return state


class Reference:
    """The network of the paper as a list of formulas over the raw state dict."""

    def __init__(self, state: State) -> None:
        self.state = {name: value.double() for name, value in state.items()}

    def conv(
        self, name: str, x: Tensor, stride: int = 1, padding: int | tuple[int, int] = 0
    ) -> Tensor:
        weight, gamma, beta, mean, variance = (
            self.state[f"{name}.{part}"]
            for part in ("conv.weight", "bn.weight", "bn.bias", "bn.running_mean", "bn.running_var")
        )
        y = F.conv2d(x, weight, stride=stride, padding=padding)
        y = (y - mean[:, None, None]) / (variance[:, None, None] + 0.001) ** 0.5
        return (y * gamma[:, None, None] + beta[:, None, None]).clamp(min=0)

    @staticmethod
    def average(x: Tensor) -> Tensor:
        """The mean of those of nine neighbours that lie inside the map."""
        ones = torch.ones(x.shape[1], 1, 3, 3, dtype=x.dtype)
        total = F.conv2d(x, ones, padding=1, groups=x.shape[1])
        return total / F.conv2d(torch.ones_like(x), ones, padding=1, groups=x.shape[1])

    def a(self, m: str, x: Tensor) -> Tensor:
        five = self.conv(f"{m}.branch5x5_2", self.conv(f"{m}.branch5x5_1", x), padding=2)
        three = self.conv(f"{m}.branch3x3dbl_2", self.conv(f"{m}.branch3x3dbl_1", x), padding=1)
        three = self.conv(f"{m}.branch3x3dbl_3", three, padding=1)
        pool = self.conv(f"{m}.branch_pool", self.average(x))
        return torch.cat([self.conv(f"{m}.branch1x1", x), five, three, pool], 1)

    def b(self, m: str, x: Tensor) -> Tensor:
        three = self.conv(f"{m}.branch3x3dbl_2", self.conv(f"{m}.branch3x3dbl_1", x), padding=1)
        three = self.conv(f"{m}.branch3x3dbl_3", three, stride=2)
        return torch.cat(
            [self.conv(f"{m}.branch3x3", x, stride=2), three, F.max_pool2d(x, 3, 2)], 1
        )

    def c(self, m: str, x: Tensor) -> Tensor:
        row, column = (0, 3), (3, 0)
        seven = self.conv(f"{m}.branch7x7_2", self.conv(f"{m}.branch7x7_1", x), padding=row)
        seven = self.conv(f"{m}.branch7x7_3", seven, padding=column)
        double = self.conv(
            f"{m}.branch7x7dbl_2", self.conv(f"{m}.branch7x7dbl_1", x), padding=column
        )
        double = self.conv(f"{m}.branch7x7dbl_3", double, padding=row)
        double = self.conv(f"{m}.branch7x7dbl_4", double, padding=column)
        double = self.conv(f"{m}.branch7x7dbl_5", double, padding=row)
        pool = self.conv(f"{m}.branch_pool", self.average(x))
        return torch.cat([self.conv(f"{m}.branch1x1", x), seven, double, pool], 1)

    def d(self, m: str, x: Tensor) -> Tensor:
        three = self.conv(f"{m}.branch3x3_2", self.conv(f"{m}.branch3x3_1", x), stride=2)
        seven = self.conv(f"{m}.branch7x7x3_2", self.conv(f"{m}.branch7x7x3_1", x), padding=(0, 3))
        seven = self.conv(f"{m}.branch7x7x3_3", seven, padding=(3, 0))
        seven = self.conv(f"{m}.branch7x7x3_4", seven, stride=2)
        return torch.cat([three, seven, F.max_pool2d(x, 3, 2)], 1)

    def e(self, m: str, x: Tensor, pooled: Tensor) -> Tensor:
        row, column = (0, 1), (1, 0)
        three = self.conv(f"{m}.branch3x3_1", x)
        double = self.conv(f"{m}.branch3x3dbl_2", self.conv(f"{m}.branch3x3dbl_1", x), padding=1)
        return torch.cat(
            [
                self.conv(f"{m}.branch1x1", x),
                self.conv(f"{m}.branch3x3_2a", three, padding=row),
                self.conv(f"{m}.branch3x3_2b", three, padding=column),
                self.conv(f"{m}.branch3x3dbl_3a", double, padding=row),
                self.conv(f"{m}.branch3x3dbl_3b", double, padding=column),
                self.conv(f"{m}.branch_pool", pooled),
            ],
            1,
        )

    def levels(self, x: Tensor) -> list[Tensor]:
        x = self.conv("Conv2d_2a_3x3", self.conv("Conv2d_1a_3x3", x.double(), stride=2))
        x = F.max_pool2d(self.conv("Conv2d_2b_3x3", x, padding=1), 3, 2)
        x = F.max_pool2d(self.conv("Conv2d_4a_3x3", self.conv("Conv2d_3b_1x1", x)), 3, 2)
        found = [x]
        for name in ("Mixed_5b", "Mixed_5c", "Mixed_5d"):
            x = self.a(name, x)
        x = self.b("Mixed_6a", x)
        for name in ("Mixed_6b", "Mixed_6c", "Mixed_6d", "Mixed_6e"):
            x = self.c(name, x)
        found.append(x)
        x = self.d("Mixed_7a", x)
        found.append(x)
        if "fc.weight" in self.state:
            x = self.e("Mixed_7b", x, self.average(x))
            found.append(self.e("Mixed_7c", x, F.max_pool2d(x, 3, stride=1, padding=1)))
        return [level.mean((2, 3)) for level in found]


def build(state: State, complete: bool) -> Inception:
    network = Inception(complete).eval()
    network.load_weights(state)
    return network


def picture(side: int) -> Tensor:
    """A picture without randomness, uint8 [1, 3, side, side]: waves that differ by channel."""
    y, x = np.mgrid[:side, :side]
    waves = [
        127.5 * (1 + np.sin(x * (0.05 + 0.03 * c) + y * (0.11 - 0.02 * c) + c)) for c in range(3)
    ]
    return torch.from_numpy(np.rint(waves).astype(np.uint8))[None]


@pytest.mark.parametrize(("complete", "side"), [(False, 75), (True, 107)])
def test_every_level_equals_the_formulas(complete: bool, side: int) -> None:
    state = random_weights(complete)
    x = picture(side) / 127.5 - 1  # 107 pixels leave 2×2 at the end
    with torch.no_grad():
        expected = Reference(state).levels(x)
        plain = build(state, complete)
        found = plain.levels(x)
        folded = plain.fold().levels(x)
    assert list(found) == [192, 768, 1280, 2048][: 3 + complete] == [e.shape[1] for e in expected]
    for level, want in zip(found, expected, strict=True):
        assert float(want.std()) > 0.05  # a dead network would agree with anything
        torch.testing.assert_close(found[level].double(), want, rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(folded[level].double(), want, rtol=1e-4, atol=1e-4)
    assert torch.equal(plain(x), folded[plain.dimension])


def test_first_layer_equals_scipy() -> None:
    state = random_weights(complete=False)
    x = picture(21)[0].double().numpy() / 127.5 - 1
    with torch.no_grad():
        found = build(state, complete=False).Conv2d_1a_3x3(torch.from_numpy(x[None]).float())[0]
    for i in (0, 17, 31):
        weight, *rest = (
            state[f"Conv2d_1a_3x3.{p}"][i].double().numpy() for p in ("conv.weight", "bn.weight")
        )
        bias, mean, variance = (
            float(state[f"Conv2d_1a_3x3.bn.{p}"][i])
            for p in ("bias", "running_mean", "running_var")
        )
        response = correlate(x, weight, mode="valid")[0, ::2, ::2]
        expected = np.maximum((response - mean) / np.sqrt(variance + 1e-3) * rest[0] + bias, 0)
        np.testing.assert_allclose(found[i], expected, atol=1e-5)


def test_folding_takes_out_the_normalisation_once() -> None:
    network = build(random_weights(complete=False), complete=False).fold()
    kinds = {type(module).__name__ for module in network.modules()}
    assert "BatchNorm2d" not in kinds
    network.fold()  # a second time there is nothing left to fold


def test_weights_that_do_not_fit_are_named() -> None:
    state = random_weights(complete=False)
    name = "Mixed_6b.branch7x7_2.conv.weight"
    for broken, message in (
        ({k: v for k, v in state.items() if k != name}, f"{name} is missing"),
        ({**state, "head.weight": torch.zeros(3)}, r"head.weight is \(3,\), expected nothing"),
        ({**state, name: state[name].mT}, f"{name} is .*, expected"),
        ({**state, name: state[name] / 0}, f"{name} holds NaN or infinity"),
    ):
        with pytest.raises(ValueError, match=message):
            Inception(complete=False).load_weights(broken)
    counted = {**state, "Mixed_7a.branch3x3_1.bn.num_batches_tracked": torch.tensor(5)}
    Inception(complete=False).load_weights(counted)


def test_published_weights() -> None:
    path = Path(os.environ.get("FAUXLAB_INCEPTION", ""))
    if not path.is_file():
        pytest.skip("no Inception weights on this machine (set FAUXLAB_INCEPTION to their file)")
    state = torch.load(path, weights_only=True)
    x = picture(299) / 127.5 - 1
    with torch.no_grad():
        expected = Reference(state).levels(x)[-1]
        plain = build(state, complete=False)
        found = plain(x)
        folded = plain.fold()(x)
    torch.testing.assert_close(found.double(), expected, rtol=0, atol=1e-4)
    torch.testing.assert_close(folded, found, rtol=0, atol=1e-4)
    # By the formulas above, in float64.
    pinned = [0.02190747, 0.83958467, 0.44313589, 0.00337679, 0.30843036]
    assert found[0, [0, 1, 500, 1000, 1279]].tolist() == pytest.approx(pinned, abs=1e-5)
    assert float(found.mean()) == pytest.approx(0.14499660, abs=1e-6)
