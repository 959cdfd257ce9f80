"""What a scan says of kinds and subgroups: decisions, shares by hand, bands, messages."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fauxlab.bundle.config import Calibration, DetectorConfig, Head, OodLimits, Preprocessing
from fauxlab.bundle.detector import Prediction
from fauxlab.data.manifest import Manifest
from fauxlab.data.rows import Row
from fauxlab.errors import LabError
from fauxlab.evaluation.decisions import Decided, decide_batch
from fauxlab.evaluation.detection import detection_report
from fauxlab.evaluation.subgroups import Grouping, measure_subgroups, parse_grouping
from fauxlab.io.images import PIPELINE_VERSION
from fauxlab.records import DetectionReport


def row(number: int, label: int, kind: str, **extra: str) -> Row:
    return Row(
        path=f"{number}.png",
        label=label,
        generator=kind if label else "",
        source="" if label else kind,
        compare_to="",
        group=f"g{number}",
        split="test",
        sha256=f"{number:064x}",
        extra=extra,
    )


def decided(*words: str) -> Decided:
    return Decided(np.array(words), np.full(len(words), ""))


def config(heads: tuple[Head, ...] = ()) -> DetectorConfig:
    return DetectorConfig(
        architecture="by-hand",
        preprocessing=Preprocessing(size=32, pipeline_version=PIPELINE_VERSION),
        heads=heads,
        threshold=0.5,
        calibration=Calibration(temperature=1, bias=0, alpha=0.1, low=0.4, high=0.6),
        ood=OodLimits(limit=2.0, rate=0.01, n=100),
    )


def test_decisions_are_those_of_a_scan() -> None:
    heads = (Head(name="a", manipulation="made"), Head(name="b", manipulation="altered"))
    pixels = np.zeros((5, 3, 32, 32), dtype=np.uint8)
    scores = np.array([0.1, 0.4, 0.59, 0.6, 0.9])
    distances = np.array([0, 0, 0, 2.0, 2.1], dtype=np.float32)
    nothing = np.zeros(5, dtype=np.float32)
    head_logits = np.array([[1, 0], [0, 1], [1, 0], [0, 1], [1, 0]], dtype=np.float32)
    predicted = Prediction(
        nothing, nothing[:, None, None], distances, head_logits, nothing[:, None]
    )
    found = decide_batch(config(heads), pixels, scores, predicted)
    # The band is closed below and open above; a distance up to the limit is like the others.
    assert found.words.tolist() == ["real", "uncertain", "uncertain", "fake", "cannot tell"]
    assert found.manipulations.tolist() == ["made", "altered", "made", "altered", "made"]
    plain = decide_batch(config(), pixels, scores, predicted)
    assert plain.manipulations.tolist() == [""] * 5


def test_shares_of_each_kind_by_hand(tmp_path: Path) -> None:
    rows = [row(i, 0, "studio") for i in range(4)] + [row(i, 0, "press") for i in range(4, 6)]
    rows += [row(i, 1, "swap") for i in range(6, 8)] + [row(i, 1, "gan") for i in range(8, 10)]
    lines = ["path,label,generator,source,group,split,sha256,manipulation"]
    for item in rows:
        altered = "altered" if item.generator == "swap" else ""
        label = "fake" if item.label else "real"
        cells = (item.path, label, item.generator, item.source, item.group, "test", item.sha256)
        lines.append(",".join((*cells, altered)))
    (tmp_path / "manifest.csv").write_text("\n".join(lines))
    manifest = Manifest.load(tmp_path / "manifest.csv")
    words = ["fake", "real", "uncertain", "cannot tell", "real", "real"]
    words += ["fake", "fake", "fake", "uncertain"]
    said = ["altered"] * 6 + ["altered", "made", "made", "altered"]
    scores = np.array([0.9, 0.1, 0.5, 0.5, 0.1, 0.2, 0.8, 0.9, 0.95, 0.5])
    report = detection_report(
        manifest,
        scores,
        model="m",
        model_hash="h",
        decided=Decided(np.array(words), np.array(said)),
    )
    studio = report.real_decisions["studio"]
    assert (studio.n, studio.n_groups) == (4, 4)
    assert studio.called_fake.value == studio.called_real.value == 0.25
    assert studio.uncertain.value == studio.cannot_tell.value == 0.25
    assert studio.called_fake.low is None, "too few groups for an interval"
    assert studio.manipulation_right is None, "real photos are not manipulated"
    # Of the swaps one of two is rightly called altered; a fake that names nothing was made.
    assert report.fake_decisions["swap"].manipulation_right.value == 0.5
    assert report.fake_decisions["gan"].manipulation_right.value == 1
    assert report.fake_decisions["gan"].called_fake.value == 0.5
    means = report.kind_means
    assert (means.n_real_kinds, means.n_fake_kinds) == (2, 2)
    assert means.reals_called_fake.value == (0.25 + 0) / 2, "not 1 of 6"
    assert means.reals_uncertain.value == means.reals_cannot_tell.value == 0.125
    assert means.fakes_called_fake.value == 0.75
    assert means.fakes_manipulation_right.value == 0.75
    assert means.worst_real == "studio"
    assert "made or altered, right" in report.table()
    assert DetectionReport.model_validate_json(report.model_dump_json()) == report


def test_every_kind_of_reals_weighs_alike_in_the_mean_auc() -> None:
    # 9 studio photos score above the fakes, one press photo below: pooled 1 of 10 pairs is won, by
    # kinds half. The other generator is compared with press alone, and wins.
    rows = [row(i, 0, "studio") for i in range(9)] + [row(9, 0, "press")]
    rows += [row(10, 1, "gan"), row(11, 1, "swap")]
    named = [*rows[:11], Row(**{**_fields(rows[11]), "compare_to": "press"})]
    scores = np.array([0.9] * 9 + [0.1, 0.5, 0.4])
    report = detection_report(Manifest(tuple(named), Path()), scores, model="m", model_hash="h")
    by_name = {scores.name: scores for scores in report.generators}
    assert by_name["gan"].auc.value == pytest.approx(0.1)
    assert by_name["gan"].kind_auc.value == pytest.approx(0.5)
    assert by_name["swap"].kind_auc.value == 1
    assert report.kind_means.auc.value == pytest.approx(0.75)
    assert report.kind_means.tpr_at_1_fpr.value == 0.5
    assert report.pooled.kind_auc is None


def _fields(item: Row) -> dict[str, object]:
    return {name: getattr(item, name) for name in Row.__dataclass_fields__}


def test_scores_without_decisions_are_decided_by_the_threshold() -> None:
    manifest = Manifest((row(0, 0, "photos"), row(1, 1, "gan")), Path())
    report = detection_report(
        manifest, np.array([0.3, 0.3]), model="m", model_hash="h", threshold=0.3
    )
    assert report.real_decisions["photos"].called_fake.value == 1
    assert report.fake_decisions["gan"].called_fake.value == 1
    assert report.fake_decisions["gan"].uncertain.value == 0


def test_values_of_a_column_by_number_of_pictures() -> None:
    sexes = ["female", "", "male", "female", "male", "female", ""]
    rows = [row(i, int(i == 6), "utkface", sex=sex) for i, sex in enumerate(sexes)]
    words = decided("fake", "real", "real", "real", "uncertain", "real", "fake")
    found = measure_subgroups(Manifest(tuple(rows), Path()), words, Grouping("sex"))
    assert [item.value for item in found.rows] == ["female", "male", "(none)"]
    female, male, none = found.rows
    assert female.reals.called_fake.value == pytest.approx(1 / 3)
    assert female.fakes is None
    assert male.reals.uncertain.value == 0.5
    assert (none.reals.n, none.fakes.n, none.fakes.called_fake.value) == (1, 1, 1)
    assert found.further == 0
    assert [line.split("  ")[0] for line in found.table().splitlines()] == [
        "by sex",
        "female",
        "male",
        "(none)",
        "(none)",
    ]


def test_bands_of_numbers_include_their_first_edge() -> None:
    ages = ["0", "12.9", "13", " 61", "-1", "old", "nan", ""]
    rows = [row(i, 0, "utkface", age=age) for i, age in enumerate(ages)]
    words = decided(*["real"] * 8)
    grouping = parse_grouping("age:0,13,60", ["age"])
    found = measure_subgroups(Manifest(tuple(rows), Path()), words, grouping)
    assert [(item.value, item.reals.n) for item in found.rows] == [
        ("(-∞, 0)", 1),
        ("[0, 13)", 2),
        ("[13, 60)", 1),
        ("[60, ∞)", 1),
        ("(no number)", 2),
        ("(none)", 1),
    ]
    assert found.edges == [0, 13, 60]


def test_only_the_most_frequent_values_have_a_row() -> None:
    cameras = [f"camera {i}" for i in range(60)] + ["phone"] * 2 + [""]
    rows = [row(i, 0, "photos", camera=camera) for i, camera in enumerate(cameras)]
    manifest = Manifest(tuple(rows), Path())
    found = measure_subgroups(manifest, decided(*["real"] * len(rows)), Grouping("camera"), 1)
    assert len(found.rows) == 50
    assert found.rows[0].value == "phone"
    assert found.rows[-1].value == "(none)"
    assert found.further == 12
    assert "… and 12 rarer values of camera" in found.table()
    long = Manifest((row(0, 0, "photos", camera="x\n" * 100_000),), Path())
    assert len(measure_subgroups(long, decided("real"), Grouping("camera")).rows[0].value) < 140


def test_a_column_may_have_a_colon_in_its_name() -> None:
    assert parse_grouping("a:b", ["a:b", "a"]) == Grouping("a:b")
    assert parse_grouping("a:b:1,2", ["a:b", "a"]) == Grouping("a:b", (1, 2))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("seks", "no column 'seks' to group by; the manifest has age, sex; did you mean 'sex'?"),
        ("age:", "write up to 49 rising numbers behind the colon"),
        ("age:20,10", "rising numbers"),
        ("age:0,nan", "rising numbers"),
        ("age:young", "rising numbers"),
        ("years:0,10", "no column 'years'"),
    ],
)
def test_what_cannot_be_grouped_by(text: str, message: str) -> None:
    with pytest.raises(LabError) as error:
        parse_grouping(text, ["age", "sex"])
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_results_of_schema_5_are_still_read() -> None:
    manifest = Manifest((row(0, 0, "photos"), row(1, 1, "gan")), Path())
    report = detection_report(manifest, np.array([0.1, 0.9]), model="m", model_hash="h")
    new = {"real_decisions", "fake_decisions", "kind_means", "subgroups"}
    older = {**report.model_dump(exclude=new), "schema_version": 5}
    for part in (older["pooled"], *older["generators"]):
        del part["kind_auc"]
    read = DetectionReport.model_validate(older)
    assert read.real_decisions == {}
    assert read.kind_means is None
    assert "called real" in read.table(), "as it was shown before"
