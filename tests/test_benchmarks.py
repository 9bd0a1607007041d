"""The tables of the benchmarks: complete in every room, and what the rules derive from them."""

from pathlib import Path

import pytest

from lorabench.benchmark_tables import benchmark_names, find_benchmark
from lorabench.control.benchmarks import (
    BENCHMARKS,
    JUDGED,
    TASKS,
    benchmark_code,
    exported_file,
    read_task_file,
    sample_files,
    settings_class,
)
from lorabench.control.config.sections import Config
from lorabench.control.source_hash import closure
from lorabench.data.benchmark import BenchmarkData, benchmark_data
from lorabench.errors import ConfigurationError
from lorabench.evaluation.benchmark import TaskBenchmark
from lorabench.scoring.benchmark import scored_benchmark

SCRIPTS = Path(__file__).resolve().parents[1] / "workflow" / "scripts"


@pytest.mark.parametrize("benchmark", BENCHMARKS)
def test_every_benchmark_has_its_place_in_every_room(samples: Path, benchmark: str) -> None:
    """Data, evaluation and scoring have a table, and the project has its own items."""
    assert benchmark_data(benchmark).items_file.endswith(".jsonl")
    assert settings_class(benchmark).model_fields
    assert scored_benchmark(benchmark).title
    assert sample_files(samples, benchmark)


def test_rooms_know_the_same_benchmarks() -> None:
    """A module without its counterparts would fail in the middle of a run."""
    assert benchmark_names("data") == benchmark_names("scoring") == BENCHMARKS
    assert {*TASKS, *JUDGED} == set(BENCHMARKS)
    assert JUDGED == {"alpaca_eval": "judge_alpaca_eval", "mt_bench": "judge_mt_bench"}


def test_published_files_keep_their_names() -> None:
    """Users know four; a new benchmark's name follows from its rule."""
    names = {"gsm8k_results", "mmlu_results", "mtbench_outputs", "alpaca_outputs"}
    assert {exported_file(name) for name in BENCHMARKS} == {f"{name}.json" for name in names}


def test_a_wrong_name_or_table_is_named() -> None:
    """The benchmarks that there are, or the class that was expected."""
    with pytest.raises(ConfigurationError, match=r"'arc': no module in lorabench/data.*gsm8k"):
        find_benchmark("data", "arc", BenchmarkData)
    with pytest.raises(ConfigurationError, match=r"mt_bench\.py.*expected BENCHMARK to be Task"):
        find_benchmark("evaluation", "mt_bench", TaskBenchmark)


def test_scripts_reach_no_benchmark_by_imports() -> None:
    """They find the module by name, so that a job's hash holds those of its own benchmark only."""
    for script in ("fetch_benchmark", "evaluate_task", "generate_answers", "score_benchmark"):
        reached = {path.parent.name for path in closure(SCRIPTS / f"{script}.py")}
        assert "benchmarks" not in reached, script


def test_a_job_s_hash_holds_its_own_benchmark(root: Path) -> None:
    """Two benchmarks of one rule have different hashes; a run's is that of all its benchmarks."""
    environment = root / "envs" / "report.yaml"

    def hash_of(*names: str) -> str:
        return benchmark_code(SCRIPTS / "score_benchmark.py", environment, list(names))

    assert len({hash_of("gsm8k"), hash_of("mmlu"), hash_of("gsm8k", "mmlu")}) == 3
    assert hash_of("mmlu", "gsm8k") == hash_of("gsm8k", "mmlu")


def test_a_task_file_is_read_without_its_comments(root: Path, tmp_path: Path) -> None:
    """The settings name it; a missing one and one that is no mapping are refused by name."""
    tasks = root / "workflow" / "resources" / "tasks"
    assert read_task_file(tasks, {"task": "gsm8k_cot"}) == {"packaged": "gsm8k/gsm8k-cot.yaml"}
    assert read_task_file(tasks, {"few_shot": 2}) == {}
    with pytest.raises(ConfigurationError, match=r"arc\.yaml: no such task file"):
        read_task_file(tasks, {"task": "arc"})
    for text, fault in (("- a\n", "expected keys"), ("a: [\n", "not YAML")):
        (tmp_path / "own.yaml").write_text(text)
        with pytest.raises(ConfigurationError, match=fault):
            read_task_file(tmp_path, {"task": "own"})


def test_the_config_has_the_benchmarks_keys() -> None:
    """Sources and keys of each benchmark, in the sections of the rules that work with it."""
    keys = Config.model_fields
    assert set(keys["fetch_benchmark"].annotation.model_fields) == set(BENCHMARKS)  # type: ignore[union-attr]
    asked = [keys[name].annotation for name in ("evaluate_task", "generate_answers")]
    found = {name for section in asked for name in section.model_fields}  # type: ignore[union-attr]
    assert set(BENCHMARKS) <= found
