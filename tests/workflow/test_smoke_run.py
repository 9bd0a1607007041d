"""The whole pipeline on the tiny model: every artifact is there and computed."""

import json
import math
from pathlib import Path

import pytest

from checkout import Checkout
from report.schema_check import EXPORT_FILES, RUN_FILES, faults_below, faults_of

pytestmark = pytest.mark.slow

VARIANTS = ("base", "lora", "merged")
BENCHMARKS = ("gsm8k", "mmlu", "mt_bench", "alpaca_eval")


def load(path: Path) -> dict:
    """Return the JSON object in a file."""
    return json.loads(path.read_text())


def test_the_exports_that_users_know_are_complete(finished: Checkout) -> None:
    """The adapter for others, and a report named after the commit."""
    adapter = finished.folder / "artifacts" / "lora-smoke"
    for name in (
        "adapter_config.json",
        "adapter_model.safetensors",
        "run_config.json",
        "train_metrics.json",
    ):
        assert (adapter / name).stat().st_size > 0
    (report,) = (finished.folder / "reports" / "bench").iterdir()
    assert finished.git("rev-parse", "HEAD").startswith(report.name)
    assert (report / "report.md").is_file()


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
    """Base and adapter differ on the validation conversations: it did learn."""
    metrics = load(finished.folder / "results" / "smoke" / "adapter" / "train_metrics.json")
    base, adapter = (
        metrics["likelihood"]["validation"][name]["nll_per_token"] for name in ("base", "adapter")
    )
    assert math.isfinite(base) and math.isfinite(adapter) and base != adapter


def test_no_artifact_names_this_machine(finished: Checkout) -> None:
    """Adapter config and exports name the model, not a folder of the machine that trained it."""
    for path in (finished.folder / "artifacts" / "lora-smoke").glob("*.json"):
        assert str(finished.folder) not in path.read_text(), path.name


def test_artifacts_fit_their_published_schemas(finished: Checkout) -> None:
    """Every JSON file of the run and of its export passes its schema in docs/schemas."""
    (report,) = (finished.folder / "reports" / "bench").iterdir()
    faults = faults_below(finished.folder / "results" / "smoke", RUN_FILES) + faults_below(
        report, EXPORT_FILES
    )
    sources = sorted((finished.folder / "resources").rglob("source.json"))
    faults += [fault for path in sources for fault in faults_of(path, "source")]
    assert len(sources) == 6
    assert not faults
