"""The page of verdicts: complete, self-contained, safe against names, and written in constant
memory.
"""

from __future__ import annotations

import base64
import hashlib
import io
import re
import tracemalloc
from collections.abc import Callable, Iterable, Iterator
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fauxlab.errors import LabError
from fauxlab.records import Verdict
from fauxlab.scan.explain import Explained
from fauxlab.scan.page import open_page


class Tags(HTMLParser):
    """Every tag with its attributes, and all text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


def verdict(path: str = "a.jpg", **changes: object) -> Verdict:
    told = {
        "path": path,
        "status": "ok",
        "label": "fake",
        "score": 0.9,
        "threshold": 0.6,
        "model_hash": "0",
    }
    return Verdict.model_validate(
        {**told, "calibrated": True, "width": 1024, "height": 768, **changes}
    )


def error(path: str = "b.jpg") -> Verdict:
    return Verdict(path=path, status="error", message="truncated", model_hash="0")


def add_all(explained: Iterable[Explained], path: Path, **options: object) -> None:
    with open_page(path, **options) as page:  # type: ignore[arg-type]
        for item in explained:
            page.add(item)


def write(explained: list[Explained], path: Path, **options: object) -> Tags:
    add_all(explained, path, **options)
    return Tags(path.read_text(encoding="utf-8"))


def test_a_row_says_all_that_is_known(tmp_path: Path) -> None:
    picture = np.zeros((3, 200, 100), np.uint8)
    given = verdict("holiday/a.jpg").model_copy(update={"face": (100, 50, 300, 250)})
    shown = Explained(given, picture, np.array([[0.75, -0.25]]))
    page = write(
        [shown, Explained(error())],
        tmp_path / "verdicts.html",
        band=(0.4, 0.7),
        model="abc",
        rule=["threshold 0.600: fake from 0.700", "at most 5 %"],
    )
    assert [row["data-kind"] for row in page.all("article")] == ["fake", "error"]
    for text in (
        "looks fake",
        "Verdicts of the model abc",
        "holiday/a.jpg",
        "score 0.900, fake from 0.600",
        "logit +0.50",
        "±0.75 a cell",
    ):
        assert text in page.text
    for text in (
        "1024×768 pixels",
        "face of 200×200 at 100, 50",
        "truncated",
        "no picture",
        "Threshold 0.600: fake from 0.700.",
        "At most 5 %.",
    ):
        assert text in page.text
    marks = {item["class"]: item["style"] for item in page.all("i")}
    assert marks["dot"] == "left:90.00%"
    assert marks["cut"] == "left:60.00%"
    assert marks["band"] == "left:40.00%;width:30.00%"
    assert {"x": "100", "y": "50", "width": "200", "height": "200"}.items() <= page.all("rect")[
        1
    ].items()
    images = [
        str(image["src"]).removeprefix("data:image/jpeg;base64,") for image in page.all("img")
    ]
    assert [Image.open(io.BytesIO(base64.b64decode(data))).size for data in images] == [
        (64, 128)
    ] * 2


def test_a_row_says_what_of_the_file_was_looked_at(tmp_path: Path) -> None:
    animated = verdict(face=(1, 2, 65, 66), turned=270, frame=2, frames=5, left_out=3)
    coarse = verdict("b.jpg", coarse=True, message="too large to look at closely")
    small = verdict("c.jpg", label=None, score=None, ood=True, message="the face is 20 pixels wide")
    without = verdict("d.gif", status="no face", label=None, score=None, message="2 of 9 frames")
    rows = [Explained(one) for one in (animated, coarse, small, without)]
    page = write(rows, tmp_path / "v.html")
    for text in (
        "frame 3 of 5",
        "upright if turned by 270°",
        "up to 3 more places",
        "fake from 0.600 · too large to look at closely",
        "cannot tell: the face is 20 pixels wide",
        "2 of 9 frames · 1024×768 pixels",
    ):
        assert text in page.text
    assert page.text.count("20 pixels wide") == 1


def test_counts_stand_at_the_head_and_filter(tmp_path: Path) -> None:
    kinds = [verdict(), verdict(), verdict(label="real"), verdict(uncertain=True), error()]
    page = write([Explained(kind) for kind in kinds], tmp_path / "v.html")
    buttons = [button["data-kind"] for button in page.all("button")]
    assert buttons == ["all", "fake", "real", "uncertain", "error"]
    for text in (
        "5 verdicts",
        "2 look fake",
        "1 looks real",
        "1 uncertain",
        "1 could not be judged",
    ):
        assert text in page.text
    empty = write([], tmp_path / "empty.html")
    assert "0 verdicts" in empty.text
    assert len(empty.all("button")) == 1


def test_a_page_says_how_fakes_were_made_where_the_model_asks(tmp_path: Path) -> None:
    asked = [verdict(manipulation="made"), verdict(manipulation="altered"), verdict(label="real")]
    page = write([Explained(one) for one in asked], tmp_path / "v.html")
    assert page.text.count("looks fake: made whole by a generator") == 1
    assert page.text.count("looks fake: a real photo altered inside") == 1
    assert "The heading names the likelier of the two." in page.text
    assert "2 look fake" in page.text
    plain = write([Explained(verdict())], tmp_path / "plain.html")
    assert "likelier" not in plain.text


def test_hostile_names_stay_text(tmp_path: Path) -> None:
    names = [
        '<script>alert(1)</script>"><img src=x onerror=alert(1)>.png',
        "a\u202egpj.exe",
        "\udcff.jpg",
        "$style &amp;",
    ]
    message = Verdict(path="x", status="error", message="<b>bold</b>", model_hash="0")
    page = write(
        [*(Explained(verdict(name)) for name in names), Explained(message)],
        tmp_path / "v.html",
        model="<i>",
    )
    assert len(page.all("script")) == 1
    assert not page.all("img")
    assert names[0] in page.text
    assert "<b>bold</b>" in page.text
    assert "\u202e" not in page.text
    assert "\\u202e" in page.text
    assert names[3] in page.text


def test_the_page_asks_for_nothing_and_runs_only_its_script(tmp_path: Path) -> None:
    page = write(
        [Explained(verdict(), np.zeros((3, 32, 32), np.uint8), np.ones((2, 2)))],
        tmp_path / "v.html",
    )
    source = (tmp_path / "v.html").read_text(encoding="utf-8")
    assert not re.search(r"https?:|//[a-z]|url\(|@import|<link", source)
    script = source.split("<script>")[1].split("</script>")[0]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = next(item["content"] for item in page.all("meta") if item.get("http-equiv"))
    rules = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
    assert policy == f"{rules}; script-src 'sha256-{digest}'"


def test_a_page_is_replaced_at_one_stroke_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "new" / "v.html"
    write([Explained(verdict("first.jpg"))], path)

    def broken() -> Iterator[Explained]:
        yield Explained(verdict("second.jpg"))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        add_all(broken(), path)
    assert [file.name for file in path.parent.iterdir()] == ["v.html"]

    def full() -> None:
        with open_page(path) as page:
            page.add(Explained(verdict()))
            raise LabError("another output is full")

    with pytest.raises(LabError, match="full"):
        full()
    assert "first.jpg" in path.read_text()
    assert [file.name for file in path.parent.iterdir()] == ["v.html"]
    with pytest.raises(LabError, match="is no file"):
        add_all([], tmp_path)
    with pytest.raises(LabError, match="cannot write"):
        add_all([], path / "below" / "v.html")


def test_memory_does_not_grow_with_the_rows(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    picture, cells = rng.integers(0, 256, (3, 64, 64), np.uint8), rng.normal(size=(4, 4))

    def peak(n: int) -> int:
        tracemalloc.start()
        rows = (Explained(verdict(), picture, cells) for _ in range(n))
        add_all(rows, tmp_path / "v.html")
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    peak(2)
    few, many = peak(10), peak(100)
    assert (tmp_path / "v.html").stat().st_size > 500_000
    assert many < few + 100_000


def test_a_full_disk_names_the_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, full_disk: Callable[[], None]
) -> None:
    def open_full(folder: Path) -> object:
        return open("/dev/full", "w", encoding="utf-8")

    fault = rf"v\.html: No space left .*; make room in {re.escape(str(tmp_path))}, or"
    full_disk()
    path = tmp_path / "v.html"
    with pytest.raises(LabError, match=fault), open_page(path) as page:
        page.add(Explained(verdict()))
    monkeypatch.setattr("fauxlab.scan.page._open_rows", open_full)
    with pytest.raises(LabError, match=fault), open_page(path) as page:
        page.add(Explained(verdict()))
    assert list(tmp_path.iterdir()) == []


def test_the_fault_of_another_output_is_not_the_page_s(tmp_path: Path) -> None:
    with pytest.raises(BrokenPipeError), open_page(tmp_path / "v.html"):
        raise BrokenPipeError
