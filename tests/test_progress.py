"""Progress on a terminal must not swallow what a command prints, and a rate is of what was done
just now.
"""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from itertools import count
from pathlib import Path

import pytest

from fauxlab import progress

SCRIPT = """
import sys
from fauxlab.progress import count_images
with count_images("counting", 3) as advance:
    for k in range(3):
        sys.stdout.write(f"{k}," + "x" * 200 + "\\n")
        advance(1)
"""


def test_a_file_gets_the_lines_while_a_terminal_gets_the_bar(tmp_path: Path) -> None:
    terminal, end = pty.openpty()
    with (tmp_path / "out.csv").open("wb") as out:
        process = subprocess.Popen([sys.executable, "-c", SCRIPT], stdout=out, stderr=end)
    os.close(end)
    shown = b""
    try:
        while part := os.read(terminal, 65536):
            shown += part
    except OSError:  # how Linux says that nobody holds the other end any more
        pass
    os.close(terminal)
    assert process.wait() == 0
    assert b"counting" in shown
    assert (tmp_path / "out.csv").read_text() == "".join(
        f"{k}," + "x" * 200 + "\n" for k in range(3)
    )


def test_the_rate_is_of_what_was_done_since(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "PLAIN_SECONDS", 0.0)
    ticks = count()
    monkeypatch.setattr(progress.time, "monotonic", lambda: float(next(ticks)))
    with progress.show_progress("resumed", 5000) as show:
        show(5000, 9000, "")
        show(5012, 9000, "loss 0.5")
    first, second = capsys.readouterr().err.splitlines()
    assert first == "resumed: 5,000/9,000 images"
    assert second.startswith("resumed: 5,012/9,000 images, ")
    assert 1 <= int(second.split(", ")[1].removesuffix("/s")) <= 12
    assert second.endswith(", loss 0.5")


def test_the_time_left_is_told_in_words(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "PLAIN_SECONDS", -1.0)
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    with progress.show_progress("training", 100) as show:
        show(100, 400, "")
        now[0] = 10.0
        show(150, 400, "")
        show(150, None, "")
        show(400, 400, "")
        now[0] = 1000.0
        show(101, 400, "")
    assert capsys.readouterr().err.splitlines() == [
        "training: 100/400 images",
        "training: 150/400 images, 5/s, 50 s left",
        "training: 150 images, 5/s",
        "training: 400/400 images, 30/s",
        "training: 101/400 images, 0.00/s, 3.5 days left",
    ]


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.2, "0 s"),
        (99, "99 s"),
        (100, "2 min"),
        (5900, "98 min"),
        (7200, "2.0 h"),
        (2e5, "2.3 days"),
    ],
)
def test_durations(seconds: float, words: str) -> None:
    assert progress.describe_seconds(seconds) == words
