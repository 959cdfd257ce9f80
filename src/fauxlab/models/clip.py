"""CLIP's image tower, a vision transformer that knows many kinds of pictures, in floats.

ViT-B/16 for 224 pixels (Radford et al., "Learning Transferable Visual Models From Natural Language
Supervision", 2021). Its weights come out of the 8-bit file that `fauxlab models fetch` gets, so
the two agree as far as 8 bits allow: activations are rounded there and not here. Modules have the
names of that file, so a tuned LayerNorm goes back to where it came from.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

WIDTH = 768
HEADS = 12
HIDDEN = 3072
LAYERS = 12
PATCH = 16  # pixels
SIZE = 224
EMBEDDING = 512
# The blocks whose tokens are described, counted from 1.
BLOCKS = (4, 6, 8, 10)
FEATURES = len(BLOCKS) * 2 * WIDTH + EMBEDDING
# Of the pictures that CLIP was trained on, of RGB in [0, 1].
MEAN = (0.48145466, 0.4578275, 0.40821073)
DEVIATION = (0.26862954, 0.26130258, 0.27577711)
_PRECISION = 1e-5  # what LayerNorm adds to a variance
_LEAST_VARIANCE = 1e-12  # so that a root has a slope


class ClipTower(nn.Module):
    """The image tower, up to CLIP's embedding; `read_tower` gives it its weights."""

    def __init__(self) -> None:
        super().__init__()
        self.vision_model = _Vision()
        self.visual_projection = nn.Linear(WIDTH, EMBEDDING, bias=False)
        self.register_buffer("mean", _channels(MEAN), persistent=False)
        self.register_buffer("deviation", _channels(DEVIATION), persistent=False)

    mean: Tensor
    deviation: Tensor

    def forward(self, images: Tensor) -> Tensor:
        """Float [N, 3, 224, 224] in [-1, 1] to features [N, 6656].

        For each of BLOCKS the mean and the standard deviation over its 197 tokens, then CLIP's
        embedding.
        """
        unit = (images + 1) / 2
        tokens = self.vision_model.embed((unit - self.mean) / self.deviation)
        parts = []
        for number, layer in enumerate(self.vision_model.encoder.layers, start=1):
            tokens = layer(tokens)
            if number in BLOCKS:
                parts.append(tokens.mean(1))
                variance = tokens.var(1, correction=0)
                parts.append(variance.clamp(min=_LEAST_VARIANCE).sqrt())
        summary = self.vision_model.post_layernorm(tokens[:, 0])
        embedding = self.visual_projection(summary.to(self.visual_projection.weight.dtype))
        return torch.cat([*parts, embedding.float()], 1)


class _Vision(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embeddings = _Embeddings()
        # The name of the file, and of CLIP's own code.
        self.pre_layrnorm = nn.LayerNorm(WIDTH, _PRECISION)
        self.encoder = _Encoder()
        self.post_layernorm = nn.LayerNorm(WIDTH, _PRECISION)

    def embed(self, pixels: Tensor) -> Tensor:
        """Normalised pixels [N, 3, 224, 224] to tokens [N, 197, 768], the class's first."""
        tokens = self.embeddings(pixels)
        first: Tensor = self.pre_layrnorm(tokens)
        return first


class _Encoder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList(_Layer() for _ in range(LAYERS))


class _Embeddings(nn.Module):
    """Patches as tokens, with one for the class in front, and where each stands."""

    def __init__(self) -> None:
        super().__init__()
        self.class_embedding = nn.Parameter(torch.zeros(WIDTH))
        self.patch_embedding = nn.Conv2d(3, WIDTH, PATCH, stride=PATCH, bias=False)
        self.position_embedding = nn.Embedding((SIZE // PATCH) ** 2 + 1, WIDTH)

    def forward(self, pixels: Tensor) -> Tensor:
        """Normalised pixels [N, 3, 224, 224] to tokens [N, 197, 768]."""
        patches = self.patch_embedding(pixels).flatten(2).transpose(1, 2)
        of_class = self.class_embedding.expand(len(pixels), 1, WIDTH)
        tokens: Tensor = torch.cat([of_class, patches], 1)
        return tokens + self.position_embedding.weight


class _Layer(nn.Module):
    """Attention and a small network, each on normalised tokens and added to what it was given.

    The sums stay float32 where the linear layers are bfloat16.
    """

    def __init__(self) -> None:
        super().__init__()
        self.self_attn = _Attention()
        self.layer_norm1 = nn.LayerNorm(WIDTH, _PRECISION)
        self.mlp = _Mlp()
        self.layer_norm2 = nn.LayerNorm(WIDTH, _PRECISION)

    def forward(self, tokens: Tensor) -> Tensor:
        attended: Tensor = tokens + self.self_attn(self.layer_norm1(tokens)).float()
        changed: Tensor = self.mlp(self.layer_norm2(attended)).float()
        return attended + changed


class _Attention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.q_proj = nn.Linear(WIDTH, WIDTH)
        self.k_proj = nn.Linear(WIDTH, WIDTH)
        self.v_proj = nn.Linear(WIDTH, WIDTH)
        self.out_proj = nn.Linear(WIDTH, WIDTH)

    def forward(self, tokens: Tensor) -> Tensor:
        tokens = tokens.to(self.q_proj.weight.dtype)
        queries = _by_head(self.q_proj(tokens))
        keys = _by_head(self.k_proj(tokens))
        values = _by_head(self.v_proj(tokens))
        mixed = F.scaled_dot_product_attention(queries, keys, values)
        joined: Tensor = self.out_proj(mixed.transpose(1, 2).flatten(2))
        return joined


class _Mlp(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc1 = nn.Linear(WIDTH, HIDDEN)
        self.fc2 = nn.Linear(HIDDEN, WIDTH)

    def forward(self, tokens: Tensor) -> Tensor:
        hidden = self.fc1(tokens.to(self.fc1.weight.dtype))
        # The fast GELU that CLIP was trained with.
        output: Tensor = self.fc2(hidden * torch.sigmoid(1.702 * hidden))
        return output


def _by_head(tokens: Tensor) -> Tensor:
    """[N, tokens, 768] to [N, 12, tokens, 64]."""
    by_head = tokens.reshape(*tokens.shape[:2], HEADS, WIDTH // HEADS)
    return by_head.transpose(1, 2)


def _channels(values: tuple[float, ...]) -> Tensor:
    return torch.tensor(values)[:, None, None]


def read_tower(path: Path) -> ClipTower:
    """The tower with the weights of the 8-bit file at `path`, as float32; needs the package onnx.

    A weight w of the file stands for (w - zero point) · scale.
    """
    import onnx
    from onnx.numpy_helper import to_array

    graph = onnx.load(path).graph
    arrays = {tensor.name: to_array(tensor) for tensor in graph.initializer}
    state = {}
    for name, array in arrays.items():
        if name.startswith("vision_model."):
            state[name] = torch.tensor(array)
    for node in graph.node:
        if node.op_type != "MatMulInteger":
            continue
        quantised = node.input[1]
        constant = quantised.removesuffix("_quantized")
        centred = torch.tensor(arrays[quantised]).float() - torch.tensor(
            arrays[f"{constant}_zero_point"]
        )
        weight = centred * torch.tensor(arrays[f"{constant}_scale"])
        place = node.name.removesuffix("/MatMul_quant").strip("/").replace("/", ".")
        state[f"{place}.weight"] = weight.T.contiguous()
    tower = ClipTower()
    tower.load_state_dict(state)
    return tower


def free_layer_norms(tower: ClipTower) -> dict[str, nn.Parameter]:
    """Let only LayerNorms learn; returns their weights and biases by the file's names."""
    tower.requires_grad_(False)
    norms = dict(_layer_norms(tower))
    for parameter in norms.values():
        parameter.requires_grad_(True)
    return norms


def to_bfloat16(tower: ClipTower) -> None:
    """Let the linear layers compute in bfloat16, which newer processors do twice as fast."""
    for module in tower.modules():
        if isinstance(module, nn.Linear):
            module.to(torch.bfloat16)


def _layer_norms(tower: ClipTower) -> Iterator[tuple[str, nn.Parameter]]:
    for place, module in tower.named_modules():
        if isinstance(module, nn.LayerNorm):
            yield f"{place}.weight", module.weight
            yield f"{place}.bias", module.bias
