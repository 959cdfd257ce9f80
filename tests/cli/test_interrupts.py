"""Signals: the first lets a command clean up, a second ends it, and a library sets none."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from fauxlab.cli.interrupts import ECHO, noted_interrupts

SIGNALS = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]
# A command with one verdict in a page and an array, which then waits, and cleans up slowly.
COMMAND = """
import sys, time
from pathlib import Path
from fauxlab import cli
from fauxlab.records import Verdict
from fauxlab.scan.explain import Explained
from fauxlab.scan.page import open_page
from fauxlab.scan.writers import open_writer

@cli.app.command()
def wait(seconds: float) -> None:
    with open_page(Path("v.html")) as page, open_writer("json", sys.stdout) as array:
        verdict = Explained(Verdict(path="a.jpg", status="no face", model_hash="0"))
        page.add(verdict)
        array.add(verdict)
        try:
            print("waiting", file=sys.stderr, flush=True)
            time.sleep(60)
        finally:
            print("cleaning up", file=sys.stderr, flush=True)
            time.sleep(seconds)

cli.main()
"""
Start = Callable[[float], "subprocess.Popen[str]"]


@pytest.fixture
def start(tmp_path: Path) -> Start:
    def begin(seconds: float) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-c", COMMAND, "wait", str(seconds)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=tmp_path,
        )
        assert process.stderr is not None
        assert process.stderr.readline() == "waiting\n"
        return process

    return begin


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_lets_the_command_clean_up(start: Start, tmp_path: Path, number: int) -> None:
    process = start(0)
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert err == "cleaning up\ninterrupted\n"
    (verdict,) = json.loads(out)
    assert verdict["path"] == "a.jpg"
    assert os.listdir(tmp_path) == []


def test_a_second_signal_ends_it_at_once(start: Start) -> None:
    process = start(60)
    assert process.stderr is not None
    process.send_signal(signal.SIGTERM)
    assert process.stderr.readline() == "cleaning up\n"
    time.sleep(2 * ECHO)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=30)
    assert process.returncode == -signal.SIGTERM


def test_a_signal_that_is_passed_on_is_no_second(monkeypatch: pytest.MonkeyPatch) -> None:
    """torchrun sends to its processes what the terminal has sent to them already."""
    monkeypatch.setattr(time, "monotonic", lambda: 100.0)
    with noted_interrupts() as interrupts:
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        monkeypatch.setattr(time, "monotonic", lambda: 100.0 + ECHO)
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGTERM)
        assert interrupts.came


def test_nohup_is_respected() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with noted_interrupts() as interrupts:
            signal.raise_signal(signal.SIGHUP)
            assert not interrupts.came
    finally:
        signal.signal(signal.SIGHUP, before)


def test_handlers_are_put_back() -> None:
    before = [signal.getsignal(number) for number in SIGNALS]
    with pytest.raises(KeyboardInterrupt), noted_interrupts():
        signal.raise_signal(signal.SIGTERM)
    assert [signal.getsignal(number) for number in SIGNALS] == before


def test_another_thread_sets_none() -> None:
    before = [signal.getsignal(number) for number in SIGNALS]
    inside = []

    def run() -> None:
        with noted_interrupts():
            inside.extend(signal.getsignal(number) for number in SIGNALS)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert inside == before


def test_a_library_sets_none() -> None:
    code = (
        "import signal\n"
        "numbers = signal.SIGINT, signal.SIGTERM, signal.SIGHUP\n"
        "before = [signal.getsignal(number) for number in numbers]\n"
        "import fauxlab, fauxlab.cli, fauxlab.scan.scanner\n"
        "print(before == [signal.getsignal(number) for number in numbers])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout == "True\n"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs Linux's /dev/full")
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_output_to_a_full_disk_is_one_line(unbuffered: str) -> None:
    environment = {**os.environ, "PYTHONUNBUFFERED": unbuffered}
    with open("/dev/full", "w") as full:
        run = subprocess.run(
            [sys.executable, "-m", "fauxlab", "recipes", "list"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
            check=False,
        )
    assert run.returncode == 1
    assert run.stderr.startswith("error: ")
    assert "No space left on device; make room" in run.stderr
    assert run.stderr.count("\n") == 1
