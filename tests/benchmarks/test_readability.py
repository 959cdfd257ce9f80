"""The measured table of a repository, on one small enough to count by hand."""

from __future__ import annotations

from pathlib import Path

import pytest
from benchmarks.readability import format_table, measure

SOURCE = '''"""A module's docstring counts as nothing."""

# why
def double(x: int) -> int:
    """Nor does a function's."""
    return 2 * x  # why


class Thing:
    def __init__(self, size=1):
        self.size = size
'''


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    package = tmp_path / "src" / "house"
    (package / "room").mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "room" / "thing.py").write_text(SOURCE)
    (tmp_path / "README.md").write_text("Three words\nhere")
    workflows = tmp_path / ".github" / "workflows"
    workflows.mkdir(parents=True)
    (workflows / "check.yml").write_text("")
    return tmp_path


def test_a_repository_is_counted_as_by_hand(repository: Path) -> None:
    sizes = measure(repository)
    assert (sizes.files, sizes.lines, dict(sizes.rooms)) == (2, 11, {"top": 1, "room": 1})
    # def double(x: int) -> int: has 10 tokens, return 2 * x has 4, class Thing: has 3,
    # def __init__(self, size=1): has 10, self.size = size has 5
    assert (sizes.tokens, sizes.code_lines) == (32, 5)
    assert sizes.comment_lines == 2
    assert (sizes.functions, sizes.typed_functions, sizes.long_functions) == (2, 1, 0)
    assert (sizes.readme_words, sizes.workflows, sizes.documents, sizes.examples) == (3, 1, 0, 0)


def test_only_functions_above_forty_lines_are_long(repository: Path) -> None:
    body = "    x = 1\n"
    source = "def forty():\n" + 39 * body + "def forty_one():\n" + 40 * body
    (repository / "src" / "house" / "long.py").write_text(source)
    assert measure(repository).long_functions == 1


def test_the_table_has_a_column_for_each_repository(repository: Path) -> None:
    sizes = measure(repository)
    table = format_table({"then": sizes, "now": sizes})
    assert "| measured | then | now |" in table
    assert "| tokens per code line, mean | 6.4 | 6.4 |" in table
    assert "| lines with a comment | 18.2% | 18.2% |" in table
    assert "Rooms of now, with their files: room 1, top 1" in table
