"""The page of one evaluation: what a scan says of each kind and subgroup."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fauxlab.environment import describe_environment
from fauxlab.io.text import replace_file
from fauxlab.pages.html import escape_unprintable, render_page
from fauxlab.records import DetectionReport

if TYPE_CHECKING:
    from pathlib import Path


def write_evaluation(report: DetectionReport, path: Path) -> None:
    """Write the results of an evaluation as one HTML page without pictures."""
    # Names in it come from somebody's files.
    shown = DetectionReport.model_validate(escape_unprintable(report.model_dump()))
    environment = describe_environment(report.data_hash)
    text = render_page("evaluation.html.j2", {"report": shown, "environment": environment})
    replace_file(path, text)
