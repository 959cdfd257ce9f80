"""How a process ended is told from its exit code, its words and its time."""

from __future__ import annotations

from pathlib import Path

import pytest
from benchmarks.safety import outcomes
from benchmarks.safety.outcomes import Outcome, classify, run, summarise


@pytest.mark.parametrize(
    ("code", "text", "seconds", "ending"),
    [
        (0, "scanning: 1 images\n", 1, "done"),
        (1, "error: no such model\n", 1, "refused"),
        (1, "error: a \x1b[31m model\n", 1, "raw controls"),
        (1, "error: a\n" * 9, 1, "many lines"),
        (1, "Traceback (most recent call last):\n", 1, "traceback"),
        (1, "", 1, "crash"),
        (-11, "", 1, "crash"),
        (-9, "", 1, "hang"),
        (1, "error: no such model\n", 6, "hang"),
    ],
)
def test_endings(code: int, text: str, seconds: float, ending: str) -> None:
    assert classify(code, text, seconds) == ending


def test_a_process_is_run_and_counted(tmp_path: Path) -> None:
    refused = run("recipe none", ["recipes", "show", "none"], tmp_path)
    done = run("recipe trace", ["recipes", "show", "r3"], tmp_path)
    assert (refused.ending, done.ending) == ("refused", "done")
    assert refused.words.startswith("error: no recipe 'none'")
    assert 0 < refused.seconds < outcomes.SLOW
    large = Outcome("recipe huge", "crash", 9.0, 2**31, "")
    result = summarise([refused, done, large])
    assert result["endings"] == {"recipe: crash": 1, "recipe: done": 1, "recipe: refused": 1}
    assert [entry["name"] for entry in result["wrong"]] == ["recipe huge"]
    assert [entry["name"] for entry in result["above_1_gib"]] == ["recipe huge"]
    assert (result["n"], result["most_bytes"]) == (3, 2**31)
