"""The reference of a bundle: what it holds, and what is refused."""

from __future__ import annotations

import io
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.adaptation.quarters import make_images, make_quarters

from fauxlab.adaptation.making import choose_rows, make_reference
from fauxlab.adaptation.reference import (
    Reference,
    decode_reference,
    encode_reference,
    read_reference,
    write_reference,
)
from fauxlab.adaptation.space import fit_space
from fauxlab.bundle.config import OodLimits
from fauxlab.errors import LabError


def test_a_reference_is_read_as_it_was_written(reference: Reference, tmp_path: Path) -> None:
    write_reference(tmp_path, reference)
    again = read_reference(tmp_path)
    assert again.kinds.tolist() == reference.kinds.tolist()
    assert again.groups.tolist() == reference.groups.tolist()
    assert again.coordinates == pytest.approx(reference.coordinates, rel=1e-3, abs=1e-3)
    assert again.head_logits == pytest.approx(reference.head_logits, rel=1e-6)
    assert encode_reference(again) == encode_reference(reference)


def test_no_name_of_a_group_stands_in_it(reference: Reference) -> None:
    assert b"person" not in encode_reference(reference)
    assert len(np.unique(reference.groups)) == 480


def test_coordinates_are_standardised_features(reference: Reference) -> None:
    # Four kinds of the same size weigh the same, so mean and deviation are plain ones.
    assert reference.coordinates.mean(0) == pytest.approx(np.zeros(12), abs=1e-5)
    assert reference.coordinates.std(0) == pytest.approx(np.ones(12), abs=1e-5)
    assert reference.is_real.sum() == 240


def test_a_large_split_is_taken_from_evenly() -> None:
    rows = list(make_images(50).manifest.rows)
    rows = rows[:10] + rows[50:]  # of the first kind ten
    rows[60:100] = [replace(row, group="one") for row in rows[60:100]]
    chosen = [rows[number] for number in choose_rows(rows, 70)]
    assert Counter(row.generator or row.source for row in chosen) == {
        "here": 10, "there": 20, "red": 20, "blue": 20
    }  # fmt: skip
    # Ten groups of their own come before a second picture of the large group.
    assert sum(row.group == "one" for row in chosen) == 20 - 10
    assert choose_rows(rows, 1000).tolist() == list(range(160))


def test_what_gets_no_verdict_is_told_by_the_limits(reference: Reference) -> None:
    config = make_quarters().config
    assert reference.told(config).all()
    sharpness = float(np.median(reference.limits[:, 1]))
    limits = OodLimits(limit=1, rate=0.01, n=100, sharpness=sharpness)
    told = reference.told(config.model_copy(update={"ood": limits}))
    assert told.sum() == (reference.limits[:, 1] >= sharpness).sum()


def test_a_detector_without_heads_gives_none() -> None:
    class Headless:
        config = make_quarters().config
        size = 32
        hash = ""

        def predict(self, pixels: Any) -> Any:
            predicted = make_quarters().predict(pixels)
            return predicted._replace(head_logits=predicted.head_logits[:, :0])

        def scores(self, logits: Any) -> Any:
            return logits

    with pytest.raises(LabError, match="gives no features of several heads"):
        make_reference(Headless(), make_images(5))


def spoil(reference: Reference, **changes: Any) -> bytes:
    """The file of a reference with some of its arrays changed."""
    with np.load(io.BytesIO(encode_reference(reference))) as archive:
        arrays = {name: archive[name] for name in archive.files}
    stream = io.BytesIO()
    np.savez(stream, **(arrays | changes))
    return stream.getvalue()


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"format": np.array(99)}, "another version"),
        ({"kinds": np.array([{}], dtype=object)}, "pickle"),
        ({"coordinates": np.zeros((480, 5), np.float16)}, "its coordinates have the shape"),
        ({"coordinates": np.full((480, 12), np.nan, np.float16)}, "not finite"),
        ({"scale": np.zeros(12, np.float32)}, "not finite"),
        ({"manipulations": np.full(480, 9, np.uint8)}, "a manipulation that there is not"),
        ({"kinds": np.full(480, "a\x1b[2J")}, "letters that cannot be shown"),
        ({"head_logits": np.zeros(480, np.float32)}, "another form"),
    ],
)
def test_a_damaged_reference_is_refused(
    reference: Reference, tmp_path: Path, changes: dict[str, Any], fault: str
) -> None:
    path = tmp_path / "reference.npz"
    path.write_bytes(spoil(reference, **changes))
    with pytest.raises(LabError, match=rf"reference\.npz cannot be used \(.*{fault}.*\); make one"):
        read_reference(tmp_path)


def test_files_that_are_none_are_refused(reference: Reference, tmp_path: Path) -> None:
    whole = encode_reference(reference)
    for content in (b"", b"no zip", whole[: len(whole) // 2]):
        (tmp_path / "reference.npz").write_bytes(content)
        with pytest.raises(LabError, match="cannot be used"):
            read_reference(tmp_path)
    compressed = io.BytesIO()
    np.savez_compressed(compressed, format=np.array(1))
    with pytest.raises(ValueError, match="compressed"):
        decode_reference(compressed.getvalue())


def test_no_component_is_made_of_rounding_errors() -> None:
    """Of twenty pictures whose features vary in three ways, there are three components."""
    rng = np.random.default_rng(0)
    features = rng.normal(size=(20, 3)) @ rng.normal(size=(3, 400))
    space = fit_space(features, np.ones(20), 30)
    assert space.basis.shape == (400, 3)
