"""Sessions compute on the processors that a process may use, and on no more."""

from __future__ import annotations

import pytest

from fauxlab.bundle import sessions
from fauxlab.bundle.opening import PACKAGED
from fauxlab.bundle.sessions import make_session

GRAPH = PACKAGED / "model.onnx"


@pytest.fixture(autouse=True)
def _processors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(sessions, "usable_processors", lambda: 8)


@pytest.mark.parametrize(("stated", "expected"), [("3", 3), ("0", 1), ("99", 8), ("all", 8)])
def test_a_user_states_a_limit(monkeypatch: pytest.MonkeyPatch, stated: str, expected: int) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", stated)
    session = make_session(str(GRAPH))
    assert session.get_session_options().intra_op_num_threads == expected


@pytest.mark.parametrize("threads", [None, 2])
def test_the_session_gets_them(threads: int | None) -> None:
    for model in (GRAPH.read_bytes(), str(GRAPH)):
        session = make_session(model, threads)
        assert session.get_session_options().intra_op_num_threads == (threads or 8)
