"""Does every damaged or hostile recipe end as a plan or as one line, in bounded time and memory?

    .venv/bin/python -m benchmarks.safety.mutated_recipes

Takes packaged recipes. Of each, bytes are flipped, cut, overwritten or moved; or a value is
replaced; or the file is no recipe at all. `fauxlab detector train --dry-run` and
`fauxlab gan train --dry-run` plan each in a process of its own, on the drawn data set.

Writes benchmarks/results/mutated_recipes.json: how the processes ended, and the most that one took.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
from benchmarks.output import command_line, describe_machine, print_results, save_results
from benchmarks.safety.mutated_images import DAMAGES
from benchmarks.safety.outcomes import Outcome, run, summarise

from fauxlab.config import recipe_text

Rng = np.random.Generator
Damage = Callable[[Path, Rng], str]  # changes a recipe, and names what it did
RECIPES = {"detector": ("unified-joint", "report-unified"), "gan": ("r3-32", "report-v2-32")}

# Lines that are put before those of a recipe, or behind them, or in the place of a table.
LINES = (
    "epochs = " + "9" * 5000,
    "epochs = 0x" + "f" * 5000,
    "[train]\nepochs = 9223372036854775807",
    "[train]\nbatch = 9223372036854775807",
    "[train]\nlr = nan",
    "[train]\nlr = inf",
    '"\\u001b[31mEVIL\\u0007" = 1',
    '[train]\nlr = "\\u001b]0;x\\u0007"',
    "".join(f"[t{number}]\nx = 1\n" for number in range(200_000)),
    'base = "../../../etc/passwd"',
    "[model]\noptions = {widths = [4096, 4096, 4096, 4096]}",
    "[model]\noptions = {blocks = [4096, 4096]}",
    "[model]\nlatent = 65536",
    "[evaluate]\nn = 9223372036854775807",
    "[model.generator]\nwidths = [4096, 4096, 4096, 4096]",
    "a = " + "[" * 100_000,
    "a = " + "{a = " * 2000,
    "a" + ".a" * 100_000 + " = 1",
    "[" + "a." * 100_000 + "a]",
    "k" * 1_000_000 + " = 1",
    "name = '" + "n" * 1_000_000 + "'",
    "[train]\n" + "".join(f"k{number} = 1\n" for number in range(100_000)),
    "[data]\ngenerators = [" + "1, " * 200_000 + "]",
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--n", type=int, default=50)
    options = parser.parse_args()
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_data(folder)
        outcomes = []
        for number in range(options.n):
            half = ("detector", "gan")[number % 2]
            damage = DAMAGE[number // 2 % len(DAMAGE)]
            outcomes.append(try_recipe(folder, half, damage, rng))
            print(number, outcomes[-1], flush=True)
    result = summarise(outcomes) | {
        "command": command_line(),
        "environment": describe_machine(),
    }
    save_results("mutated_recipes.json", result)
    print_results(result)


def write_data(folder: Path) -> None:
    """The drawn data set, indexed, in place of a user's."""
    faces = str(folder / "faces")
    commands = [
        ["data", "toyfaces", faces, "--n", "400", "--size", "32"],
        ["data", "index", faces, "--out", str(folder / "manifest.csv")],
    ]
    for arguments in commands:
        outcome = run("data", arguments, folder)
        assert outcome.ending == "done" or not outcome.words.startswith("error"), outcome


def try_recipe(folder: Path, half: str, damage: Damage, rng: Rng) -> Outcome:
    """Damage a packaged recipe, and plan a training with it."""
    recipe = folder / "recipe.toml"
    if recipe.is_dir():
        recipe.rmdir()
    recipe.unlink(missing_ok=True)
    names = RECIPES[half]
    recipe.write_text(recipe_text(names[rng.integers(len(names))]))
    what = damage(recipe, rng)
    manifest = str(folder / "manifest.csv")
    arguments = [half, "train", manifest, "--recipe", str(recipe), "--dry-run"]
    return run(f"{half}/{what}", arguments, folder)


def damage_bytes(recipe: Path, rng: Rng) -> str:
    change = DAMAGES[rng.integers(len(DAMAGES))]
    recipe.write_bytes(change(bytearray(recipe.read_bytes()), rng))
    return change.__name__


_added = 0


def add_lines(recipe: Path, rng: Rng) -> str:
    """Put the next of LINES into the recipe."""
    global _added  # noqa: PLW0603  # each of LINES gets its turn
    lines = LINES[_added % len(LINES)]
    _added += 1
    text = recipe.read_text()
    table = lines.split("\n", 1)[0] + "\n"
    if not table.startswith("["):
        text = lines + "\n" + text
    elif table in text:
        text = _replace_table(text, table, lines)
    else:
        text = text + "\n" + lines
    recipe.write_text(text)
    return f"line {lines[:40]!r}"


def _replace_table(text: str, table: str, lines: str) -> str:
    before, _, after = text.partition(table)
    _, bracket, rest = after.partition("\n[")
    return before + lines + "\n" + bracket[1:] + rest


def no_file(recipe: Path, rng: Rng) -> str:
    """A pipe, a device, a folder, a gigabyte or noise in place of the recipe."""
    kinds = ("pipe", "device", "folder", "gigabyte", "noise")
    kind = kinds[rng.integers(len(kinds))]
    recipe.unlink()
    if kind == "pipe":
        os.mkfifo(recipe)
    elif kind == "device":
        recipe.symlink_to("/dev/zero")
    elif kind == "folder":
        recipe.mkdir()
    elif kind == "gigabyte":
        recipe.touch()
        os.truncate(recipe, 2**30)
    else:
        recipe.write_bytes(rng.bytes(5000))
    return kind


DAMAGE: tuple[Damage, ...] = (add_lines, damage_bytes, add_lines, add_lines, no_file, add_lines)


if __name__ == "__main__":
    main()
