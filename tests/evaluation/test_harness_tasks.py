"""Our tasks send the prompts of the harness' own tasks, and read no network or cache."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from lm_eval.api.instance import Instance
from lm_eval.api.task import ConfigurableTask
from lm_eval.tasks import TaskManager

from evaluation_fixtures import built_tasks
from lorabench.errors import DataError
from lorabench.evaluation.harness_tasks import HARNESS_TASKS
from sections import section

pytest_plugins = ["evaluation_fixtures"]

GSM8K, MMLU = section("evaluate_task")["gsm8k"], section("evaluate_task")["mmlu"]


@pytest.fixture
def tasks(root: Path) -> Path:
    """Return the folder of the project's task files."""
    return root / "workflow" / "resources" / "tasks"


def packaged(
    folder: Path, file: str, data: Path, splits: dict[str, str], **changes: Any
) -> ConfigurableTask:
    """Return the harness' own task with data from local files."""
    own = {
        "include": str(HARNESS_TASKS / file),
        "task": "own",
        "dataset_path": "json",
        "dataset_name": None,
        "dataset_kwargs": {
            "data_files": {split: str(data / name) for split, name in splits.items()},
            "cache_dir": str(folder / "cache"),
        },
        **changes,
    }
    path = folder / "own.yaml"
    path.write_text(yaml.safe_dump(own))
    return TaskManager(include_defaults=False).load([str(path)])["tasks"]["own"]


def built(task: ConfigurableTask, samples: list[int] | None = None) -> list[Instance]:
    """Return the task's requests."""
    task.set_fewshot_seed(1234)
    task.build_all_requests(samples=samples, rank=0, world_size=1)
    return task.instances


def arguments(instances: list[Instance]) -> list[Any]:
    """Return what is asked, without the limit of new tokens."""
    asked = []
    for instance in instances:
        first, second = instance.args
        asked.append(
            (
                first,
                (
                    {k: v for k, v in second.items() if k != "max_gen_toks"}
                    if isinstance(second, dict)
                    else second
                ),
            )
        )
    return asked


@pytest.mark.parametrize("name", ["gsm8k", "gsm8k_cot"])
def test_gsm8k_prompts_are_the_harness_own(
    tasks: Path, gsm8k_data: Path, tmp_path: Path, name: str
) -> None:
    """Text and stop strings are the packaged task's; ours add the token limit."""
    file = {"gsm8k": "gsm8k/gsm8k.yaml", "gsm8k_cot": "gsm8k/gsm8k-cot.yaml"}[name]
    splits = {"train": "train.jsonl", "test": "test.jsonl"}
    changes: dict[str, Any] = {"fewshot_config": {"sampler": "first_n"}} if name == "gsm8k" else {}
    settings = {**GSM8K, "task": name}
    ours = built(built_tasks(tasks, gsm8k_data, "gsm8k", settings)["gsm8k"])
    stock = built(packaged(tmp_path, file, gsm8k_data, splits, **changes))
    assert arguments(ours) == arguments(stock)
    assert all(instance.args[1]["max_gen_toks"] == 512 for instance in ours)
    assert (
        ours[0].args[0].count({"gsm8k": "Question:", "gsm8k_cot": "Q:"}[name])
        == {"gsm8k": 6, "gsm8k_cot": 9}[name]
    )


@pytest.mark.parametrize("variant", ["mmlu", "mmlu_continuation"])
def test_mmlu_prompts_are_the_harness_own(
    tasks: Path, mmlu_data: Path, tmp_path: Path, variant: str
) -> None:
    """Description, examples, question and letters are the packaged task's."""
    splits = {"dev": "dev.jsonl", "test": "test.jsonl"}
    folder = {"mmlu": "default", "mmlu_continuation": "continuation"}[variant]
    for name, task in built_tasks(tasks, mmlu_data, "mmlu", {**MMLU, "task": variant}).items():
        own = tmp_path / name
        own.mkdir()
        for file in splits.values():
            rows = (mmlu_data / file).read_text(encoding="utf-8").splitlines(keepends=True)
            subject = name.removeprefix("mmlu_").removesuffix("_continuation")
            (own / file).write_text(
                "".join(row for row in rows if f'"subject": "{subject}"' in row), encoding="utf-8"
            )
        file = f"mmlu/{folder}/{name.removesuffix('_continuation')}.yaml"
        stock = packaged(own, file, own, splits, num_fewshot=5)
        assert arguments(built(task)) == arguments(built(stock))
        assert [task.doc_to_target(doc) for doc in task.eval_docs] == [
            doc["answer"] for doc in stock.eval_docs
        ]
        assert set(task.aggregation()) == set(stock.aggregation())
        assert len(built(task)) == 4 * 5


def test_a_prompt_does_not_depend_on_the_shard(tasks: Path, gsm8k_data: Path) -> None:
    """Item 7 without others has the prompt that it has among all items."""
    whole = built(built_tasks(tasks, gsm8k_data, "gsm8k", GSM8K)["gsm8k"])
    alone = built(built_tasks(tasks, gsm8k_data, "gsm8k", GSM8K)["gsm8k"], samples=[7])
    assert arguments(alone) == [arguments(whole)[7]]


def test_limits_take_the_first_items(tasks: Path, gsm8k_data: Path, mmlu_data: Path) -> None:
    """`limit` counts test items, `limit_per_subject` those of each subject, `subjects` chooses."""
    few = {**GSM8K, "few_shot": 1, "max_new_tokens": 8, "limit": 3}
    assert [
        doc["id"] for doc in built_tasks(tasks, gsm8k_data, "gsm8k", few)["gsm8k"].eval_docs
    ] == [f"gsm8k-test-{n}" for n in range(3)]
    both = built_tasks(tasks, mmlu_data, "mmlu", MMLU)
    one = sorted(both)[1].removeprefix("mmlu_")
    chosen = built_tasks(
        tasks, mmlu_data, "mmlu", {**MMLU, "few_shot": 2, "subjects": [one], "limit_per_subject": 2}
    )
    assert [doc["id"] for doc in chosen[f"mmlu_{one}"].eval_docs] == [
        f"{one}-test-0",
        f"{one}-test-1",
    ]


def test_wrong_data_is_named(
    tasks: Path, gsm8k_data: Path, mmlu_data: Path, tmp_path: Path
) -> None:
    """A missing field, a missing subject and too few examples are errors that say where."""
    (tmp_path / "train.jsonl").write_text('{"id": "a", "question": "q", "answer": "#### 1"}\n')
    (tmp_path / "test.jsonl").write_text('{"id": "a", "question": "q"}\n')
    with pytest.raises(DataError, match=r"test\.jsonl:1: field 'answer'"):
        built_tasks(tasks, tmp_path, "gsm8k", GSM8K)
    (tmp_path / "test.jsonl").write_text('{"id": "a", "question": "q", "answer": "#### 1"}\n')
    with pytest.raises(DataError, match="1 rows, but few_shot asks for 5"):
        built_tasks(tasks, tmp_path, "gsm8k", GSM8K)
    with pytest.raises(DataError, match="no rows of the subject 'alchemy'"):
        built_tasks(tasks, mmlu_data, "mmlu", {**MMLU, "subjects": ["alchemy"]})
