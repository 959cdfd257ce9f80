"""The page of one evaluation: its figures are those of the report, and names are only text."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from fauxlab.data.manifest import Manifest, Row
from fauxlab.evaluation.decisions import Decided
from fauxlab.evaluation.detection import detection_report
from fauxlab.evaluation.subgroups import Grouping
from fauxlab.pages.evaluation import write_evaluation


def row(number: int, label: int, sex: str) -> Row:
    return Row(
        path=f"{number}.png",
        label=label,
        generator="gan" if label else "",
        source="" if label else "press<b>",
        compare_to="",
        group=f"g{number}",
        split="test",
        sha256=f"{number:064x}",
        extra={"sex": sex},
    )


def test_the_page_shows_kinds_and_subgroups(tmp_path: Path) -> None:
    rows = [row(0, 0, "female"), row(1, 0, "male"), row(2, 0, ""), row(3, 0, ""), row(4, 1, "")]
    words = np.array(["fake", "real", "real", "uncertain", "fake"])
    report = detection_report(
        Manifest(tuple(rows), tmp_path),
        np.array([0.9, 0.1, 0.2, 0.5, 0.8]),
        model="trace",
        model_hash="abc",
        decided=Decided(words, np.array([""] * 4 + ["made"])),
        by=[Grouping("sex")],
    )
    path = tmp_path / "evaluation.html"
    write_evaluation(report, path)
    text = path.read_text(encoding="utf-8")
    lines = re.findall(r"<tr><th scope=\"row\">(.*?)</tr>", text)
    cells = {}
    for line in lines:
        name, *values = re.split(r"</t[hd]>(?:<td>)?", line)
        cells[name] = [re.sub(r"<small>.*?</small>", "", value) for value in values]
    assert cells["real press&lt;b&gt;"][:5] == ["4", "0.250", "0.500", "0.250", "0.000"]
    assert cells["fake gan"][:6] == ["1", "1.000", "0.000", "0.000", "0.000", "1.000"]
    assert cells["female, real"][:2] == ["1", "1.000"]
    assert cells["(none), fake"][:2] == ["1", "1.000"]
    assert "<b>" not in text
    assert "By sex" in text
