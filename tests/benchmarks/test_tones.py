"""The benchmark of tones: which pictures it takes, what it decides and counts, by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from benchmarks.detector.tones import (
    CLEAN,
    FAKES_AFTER,
    PARTS,
    RESULTS,
    Predictions,
    decide_all,
    list_changes,
    share_decisions,
    take_some,
    worst_kind,
)
from benchmarks.output import load_results

from fauxlab.bundle.config import Calibration, DetectorConfig, OodLimits, Preprocessing
from fauxlab.data.manifest import Manifest
from fauxlab.data.rows import Row


def test_every_group_comes_before_any_comes_twice() -> None:
    def row(number: int, group: str, generator: str = "") -> Row:
        label = 1 if generator else 0
        return Row(f"{number}.png", label, generator, "photos", "", group, "test", "0")

    rows = [row(0, "a"), row(1, "a"), row(2, "b"), row(3, "b"), row(4, "c"), row(5, "a", "gan")]
    taken = take_some(Manifest(tuple(rows), Path()), 3)
    assert sorted(r.path for r in taken.rows) == ["0.png", "2.png", "4.png", "5.png"]
    assert len(take_some(Manifest(tuple(rows), Path()), 9)) == 6


def test_decisions_are_those_of_scan() -> None:
    config = DetectorConfig(
        architecture="trace",
        preprocessing=Preprocessing(size=32, pipeline_version=1),
        threshold=0.8,
        calibration=Calibration(temperature=1, bias=0, alpha=0.1, low=0.5, high=0.8),
        ood=OodLimits(limit=2, rate=0.01, n=9, sharpness=0.02, tint=5),
    )
    # A logit of 2 is a score of .88, of .5 one of .62, of -2 one of .12.
    predictions = Predictions(
        logits=np.array([2, 0.5, -2, 2, 2, 2], np.float32),
        distances=np.array([1, 1, 1, 2.5, 1, 1], np.float32),
        sharpness=np.array([0.1, 0.1, 0.1, 0.1, 0.01, 0.1]),
        tints=np.array([0, 0, 0, 0, 0, 6.0]),
    )
    told = ["fake", "uncertain", "real", "cannot tell", "cannot tell", "cannot tell"]
    assert decide_all(config, predictions).tolist() == told


def test_shares_and_their_bounds() -> None:
    decisions = np.array(["fake"] * 5 + ["real"] * 80 + ["uncertain"] * 10 + ["cannot tell"] * 5)
    groups = np.array([str(k) for k in range(100)])
    shares = share_decisions(decisions, groups)
    value, low, high = shares["fake"]
    assert value == 0.05
    assert 0 < low < 0.03
    assert 0.07 < high < 0.12
    assert (shares["uncertain"], shares["cannot tell"]) == (0.1, 0.05)
    none = share_decisions(np.array(["real"] * 59), np.array([str(k) for k in range(59)]))
    # None of 59: the share is below .05 with a confidence of 95 % (.95^59 = .0485).
    assert none["fake"][0] == 0
    assert 0.04 < none["fake"][2] < 0.07
    alarms = {"a": {"fake": [0.1]}, "b": {"fake": [0.3]}, "a fake": {"fake": [1.0]}}
    assert worst_kind(alarms, ["a", "b"]) == ("b", 0.3)


def test_the_fakes_are_seen_after_changes_that_there_are() -> None:
    names = [name for name, _ in list_changes()]
    assert names[0] == CLEAN
    assert set(FAKES_AFTER) <= set(names)
    assert len(names) == 49


def test_the_documentations_table_is_what_was_measured() -> None:
    results = load_results(RESULTS)
    page = (Path(__file__).parents[2] / "docs" / "results-detectors.md").read_text(encoding="utf-8")
    rows = {}
    for line in page.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if cells[0] in results["changes"]:
            rows[cells[0]] = cells[1:]
    assert len(rows) >= 8
    for change, cells in rows.items():
        shares = results["changes"][change]
        expected = []
        for part in PARTS:
            for model in ("before", "after"):
                expected.append(f"{100 * shares[model][f'all real, {part}']['fake'][0]:.1f} %")
        refused = [100 * shares["after"][f"all real, {part}"]["cannot tell"] for part in PARTS]
        assert cells == [*expected, *(f"{share:.0f} %" for share in refused)], change
