"""Progress on a terminal must not swallow what a command prints."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from pathlib import Path

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
    assert (tmp_path / "out.csv").read_text() == "".join(f"{k}," + "x" * 200 + "\n" for k in range(3))
