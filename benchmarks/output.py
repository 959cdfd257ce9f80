"""Read and write `benchmarks/results/`, and name the command that a figure comes from."""

from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path
from typing import Any

from fauxlab.environment import describe_environment
from fauxlab.io.text import replace_file

RESULTS = Path(__file__).parent / "results"


def load_results(name: str) -> Any:
    """What a script wrote earlier, or None."""
    path = RESULTS / name
    if not path.exists():
        return None
    return json.loads(path.read_text(encoding="utf-8"))


def save_results(name: str, figures: Any) -> None:
    """Write figures as JSON in place of the former file."""
    text = json.dumps(figures, indent=1)
    replace_file(RESULTS / name, text + "\n")


def print_results(figures: dict[str, Any], without: tuple[str, ...] = ("environment",)) -> None:
    """Show figures on the terminal, except the long parts."""
    shown = {key: value for key, value in figures.items() if key not in without}
    print(json.dumps(shown, indent=1))


def command_line() -> str:
    """The command that started this script, without folders of the machine it ran on."""
    module = sys.modules["__main__"].__spec__
    name = module.name if module else Path(sys.argv[0]).name
    words = [without_folders(word) for word in sys.argv[1:]]
    return shlex.join(["python", "-m", name, *words])


def without_folders(word: str) -> str:
    """The file's name instead of an absolute path; other words as they are."""
    path = Path(word)
    return path.name if path.is_absolute() else word


def describe_machine(data_hash: str = "") -> dict[str, Any]:
    """The versions, the machine and the command behind a figure."""
    environment = describe_environment(data_hash)
    return environment | {"command": command_line()}
