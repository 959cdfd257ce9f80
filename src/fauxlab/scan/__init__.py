"""Files in, verdicts out: the product that needs no torch."""

from __future__ import annotations

from typing import Any

__all__ = ["Scanner"]


def __getattr__(name: str) -> Any:
    # On first use, so that a module of this room loads no more than it needs.
    if name != "Scanner":
        raise AttributeError(f"module 'fauxlab.scan' has no attribute {name!r}")
    from fauxlab.scan.scanner import Scanner

    return Scanner
