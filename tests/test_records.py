"""Records: their JSON schemas, and the names that fields had before 0.2."""

from __future__ import annotations

from typing import Any

import pytest

from fauxlab.records import AuditReport, DetectionReport, Verdict


@pytest.mark.parametrize("mode", ["validation", "serialization"])
def test_schemas_describe_the_fields_and_their_former_names(mode: Any) -> None:
    schema = Verdict.model_json_schema(mode=mode)
    assert schema["additionalProperties"] is False
    properties = schema["properties"]
    assert properties["score"]["anyOf"] == [{"type": "number"}, {"type": "null"}]
    assert properties["ood"]["type"] == properties["atypical"]["type"] == "boolean"
    assert properties["atypical"]["deprecated"] is True
    assert "summary" in AuditReport.model_json_schema(mode=mode)["properties"]
    assert "skipped" in DetectionReport.model_json_schema(mode=mode)["properties"]


def test_both_names_are_written_and_either_is_read() -> None:
    fields = {"path": "a.jpg", "status": "ok", "label": "real", "score": 0.1, "model_hash": "0"}
    former = Verdict.model_validate({**fields, "atypical": True})
    present = Verdict.model_validate({**fields, "ood": True})
    both = Verdict.model_validate({**fields, "ood": True, "atypical": False})
    assert former == present == both
    assert (former.decision, former.ood) == ("cannot tell", True)
    written = former.model_dump()
    assert written["ood"] is written["atypical"] is True
    assert Verdict.model_validate_json(former.model_dump_json()) == former
