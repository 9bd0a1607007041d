"""Tasks of lm-evaluation-harness on the project's own copies of the data: prompts and filters are
the harness' own."""

from collections import defaultdict
from collections.abc import Iterable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import datasets
import lm_eval.tasks
from lm_eval.api.task import ConfigurableTask
from lm_eval.tasks._yaml_loader import load_yaml

from lorabench.errors import DataError
from lorabench.evaluation.settings import EvaluateTaskSettings, Gsm8kSettings, MmluSettings
from lorabench.evaluation.vllm_support import generated_by
from lorabench.files import read_jsonl

HARNESS_TASKS = Path(lm_eval.tasks.__file__).parent
FEWSHOT_SEED = (
    # the harness' default; the samplers used here take the first n and draw nothing
    1234
)

Rows = list[dict[str, Any]]


def gsm8k_tasks(tasks: Path, data: Path, settings: Gsm8kSettings) -> dict[str, ConfigurableTask]:
    """Return the one task of GSM8K.

    Args:
        tasks: folder with the project's task files.
        data: folder with train.jsonl and test.jsonl (id, question, answer).
        settings: which variant, number of examples, limit of new tokens.
    """
    splits = {
        split: _read(data / f"{split}.jsonl", ("id", "question", "answer"))
        for split in ("train", "test")
    }
    splits["test"] = splits["test"][: settings.limit]
    config = _packaged(tasks / f"{settings.task}.yaml")
    config["generation_kwargs"]["max_gen_toks"] = settings.max_new_tokens
    if settings.few_shot is not None:
        config["num_fewshot"] = settings.few_shot
    _check_examples(
        config["num_fewshot"],
        config["fewshot_config"].get("samples") or splits["train"],
        f"{data}/train.jsonl",
    )
    return {"gsm8k": _task(config | {"task": "gsm8k"}, splits)}


def mmlu_tasks(tasks: Path, data: Path, settings: MmluSettings) -> dict[str, ConfigurableTask]:
    """Return a task for each subject, in the order of the test file.

    Args:
        tasks: folder with the project's task files.
        data: folder with dev.jsonl and test.jsonl (id, subject, question, choices, answer).
        settings: which variant, subjects, number of examples, limit a subject.

    Raises:
        DataError: a subject of the settings has no rows.
    """
    fields = ("id", "subject", "question", "choices", "answer")
    dev = _by_subject(_read(data / "dev.jsonl", fields))
    test = _by_subject(_read(data / "test.jsonl", fields))
    missing = sorted(set(settings.subjects) - set(test))
    if missing:
        raise DataError(
            f"{data}/test.jsonl: no rows of the subject {missing[0]!r}; the subjects are"
            f" {', '.join(sorted(test))}"
        )
    built = {}
    for subject in [
        subject for subject in test if subject in settings.subjects or not settings.subjects
    ]:
        _check_examples(
            settings.few_shot, dev.get(subject, []), f"{data}/dev.jsonl, subject {subject}"
        )
        config = _packaged(tasks / f"{settings.task}.yaml", subject=subject)
        config["num_fewshot"] = settings.few_shot
        splits = {"dev": dev.get(subject, []), "test": test[subject][: settings.limit_per_subject]}
        built[config["task"]] = _task(config, splits)
    return built


def protocol_sentence(
    tasks: dict[str, ConfigurableTask], settings: EvaluateTaskSettings, dtype: str
) -> str:
    """Return in one sentence what a reader needs to repeat the score; the same for all shards."""
    own = settings.benchmark
    shots = next(iter(tasks.values())).config.num_fewshot
    harness = f"lm-evaluation-harness {version('lm_eval')}"
    template = (
        "chat template, examples as turns" if settings.apply_chat_template else "no chat template"
    )
    if isinstance(own, Gsm8kSettings):
        examples = (
            f"the first {shots} training questions"
            if own.task == "gsm8k"
            else f"{shots} fixed chain-of-thought examples"
        )
        task = (
            f"task {own.task}, {shots}-shot ({examples}), greedy, at most {own.max_new_tokens} new"
            " tokens"
        )
        dtype += generated_by(own.engine)
        measure = f"exact match of the number found by the {own.answer_filter} filter"
    else:
        names = "mmlu_*" if own.task == "mmlu" else "mmlu_*_continuation"
        task = f"tasks {names}, {shots}-shot (the first {shots} dev questions of the subject)"
        measure = (
            'share of questions whose right letter has the highest log-likelihood among " A" to'
            ' " D"'
            if own.task == "mmlu"
            else (
                "share of questions whose right choice has the highest log-likelihood among the"
                " texts of the four, which the prompt does not list (no letters; not normalised by"
                " length)"
            )
        )
    return f"{harness}, {task}, {template}, {dtype}; {measure}"


def _packaged(path: Path, **names: str) -> dict[str, Any]:
    """Return the harness' task config named in one of the project's task files, with that file's
    changes.

    Raises:
        DataError: the harness has no such task.
    """
    changes = load_yaml(path)
    packaged = HARNESS_TASKS / changes.pop("packaged").format(**names)
    if not packaged.is_file():
        raise DataError(
            f"{path}: the harness has no task file {packaged.name}; check the names"
            f" {sorted(names.values())}"
        )
    config = load_yaml(packaged) | changes
    config["fewshot_config"] = config.get("fewshot_config") or {}
    return config


def _task(config: dict[str, Any], splits: dict[str, Rows]) -> ConfigurableTask:
    """Return the task on rows in memory, so that no data set is fetched and no cache written."""
    splits = {name: rows for name, rows in splits.items() if rows}
    own = {
        "dataset_path": "in-memory",
        "dataset_name": None,
        "custom_dataset": lambda **_: {
            name: datasets.Dataset.from_list(rows) for name, rows in splits.items()
        },
    }
    task = ConfigurableTask(config=config | own)
    task.set_fewshot_seed(seed=FEWSHOT_SEED)
    return task


def _read(path: Path, fields: Iterable[str]) -> Rows:
    rows = []
    for number, row in read_jsonl(path):
        for field in fields:
            if field not in row:
                raise DataError(f"{path}:{number}: field {field!r} is missing")
        rows.append(row)
    if not rows:
        raise DataError(f"{path}: no rows")
    return rows


def _by_subject(rows: Rows) -> dict[str, Rows]:
    subjects: dict[str, Rows] = defaultdict(list)
    for row in rows:
        subjects[row["subject"]].append(row)
    return subjects


def _check_examples(wanted: int, available: Rows, where: str) -> None:
    if wanted > len(available):
        raise DataError(f"{where}: {len(available)} rows, but few_shot asks for {wanted} examples")
