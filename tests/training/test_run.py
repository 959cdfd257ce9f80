"""The run folder: what a full disk and another version make of it."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from fauxlab.config import load_recipe
from fauxlab.errors import LabError
from fauxlab.pages.detector_curves import save_training_figure
from fauxlab.training.opening import open_run
from fauxlab.training.run import Run, fits_log
from fauxlab.training.session import point_latest, train_alone
from fauxlab.version import __version__


@pytest.mark.parametrize("values", [3, 100_000])
def test_a_checkpoint_on_a_full_disk_is_one_line_and_leaves_the_one_before(
    tmp_path: Path, full_disk: Callable[[], None], values: int
) -> None:
    run = Run(tmp_path)
    run.save_checkpoint({"step": 1, "model": torch.zeros(3)})
    before = (tmp_path / "checkpoints" / "last.pt").read_bytes()
    full_disk()
    with pytest.raises(LabError, match=r"cannot write the checkpoint .*last\.pt"):
        run.save_checkpoint({"step": 2, "model": torch.zeros(values)})
    (left,) = (tmp_path / "checkpoints").iterdir()
    assert left.read_bytes() == before


def test_what_a_killed_run_of_version_0_2_left_goes(tmp_path: Path) -> None:
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "last.pt.tmp").write_bytes(b"half")
    Run(tmp_path).save_checkpoint({"step": 1})
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["last.pt"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs Linux's /dev/full")
def test_a_log_on_a_full_disk_is_named(tmp_path: Path) -> None:
    (tmp_path / "log.jsonl").symlink_to("/dev/full")
    with pytest.raises(LabError, match=r"cannot write .*log\.jsonl: No space left"):
        Run(tmp_path).log("step", loss=1.0)


def test_a_run_of_another_version_goes_on_with_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    recipe = load_recipe("unified-joint")
    run = open_run(tmp_path / "run", recipe, "hash", resume=False)
    path = run.folder / "environment.json"
    with caplog.at_level(logging.WARNING):
        open_run(run.folder, recipe, "hash", resume=True)
    assert not caplog.records
    environment = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({**environment, "fauxlab": "0.1.0"}), encoding="utf-8")
    with caplog.at_level(logging.WARNING):
        open_run(run.folder, recipe, "hash", resume=True)
    (record,) = caplog.records
    assert f"begun with fauxlab 0.1.0 and goes on with {__version__}" in record.getMessage()


DEEP = "[" * 100_000
TEXTS = [DEEP, '{"event": ' + DEEP, '{"event": "eval", "images": ' + "9" * 400 + "}", "[]", "\0"]


@pytest.mark.parametrize("text", TEXTS, ids=range(len(TEXTS)))
def test_a_damaged_log_or_environment_is_one_line(tmp_path: Path, text: str) -> None:
    for name in ("log.jsonl", "environment.json"):
        (tmp_path / name).write_text(text + "\n")
    run = Run(tmp_path)
    with pytest.raises(LabError, match=r"log\.jsonl is damaged"):
        list(run.read_log())
    if "eval" not in text:
        with pytest.raises(LabError, match=r"environment\.json cannot be read"):
            _ = run.environment


@pytest.mark.parametrize("name", ["log.jsonl", "environment.json", "config.toml"])
def test_a_pipe_in_a_run_folder_is_refused(tmp_path: Path, name: str) -> None:
    os.mkfifo(tmp_path / name)
    run = Run(tmp_path)
    with pytest.raises(LabError, match="no regular file"):
        _ = (list(run.read_log()), run.environment) if name != "config.toml" else run.recipe


HOLD = """
import sys, time
from pathlib import Path
from fauxlab.training.run import Run
from fauxlab.training.session import train_alone
with train_alone(Run(Path(sys.argv[1]))):
    print("held", flush=True)
    time.sleep(100)
"""


@pytest.mark.parametrize("make", [os.mkfifo, lambda path: path.symlink_to("/dev/zero")])
def test_a_checkpoint_that_is_no_file_is_refused(
    tmp_path: Path, make: Callable[[Path], None]
) -> None:
    (tmp_path / "checkpoints").mkdir()
    make(tmp_path / "checkpoints" / "last.pt")
    with pytest.raises(LabError, match=r"cannot read .*last\.pt: it is no regular file"):
        Run(tmp_path).load_checkpoint()


@pytest.mark.parametrize(
    "event", ['{"event": "step"}', '{"event": "step", "stage": [], "images": 1}']
)
def test_a_log_whose_lines_lack_values_is_one_line(tmp_path: Path, event: str) -> None:
    run = Run(tmp_path)
    (tmp_path / "log.jsonl").write_text(f"{event}\n")
    with pytest.raises(LabError, match=r"log\.jsonl is damaged: a line") as caught, fits_log(run):
        save_training_figure(run.read_log(), tmp_path / "figures")
    assert str(caught.value).isprintable()


def test_a_lock_ends_with_its_process(tmp_path: Path) -> None:
    command = [sys.executable, "-c", HOLD, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as other:
        try:
            assert other.stdout is not None
            assert other.stdout.readline() == b"held\n"
            with pytest.raises(LabError, match="is being trained by another process"):
                enter(tmp_path)
        finally:
            other.kill()
    assert (tmp_path / "lock").exists()
    enter(tmp_path)


def enter(folder: Path) -> None:
    with train_alone(Run(folder)):
        pass


def test_places_that_cannot_be_written_are_named(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"")
    with pytest.raises(LabError, match=r"cannot write .*file/run: Not a directory; choose"):
        open_run(file / "run", load_recipe("unified-joint"), "hash", resume=False)
    (tmp_path / "checkpoints").write_bytes(b"")
    with pytest.raises(LabError, match=r"cannot write the checkpoint .*last\.pt"):
        Run(tmp_path).save_checkpoint({"step": 1})
    (tmp_path / "lock").mkdir()
    with pytest.raises(LabError, match=r"cannot write .*lock: Is a directory; choose"):
        enter(tmp_path)


def test_latest_leads_to_the_newest_run_and_leaves_nothing(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        point_latest(tmp_path / name)
        assert os.readlink(tmp_path / "latest") == name
    assert sorted(os.listdir(tmp_path)) == ["latest", "one", "two"]
