"""MkDocs hook: links from the pages to files of the repository.

The pages link to files outside of docs/ the way GitHub shows them, as `../DATASETS.md`. On the site
pictures of the results are copied beside the pages, and other files are read on GitHub.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[1]
# The target of a Markdown link that leads out of docs/, and its heading, if it names one.
OUTSIDE = re.compile(r"\]\(\.\./([^)#\s]+)(#[^)\s]*)?\)")


def on_files(files: Files, config: Any) -> Files:
    """Add the pictures that the pages show."""
    wanted = set()
    for page in files.documentation_pages():
        wanted |= {found[1] for found in OUTSIDE.finditer(page.content_string)}
    for path in sorted(wanted):
        if path.endswith(".png"):
            picture = File.generated(config, _on_site(path), abs_src_path=str(ROOT / path))
            files.append(picture)
    return files


def on_page_markdown(markdown: str, config: Any, **_: Any) -> str:
    """Point links out of docs/ to the copied picture, or to the file on GitHub."""

    def point(found: re.Match[str]) -> str:
        path, heading = found[1], found[2] or ""
        if not (ROOT / path).exists():
            raise FileNotFoundError(f"a page links to {path}, which is not in the repository")
        if path.endswith(".png"):
            return f"]({_on_site(path)})"
        kind = "tree" if (ROOT / path).is_dir() else "blob"
        return f"]({config['repo_url']}/{kind}/main/{path}{heading})"

    return OUTSIDE.sub(point, markdown)


def _on_site(path: str) -> str:
    return f"pictures/{Path(path).name}"
