"""Another Python process, for work that may crash or never end: how it finds the same packages."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import fauxlab


def find_interpreter() -> str:
    """The path of this Python. Raises OSError in a program that was packed into one file.

    Such a program would start itself, and so on without end.
    """
    if getattr(sys, "frozen", False) or not sys.executable:
        raise OSError("this program is no Python interpreter")
    return sys.executable


def import_path() -> list[str]:
    """Where a process of its own finds this package and those that it needs.

    Not in the folder where it happens to run, which may hold anybody's files.
    """
    home = Path(fauxlab.__file__).parents[1]
    places = [str(place) for place in sys.path if os.path.isabs(place)]
    return [*places, str(home)]
