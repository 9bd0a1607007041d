"""The whole pipeline on the tiny model: every artifact is there, fits its schema, and was really computed."""

import json
import math
from pathlib import Path

import jsonschema
import pytest

from checkout import ROOT, Checkout

pytestmark = pytest.mark.slow

VARIANTS = ("base", "lora", "merged")
BENCHMARKS = ("gsm8k", "mmlu", "mt_bench", "alpaca_eval")


def load(path: Path) -> dict:
    """Return the JSON object in a file."""
    return json.loads(path.read_text())


def test_the_exports_that_users_know_are_complete(finished: Checkout) -> None:
    """artifacts/lora-{run} and reports/bench/{commit} hold the documented files."""
    adapter = finished.folder / "artifacts" / "lora-smoke"
    for name in ("adapter_config.json", "adapter_model.safetensors", "run_config.json", "train_metrics.json"):
        assert (adapter / name).stat().st_size > 0
    (report,) = (finished.folder / "reports" / "bench").iterdir()
    assert finished.git("rev-parse", "HEAD").startswith(report.name)
    names = {path.name for path in report.iterdir()}
    expected = {
        f"{name}.json"
        for name in ("eval_results", "gsm8k_results", "mmlu_results", "mtbench_outputs", "alpaca_outputs")
    }
    expected |= {f"{name}.json" for name in ("perf_results", "perf_base", "perf_lora", "perf_merged", "report")} | {
        "report.md"
    }
    assert expected <= names


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("benchmark", BENCHMARKS)
def test_every_score_says_how_sure_it_is(finished: Checkout, variant: str, benchmark: str) -> None:
    """Each score has items, a standard error, an interval around it and a protocol."""
    score = load(finished.folder / "results" / "smoke" / "eval" / variant / f"{benchmark}.json")
    assert score["status"] == "ok"
    assert score["n"] > 0
    low, high = score["interval"]
    assert low <= score["score"] <= high
    assert score["standard_error"] >= 0
    assert len(score["protocol"]) > 40


def test_training_reports_exact_losses(finished: Checkout) -> None:
    """The losses of base and adapter on the validation conversations are finite and differ: training did something."""
    metrics = load(finished.folder / "results" / "smoke" / "adapter" / "train_metrics.json")
    base, adapter = (metrics["likelihood"]["validation"][name]["nll_per_token"] for name in ("base", "adapter"))
    assert math.isfinite(base) and math.isfinite(adapter) and base != adapter


def test_no_artifact_names_this_machine(finished: Checkout) -> None:
    """Adapter config and exports name the model, not a folder of the machine that trained it."""
    for path in (finished.folder / "artifacts" / "lora-smoke").glob("*.json"):
        assert str(finished.folder) not in path.read_text(), path.name


@pytest.mark.parametrize("schema", sorted((ROOT / "docs" / "schemas").glob("*.json")), ids=lambda path: path.stem)
def test_artifacts_fit_their_published_schemas(finished: Checkout, schema: Path) -> None:
    """Every JSON file that a schema in docs/schemas describes passes it."""
    rules = load(schema)
    validator = jsonschema.Draft202012Validator(rules)
    files = [path for pattern in rules["x-files"] for path in sorted(finished.folder.glob(pattern))]
    assert files, f"no file for {schema.name}"
    for path in files:
        rows = [json.loads(line) for line in path.read_text().splitlines()] if path.suffix == ".jsonl" else [load(path)]
        for row in rows:
            errors = [f"{error.json_path}: {error.message}" for error in validator.iter_errors(row)]
            assert not errors, (path.name, errors[:3])


def test_the_report_can_be_read_anywhere(finished: Checkout) -> None:
    """report.html asks no other machine for anything."""
    page = (finished.folder / "results" / "smoke" / "report" / "report.html").read_text()
    assert "<script src" not in page and 'href="http' not in page.split("</head>")[0] and "url(http" not in page
