"""What the documents say is true: commands exist, the folder list is the folder, figures are those
of the results, the README is short.
"""

from __future__ import annotations

import csv
import inspect
import io
import json
import os
import re
import shlex
import statistics
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import typer.main
from tests.test_imports import ROOMS

import fauxlab
from fauxlab.cli import app
from fauxlab.datasets.toyfaces import write_toyfaces
from fauxlab.scan.writers import CsvWriter

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "fauxlab"
DOCUMENTS = [
    *ROOT.glob("*.md"),
    *ROOT.glob("docs/*.md"),
    *SOURCE.rglob("*.md"),
    *SOURCE.glob("recipes/*.toml"),
    *ROOT.glob("benchmarks/**/*.py"),
    *ROOT.glob("benchmarks/*.md"),
]


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


README = read("README.md")
DETECTORS = read("docs/results-detectors.md")
GENERATORS = read("docs/results-generators.md")
ARCHITECTURE = read("docs/architecture.md")
# A command at the head of an indented or commented line, or in backticks; a backslash continues it.
COMMAND = re.compile(r"(?:^#? {2,}(?:\.venv/bin/)?|`)fauxlab ((?:\\\n|[^`\n])*)", re.MULTILINE)
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def commands() -> Iterator[tuple[str, str]]:
    """(document, what follows `fauxlab`) of all that the documents tell to run."""
    for path in DOCUMENTS:
        text = path.read_text(encoding="utf-8")
        if path.suffix == ".md":
            text = FENCE.sub(lambda block: re.sub("^", "    ", block[2], flags=re.MULTILINE), text)
        for found in COMMAND.finditer(text):
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
    assert checked > 140


def leaf_commands(group: Any, path: str = "") -> Iterator[str]:
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from leaf_commands(command, f"{path}{name} ")
        else:
            yield f"{path}{name}"


def test_the_command_line_page_has_every_command() -> None:
    listed = {line for _, line in commands()}
    page = read("docs/command-line.md")
    for name in leaf_commands(typer.main.get_command(app)):
        assert f"| `fauxlab {name}" in page
        assert any(line.startswith(name) for line in listed)


def test_the_command_line_page_has_every_option() -> None:
    """Each option stands in the section of its command, or among those that many commands share."""
    sections = read("docs/command-line.md").split("\n## ")
    shared = next(section for section in sections if section.startswith("Options that many"))
    app_options, *_ = sections
    assert "`fauxlab --version`" in app_options
    group = typer.main.get_command(app)
    for name in leaf_commands(group):
        command: Any = group
        for word in name.split():
            command = command.commands[word]
        own = next((part for part in sections if part.startswith(f"`fauxlab {name}`\n")), "")
        for parameter in command.params:
            for option in (*parameter.opts, *parameter.secondary_opts):
                if option.startswith("--") and not parameter.hidden:
                    assert re.search(rf"`{option}\b", own + shared), f"fauxlab {name} {option}"


def test_the_api_page_has_every_public_name() -> None:
    page = read("docs/python-api.md")
    assert sorted(re.findall(r"^::: fauxlab\.(\w+)$", page, re.MULTILINE)) == sorted(
        fauxlab.__all__
    )


def list_folder(listing: str) -> list[tuple[str, str]]:
    """(path below src/fauxlab, description) of each line of an indented listing, in its order."""
    listed = []
    folders: dict[int, str] = {}
    for line in listing.splitlines():
        name, description = line.split(maxsplit=1)
        depth = len(line) - len(line.lstrip())
        path = folders.get(depth - 2, "") + name
        if name.endswith("/"):
            folders[depth] = path
        listed.append((path, description))
    return listed


def test_the_folder_list_is_the_folder() -> None:
    listing = ARCHITECTURE.split("src/fauxlab/\n")[1].split("\ntests/ ")[0]
    listed = [path for path, _ in list_folder(listing)]
    files = {
        path.relative_to(SOURCE).as_posix()
        for path in SOURCE.rglob("*.py")
        if not path.name.startswith("__")
    }
    assert {path for path in listed if path.endswith(".py")} == {"__init__.py", *files}
    assert len(listed) == len(set(listed))
    assert all((SOURCE / path).exists() for path in listed)
    # The rooms stand in the order of the import rule, with the files of each below it.
    tops = dict.fromkeys(path.split("/")[0].removesuffix(".py") for path in listed)
    rooms = [top for top in tops if top in ROOMS]
    assert rooms == ROOMS[: ROOMS.index("__main__")]


def test_the_folder_list_is_short_and_aligned() -> None:
    lines = ARCHITECTURE.split("src/fauxlab/\n")[1].split("```")[0].splitlines()
    assert max(map(len, lines)) <= 72
    starts = {len(line) - len(line.lstrip().split(maxsplit=1)[1]) for line in lines}
    assert len(starts) == 1


@pytest.mark.parametrize(
    ("page", "source"),
    [
        ("gan-update", "training/gan/updates.py"),
        ("architecture", "training/seeding.py"),
    ],
)
def test_quoted_code_is_in_the_file(page: str, source: str) -> None:
    code = unindented((SOURCE / source).read_text(encoding="utf-8"))
    quotes = [
        block for language, block in FENCE.findall(read(f"docs/{page}.md")) if language == "python"
    ]
    assert quotes
    for quote in quotes:
        assert unindented(quote) in code


def unindented(code: str) -> str:
    """Code without the white space at the head of its lines."""
    return "\n".join(line.strip() for line in code.splitlines())


def test_the_order_of_rooms_is_that_of_the_import_rule() -> None:
    table = ARCHITECTURE.split("## The rooms")[1].split("**Import order.**")[0]
    cells = re.findall(r"^\| (`[^|]*) \|", table, re.MULTILINE)
    assert re.findall(r"`(\w+)`", " ".join(cells)) == ROOMS[: ROOMS.index("__main__")]
    told = read("CONTRIBUTING.md").split("only the rooms before it:")[1].split("`errors`")[0]
    assert re.findall(r"\w+", told) == ROOMS[: ROOMS.index("__main__")]


def rows(page: str, head: str) -> dict[str, list[str]]:
    """A table of a page by its rows' first cells; it begins with the line `head`."""
    lines = page[page.index(head) :].partition("\n\n")[0].splitlines()[2:]
    cells = [[cell.strip().strip("*") for cell in line.strip("|").split("|")] for line in lines]
    return {line[0]: line[1:] for line in cells}


def results(name: str) -> Any:
    return json.loads(
        (ROOT / "benchmarks" / "results" / f"{name}.json").read_text(encoding="utf-8")
    )


def test_the_generators_table_is_the_results() -> None:
    found = {run["name"]: run for run in results("gan_recipes")}
    table = rows(GENERATORS, "| | best | at images |")
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
    for cell, figures in rows(GENERATORS, "| images asked for | seen | best |").items():
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
        rows(GENERATORS, "| run | a check every (images) | onset |").items(), names, strict=True
    ):
        run = found[name]
        onsets = [run["rose_at_images"], run["collapsed_at_images"]]
        assert onset == ("none" if onsets[0] is None else f"{onsets[0]:,} ({onsets[1]:,})"), cell
        at = run["guard_first_alarm_images"]
        assert alarm.split(", by")[0].strip("*") == ("none" if at is None else f"{at:,}"), cell


def test_the_collapse_is_the_results() -> None:
    found = {run["name"]: run for run in results("gan_recipes")}
    table = rows(GENERATORS, "| 60,000 images, N = 2,000, FD(randconv), floor .02 |")
    for (cell, figures), name in zip(
        table.items(), ("no-penalty", "no-penalty-rollback"), strict=True
    ):
        run = found[f"r3-32-{name}-s0"]
        assert figures == [
            f"{run[key]:.2f}".removeprefix("0") for key in ("best", "last", "recall_last")
        ], cell
        assert f"{run['guard_first_alarm_images']:,}" in GENERATORS


def short(interval: dict[str, float], bounds: bool = True) -> str:
    """A figure as the pages write it: .937 [.921, .953]."""
    figures = [f"{interval[key]:.3f}".removeprefix("0") for key in ("value", "low", "high")]
    return f"{figures[0]} [{figures[1]}, {figures[2]}]" if bounds else figures[0]


def test_the_detectors_table_is_the_results() -> None:
    models, table = (
        results("detector_trust")["models"],
        rows(DETECTORS, "|  | the report's CNN, as in the report |"),
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
        rows(DETECTORS, "| | accuracy / macro F1: specialist |"),
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


def of_generators(figures: dict[str, float]) -> str:
    """Named figures as the README writes them: sd21 .997 · generated-photos 1.000."""
    return " · ".join(
        f"{name} {short({'value': value, 'low': 0, 'high': 0}, False)}"
        for name, value in figures.items()
    )


def test_the_readmes_table_is_the_results() -> None:
    table = rows(README, "| measured on the test split |")
    model = results("detector_trust")["models"]["detector"]
    names = ("sd21", "generated-photos", "stylegan", "dfdc-swap")
    for row, part in (
        ("AUC on generators in training", "generators"),
        ("AUC on a generator left out of training", "never_seen"),
    ):
        told = of_generators({name: model[part][name]["auc"]["value"] for name in names})
        assert table[row] == [told]
    shares = results("tones")["changes"]["as they are"]["after"]
    for row, label, places, parts in (
        ("real photos called fake", "real", 3, ("of 3 kinds in training", "of 17 other kinds")),
        ("fakes called fake", "fake", 2, ("of 4 generators in training", "of 12 others")),
    ):
        told = []
        for part, words in zip(("learned", "other"), parts, strict=True):
            share = shares[f"all {label}, {part}"]["fake"][0]
            told.append(f"{words} {share:.{places}f}".replace(" 0.", " ."))
        assert table[row] == [" · ".join(told)]
    runs = {run["name"]: run for run in results("gan_recipes")}
    floor = f"{runs['r3-32-s0']['floor']:.2f}".lstrip("0")
    told = " · ".join(
        f"`{name}` {runs[f'{name}-s0']['best']:.1f}" for name in ("report-v2-32", "r3-32")
    )
    row = "generators: Fréchet distance, lower is better"
    assert table[row] == [f"{told} · real photos to other real photos {floor}"]


def test_the_readmes_scan_is_what_scan_prints(tmp_path: Path) -> None:
    blocks = [block for language, block in FENCE.findall(README) if language == "text"]
    program = [sys.executable, "-m", "fauxlab"]
    scripts = "".join(block for language, block in FENCE.findall(README) if language == "bash")
    lines = [line.split("#")[0] for line in scripts.splitlines() if line.startswith("fauxlab ")]
    for line in lines[:2]:
        run = subprocess.run(
            [*program, *shlex.split(line)[1:]],
            cwd=tmp_path,
            check=True,
            capture_output=True,
            text=True,
        )
    # Below the table, behind an empty line, stands how scores are read.
    told_table, told_rule = split_table(blocks[0])
    table, rule = split_table(run.stdout)
    assert rule == told_rule
    assert len(table) == len(told_table) == 9
    for line, expected in zip(table, told_table, strict=True):
        # The verdict, the score, and the path with the reason of a "cannot tell".
        assert (line[:12], line[19:]) == (expected[:12], expected[19:])
        if expected != told_table[0]:
            assert float(line[12:19]) == pytest.approx(float(expected[12:19]), abs=0.003)


def split_table(text: str) -> tuple[list[str], list[str]]:
    """The lines of a table, and those below the first empty line."""
    table, _, rule = text.rstrip("\n").partition("\n\n")
    return table.splitlines(), rule.splitlines()


def test_the_records_are_what_scan_writes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = read("docs/scanning.md")
    blocks = dict(FENCE.findall(page))
    record = json.loads(blocks["json"])
    header, line = blocks["text"].splitlines()
    cells = dict(zip(header.split(","), line.split(","), strict=True))
    write_toyfaces(tmp_path / "toy", n=4)
    monkeypatch.chdir(tmp_path)

    verdict = fauxlab.Scanner.from_pretrained(crop="none")(record["path"])
    written = json.loads(verdict.model_dump_json())
    assert list(record) == list(written)
    assert record == {**written, "score": record["score"], "threshold": record["threshold"]}
    for number in ("score", "threshold"):
        assert record[number] == pytest.approx(written[number], abs=0.003)
    for field in record:
        assert f"`{field}`" in page

    stream = io.StringIO()
    writer = CsvWriter(stream)
    for explained in fauxlab.Scanner.from_pretrained().explain([cells["path"]]):
        writer.add(explained)
    (row,) = csv.DictReader(stream.getvalue().splitlines())
    assert list(cells) == list(row)
    for field, cell in cells.items():
        if field in ("score", "threshold"):
            assert float(cell) == pytest.approx(float(row[field]), abs=0.003)
        else:
            assert cell == row[field]


def sentences(page: str) -> list[str]:
    """The sentences of a page's prose: without code, tables, headings and pictures."""
    prose = FENCE.sub("", page)
    blocks = [
        block for block in prose.split("\n\n") if not block.startswith(("|", "#", "!", ":::"))
    ]
    text = re.sub(r"\]\([^)]*\)", "]", " ".join(" ".join(blocks).split()))
    return [part for part in re.split(r"(?<=[.?!])[*_]* (?=[\[*`\"A-Z])| - ", text) if part.split()]


def test_the_readme_is_short_and_plain() -> None:
    assert len(README.split()) <= 900
    assert statistics.mean(len(sentence.split()) for sentence in sentences(README)) <= 18


@pytest.mark.parametrize("page", sorted(ROOT.glob("docs/*.md")), ids=lambda page: page.stem)
def test_pages_are_plain(page: Path) -> None:
    found = sentences(page.read_text(encoding="utf-8"))
    assert statistics.mean(len(sentence.split()) for sentence in found) <= 18


@pytest.mark.parametrize(
    "document", [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")], ids=lambda path: path.name
)
def test_links_to_files_lead_somewhere(document: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", document.read_text(encoding="utf-8")):
        path, _, heading = target.partition("#")
        if "://" in target:
            continue
        place = document.parent / path if path else document
        assert place.exists(), target
        if heading:
            heads = re.findall(r"^#+ (.*)$", place.read_text(encoding="utf-8"), re.MULTILINE)
            assert heading in [
                re.sub(r"[^\w -]", "", head).lower().replace(" ", "-") for head in heads
            ]


def test_every_page_is_in_the_navigation() -> None:
    listed = re.findall(r": ([\w-]+\.md)$", read("mkdocs.yml"), re.MULTILINE)
    assert sorted(listed) == sorted(path.name for path in ROOT.glob("docs/*.md"))


def test_versions_and_extras_agree() -> None:
    version = fauxlab.__version__.removesuffix(".dev0")
    assert f"\nversion: {version}\n" in read("CITATION.cff")
    assert re.search(
        rf"^## {re.escape(version)} \(\d{{4}}-\d\d-\d\d\)$", read("CHANGELOG.md"), re.MULTILINE
    )
    extras = tomllib.loads(read("pyproject.toml"))["project"]["optional-dependencies"]
    started = read("docs/getting-started.md")
    for extra in extras.keys() - {"dev"}:
        assert f"`pip install '.[{extra}]'`" in started


def test_ci_runs_what_make_check_runs() -> None:
    assert read(".ci/run").rstrip().endswith("\nmake check")
    assert "make check" in read(".github/workflows/check.yml")
    rules = read("Makefile").split("check: install")[1].split("\n\n")[0]
    for tool in ("ruff check", "ruff format --check", "mypy", "pytest"):
        assert f"$(BIN)/{tool}\n" in rules + "\n"


def test_public_names_have_docstrings() -> None:
    for name in fauxlab.__all__:
        assert inspect.getdoc(getattr(fauxlab, name)), name


@pytest.mark.skipif(
    not (find_spec("mkdocs") and find_spec("mkdocstrings")),
    reason="needs mkdocs: pip install 'fauxlab[docs]'; CI builds the documentation in its own job",
)
def test_the_documentation_builds(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path)]
    run = subprocess.run(
        command,
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
    )
    assert run.returncode == 0, run.stderr
    page = (tmp_path / "python-api" / "index.html").read_text(encoding="utf-8")
    for name in fauxlab.__all__:
        assert f'id="fauxlab.{name}"' in page
    assert "&gt;&gt;&gt;" in page  # the docstrings' examples, as code and not as quotations
    assert "<blockquote>" not in page
