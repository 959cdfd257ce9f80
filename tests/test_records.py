"""Records: their JSON schemas, and the names that fields had before 0.2."""

from __future__ import annotations

from typing import Any

import pytest

from fauxlab.records import AuditReport, DetectionReport, Verdict


@pytest.mark.parametrize("mode", ["validation", "serialization"])
def test_schemas_describe_the_fields_in_their_order(mode: Any) -> None:
    schema = Verdict.model_json_schema(mode=mode)
    assert schema["additionalProperties"] is False
    properties = schema["properties"]
    assert properties["score"]["anyOf"] == [{"type": "number"}, {"type": "null"}]
    assert properties["ood"]["type"] == "boolean"
    assert "atypical" not in properties
    assert list(properties)[:3] == ["schema_version", "path", "decision"] or mode == "validation"
    assert "summary" in AuditReport.model_json_schema(mode=mode)["properties"]
    assert "skipped" in DetectionReport.model_json_schema(mode=mode)["properties"]


def test_either_name_is_read_and_the_present_one_written() -> None:
    fields = {"path": "a.jpg", "status": "ok", "label": "real", "score": 0.1, "model_hash": "0"}
    former = Verdict.model_validate({**fields, "atypical": True})
    present = Verdict.model_validate({**fields, "ood": True})
    both = Verdict.model_validate({**fields, "ood": True, "atypical": False})
    assert former == present == both
    assert (former.decision, former.ood) == ("cannot tell", True)
    written = former.model_dump()
    assert written["ood"] is True
    assert "atypical" not in written
    assert Verdict.model_validate_json(former.model_dump_json()) == former


def test_only_a_fake_has_a_manipulation() -> None:
    fields = {"path": "a.jpg", "status": "ok", "label": "fake", "score": 0.9, "model_hash": "0"}
    made = Verdict.model_validate({**fields, "manipulation": "made"})
    assert (made.decision, made.manipulation) == ("fake", "made")
    assert Verdict.model_validate_json(made.model_dump_json()) == made
    for changes in ({"label": "real"}, {"uncertain": True}, {"ood": True}, {"status": "error"}):
        verdict = Verdict.model_validate({**fields, "manipulation": "made", **changes})
        assert verdict.manipulation is None
    with pytest.raises(ValueError, match="manipulation"):
        Verdict.model_validate({**fields, "manipulation": "drawn"})
    # As version 6 wrote it.
    old = Verdict.model_validate({**fields, "schema_version": 6})
    assert (old.manipulation, old.model, old.model_version) == (None, "", None)


def test_a_verdict_without_a_certain_answer_has_no_label() -> None:
    fields = {"path": "a.jpg", "status": "ok", "label": "real", "score": 0.1, "model_hash": "0"}
    expected = {
        "real": {},
        "uncertain": {"uncertain": True},
        "cannot tell": {"ood": True},
        "no face": {"status": "no face"},
        "error": {"status": "error"},
    }
    for decision, changes in expected.items():
        # As version 5 wrote it, with the label that the score gave.
        old = Verdict.model_validate({**fields, "schema_version": 5, **changes})
        assert old.decision == decision
        assert old.label == ("real" if decision == "real" else None)
        assert old.schema_version == 7
        assert old == Verdict.model_validate({**fields, **changes, "decision": "fake"})
        assert list(old.model_dump())[1:3] == ["path", "decision"]
        assert Verdict.model_validate_json(old.model_dump_json()) == old
    assert list(Verdict.model_json_schema(mode="serialization")["properties"]) == list(
        old.model_dump()
    )
    assert old.model_dump(include={"label", "decision"}) == {"label": None, "decision": "error"}
