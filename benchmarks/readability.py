"""How readable is a repository? Its sizes, as the reader of another project would count them.

    .venv/bin/python -m benchmarks.readability                 # this repository
    .venv/bin/python -m benchmarks.readability FOLDER [FOLDER …]

FOLDER is the root of a Python project with its package in `src/` or in a folder of its name. Prints
a table with a column for each folder: files, lines and functions of the package, tokens a line of
code, comments, types, words of the README, workflows, documents and examples; and below it the
rooms (folders of the package) with their numbers of files.

Counted are the files below the package that end in `.py`. A function is long above 40 lines. Tokens
are those of Python's `tokenize`, without comments, docstrings and the marks of lines and
indentation; a line of code is a line on which such a token starts. A line has a comment where a
comment stands on it or after its code. A function is typed where all of its arguments except `self`
and `cls`, and what it returns, have a type; a constructor may leave out what it returns.
"""

from __future__ import annotations

import argparse
import ast
import io
import tokenize
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

LONG_FUNCTION = 40  # lines
UNCOUNTED_TOKENS = {
    tokenize.COMMENT,
    tokenize.NL,
    tokenize.NEWLINE,
    tokenize.INDENT,
    tokenize.DEDENT,
    tokenize.ENCODING,
    tokenize.ENDMARKER,
}
DOCSTRING_STARTS = ('"""', 'r"""')

Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass
class Sizes:
    """The counts of one repository."""

    files: int = 0
    lines: int = 0
    long_files: int = 0
    functions: int = 0
    long_functions: int = 0
    typed_functions: int = 0
    tokens: int = 0
    code_lines: int = 0
    comment_lines: int = 0
    readme_words: int = 0
    workflows: int = 0
    documents: int = 0
    examples: int = 0
    rooms: Counter[str] = field(default_factory=Counter)

    def rows(self) -> dict[str, str]:
        """The table's rows."""
        return {
            "files": f"{self.files}",
            "lines": f"{self.lines:,}",
            "lines per file": f"{self.lines / self.files:.0f}",
            "files above 300 lines": f"{self.long_files}",
            "functions": f"{self.functions:,}",
            f"functions above {LONG_FUNCTION} lines": percent(self.long_functions, self.functions),
            "typed functions": percent(self.typed_functions, self.functions),
            "tokens per code line, mean": f"{self.tokens / self.code_lines:.1f}",
            "lines with a comment": percent(self.comment_lines, self.lines),
            "README, words": f"{self.readme_words:,}",
            "workflows / docs / examples": f"{self.workflows} / {self.documents} / {self.examples}",
        }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    here = Path(__file__).parents[1]
    parser.add_argument("folders", nargs="*", type=Path, default=[here], metavar="FOLDER")
    options = parser.parse_args()
    measured = {}
    for folder in options.folders:
        measured[folder.resolve().name] = measure(folder)
    print(format_table(measured))


def measure(repository: Path) -> Sizes:
    """Count everything in a repository."""
    sizes = Sizes()
    package = find_package(repository)
    for path in sorted(package.rglob("*.py")):
        measure_file(path, sizes)
        room = path.relative_to(package).parent.as_posix()
        sizes.rooms["top" if room == "." else room] += 1
    readme = repository / "README.md"
    if readme.exists():
        sizes.readme_words = len(readme.read_text(encoding="utf-8").split())
    sizes.workflows = count_files(repository / ".github" / "workflows", "*.yml")
    sizes.workflows += count_files(repository / ".github" / "workflows", "*.yaml")
    sizes.documents = count_files(repository / "docs", "*.md")
    for pattern in ("*.py", "*.ipynb"):
        sizes.examples += count_files(repository / "examples", pattern)
    return sizes


def find_package(repository: Path) -> Path:
    """The folder of the package: in `src/`, or named as the repository, or the only package."""
    for folder in (repository / "src", repository):
        packages = sorted(path.parent for path in folder.glob("*/__init__.py"))
        packages = [path for path in packages if path.name not in ("tests", "benchmarks")]
        named = [path for path in packages if path.name == repository.resolve().name]
        if named or packages:
            return (named or packages)[0]
    raise SystemExit(f"{repository}: no package found in src/ or in the folder itself")


def count_files(folder: Path, pattern: str) -> int:
    return sum(1 for _ in folder.rglob(pattern))


def measure_file(path: Path, sizes: Sizes) -> None:
    """Add one file to the counts."""
    source = path.read_text(encoding="utf-8")
    lines = source.count("\n")
    sizes.files += 1
    sizes.lines += lines
    sizes.long_files += lines > 300
    count_tokens(source, sizes)
    for function in find_functions(source):
        sizes.functions += 1
        sizes.long_functions += count_lines(function) > LONG_FUNCTION
        sizes.typed_functions += is_typed(function)


def count_tokens(source: str, sizes: Sizes) -> None:
    code_lines = set()
    comment_lines = set()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        row, _ = token.start
        if token.type == tokenize.COMMENT:
            comment_lines.add(row)
        if token.type in UNCOUNTED_TOKENS or is_docstring(token):
            continue
        sizes.tokens += 1
        code_lines.add(row)
    sizes.code_lines += len(code_lines)
    sizes.comment_lines += len(comment_lines)


def is_docstring(token: tokenize.TokenInfo) -> bool:
    """Whether the token is a string in triple quotes at the beginning of its line."""
    starts_line = token.line.lstrip().startswith(DOCSTRING_STARTS)
    return token.type == tokenize.STRING and starts_line


def find_functions(source: str) -> Iterator[Function]:
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, Function):
            yield node


def count_lines(function: Function) -> int:
    assert function.end_lineno is not None
    return function.end_lineno - function.lineno + 1


def is_typed(function: Function) -> bool:
    """Whether all arguments and the returned value have a type."""
    arguments = function.args
    named = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
    gathered = [arguments.vararg, arguments.kwarg]
    for argument in [*named, *gathered]:
        if argument is None or argument.arg in ("self", "cls"):
            continue
        if argument.annotation is None:
            return False
    return function.returns is not None or function.name == "__init__"


def percent(part: int, whole: int) -> str:
    share = part / whole if whole else 0
    return f"{share:.1%}"


def format_table(measured: dict[str, Sizes]) -> str:
    """A Markdown table with a column for each repository, and the rooms of each."""
    rows = {name: sizes.rows() for name, sizes in measured.items()}
    titles = list(next(iter(rows.values())))
    lines = [
        "| measured | " + " | ".join(rows) + " |",
        "|---|" + "---|" * len(rows),
    ]
    for title in titles:
        figures = [row[title] for row in rows.values()]
        lines.append(f"| {title} | " + " | ".join(figures) + " |")
    for name, sizes in measured.items():
        rooms = [f"{room} {count}" for room, count in sorted(sizes.rooms.items())]
        lines += ["", f"Rooms of {name}, with their files: {', '.join(rooms)}"]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
