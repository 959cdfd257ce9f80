"""Folds over groups: none is divided, kinds spread evenly, and every picture is tested once."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from fauxlab.data.folds import assign_folds, fold_manifests, list_small_kinds
from fauxlab.data.manifest import Manifest
from fauxlab.data.rows import Row
from fauxlab.errors import LabError


def row(number: int, kind: str, group: str, split: str = "train") -> Row:
    is_fake = kind.startswith("fake")
    return Row(
        path=f"{number}.png",
        label=int(is_fake),
        generator=kind if is_fake else "",
        source="" if is_fake else kind,
        compare_to="",
        group=group,
        split=split,
        sha256=f"{number:064x}",
    )


def mixed() -> Manifest:
    """20 press photos of 10 people, 10 fakes, 6 of one persona, and 30 photos of a large kind."""
    rows = [row(i, "press", f"person {i // 2}") for i in range(20)]
    rows += [row(20 + i, "fake-sd", f"fake {i}", "test" if i < 2 else "train") for i in range(10)]
    rows += [row(30 + i, "fake-persona", "persona") for i in range(6)]
    rows += [row(40 + i, "large", f"large {i}", "test" if i < 10 else "val") for i in range(30)]
    return Manifest(tuple(rows), Path())


def test_no_group_is_divided_and_kinds_spread_evenly() -> None:
    manifest = mixed()
    folds = assign_folds(manifest)
    by_group: dict[str, set[int]] = {}
    counts: Counter[tuple[str, int]] = Counter()
    for item, fold in zip(manifest.rows, folds.tolist(), strict=True):
        by_group.setdefault(item.group, set()).add(fold)
        counts[item.generator or item.source, fold] += 1
    assert all(len(own) == 1 for own in by_group.values())
    assert [counts["press", fold] for fold in range(5)] == [4] * 5, "two people of two photos"
    assert [counts["fake-sd", fold] for fold in range(5)] == [2] * 5
    assert [counts["large", fold] for fold in range(5)] == [6] * 5
    assert sorted(counts["fake-persona", fold] for fold in range(5)) == [0, 0, 0, 0, 6]


def test_folds_do_not_depend_on_the_order_of_rows() -> None:
    manifest = mixed()
    turned = Manifest(manifest.rows[::-1], manifest.root)
    assert assign_folds(turned)[::-1].tolist() == assign_folds(manifest).tolist()
    assert assign_folds(manifest, seed=1).tolist() != assign_folds(manifest).tolist()


def test_small_kinds_have_few_test_pictures_and_enough_groups() -> None:
    assert list_small_kinds(mixed(), fewest=5) == ["press", "fake-sd"]
    assert list_small_kinds(mixed(), fewest=60) == ["press", "fake-sd", "large"]


def test_each_picture_of_a_small_kind_is_tested_once() -> None:
    manifest = mixed()
    folded = fold_manifests(manifest, ["press", "fake-sd"])
    tested: Counter[str] = Counter()
    for part in folded:
        tested.update(item.path for item in part.test.rows)
        others = [item for item in part.rows if item.generator != "fake-sd"]
        kept = [item.split for item in others if item.source == "large"]
        assert kept == [item.split for item in manifest.rows if item.source == "large"]
    for item in manifest.rows:
        times = {"press": 1, "fake-sd": 1, "fake-persona": 0}.get(item.generator or item.source)
        if times is not None:
            assert tested[item.path] == times
    with pytest.raises(LabError, match="1 folds: give 2 or more"):
        fold_manifests(manifest, ["press"], folds=1)
