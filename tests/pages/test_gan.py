"""The GAN page says what gan_results.json says, and shows marked faces.

It survives hostile names and missing parts.
"""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from fauxlab.io.marking import Mark, grid, read_mark, save_png
from fauxlab.pages.gan import write_gan_page
from fauxlab.pages.gan_figures import save_gan_figures
from fauxlab.pages.gan_words import (
    describe_guard,
    describe_result,
    format_number,
    list_cautions,
)
from fauxlab.pages.grids import choose_times, cut_faces, load_grids
from fauxlab.pages.html import LINK_PLACE
from fauxlab.training.run_log import GanRun, risen

NETWORK = {
    "name": "randconv",
    "sha256": "5a" * 32,
    "dimension": 422,
    "input_size": None,
    "input_range": "x / 127.5",
    "resize": "none",
}
RECIPE = {
    "data": {"size": 32, "sources": []},
    "model": {"name": "tiny"},
    "train": {"seed": 0},
    "guard": {"n": 64},
}


def evaluation(
    images: int, distance: float | None, recall: float = 0.1, **more: Any
) -> dict[str, Any]:
    return {
        "images": images,
        "label": "FD(randconv)",
        "n": 64,
        "distance": distance,
        "floor": 2.0,
        "floor_n": 50,
        "features": NETWORK,
        "kid": 0.01,
        "recall": recall,
        "near_duplicate_share": 0.25,
        "memorised_share": None,
        **more,
    }


def check(
    images: int, distance: float, state: str = "healthy", action: str | None = None
) -> dict[str, Any]:
    return {
        "images": images,
        "distance": distance,
        "spread": 0.9,
        "recall": 0.1,
        "near_duplicates": 0.0,
        "separation": 0.9,
        "overfit": 0.1,
        "state": state,
        "evidence": "as measured",
        "alarm": action is not None,
        "action": action or "",
    }


def step(images: int, generator_steps: int = 2) -> dict[str, Any]:
    return {
        "images": images,
        "round": images // 10,
        "generator_loss": 1.0 + images / 1000,
        "discriminator_loss": 0.7,
        "real_accuracy": 0.8,
        "fake_accuracy": 0.9,
        "generator_steps": generator_steps,
        "discriminator_steps": 1,
    }


def turned(name: str = "report-v2", part: str = "v2") -> dict[str, Any]:
    """Best at 2,000 images, 25% over at 3,000 by both measures, and an alarm at 2,500."""
    distances = {500: 9.0, 1000: 8.0, 1500: 5.0, 2000: 4.0, 2500: 4.5, 3000: 5.2}
    return {
        "name": name,
        "part": part,
        "recipe": {**RECIPE, "name": name},
        "images_an_epoch": 500,
        "budget": 3000,
        "steps": [step(n, 2 + n // 1500) for n in range(100, 3001, 100)],
        "evals": [
            evaluation(1000, 10.0, 0.05),
            evaluation(2000, 4.0, 0.2),
            evaluation(3000, 6.0, 0.1),
        ],
        "guard": [
            check(n, d, *(("collapsing", "warn") if n == 2500 else ()))
            for n, d in distances.items()
        ],
        "controller": [
            {"images": 1500, "generator": 3, "discriminator": 1, "reason": "generator steps 2 → 3"}
        ],
        "end": {"images": 3000, "round": 300, "reason": "budget"},
        "samples": [{"images": n, "path": f"samples/fakes{n:09}.png"} for n in (1000, 2000, 3000)],
    }


def steady() -> dict[str, Any]:
    """Still at its best at the end."""
    made = turned("r3", "r3")
    made["evals"] = [evaluation(1000, 8.0), evaluation(2000, 5.0), evaluation(3000, 2.5, 0.4)]
    made["guard"] = [check(1500, 5.0), check(3000, 2.0)]
    made["controller"] = []
    return made


def detection(name: str, called: int, auc: float) -> dict[str, Any]:
    """A report on 50 reals and 50 fakes, of which `called` were called fake."""
    known: dict[str, Any] = {"value": auc, "low": auc - 0.1, "high": auc + 0.05}
    cells = {
        "real_as_real": 45,
        "real_as_fake": 5,
        "fake_as_real": 50 - called,
        "fake_as_fake": called,
    }
    metrics = (
        "accuracy",
        "macro_f1",
        "auc",
        "average_precision",
        "eer",
        "tpr_at_1_fpr",
        "tpr_at_5_fpr",
        "ece",
    )
    scores = {
        "reals": ["photos"],
        "n_real": 50,
        "n_fake": 50,
        "n_groups": 90,
        "confusion": cells,
        **dict.fromkeys(metrics, known),
    }
    return {
        "schema_version": 1,
        "model": "report-cnn",
        "model_hash": "aa",
        "data_hash": "bb",
        "split": "test",
        "n": 100,
        "seed": 0,
        "bootstrap": 1000,
        "threshold": 0.5,
        "code_version": "0",
        "pooled": {"name": "pooled", **scores},
        "generators": [{"name": name, **scores}],
        "real_accuracy": {},
    }


def results(*runs: dict[str, Any], own: str = "own-r3") -> dict[str, Any]:
    return {
        "schema_version": 1,
        "code_version": "0.1.0",
        "environment": {"python": "3.11", "packages": {"torch": "2"}},
        "data": {"hash": "cc11", "reals": {"photos": 700}},
        "account": {"v2": "Iteration 2: best at epoch 24."},
        "runs": list(runs),
        "loop": {
            "generator": own,
            "model_hash": "dd22",
            "before": {"own": detection(own, 10, 0.6), "others": detection("swap", 40, 0.875)},
            "after": {"own": detection(own, 46, 0.95), "others": detection("swap", 39, 0.85)},
        },
    }


def save_samples(out: Path, run: dict[str, Any]) -> None:
    """Grids of 64 flat faces, the k-th of the red value 3k."""
    faces = np.zeros((64, 3, 32, 32), dtype=np.uint8)
    faces[:, 0] = 3 * np.arange(64)[:, None, None]
    (out / run["name"] / "samples").mkdir(parents=True)
    for sample in run["samples"]:
        save_png(out / run["name"] / sample["path"], grid(faces), Mark("tiny", "ee33"))


def text_of(page: Path) -> str:
    """What a reader reads: no style, no tags, single spaces."""
    bare = re.sub(r"<style>.*?</style>|<[^>]+>", " ", page.read_text(encoding="utf-8"), flags=re.S)
    return " ".join(bare.split())


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two runs with samples and the loop, through JSON as in the file."""
    out = tmp_path_factory.mktemp("gan")
    runs = [turned(), steady()]
    for run in runs:
        save_samples(out, run)
    return write_gan_page(json.loads(json.dumps(results(*runs))), out)


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Names that attack HTML, formulas, encodings and paths.

    One run is empty, and one has no distance.
    """
    out = tmp_path_factory.mktemp("hostile")
    bad = turned("<script>alert(1)</script>", "$\\frac{\n\u202e\udcff")
    bad["guard"][-1].update(state="</td><i>", evidence="<b>", alarm=True)
    bad["samples"] = [
        {"images": 1000, "path": "../../secret.png"},
        {"images": 2000, "path": "/etc/passwd"},
    ]
    blind = {
        "name": "../up",
        "part": "v1",
        "evals": [evaluation(10, math.nan, math.nan), {"images": 20}],
        "end": None,
    }
    made = results(bad, blind, {}, own="<own>")
    return write_gan_page({**made, "environment": None, "data": None}, out)


def test_finding_is_worked_out_from_the_figures(page: Path) -> None:
    text = text_of(page)
    assert (
        "report-v2 (iteration 2). FD(randconv) was best at 2,000 images, epoch 4.0: "
        "4.00 (2.00 above the floor). "
        "At the last evaluation, 3,000 images, epoch 6.0, it was 6.00 (4.00 above the floor), "
        "1.50 times the best. "
        "Recall was 0.100 in the end. "
        "The guard alarmed once in 6 checks, first at 2,500 images, epoch 5.0: collapsing. "
        "The first since the best, at 2,500 images, epoch 5.0, came before the distance stood "
        "25% over its best, at 3,000 images, epoch 6.0."
    ) in text
    assert (
        "r3 came nearest to the real photos: 0.500 above the floor at its best, "
        "against 2.00 (report-v2)."
    ) in text
    assert "Of the runs that were evaluated alike (FD(randconv), N = 64)" in text
    assert "Iteration 2: best at epoch 24." in text  # the report's own account


def test_summary_gives_each_figure_with_what_it_depends_on(page: Path) -> None:
    text = text_of(page)
    for row in (
        "images seen 3,000 of 3,000 3,000 of 3,000 ended budget used up budget used up",
        "best distance 4.00 FD(randconv), N = 64 2.50 FD(randconv), N = 64 "
        "floor 2.00 N = 50 2.00 N = 50",
        "best above the floor 2.00 0.500 best at 2,000 images epoch 4.0 3,000 images epoch 6.0",
        "last distance 6.00 FD(randconv), N = 64 2.50 FD(randconv), N = 64 last ÷ best 1.50 1.00",
        "recall, best → last 0.200 → 0.100 0.400 → 0.400 "
        "near-duplicates, best → last 25.0% → 25.0%",
        "memorised, best → last – → – – → – guard’s alarms 1 in 6 checks 0 in 2 checks",
        "first alarm 2,500 images epoch 5.0, collapsing – first alarm since the best 2,500 images",
        "25% over the best 3,000 images epoch 6.0 never",
    ):
        assert row in text


def test_what_the_figures_do_not_allow_is_said(page: Path) -> None:
    text = text_of(page)
    assert "report-v2, r3: N = 64 is below the 422 dimensions of randconv" in text
    assert "report-v2, r3: the floor is of 50 photos a side, fewer than N = 64" in text
    assert "a network with random weights" in text
    assert "trained once, with one seed" in text
    differing = GanRun.read({**turned(), "recipe": {**RECIPE, "train": {"seed": 1}}})
    other = GanRun.read(
        {
            **turned(),
            "evals": [evaluation(10, 1.0, n=5000, features={"name": "inception"}, floor_n=5000)],
        }
    )
    words = " ".join(list_cautions([differing, other, GanRun.read({"name": "none"})]))
    assert "not all of their distances compare" in words
    assert "report-v2: there is one evaluation" in words
    assert "none: the generator was not evaluated" in words


def test_loop_compares_before_and_after(page: Path) -> None:
    text = text_of(page)
    # 10 and 46 of 50 own faces, 40 and 39 of 50 others, 5 of 50 reals were called fake.
    assert (
        "called 20.0% of them fake at the threshold 0.5, and 10.0% of the real photos (AUC 0.600)"
        in text
    )
    assert "trained with some of them, 92.0% and 10.0% (AUC 0.950)" in text
    assert "mean AUC went from 0.875 to 0.850 (−0.025)" in text
    assert "own-r3 our own 100 50 + 50 0.600 0.500–0.650 0.950" in text
    assert "20.0% reals 10.0% 92.0% reals 10.0% swap" in text
    assert "80.0% reals 10.0% 78.0% reals 10.0%" in text


def test_faces_are_the_first_latents_and_stay_marked(page: Path) -> None:
    html = page.read_text(encoding="utf-8")
    shown = re.findall(
        r'<img src="data:image/png;base64,[^"]+" alt="AI-generated faces of [^"]+" '
        r'class="pixelated"',
        html,
    )
    assert len(shown) == 6
    assert html.count("<figcaption><b>Fig. 6.1.</b> AI-generated faces") == 1
    path = page.parent / "figures" / "fig6.1-faces-report-v2-2.png"
    assert read_mark(path.read_bytes()) == Mark("tiny", "ee33")
    with Image.open(path) as image:
        assert image.size == (4 * 32, 8 * 32)  # the first 32 in rows of 4
        assert [image.getpixel((x, y)) for x, y in ((0, 0), (96, 0), (0, 32), (96, 224))] == [
            (0, 0, 0),
            (9, 0, 0),
            (12, 0, 0),
            (93, 0, 0),
        ]


def test_page_needs_nothing_from_outside(page: Path, hostile: Path) -> None:
    for path in (page, hostile):
        html = path.read_text(encoding="utf-8")
        assert not re.search(r"https?://", html)
        assert "@import" not in html
        assert "<script" not in html
        assert re.findall(r'(?:src|href)="(?!data:image/|#)[^"]*', html) == []
        assert "default-src 'none'" in html
        assert len(html) < 2_000_000


def test_hostile_names_are_shown_not_run(hostile: Path) -> None:
    html = hostile.read_text(encoding="utf-8")
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in html
    assert "&lt;/td&gt;&lt;i&gt;" in html
    assert "&lt;own&gt;" in html
    assert "\u202e" not in html
    assert html.count("cannot be read") == 2
    assert {path.parent.name for path in hostile.parent.rglob("*.png")} == {"figures"}


def test_missing_parts_are_said_to_be_missing(hostile: Path, tmp_path: Path) -> None:
    text = text_of(hostile)
    assert "../up (iteration 1). No evaluation gave a distance. The guard made no check." in text
    assert "unnamed . It was not evaluated." in text
    assert "There are no samples of this run." in text
    assert "No step was logged." in text
    assert "The training has not reached its end." in text
    assert "None" not in text
    assert "nan" not in text.lower()
    empty = text_of(write_gan_page({}, tmp_path))
    assert "There is no run yet." in empty
    assert "The loop was not closed here" in empty


def test_half_a_loop_is_shown_as_far_as_it_goes(tmp_path: Path) -> None:
    made = results()
    del made["loop"]["after"], made["loop"]["before"]["others"]
    text = text_of(write_gan_page(made, tmp_path))
    assert "(AUC 0.600); trained with some of them, – and – (AUC –)" in text


@pytest.mark.parametrize(
    ("checks", "words"),
    [
        ([], "The guard made no check."),
        (
            [check(3000, 4.0)],
            "did not alarm in 1 check, although the distance stood 25% over its best "
            "at 3,000 images",
        ),
        (
            [check(1500, 9.0, "ill", "warn")],
            "One alarm came before the best distance, that is too early.",
        ),
        (
            [check(1500, 9.0, "ill", "warn")],
            "There was none since the best, although the distance stood 25% over",
        ),
        (
            [check(1500, 9.0, "ill", "rollback")],
            "One alarm came before the best distance, which followed a rollback.",
        ),
        (
            [check(3000, 9.0, "ill", "stop")],
            "came just when the distance first stood 25% over its best.",
        ),
        (
            [check(2100, 1.0), check(2200, 1.25), check(2300, 1.5, "ill", "stop")],
            "came only after the distance stood 25% over its best, at 2,200 images, epoch 4.4.",
        ),
    ],
)
def test_alarm_is_judged_by_when_the_distance_was_lost(
    checks: list[dict[str, Any]], words: str
) -> None:
    assert words in describe_guard(GanRun.read({**turned(), "guard": checks}))


def test_broken_losses_are_told_and_counted() -> None:
    lines = [{"images": 3000, "losses": ["generator_loss"], "action": "rollback"} for _ in range(2)]
    run = GanRun.read({**turned(), "broken": lines})
    assert run.rollbacks == 2 + GanRun.read(turned()).rollbacks
    words = describe_guard(run)
    assert words.startswith("Losses were no longer finite twice, last at 3,000 images")
    assert "and training went back to the best state." in words


def test_distance_is_lost_a_quarter_over_the_best_after_it() -> None:
    lines = [
        {"images": n, "distance": d}
        for n, d in ((1, 9.0), (2, 4.0), (3, 4.9), (4, math.nan), (5, 5.0), (6, 8.0))
    ]
    assert risen(lines) == 5
    assert risen(lines, since=5) == 6
    assert risen(lines[:4]) is None
    assert risen([]) is None


def test_one_evaluation_is_best_and_last() -> None:
    run = GanRun.read({**turned(), "evals": [evaluation(2000, 4.0)], "images_an_epoch": None})
    assert (
        "was best at 2,000 images: 4.00 (2.00 above the floor). That was its only evaluation."
        in describe_result(run)
    )
    assert "it had not turned yet" in describe_result(GanRun.read(steady()))


def test_three_times_are_shown_where_there_are_three() -> None:
    samples = [{"images": n, "path": f"{n}.png"} for n in (1000, 1500, 2000, 2500, 3000)]
    chosen = choose_times(GanRun.read({**turned(), "samples": samples}))
    assert [(role, line["images"]) for role, line in chosen] == [
        ("early", 1000),
        ("best", 2000),
        ("last", 3000),
    ]
    chosen = choose_times(GanRun.read({**steady(), "samples": samples}))
    assert [(role, line["images"]) for role, line in chosen] == [
        ("early", 1000),
        ("between", 2000),
        ("best, last", 3000),
    ]
    assert [
        role for role, _ in choose_times(GanRun.read({**turned(), "samples": samples[:1]}))
    ] == ["early, last"]
    assert choose_times(GanRun.read({})) == []


def test_faces_are_cut_row_by_row(tmp_path: Path) -> None:
    faces = np.arange(6, dtype=np.uint8)[:, None, None, None] * np.ones(
        (1, 3, 16, 16), dtype=np.uint8
    )
    save_png(tmp_path / "grid.png", grid(faces, 3), None)
    assert cut_faces((tmp_path / "grid.png").read_bytes(), 16, most=5)[:, 0, 0, 0].tolist() == [
        0,
        1,
        2,
        3,
        4,
    ]


def test_large_faces_are_embedded_as_marked_jpeg(tmp_path: Path) -> None:
    save_png(tmp_path / "big.png", np.zeros((3, 256, 256), dtype=np.uint8), Mark("tiny", "ee33"))
    (tmp_path / "report-v2").mkdir()
    (tmp_path / "big.png").rename(tmp_path / "report-v2" / "big.png")
    recipe = {**RECIPE, "data": {"size": 128}}
    run = GanRun.read(
        {**turned(), "recipe": recipe, "samples": [{"images": 2000, "path": "big.png"}]}
    )
    (found,) = load_grids(run, tmp_path, tmp_path / "faces")
    assert found.uri is not None
    assert found.uri.startswith("data:image/jpeg;base64,")
    assert (found.role, found.evaluation["distance"], found.pixelated) == (
        "early, best, last",
        4.0,
        False,
    )
    assert read_mark((tmp_path / "faces-1.jpg").read_bytes()) == Mark("tiny", "ee33")


def log_of(run: dict[str, Any]) -> list[dict[str, Any]]:
    names = {"steps": "step", "evals": "eval", "guard": "guard", "controller": "controller"}
    lines = [{"event": event, **line} for key, event in names.items() for line in run[key]]
    return [*lines, {"event": "not_finite", "images": 1}, {"event": "end", **run["end"]}]


def test_figures_of_a_log_are_files_with_the_same_bytes_each_time(tmp_path: Path) -> None:
    saved = [save_gan_figures(log_of(turned()), tmp_path / name) for name in "ab"]
    assert [path.name for path in saved[0]] == ["distance.png", "training.png", "guard.png"]
    for one, two in zip(*saved, strict=True):
        assert one.read_bytes() == two.read_bytes()
        assert one.stat().st_size > 5000
    assert save_gan_figures([], tmp_path / "none") == []
    assert [
        path.name for path in save_gan_figures([{"event": "step", **step(10)}], tmp_path / "short")
    ] == ["training.png"]


def test_pages_in_one_folder_link_to_each_other(tmp_path: Path) -> None:
    alone = write_gan_page({}, tmp_path).read_text()
    assert "report.html" not in alone
    (tmp_path / "report.html").write_text(f"<p>page</p>{LINK_PLACE}")
    assert '<a href="report.html">' in write_gan_page({}, tmp_path).read_text()
    assert '<a href="gan.html">' in (tmp_path / "report.html").read_text()


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "–"), (0.0, "0.00"), (0.5, "0.500"), (4.0, "4.00"), (99.94, "99.9"), (1234.5, "1,234")],
)
def test_distances_have_three_digits(value: float | None, text: str) -> None:
    assert format_number(value) == text
