"""Griffe extension: examples in docstrings become code blocks on the page of the Python API.

The docstrings hold doctests as they are usual in Python, without a heading. Markdown would read
`>>>` as three nested quotations.
"""

from __future__ import annotations

import re
from typing import Any

import griffe

# A line that begins with >>>, and all that follows it up to the next empty line.
EXAMPLE = re.compile(r"^>>> .*(?:\n.+)*", re.MULTILINE)
# A note to the test runner, which tells readers nothing.
DIRECTIVE = re.compile(r" *# doctest: .*")


class Doctests(griffe.Extension):
    """Puts the doctests of each docstring into a fenced block."""

    def on_instance(self, *, obj: griffe.Object, **_: Any) -> None:
        """Change the docstring of a class, function or module as it is collected."""
        if obj.docstring is not None:
            obj.docstring.value = EXAMPLE.sub(_fence, obj.docstring.value)


def _fence(example: re.Match[str]) -> str:
    code = DIRECTIVE.sub("", example[0])
    return f"```pycon\n{code}\n```"
