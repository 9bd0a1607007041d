"""The published schemas and the files of the report stage."""

import json
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from report.schema_check import EXPORT_FILES, RUN_FILES, SCHEMAS, faults_below, faults_of
from report.synthetic_run import export, report_inputs
from write_report import write_report

OWN = {"eval/*/*.json", "eval/*/*.jsonl", "perf/*.jsonl", "compare.json", "report/report.json"}


@pytest.mark.parametrize("name", sorted(SCHEMAS))
def test_schemas_are_schemas(name: str) -> None:
    """Every published schema is a valid JSON Schema that is named after its file."""
    Draft202012Validator.check_schema(SCHEMAS[name])
    assert SCHEMAS[name]["$id"] == f"{name}.json"


def test_every_schema_is_used() -> None:
    """No schema describes a file that nobody makes; source.json is checked in its own place."""
    assert set(SCHEMAS) == set(RUN_FILES.values()) | set(EXPORT_FILES.values()) | {"source"}


@pytest.mark.parametrize("not_run", [(), ("mt_bench", "alpaca_eval")])
def test_files_of_the_report_stage_keep_their_schemas(
    tmp_path: Path, root: Path, not_run: tuple[str, ...]
) -> None:
    """Files of a whole run and of one without a judge validate."""
    given = report_inputs(tmp_path, root, not_run)
    write_report(**given)
    export(given, tmp_path / "bench")
    assert faults_below(tmp_path, {pattern: RUN_FILES[pattern] for pattern in OWN}) == []
    exports = {
        name: schema for name, schema in EXPORT_FILES.items() if not schema.startswith("perf_")
    }
    assert faults_below(tmp_path / "bench", exports) == []


def wrong_files() -> list[tuple[str, dict[str, Any], str]]:
    """Return schema, document and a part of the fault that it has."""
    head = {"schema_version": 1, "benchmark": "gsm8k", "variant": "base", "status": "ok"}
    score = {**head, "reason": None, "metric": "exact_match", "unit": "share"}
    absent = {"schema_version": 1, "status": "not_run"}
    origin = {"kind": "path", "origin": "data", "revision": None, "licence": None}
    source = {"schema_version": 1, **origin, "sha256": {"train.jsonl": "no hash"}, "rows": {}}
    return [
        ("score", score, "'score' is a required property"),
        ("score", {**score, "status": "skipped", "reason": "why"}, "'not_run' was expected"),
        ("score", {**score, "status": "not_run"}, "None is not of type 'string'"),
        ("perf", {**absent, "variant": "base"}, "'reason' is a required property"),
        ("perf", {**absent, "variant": "peft", "reason": "why"}, "'peft' is not one of"),
        ("train_metrics", {"schema_version": 1, "status": "ok"}, "'steps' is a required property"),
        ("run_config", absent, "'reason' is a required property"),
        ("training_record", absent, "'brought' is a required property"),
        ("source", source, "'no hash' does not match"),
        ("fingerprint", {"schema_version": 2, "sha256": {}}, "1 was expected"),
        ("answer", {"surprise": 1}, "'surprise' was unexpected"),
    ]


@pytest.mark.parametrize(("schema", "document", "fault"), wrong_files())
def test_a_wrong_file_is_noticed(
    tmp_path: Path, schema: str, document: dict[str, Any], fault: str
) -> None:
    """A missing field, an unknown word or a wrong hash is a fault that is named."""
    path = tmp_path / "document.json"
    path.write_text(json.dumps(document), encoding="utf-8")
    assert any(fault in found for found in faults_of(path, schema)), faults_of(path, schema)
