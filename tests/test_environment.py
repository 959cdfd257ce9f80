"""What is said of a figure's making."""

from __future__ import annotations

import sys

import pytest

from fauxlab.environment import describe_environment


@pytest.mark.parametrize(
    ("started", "command"),
    [
        (["/somewhere/bin/fauxlab", "scan", "my photo.jpg"], "fauxlab scan 'my photo.jpg'"),
        (["/somewhere/fauxlab/__main__.py", "doctor"], "fauxlab doctor"),
        (["benchmarks/speed/scan.py", "--n", "20"], "benchmarks/speed/scan.py --n 20"),
        (["/home/someone/own.py"], "own.py"),
    ],
)
def test_command_is_what_anyone_can_type(
    monkeypatch: pytest.MonkeyPatch, started: list[str], command: str
) -> None:
    monkeypatch.setattr(sys, "argv", started)
    assert describe_environment("")["command"] == command
