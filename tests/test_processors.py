"""As many threads as a process may use processors, in a container and elsewhere."""

from __future__ import annotations

from pathlib import Path

import pytest

from fauxlab import processors
from fauxlab.processors import usable_processors


@pytest.fixture(autouse=True)
def _machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A machine of 64 processors, of which this process may use 8."""
    monkeypatch.setattr(processors, "_QUOTA", tmp_path / "cpu.max")
    monkeypatch.delattr("os.process_cpu_count", raising=False)
    monkeypatch.setattr("os.sched_getaffinity", lambda process: set(range(8)), raising=False)
    monkeypatch.setattr("os.cpu_count", lambda: 64)


def test_a_process_uses_what_the_system_assigned(monkeypatch: pytest.MonkeyPatch) -> None:
    assert usable_processors() == 8
    monkeypatch.delattr("os.sched_getaffinity")
    assert usable_processors() == 64
    monkeypatch.setattr("os.process_cpu_count", lambda: 7, raising=False)
    assert usable_processors() == 7


@pytest.mark.parametrize(
    ("quota", "expected"),
    [("max 100000", 8), ("200000 100000", 2), ("150000 100000", 2), ("1000 100000", 1), ("", 8)],
)
def test_a_container_has_a_quota(tmp_path: Path, quota: str, expected: int) -> None:
    (tmp_path / "cpu.max").write_text(quota)
    assert usable_processors() == expected
