"""A teacher's answers: asked once, kept, and learned by the student."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from tests.conftest import Command

from fauxlab.bundle.config import DetectorConfig, Head, Preprocessing
from fauxlab.bundle.detector import Prediction
from fauxlab.config import Recipe, load_recipe
from fauxlab.data.manifest import Manifest
from fauxlab.errors import LabError
from fauxlab.io.images import PIPELINE_VERSION
from fauxlab.training.detector import teacher as teaching
from fauxlab.training.detector.loop import train_detector
from fauxlab.training.detector.plan import plan_training
from fauxlab.training.detector.teacher import ask_about_training
from fauxlab.training.detector.teacher_store import ask_teacher

TINY = [
    "data.size=32",
    "model.name=trace",
    "model.options={ widths = [8, 16], blocks = [1, 1], stem = 8 }",
    "model.heads=made,altered",
    "train.batch=8",
    "train.epochs=2",
    "train.blend=0.5",
    "train.teacher=any",
]


def recipe(*overrides: str) -> Recipe:
    return load_recipe("unified-joint", [*TINY, *overrides])


class FakeTeacher:
    """A detector that says how bright a picture is, and counts how many it was asked about."""

    def __init__(self, heads: tuple[str, ...] = ("altered", "made"), width: int = 3) -> None:
        self.config = DetectorConfig(
            architecture="fake",
            preprocessing=Preprocessing(size=40, pipeline_version=PIPELINE_VERSION),
            heads=tuple(Head(name=head, manipulation=head) for head in heads),
        )
        self.hash = "0123456789abcdef"
        self.size = 40
        self.width = width
        self.asked = 0
        self.breaks_after = 10**9

    def predict(self, pixels: NDArray[np.uint8]) -> Prediction:
        self.asked += len(pixels)
        if self.asked > self.breaks_after:
            raise KeyboardInterrupt
        mean = pixels.mean((1, 2, 3)).astype(np.float32)
        features = (mean[:, None] / 100) ** np.arange(1, self.width + 1)
        heads = np.stack([mean / 100, -mean / 100], 1)
        empty = np.zeros((len(pixels), 1, 1), np.float32)
        return Prediction(mean, empty, mean, heads, features.astype(np.float32))


@pytest.fixture
def teacher(monkeypatch: pytest.MonkeyPatch) -> FakeTeacher:
    fake = FakeTeacher()
    monkeypatch.setattr(teaching, "open_detector", lambda _: fake)
    return fake


def test_each_picture_is_asked_about_once(small: Manifest) -> None:
    fake: Any = FakeTeacher()
    done: list[int] = []
    first = ask_teacher(fake, small.train, done.append)
    assert fake.asked == len(small.train) == sum(done) == 84
    whole = ask_teacher(fake, small, done.append)
    assert fake.asked == len(small) == 120
    assert whole.is_known.all()
    again = ask_teacher(fake, small.train)
    assert fake.asked == 120
    np.testing.assert_array_equal(again.logits, first.logits)
    np.testing.assert_array_equal(again.features, first.features)
    assert (first.logits[:, 0] > 0.5).all()
    np.testing.assert_array_equal(first.logits[:, 0], -first.logits[:, 1])


def test_answers_survive_a_stop_and_a_damaged_file(
    small: Manifest, cache: Path, caplog: pytest.LogCaptureFixture
) -> None:
    fake: Any = FakeTeacher()
    fake.breaks_after = 100
    with pytest.raises(KeyboardInterrupt):
        ask_teacher(fake, small)
    fake.asked, fake.breaks_after = 0, 10**9
    ask_teacher(fake, small)
    assert fake.asked == 120 - 64, "a block was kept"
    parts = sorted((cache / "teacher-0123456789abcdef").iterdir())
    parts[0].write_bytes(parts[0].read_bytes()[:-40])
    fake.asked = 0
    stored = ask_teacher(fake, small)
    assert 0 < fake.asked < 120
    assert stored.is_known.all()
    assert "is damaged" in caplog.text


def test_a_picture_that_cannot_be_read_has_no_answer(small: Manifest) -> None:
    fake: Any = FakeTeacher()
    (Path(small.root) / small.rows[3].path).write_bytes(b"changed")
    stored = ask_teacher(fake, small)
    assert np.flatnonzero(~stored.is_known).tolist() == [3]


def test_answers_that_are_not_finite_are_refused(small: Manifest) -> None:
    fake: Any = FakeTeacher()
    fake.predict = lambda pixels: Prediction(*[np.full((len(pixels), 2), np.nan, np.float32)] * 5)
    with pytest.raises(LabError, match="no finite answer to"):
        ask_teacher(fake, small)


def test_heads_are_matched_by_what_they_ask(both: Manifest, teacher: FakeTeacher) -> None:
    asked = recipe("train.teacher_temperature=2", "train.teacher_features=1")
    plan = plan_training(both, asked)
    answers = ask_about_training(plan.manifest, plan.schedule, asked)
    trained = np.array([row.split == "train" for row in both.rows])
    assert answers.is_known.tolist() == trained.tolist()
    stored = ask_teacher(teacher, both.train)  # type: ignore[arg-type]
    expected = torch.sigmoid(torch.from_numpy(stored.logits[:, [1, 0]]) / 2)
    torch.testing.assert_close(answers.chances[answers.is_known], expected)
    known = answers.features[answers.is_known]
    assert known.shape == (84, 3)
    assert known.square().mean().item() == pytest.approx(1, abs=1e-4)
    torch.testing.assert_close(known.mean(0), torch.zeros(3), atol=1e-3, rtol=0)
    sizes = known.square().mean(0)
    assert bool((sizes[:-1] >= sizes[1:]).all()), "the largest component first"


@pytest.mark.parametrize(
    ("teacher_of", "overrides", "message"),
    [
        (FakeTeacher(("made",)), [], "teacher any has no head altered"),
        (FakeTeacher(()), [], "teacher any has no head made, altered"),
        (FakeTeacher(width=0), ["train.teacher_features=1"], "teacher any gives no features"),
    ],
)
def test_teachers_that_cannot_teach(
    both: Manifest,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    teacher_of: FakeTeacher,
    overrides: list[str],
    message: str,
) -> None:
    monkeypatch.setattr(teaching, "open_detector", lambda _: teacher_of)
    with pytest.raises(LabError, match=message):
        train_detector(both, recipe(*overrides), tmp_path)


def test_a_plan_that_is_only_looked_at_opens_no_teacher(both: Manifest) -> None:
    plan_training(both, recipe("train.teacher=nowhere"), read_weights=False)
    with pytest.raises(LabError, match="nowhere"):
        plan_training(both, recipe("train.teacher=nowhere"))


def test_a_stopped_student_is_resumed_exactly(
    both: Manifest, tmp_path: Path, teacher: FakeTeacher
) -> None:
    asked = recipe("train.teacher_features=0.5")
    whole = train_detector(both, asked, tmp_path, name="whole")
    plain = train_detector(both, recipe("train.teacher_weight=0"), tmp_path, name="plain")
    assert teacher.asked == 84, "by both runs together"
    for _ in range(5):
        parts = train_detector(both, asked, tmp_path, name="parts", resume=True, max_minutes=1e-9)
    assert parts.finished
    for file in ("log.jsonl", "best/model.safetensors"):
        assert (parts.folder / file).read_bytes() == (whole.folder / file).read_bytes()
    assert (plain.folder / "log.jsonl").read_text() != (whole.folder / "log.jsonl").read_text()
    saved = whole.load_checkpoint()
    assert saved is not None
    assert saved["projection"]["weight"].shape == (3, 16)
    assert "projection" not in "".join(whole.model.model.state_dict())


def test_damaged_answers_in_the_run_folder_are_one_line(
    both: Manifest, tmp_path: Path, teacher: FakeTeacher
) -> None:
    run = train_detector(both, recipe(), tmp_path, max_minutes=1e-9)
    (run.folder / "teacher.safetensors").write_bytes(b"x" * 100)
    with pytest.raises(LabError, match=r"teacher\.safetensors is damaged \([^\n]*\); restore it"):
        train_detector(both, recipe(), tmp_path, resume=True)


def test_the_command_shows_how_far_the_teacher_is(
    both: Manifest, tmp_path: Path, teacher: FakeTeacher, fauxlab: Command
) -> None:
    both.save(tmp_path / "manifest.csv")
    sets = [word for override in TINY for word in ("--set", override)]
    code, _, told = fauxlab(
        "detector", "train", tmp_path / "manifest.csv", "--recipe", "unified-joint", *sets,
        "--out", tmp_path / "runs", "--max-minutes", "1e-9",
    )  # fmt: skip
    assert code == 0
    assert "teacher: 84/84 images" in told
    assert teacher.asked == 84
