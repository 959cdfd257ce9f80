"""Networks by name. They are plain modules that know nothing of recipes, disks or devices."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Any

from fauxlab.errors import LabError

if TYPE_CHECKING:
    from torch import nn

DETECTORS = ("report-cnn",)


def list_models() -> list[str]:
    """Names that `create_detector` takes."""
    return sorted(DETECTORS)


def create_detector(name: str, size: int, **options: Any) -> nn.Module:
    """A detector for float [N, 3, size, size] in [-1, 1], giving logits [N]; above 0 leans to fake.

    Raises LabError on an unknown name or option.
    """
    if name not in DETECTORS:
        close = difflib.get_close_matches(name, DETECTORS, 1, 0.4)
        hint = f", did you mean {close[0]!r}?" if close else ""
        raise LabError(f"no detector {name!r}{hint}; `fauxlab models list` shows all")
    from fauxlab.models.detectors import ReportCNN

    try:
        return ReportCNN(size=size, **options)
    except (TypeError, ValueError) as error:
        raise LabError(f"model {name}: {error}") from None
