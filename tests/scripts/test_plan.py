"""The plan before a run."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from lorabench.control.base_model import LLAMA_3_8B
from lorabench.control.configuration import load, resolve
from lorabench.control.evaluation_time import predicted_seconds
from lorabench.control.forecast import held_out_count, item_count, judge_cost, measured_seconds
from lorabench.files import write_json
from lorabench.scoring.power import power_of
from plan import plan, time_text

ROOT = Path(__file__).resolve().parents[2]


def run_of(overlay: str | None = None, **changes: Any) -> dict[str, Any]:
    """Return a run of the project's config."""
    files = [ROOT / "config" / "config.yaml"]
    files += [ROOT / "config" / f"{overlay}.yaml"] if overlay else []
    return {**next(iter(resolve(load(files), files, {}).values())), **changes}


@pytest.mark.parametrize(
    ("benchmark", "units", "published"),
    [("gsm8k", 1319, 0.027), ("mmlu", 14042, 0.0075)],
)
def test_what_full_benchmarks_can_show_is_known(
    benchmark: str, units: int, published: float
) -> None:
    """80 % power: 2.7 points of GSM8K, 0.75 of MMLU."""
    found = power_of(benchmark, units, None, 0.05)
    assert found.smallest_detectable == pytest.approx(published, rel=0.03)
    assert found.chance_of_equal is None and found.units_for_margin is None


def test_held_out_conversations_are_those_of_the_data(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Known of oasst1 and of data that were prepared before."""
    monkeypatch.chdir(tmp_path)
    assert held_out_count(run_of()) == 518 and held_out_count(run_of("demo")) is None
    summary = {"splits": {"train": {"kept": 90}, "validation": {"kept": 13}}}
    write_json(Path("results/demo/data/summary.json"), summary)
    assert held_out_count(run_of("demo")) == 13


def test_items_are_those_that_will_be_asked(tmp_path: Path) -> None:
    """Limits count, full sizes are known before the fetch, other sources are not."""
    run, demo = run_of(), run_of("demo")
    assert item_count(run, "mt_bench", tmp_path) == 80
    assert item_count(run, "gsm8k", tmp_path) == 1319
    assert item_count(demo, "mmlu", tmp_path) is None
    folder = tmp_path / "mmlu" / "built-in"
    folder.mkdir(parents=True)
    rows = "".join(f'{{"subject": "{name}"}}\n' for name in "a" * 12 + "b" * 4)
    (folder / "test.jsonl").write_text(rows)
    assert item_count(demo, "mmlu", tmp_path) == 14


def test_a_judges_cost_is_its_calls_at_its_prices() -> None:
    """GPT-4.1 on MT-Bench is about 0.9 USD a variant; a local judge costs nothing."""
    assert judge_cost(run_of(), "mt_bench", 80) == pytest.approx(0.9, abs=0.2)
    assert judge_cost(run_of(), "alpaca_eval", 805) == pytest.approx(1.8, abs=0.3)
    assert judge_cost(run_of("demo"), "mt_bench", 8) is None


def test_times_are_measured_or_unknown(tmp_path: Path) -> None:
    """What the jobs before recorded, of all variants."""
    assert measured_seconds(tmp_path, "gsm8k") is None
    for variant, seconds in (("base", 30.5), ("lora", 40.0)):
        folder = tmp_path / "evaluate_task" / "transformers" / "base-lora.0-of-1" / variant
        write_json(folder / "gsm8k.json", {"seconds": seconds})
    assert measured_seconds(tmp_path, "gsm8k") == 70.5


def test_times_on_a_gpu_are_predicted_from_measured_rates() -> None:
    """MMLU takes 57 s on the base, 82 s on unmerged LoRA; twice the layers nearly twice that."""
    run = run_of()
    mmlu = predicted_seconds(run, "mmlu", 14042, LLAMA_3_8B)
    assert mmlu == pytest.approx(57 + 82 + 57, rel=0.02)
    deeper = LLAMA_3_8B | {"num_hidden_layers": 64}
    assert 1.8 * mmlu < predicted_seconds(run, "mmlu", 14042, deeper) < 2 * mmlu
    all_four = [("mmlu", 14042), ("gsm8k", 1319), ("mt_bench", 80), ("alpaca_eval", 805)]
    assert sum(predicted_seconds(run, *each, LLAMA_3_8B) for each in all_four) < 15 * 60


@pytest.mark.parametrize(
    ("overlay", "expected"),
    [(None, "on an H100 or H200, predicted from prototypes"), ("demo", "unknown, it has not been")],
)
def test_a_plan_says_where_its_times_are_from(
    overlay: str | None, expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A GPU's are predicted; a CPU's are not known before the first run."""
    monkeypatch.chdir(tmp_path)
    run = run_of(overlay)
    assert expected in time_text(run, "gsm8k", 16)
    folder = (
        tmp_path / "results" / run["run"] / "work" / "evaluate_task" / "transformers" / "x" / "base"
    )
    write_json(folder / "gsm8k.json", {"seconds": 90})
    assert time_text(run, "gsm8k", 16) == "1.5 min for 3 variants, as measured in the last run here"


def test_the_plan_says_whether_the_items_suffice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The full benchmarks can show an equal adapter, 16 items cannot."""
    monkeypatch.chdir(tmp_path)
    text = "\n".join(plan(run_of()))
    assert text.count(": enough;") == 4
    small = run_of()
    small["evaluate_task"]["gsm8k"]["limit"] = 16
    assert "not enough" in "\n".join(plan(small))


def test_a_reader_that_stops_gets_no_traceback() -> None:
    """`make plan | head` ends quietly."""
    command = [sys.executable, "workflow/scripts/plan.py", "--configfile", "config/smoke.yaml"]
    plan = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=ROOT)
    assert plan.stdout and plan.stderr
    plan.stdout.close()
    assert plan.stderr.read() == b""
    plan.stderr.close()
    assert plan.wait() == 1
