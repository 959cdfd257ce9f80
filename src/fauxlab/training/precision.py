"""In which precision a training computes."""

from __future__ import annotations

from typing import Any

import torch


def choose_precision(asked: str) -> str:
    """`no` (float32) or `bf16`, by a recipe's train.precision.

    `auto` is bf16 where the processor has instructions for it: a GPU of Ampere or later, or a CPU
    with AVX512-BF16 or AMX. Elsewhere bf16 would be emulated, and slower than float32.
    """
    if asked != "auto":
        return asked
    if torch.cuda.is_available():
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "no"
    processor: Any = torch.cpu
    for instructions in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"):
        has_instructions = getattr(processor, instructions, None)
        if has_instructions is not None and has_instructions():
            return "bf16"
    return "no"
