"""MMLU (arXiv 2009.03300): the choice with the highest log-likelihood, one task a subject."""

from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from lorabench.documents.item_result import ItemResult
from lorabench.errors import DataError
from lorabench.evaluation.benchmark import (
    Answered,
    BenchmarkSettings,
    HarnessTask,
    Rows,
    TaskBenchmark,
)
from lorabench.evaluation.task_rows import item_row, read_rows
from lorabench.section import Count, Distinct, Text

FIELDS = ("id", "subject", "question", "choices", "answer")
CHOICES = "ABCD"


class MmluSettings(BenchmarkSettings):
    """MMLU."""

    task: Literal["mmlu", "mmlu_continuation"]
    """mmlu: the choices are listed and their letters scored; mmlu_continuation: the texts of the
    choices are scored, for models too small to map choices to letters. Scores of the two do not
    compare."""
    few_shot: Annotated[int, Field(ge=0, le=5)]
    """First n development questions of the subject as examples."""
    subjects: Distinct[Text]
    """Subjects to ask; empty = all in the data."""
    limit_per_subject: Count | None
    """First n questions of each subject; null = all."""


def mmlu_tasks(
    task_file: Mapping[str, Any], data: Path, settings: MmluSettings
) -> list[HarnessTask]:
    """Return a task for each subject, in the order of test.jsonl; examples are from dev.jsonl.

    Raises:
        DataError: a subject of the settings has no rows.
    """
    dev = _by_subject(read_rows(data / "dev.jsonl", FIELDS))
    test = _by_subject(read_rows(data / "test.jsonl", FIELDS))
    missing = sorted(set(settings.subjects) - set(test))
    if missing:
        raise DataError(
            f"{data}/test.jsonl: no rows of the subject {missing[0]!r}; the subjects are"
            f" {', '.join(sorted(test))}"
        )
    return [
        HarnessTask(
            config=task_file,
            names={"subject": subject},
            splits={
                "dev": dev.get(subject, []),
                "test": test[subject][: settings.limit_per_subject],
            },
            few_shot=settings.few_shot,
            examples="dev",
            examples_place=f"{data}/dev.jsonl, subject {subject}",
        )
        for subject in test
        if subject in settings.subjects or not settings.subjects
    ]


def _by_subject(rows: Rows) -> dict[str, Rows]:
    subjects: dict[str, Rows] = defaultdict(list)
    for row in rows:
        subjects[row["subject"]].append(row)
    return subjects


def mmlu_rows(answered: Answered, settings: MmluSettings) -> list[ItemResult]:
    """Return a row for each answered item; items of a subject are one cluster."""
    by_item = {
        (name, sample["doc_id"]): sample
        for name, several in answered.samples.items()
        for sample in several
    }
    rows = []
    for item in answered.items:
        sample = by_item.get((item.task, item.document))
        if sample is None:
            continue
        log_probabilities = [float(response[0][0]) for response in sample["resps"]]
        best, second = sorted(log_probabilities, reverse=True)[:2]
        subject = sample["doc"]["subject"]
        detail = {
            "subject": subject,
            "answer": CHOICES[sample["doc"]["answer"]],
            "predicted": CHOICES[log_probabilities.index(best)],
            # natural, of " A" to " D" or of the choices' texts, in their order
            "log_probabilities": log_probabilities,
            # nats
            "margin": best - second,
        }
        # where texts are scored: log-likelihoods over the texts' lengths in characters
        if "acc_norm" in sample:
            detail["acc_norm"] = bool(sample["acc_norm"])
        rows.append(item_row(item.index, sample["doc"]["id"], subject, bool(sample["acc"]), detail))
    return rows


BENCHMARK = TaskBenchmark(settings=MmluSettings, tasks=mmlu_tasks, rows=mmlu_rows)
