"""The run folder: what a full disk and another version make of it."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from fauxlab.config import load_recipe
from fauxlab.errors import LabError
from fauxlab.training.run import Run, open_run
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
