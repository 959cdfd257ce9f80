"""fauxlab: a laboratory for fake faces."""

from __future__ import annotations

__version__ = "0.1.0"
