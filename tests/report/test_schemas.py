"""The published schemas and the files of the report stage."""

import json
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from export_report import export_report
from lorabench.control.benchmarks import JUDGED, TASKS, exported_file
from report.schema_check import EXPORT_FILES, RUN_FILES, SCHEMAS, faults_below, faults_of
from report.synthetic_run import report_inputs
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
    """Scores, comparison, report and exports validate, of a whole run and of one without a
    judge."""
    given = report_inputs(tmp_path, root, not_run)
    write_report(**given)
    names = (
        "run",
        "scores",
        "perf",
        "compare",
        "markdown",
        "document",
        "page",
        "items_page",
        "rows",
        "figures",
    )
    export_report(
        **{name: given[name] for name in names},
        answers=[],
        folder=tmp_path / "bench",
        items_of_tasks={name: exported_file(name) for name in TASKS},
        outputs_of_judged={name: exported_file(name) for name in JUDGED},
    )
    assert faults_below(tmp_path, {pattern: RUN_FILES[pattern] for pattern in OWN}) == []
    exports = {
        name: schema for name, schema in EXPORT_FILES.items() if not schema.startswith("perf_")
    }
    assert faults_below(tmp_path / "bench", exports) == []


def test_a_wrong_file_is_noticed(tmp_path: Path) -> None:
    """A score that claims to have run without a number is a fault."""
    path = tmp_path / "score.json"
    head = {
        "schema_version": 1,
        "benchmark": "gsm8k",
        "variant": "base",
        "status": "ok",
        "reason": None,
    }
    path.write_text(
        json.dumps({**head, "metric": "exact_match", "unit": "share"}), encoding="utf-8"
    )
    assert any("'score' is a required property" in fault for fault in faults_of(path, "score"))
