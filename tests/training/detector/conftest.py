"""Shared fixtures: a data set with made and altered fakes."""

from __future__ import annotations

from dataclasses import replace

import pytest

from fauxlab.data.manifest import Manifest, Row


@pytest.fixture
def both(small: Manifest) -> Manifest:
    """The small set, in which `speckle` alters photos and `grain` makes them whole."""
    rows = tuple(_alter(row) if row.generator == "speckle" else row for row in small.rows)
    return replace(small, rows=rows)


def _alter(row: Row) -> Row:
    return replace(row, manipulation="altered")
