"""Sessions compute on the processors that a process may use, and on no more."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from fauxlab.bundle import sessions
from fauxlab.bundle.opening import PACKAGED
from fauxlab.bundle.sessions import make_session, usable_processors

GRAPH = PACKAGED / "model.onnx"


@pytest.fixture(autouse=True)
def _no_limits(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(sessions, "_QUOTA", tmp_path / "cpu.max")
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)))


def test_a_process_uses_what_the_system_assigned() -> None:
    assert usable_processors() == 8


@pytest.mark.parametrize(
    ("quota", "expected"),
    [("max 100000", 8), ("200000 100000", 2), ("150000 100000", 2), ("1000 100000", 1), ("", 8)],
)
def test_a_container_has_a_quota(tmp_path: Path, quota: str, expected: int) -> None:
    (tmp_path / "cpu.max").write_text(quota)
    assert usable_processors() == expected


@pytest.mark.parametrize(("stated", "expected"), [("3", 3), ("0", 1), ("99", 8), ("all", 8)])
def test_a_user_states_a_limit(monkeypatch: pytest.MonkeyPatch, stated: str, expected: int) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", stated)
    assert usable_processors() == expected


@pytest.mark.parametrize("threads", [None, 2])
def test_the_session_gets_them(threads: int | None) -> None:
    for model in (GRAPH.read_bytes(), str(GRAPH)):
        session = make_session(model, threads)
        assert session.get_session_options().intra_op_num_threads == (threads or 8)
