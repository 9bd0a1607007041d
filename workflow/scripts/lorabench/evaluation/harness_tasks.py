"""Tasks of lm-evaluation-harness on our copies of the data; prompts and filters are its own."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import datasets
import lm_eval.tasks
from lm_eval.api.task import ConfigurableTask
from lm_eval.tasks._yaml_loader import load_yaml

from lorabench.errors import DataError
from lorabench.evaluation.benchmark import HarnessTask, Item, Rows

HARNESS_TASKS = Path(lm_eval.tasks.__file__).parent
# the harness' default; the samplers used here take the first n and draw nothing
FEWSHOT_SEED = 1234


def build_tasks(tasks: Iterable[HarnessTask]) -> dict[str, ConfigurableTask]:
    """Return task name -> task, in order.

    Raises:
        DataError: the harness has no such task, or there are fewer examples than a prompt needs.
    """
    built = {}
    for task in tasks:
        config = _config(task)
        examples = config["fewshot_config"].get("samples") or task.splits[task.examples]
        if config["num_fewshot"] > len(examples):
            raise DataError(
                f"{task.examples_place}: {len(examples)} rows, but few_shot asks for"
                f" {config['num_fewshot']} examples"
            )
        built[config["task"]] = _task(config, task.splits)
    return built


def number_items(tasks: Mapping[str, ConfigurableTask]) -> list[Item]:
    """Return all items, numbered over the tasks in order."""
    pairs = [
        (name, document) for name, task in tasks.items() for document in range(len(task.eval_docs))
    ]
    return [
        Item(task=name, document=document, index=index)
        for index, (name, document) in enumerate(pairs)
    ]


def shard_items(items: Iterable[Item], shard: int, shards: int) -> dict[str, list[int]]:
    """Return task -> sorted document numbers of the items of one shard.

    An item belongs to the shard index % shards. The harness needs the numbers sorted (it labels
    documents by their position) and would take an empty list for the whole task.
    """
    chosen: dict[str, list[int]] = {}
    for item in items:
        if item.index % shards == shard:
            chosen.setdefault(item.task, []).append(item.document)
    return chosen


def _config(task: HarnessTask) -> dict[str, Any]:
    """Return the whole config of a task: the harness' own with the project's changes.

    Raises:
        DataError: the harness has no such task.
    """
    changes = dict(task.config)
    config: dict[str, Any] = {}
    if "packaged" in changes:
        packaged = HARNESS_TASKS / changes.pop("packaged").format(**task.names)
        if not packaged.is_file():
            raise DataError(
                f"the harness has no task file {packaged.name}; check the names"
                f" {sorted(task.names.values())}"
            )
        config = load_yaml(packaged)
    config |= changes
    config["fewshot_config"] = config.get("fewshot_config") or {}
    if task.few_shot is not None:
        config["num_fewshot"] = task.few_shot
    if task.max_new_tokens is not None:
        config["generation_kwargs"] = {
            **config["generation_kwargs"],
            "max_gen_toks": task.max_new_tokens,
        }
    return config


def _task(config: dict[str, Any], splits: Mapping[str, Rows]) -> ConfigurableTask:
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
