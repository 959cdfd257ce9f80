"""A detector learns a new generator: what it catches then, what that costs, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.adaptation.quarters import make_quarters, paint, save_pictures

from fauxlab.adaptation import adapt as adapting
from fauxlab.adaptation.reference import Reference, read_reference, write_reference
from fauxlab.bundle.config import DetectorConfig
from fauxlab.bundle.folder import GRAPH, hash_bundle, read_config
from fauxlab.errors import LabError

Adapt = Callable[..., Any]


def test_new_pictures_of_the_generator_are_caught(adapt: Adapt, green: Path) -> None:
    adapted = adapt(green)
    before = make_quarters()
    new = paint(200, 5, "green")
    real = paint(200, 6)

    def called(detector: object, pixels: np.ndarray) -> float:
        scores = detector.scores(detector.predict(pixels).logits)  # type: ignore[attr-defined]
        return float((scores >= detector.config.threshold).mean())  # type: ignore[attr-defined]

    assert called(before, new) < 0.2
    assert called(adapted.detector, new) > 0.95
    assert called(adapted.detector, real) <= 0.05
    assert called(adapted.detector, paint(200, 7, "red")) > 0.95
    names = [head.name for head in adapted.detector.config.heads]
    assert names == ["made", "altered", "green"]
    largest = adapted.detector.predict(new).head_logits.argmax(1)
    assert (largest == 2).mean() > 0.95


def test_figures_are_those_of_the_pictures(adapt: Adapt, green: Path, reference: Reference) -> None:
    report = adapt(green).report
    assert (report.name, report.manipulation, report.adapted_from) == ("green", "made", "abc")
    assert (report.examples, report.fitted_reals, report.rate) == (10, 0, 0.05)
    assert report.caught.before.of == report.caught.after.of == 10
    assert report.caught.after.count > report.caught.before.count
    # What the model as it was makes of the reference, counted anew.
    fit = make_quarters().config
    scores = 1 / (1 + np.exp(-np.logaddexp.reduce(reference.head_logits, 1)))
    for kind, change in (report.false_alarms | report.generators).items():
        own = reference.kinds == kind
        assert change.before.count == (scores[own] >= fit.threshold).sum()
        assert change.before.of == own.sum()
    assert set(report.false_alarms) == {"here", "there"}
    assert set(report.generators) == {"red", "blue"}
    # A new head takes no known fake away but by the threshold, and few of them by that.
    for change in report.generators.values():
        assert change.after.value > 0.9
    assert report.named["blue"].before.value > 0.9


def test_thresholds_keep_their_rates_and_never_fall(adapt: Adapt, green: Path) -> None:
    adapted = adapt(green)
    before, after = make_quarters().config, adapted.detector.config
    assert after.threshold >= before.threshold
    assert after.calibration is not None
    assert before.calibration is not None
    assert after.calibration.points[0].rate == 0.02
    assert after.calibration.points[0].threshold >= after.threshold
    assert after.calibration.low == before.calibration.low
    assert after.calibration.high >= after.threshold
    for change in adapted.report.false_alarms.values():
        assert change.after.value <= 0.05


def test_a_rate_can_be_asked_for(adapt: Adapt, green: Path) -> None:
    adapted = adapt(green, rate=0.02)
    fit = adapted.detector.config.calibration
    assert fit is not None
    assert fit.false_alarm_rate == adapted.report.rate == 0.02
    assert fit.points == ()
    with pytest.raises(LabError, match=r"--rate 1\.5: give a share"):
        adapt(green, rate=1.5)
    with pytest.raises(LabError, match=r"a rate of 0\.001 cannot be promised"):
        adapt(green, rate=0.001)


def test_altered_pictures_are_named_so(adapt: Adapt, green: Path) -> None:
    adapted = adapt(green, altered=True)
    assert adapted.detector.config.heads[2].manipulation == "altered"


def test_half_of_the_users_photos_are_learned_from(
    adapt: Adapt, green: Path, tmp_path: Path
) -> None:
    many = save_pictures(tmp_path / "mine", paint(12, 9))
    report = adapt(green, reals=[many]).report
    assert report.fitted_reals == 6
    assert report.own_reals is not None
    assert report.own_reals.after.of == 6
    assert set(report.false_alarms) == {"here", "there", "yours"}
    few = save_pictures(tmp_path / "few", paint(9, 9))
    report = adapt(green, reals=[few]).report
    assert report.fitted_reals == 0
    assert report.own_reals is not None
    assert report.own_reals.after.of == 9


def test_a_saved_bundle_has_all_and_can_learn_more(
    adapt: Adapt, green: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    adapted = adapt(green)
    place = tmp_path / "new"
    assert adapted.save_pretrained(place) == hash_bundle(place, GRAPH)
    config = read_config(place, DetectorConfig, "detector", GRAPH)
    assert config.heads == adapted.detector.config.heads
    card = (place / "README.md").read_text()
    assert "## Learned later: green" in card
    assert "caught of the examples" in card
    assert read_reference(place).head_logits.shape == (480, 3)

    monkeypatch.setattr(
        adapting, "open_adaptable", lambda model, trust: (adapted.detector, Path(model))
    )
    more = save_pictures(tmp_path / "dark", paint(10, 78, "green", by=-60))
    again = adapting.adapt(place, [more], name="dark", crop="none")
    assert [head.name for head in again.detector.config.heads][2:] == ["green", "dark"]
    stored = again.detector.config.training["adaptations"]
    assert [fields["name"] for fields in stored] == ["green", "dark"]
    json.dumps(stored)
    with pytest.raises(LabError, match="has a head 'green' already"):
        adapting.adapt(place, [more], name="green", crop="none")


@pytest.mark.parametrize("name", ["", "../x", "a b", "-x", "x" * 65, "ü\n"])
def test_a_name_is_of_plain_letters(adapt: Adapt, green: Path, name: str) -> None:
    with pytest.raises(LabError, match=r"--name .*up to 64 letters"):
        adapt(green, name=name)


def test_what_is_caught_already_teaches_nothing(adapt: Adapt, tmp_path: Path) -> None:
    known = save_pictures(tmp_path / "red", paint(5, 3, "red", by=100))
    with pytest.raises(LabError, match="all 5 examples are called fake already"):
        adapt(known)


def test_pictures_like_real_ones_teach_nothing(adapt: Adapt, tmp_path: Path) -> None:
    alike = save_pictures(tmp_path / "alike", paint(10, 3))
    with pytest.raises(LabError, match="nothing was learned that holds: of the 10 examples"):
        adapt(alike)


def test_copies_count_once(adapt: Adapt, tmp_path: Path) -> None:
    pixels = paint(4, 3, "green")
    adapted = adapt(save_pictures(tmp_path / "four", np.concatenate([pixels, pixels])))
    assert adapted.report.examples == 4
    assert len(adapted.fakes.copies) == 4
    folder = save_pictures(tmp_path / "same", np.repeat(pixels[:1], 10, axis=0))
    with pytest.raises(
        LabError, match=r"1 face\(s\) in the new fakes, and it takes 3; 9 more show"
    ):
        adapt(folder)


def test_too_few_and_unreadable_pictures_are_refused(adapt: Adapt, tmp_path: Path) -> None:
    two = save_pictures(tmp_path / "two", paint(2, 3, "green"))
    with pytest.raises(LabError, match=r"2 face\(s\) in the new fakes, and it takes 3"):
        adapt(two)
    broken = tmp_path / "broken"
    broken.mkdir()
    for number in range(3):
        (broken / f"{number}.png").write_bytes(b"no picture")
    with pytest.raises(LabError, match=r"no face in 3 picture\(s\) of the new fakes, the first"):
        adapt(broken)
    adapted = adapt(save_pictures(tmp_path / "more", paint(5, 3, "green")), two, broken)
    assert adapted.report.examples == 5 + 0  # the two are among the five
    assert len(adapted.fakes.skipped) == 3


def test_a_picture_cannot_be_real_and_fake(adapt: Adapt, green: Path) -> None:
    with pytest.raises(LabError, match="show the same picture, and one is given as fake"):
        adapt(green, reals=[green / "003.png"])


def test_a_model_needs_its_own_reference(
    adapt: Adapt, green: Path, model: Path, reference: Reference
) -> None:
    other = replace(reference, head_logits=reference.head_logits[::-1].copy())
    write_reference(model, other)
    with pytest.raises(LabError, match="is of another model; make it anew"):
        adapt(green)
    write_reference(model, reference.with_head(reference.head_logits[:, 0]))
    with pytest.raises(LabError, match="is of another model"):
        adapt(green)
    (model / "reference.npz").unlink()
    with pytest.raises(LabError, match=r"no reference\.npz in .*calibrate MODEL MANIFEST --refer"):
        adapt(green)


def test_a_model_needs_a_stated_rate(
    adapt: Adapt, green: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = make_quarters()
    plain = replace(plain, config=plain.config.model_copy(update={"calibration": None}))
    monkeypatch.setattr(adapting, "open_adaptable", lambda model, trust: (plain, Path(model)))
    with pytest.raises(LabError, match="states no false-alarm rate; calibrate it first"):
        adapt(green)
