"""What evaluation knows of a benchmark: the keys of its config, its tasks or questions, its rows.

Nothing here imports torch or lm_eval: the rules take names and settings from these tables, too.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lorabench.benchmark_tables import find_benchmark
from lorabench.documents.item_result import ItemResult
from lorabench.evaluation.questions import Question
from lorabench.section import Section

Rows = list[dict[str, Any]]
# a row of lm_eval's `samples`
Sample = dict[str, Any]


class BenchmarkSettings(Section):
    """The keys of a benchmark in its section of the config."""


@dataclass(frozen=True, kw_only=True)
class HarnessTask:
    """A task of lm-evaluation-harness before it is built."""

    # a task's keys; `packaged` names the harness' own file whose values they replace
    config: Mapping[str, Any]
    # values of the {...} in `packaged`
    names: Mapping[str, str] = field(default_factory=dict)
    # split -> rows
    splits: Mapping[str, Rows]
    # None = the task's own number
    few_shot: int | None
    # the split that examples come from, and how errors name it
    examples: str
    examples_place: str
    # of tasks that generate
    max_new_tokens: int | None = None


@dataclass(frozen=True, kw_only=True)
class Item:
    """The place of an item among all items of a benchmark."""

    task: str
    # number of the document in its task
    document: int
    # over all tasks, from 0
    index: int


@dataclass(frozen=True, kw_only=True)
class Answered:
    """What the harness brought back."""

    # all items of the benchmark, of whatever shard
    items: Sequence[Item]
    # task -> samples of the items that were asked, one for each filter
    samples: Mapping[str, Sequence[Sample]]
    # prompt -> whether its generation ended at the token limit
    truncated: Mapping[str, bool]


@dataclass(frozen=True, kw_only=True)
class TaskBenchmark:
    """A benchmark that lm-evaluation-harness asks (rule evaluate_task).

    A setting `task` names a file in workflow/resources/tasks; a setting `engine` may be vllm.
    """

    settings: type[BenchmarkSettings]
    # content of the task file ({} without one), folder of the rows, settings -> tasks in order
    tasks: Callable[[Mapping[str, Any], Path, Any], list[HarnessTask]]
    # what came back, settings -> a row for each answered item
    rows: Callable[[Answered, Any], list[ItemResult]]


@dataclass(frozen=True, kw_only=True)
class QuestionBenchmark:
    """A benchmark of questions whose answers a judge scores (rules generate_answers, judge_*)."""

    settings: type[BenchmarkSettings]
    # folder of the rows -> all questions
    questions: Callable[[Path], list[Question]]


def task_benchmark(benchmark: str) -> TaskBenchmark:
    """Return the table of a benchmark of the rule evaluate_task.

    Raises:
        ConfigurationError: there is none.
    """
    return find_benchmark("evaluation", benchmark, TaskBenchmark)


def question_benchmark(benchmark: str) -> QuestionBenchmark:
    """Return the table of a benchmark of the rule generate_answers.

    Raises:
        ConfigurationError: there is none.
    """
    return find_benchmark("evaluation", benchmark, QuestionBenchmark)
