"""What the documents say is so: commands exist, the folder list is the folder, figures are those of
the results.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main

from fauxlab.cli import app

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "fauxlab"
DOCUMENTS = [
    *ROOT.glob("*.md"),
    *SOURCE.rglob("*.md"),
    *SOURCE.glob("recipes/*.toml"),
    *ROOT.glob("benchmarks/**/*.py"),
    *ROOT.glob("benchmarks/*.md"),
]
README = (ROOT / "README.md").read_text(encoding="utf-8")
# A command at the head of an indented or commented line, or in backticks; a backslash continues it.
COMMAND = re.compile(r"(?:^#? {2,}(?:\.venv/bin/)?|`)fauxlab ((?:\\\n|[^`\n])*)", re.MULTILINE)


def commands() -> Iterator[tuple[str, str]]:
    """(document, what follows `fauxlab`) of all that the documents tell to run."""
    for path in DOCUMENTS:
        for found in COMMAND.finditer(path.read_text(encoding="utf-8")):
            line = re.sub(r"\\\n[ #]*", "", found[1])
            # An option can stand for many: `--on-collapse stop|rollback`, `detector train …`.
            yield path.name, re.split(r"[|>#]| {3,}|…", line)[0].strip()


def test_every_command_and_option_exists() -> None:
    checked = 0
    for document, line in commands():
        words = shlex.split(line)
        command: Any = typer.main.get_command(app)
        while words and hasattr(command, "commands") and not words[0].startswith("-"):
            assert words[0] in command.commands, f"{document}: fauxlab {line}"
            command = command.commands[words.pop(0)]
        options = {
            option
            for parameter in command.params
            for option in (*parameter.opts, *parameter.secondary_opts)
        }
        for word in words:
            if word.startswith("--"):
                assert word.partition("=")[0] in {*options, "--help"}, f"{document}: fauxlab {line}"
        checked += 1
    assert checked > 60


def test_the_folder_list_is_the_folder() -> None:
    listing = README[README.index("src/fauxlab/\n") :].split("```")[0]
    listed = set(re.findall(r"^ +([a-z_]+(?:\.py|/))", listing, re.MULTILINE))
    rooms = {path for path in SOURCE.iterdir() if path.is_dir() and (path / "__init__.py").exists()}
    told_whole = {name.rstrip("/") for name in listed if name.endswith("/")}
    for path in SOURCE.rglob("*.py"):
        if path.name.startswith("__") or path.parent.name in (
            "cli",
            "config",
            "report",
            "reproduce",
        ):
            continue  # rooms that one line tells of
        assert path.name in listed, f"{path.relative_to(SOURCE)} is not in the README's list"
    assert {room.name for room in rooms} <= told_whole
    for name in listed:
        assert (SOURCE / name).exists() or list(SOURCE.rglob(name)) or name in ("src/", "tests/"), (
            f"{name} is gone"
        )


def rows(head: str) -> dict[str, list[str]]:
    """A table of the README by its rows' first cells, from below the line that begins with `head`
    on.
    """
    lines = README[README.index(head) :].split("\n\n")[0].splitlines()[2:]
    cells = [[cell.strip().strip("*") for cell in line.strip("|").split("|")] for line in lines]
    return {line[0]: line[1:] for line in cells}


def results(name: str) -> Any:
    return json.loads(
        (ROOT / "benchmarks" / "results" / f"{name}.json").read_text(encoding="utf-8")
    )


def test_the_generators_table_is_the_results() -> None:
    found = {run["name"]: run for run in results("gan_recipes")}
    table = rows("| | best | at images |")
    for cell, name in (
        ("`report-v1-32` (iteration 1)", "report-v1-32-s0"),
        ("`report-v2-32` (iteration 2)", "report-v2-32-s0"),
        ("`report-v2-32` from another seed (in single precision)", "report-v2-32-s1"),
        ("`report-v2-32` from a third (in single precision)", "report-v2-32-s2"),
        ("`sngan-32`", "sngan-32-s0"),
        ("`sngan-32` from another seed (in single precision)", "sngan-32-s1"),
        ("`r3-32`", "r3-32-s0"),
        ("the same from another seed (in single precision)", "r3-32-s1"),
        ("the same from a third (in single precision)", "r3-32-s2"),
        ("the same without R2", "r3-32-no-r2-s0"),
        ("the same, its generator not averaged", "r3-32-no-ema-s0"),
        ("the same without augmentation (in single precision)", "r3-32-no-augmentation-s0"),
    ):
        best, at, last, coverage = table[cell]
        run = found[name]
        assert last == f"{run['last']:.1f}", name
        if best:  # only known of the averaged
            assert best == f"{run['best']:.1f}", name
            assert int(at.replace(",", "")) == pytest.approx(run["best_images"], abs=100)
        assert coverage == f"{run['coverage_last']:.2f}".lstrip("0")


def test_the_larger_generators_are_the_results() -> None:
    found = {run["name"]: run for run in results("gan_recipes")}
    for cell, figures in rows("| images asked for | seen | best |").items():
        run = found[f"{cell.split('`')[1]}-s0"]
        for text, key in zip(figures[1:4:2], ("best", "last"), strict=True):
            assert text == f"{run[key]:.1f}", cell
        counts = [figures[0], figures[2], *([] if figures[5] == "none" else [figures[5]])]
        for text, key in zip(
            counts, ("images", "best_images", "guard_first_alarm_images"), strict=False
        ):
            assert int(text.replace(",", "")) == pytest.approx(run[key], rel=5e-3), cell
        assert (figures[5] == "none") == (run["guard_alarms"] == 0), cell
        assert figures[4] == f"{run['coverage_last']:.2f}".lstrip("0"), cell


def test_what_the_guard_saw_is_the_results() -> None:
    found = {run["name"]: run for run in results("gan_recipes")}
    dead = "report-v2-32-dead-discriminator"
    free = "r3-32-no-penalty"
    names = [
        f"{free}-s0",
        f"{free}-s1",
        f"{dead}-s0",
        f"{dead}-s1",
        "report-v2-64-s0",
        "report-v1-64-s0",
        "report-v2-s0",
        "report-v2-32-s2",
    ]
    for (cell, (_, onset, alarm)), name in zip(
        rows("| run | looks every | onset |").items(), names, strict=True
    ):
        run = found[name]
        onsets = [run["rose_at_images"], run["collapsed_at_images"]]
        assert onset == ("none" if onsets[0] is None else f"{onsets[0]:,} ({onsets[1]:,})"), cell
        at = run["guard_first_alarm_images"]
        assert alarm.split(", by")[0].strip("*") == ("none" if at is None else f"{at:,}"), cell


def test_the_collapse_is_the_results() -> None:
    found = {run["name"]: run for run in results("gan_recipes")}
    table = rows("| 60,000 images, N = 2,000, FD(randconv), floor .02 |")
    for (cell, figures), name in zip(
        table.items(), ("no-penalty", "no-penalty-rollback"), strict=True
    ):
        run = found[f"r3-32-{name}-s0"]
        assert figures == [
            f"{run[key]:.2f}".removeprefix("0") for key in ("best", "last", "recall_last")
        ], cell
        assert f"{run['guard_first_alarm_images']:,}" in README


def short(interval: dict[str, float], bounds: bool = True) -> str:
    """A figure as the README writes it: .937 [.921, .953]."""
    figures = [f"{interval[key]:.3f}".removeprefix("0") for key in ("value", "low", "high")]
    return f"{figures[0]} [{figures[1]}, {figures[2]}]" if bounds else figures[0]


def test_the_detectors_table_is_the_results() -> None:
    models, table = (
        results("detector_trust")["models"],
        rows("|  | the report's CNN, as in the report |"),
    )
    for name, scores in models["detector"]["generators"].items():
        as_reported, unseen, joint, own, own_unseen = table[f"AUC: {name}"]
        assert own == short(scores["auc"]), name
        assert own_unseen == short(models["detector"]["never_seen"][name]["auc"]), name
        assert unseen == short(models["report"]["never_seen"][name]["auc"], bounds=False), name
        for cell, model in ((as_reported, "report"), (joint, "joint")):
            assert cell == short(models[model]["generators"][name]["auc"], bounds=False), (
                name,
                model,
            )
    for source, share in models["detector"]["false_alarms"].items():
        assert table[f"called fake: real {source}"][3] == short(share), source
    ece, by_chance = (
        f"{models['detector']['pooled'][key]:.3f}".lstrip("0") for key in ("ece", "ece_expected")
    )
    assert (
        table["calibration error, of both classes alike"][3]
        == f"{ece} ({by_chance} by chance alone)"
    )


def test_the_reports_own_table_is_the_results() -> None:
    detectors, table = (
        results("detector_report")["detectors"],
        rows("| | accuracy / macro F1: specialist |"),
    )
    for name, cells in table.items():
        found = [
            next(part for part in detectors[run]["test"]["generators"] if part["name"] == name)
            for run in (f"report-specialist-{name}", "report-unified", "unified-joint")
        ]
        calls = [
            f"{short(part['accuracy'], False)} / {short(part['macro_f1'], False)}" for part in found
        ]
        aucs = [*(short(part["auc"], False) for part in found[:2]), short(found[2]["auc"])]
        assert cells == [*calls, *aucs], name
