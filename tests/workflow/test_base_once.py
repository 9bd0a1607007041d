"""The base is evaluated, judged and paid once, whatever the number of runs."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from checkout import Checkout, copy_repository
from judging.fake_judge import FakeJudge, openai_answer

pytestmark = pytest.mark.slow
BENCHMARKS = ("gsm8k", "mmlu", "mt_bench", "alpaca_eval")
JUDGED = ("mt_bench", "alpaca_eval")
FIRST, SECOND = "smoke-low", "smoke-high"


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    """Return a copy of the repository for this file, since its runs leave results."""
    return copy_repository(tmp_path_factory.mktemp("base-once") / "lorabench")


def evaluate(checkout: Checkout, run: str, url: str, limit: float = 50.0) -> str:
    """Score the base of one run of a sweep of two learning rates; return what was printed."""
    judge = {"kind": "openai", "model": "some-judge", "base_url": url, "max_judge_usd": limit}
    rates = {"low": 1.0e-5, "high": 1.0e-3}
    overlay = {
        "judge": judge,
        "sweep": {name: {"train_adapter": {"learning_rate": rate}} for name, rate in rates.items()},
    }
    (checkout.folder / "sweep.yaml").write_text(yaml.safe_dump(overlay))
    answer = checkout.snakemake(
        *(f"results/{run}/eval/base/{benchmark}.json" for benchmark in BENCHMARKS),
        *("--configfile", "config/smoke.yaml", "sweep.yaml"),
        configfile=None,
        environment={"OPENAI_API_KEY": "x"},
    )
    assert answer.returncode == 0, (answer.stdout + answer.stderr)[-6000:]
    return answer.stdout + answer.stderr


def documents(folder: Path) -> dict[str, dict[str, Any]]:
    """Return the facts of a run's jobs on the base, by file."""
    patterns = (
        "work/evaluate_task/*/*/base/*.json",
        "answers/base/*.json",
        "judgments/base/*.json",
    )
    files = [file for pattern in patterns for file in sorted(folder.glob(pattern))]
    return {str(file.relative_to(folder)): json.loads(file.read_text()) for file in files}


def test_a_second_run_computes_and_pays_nothing_on_the_base(
    checkout: Checkout, judge_server: FakeJudge
) -> None:
    """Same rows; no token through the model, no judge's question, no dollar in its books."""
    judge_server.respond = lambda number, body: openai_answer("Rating: [[7]]\nm")
    evaluate(checkout, FIRST, judge_server.url)
    results = checkout.folder / "results"
    first = documents(results / FIRST)
    assert len(first) == 6
    assert all(made["tokens_computed"] > 0 for made in first.values() if "device" in made)
    asked = len(judge_server.requests)
    # before the first job each judge gets one question
    assert sum(first[f"judgments/base/{name}.json"]["calls"] for name in JUDGED) == asked - 2
    # a limit of nothing: whatever the second run paid would stop it
    evaluate(checkout, SECOND, judge_server.url, limit=0.0)
    second = documents(results / SECOND)
    assert first.keys() == second.keys()
    assert all(made["tokens_computed"] == 0 for made in second.values() if "device" in made)
    for name, paid in (("mt_bench", True), ("alpaca_eval", False)):
        before, after = (made[f"judgments/base/{name}.json"] for made in (first, second))
        assert (after["calls"], after["usd_this_run"]) == (0, 0)
        # AlpacaEval compares the base with itself here, which asks nothing
        assert after["usd"] == after["usd_of_other_runs"] == before["usd"]
        assert (before["usd"] > 0) == paid
        assert before["usd_of_other_runs"] == 0
    assert len(judge_server.requests) <= asked + 2
    for benchmark in BENCHMARKS:
        rows = [results / run / "eval" / "base" / f"{benchmark}.jsonl" for run in (FIRST, SECOND)]
        assert rows[0].read_bytes() == rows[1].read_bytes()
