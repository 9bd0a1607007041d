"""Which benchmarks there are, which rules make them, and which files belong to them.

All of it is read from the tables of `lorabench/{data,evaluation,scoring}/benchmarks`: a benchmark
is what has a module there. See docs/add-a-benchmark.md.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from lorabench.benchmark_tables import benchmark_file, benchmark_names, find_benchmark
from lorabench.control.source_hash import code_hash
from lorabench.errors import ConfigurationError
from lorabench.evaluation.benchmark import (
    BenchmarkSettings,
    QuestionBenchmark,
    TaskBenchmark,
    question_benchmark,
    task_benchmark,
)

BENCHMARKS = benchmark_names("evaluation")
# rule -> the room whose module of a benchmark its job works with
ROOMS = {
    "fetch_benchmark": "data",
    "check_contamination": "data",
    "evaluate_task": "evaluation",
    "generate_answers": "evaluation",
    "score_benchmark": "scoring",
    "check_gate": "scoring",
    "compare_variants": "scoring",
    "write_report": "scoring",
}
# published names that are older than the rule below
EXPORTED = {"mt_bench": "mtbench_outputs.json", "alpaca_eval": "alpaca_outputs.json"}


def _of_kind(kind: type) -> tuple[str, ...]:
    tables = {name: find_benchmark("evaluation", name, object) for name in BENCHMARKS}
    return tuple(name for name, table in tables.items() if isinstance(table, kind))


# made by evaluate_task
TASKS = _of_kind(TaskBenchmark)
# answered by generate_answers, then judged by the rule of its name
JUDGED = {name: f"judge_{name}" for name in _of_kind(QuestionBenchmark)}
# rule -> the benchmarks whose answers its jobs bring
ASKED = {"evaluate_task": TASKS, "generate_answers": tuple(JUDGED)}


def settings_class(benchmark: str) -> type[BenchmarkSettings]:
    """Return the keys of a benchmark in the section of the rule that asks the model."""
    if benchmark in TASKS:
        return task_benchmark(benchmark).settings
    return question_benchmark(benchmark).settings


def exported_file(benchmark: str) -> str:
    """Return the name of a benchmark's items in the published folder."""
    suffix = "results" if benchmark in TASKS else "outputs"
    return EXPORTED.get(benchmark, f"{benchmark}_{suffix}.json")


def sample_files(folder: Path, benchmark: str) -> list[Path]:
    """Return the project's own items of a benchmark: {benchmark}_* and what is in {benchmark}/."""
    found = [*folder.glob(f"{benchmark}_*"), *folder.glob(f"{benchmark}/*")]
    return sorted(file for file in found if file.is_file())


def read_task_file(folder: Path, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return the content of the task file that a benchmark's settings name, else {}.

    The content goes to the job as a parameter: a comment in the file makes nothing stale, and a
    task makes only its own benchmark stale.

    Raises:
        ConfigurationError: there is no such file, or it is no plain YAML mapping.
    """
    if "task" not in settings:
        return {}
    file = folder / f"{settings['task']}.yaml"
    if not file.is_file():
        raise ConfigurationError(f"{file}: no such task file; evaluate_task.*.task names it")
    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise ConfigurationError(f"{file}: not YAML ({' '.join(str(error).split())})") from None
    if not isinstance(content, dict):
        raise ConfigurationError(f"{file}: expected keys of a task, found {content!r}")
    return content


def benchmark_code(script: Path, environment: Path, benchmarks: list[str]) -> str:
    """Return the hash of the code behind a job, with the modules of its benchmarks only."""
    own = [benchmark_file(ROOMS[script.stem], benchmark) for benchmark in benchmarks]
    return code_hash(script, environment, own)
