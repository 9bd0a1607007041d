"""Only stale stages rerun: change one thing and compare with a dry run."""

import os
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from checkout import Checkout

pytestmark = pytest.mark.slow

# Jobs of the smoke run that follow a change, by what is stale: 3 variants, 2 tasks, 2 judged
# benchmarks.
INFERENCE = Counter(measure_inference=1, summarise_inference=1)
COMPARISON = Counter(compare_variants=1, write_report=1, export_report=1)
REPORT = Counter(check_gate=1) + COMPARISON
# licence files of adapter and merged model, which the exported adapter carries
NOTICES = Counter(write_notices=1, export_adapter=1)
# another description of the same adapter
DESCRIPTION = Counter(describe_adapter=1, export_adapter=1) + REPORT
# Jobs that answer: one for base and adapter, one for the merged model, each with all benchmarks of
# its rule. Only changed benchmarks compute there; the others' answers are in the store.
TASKS = Counter(evaluate_task=2, score_benchmark=6) + REPORT
MT_BENCH_JUDGE = Counter(judge_mt_bench=3, score_benchmark=3) + REPORT
ALPACA_JUDGE = Counter(judge_alpaca_eval=3, score_benchmark=3) + REPORT
MERGE = (
    Counter(
        merge_adapter=1,
        evaluate_task=1,
        generate_answers=1,
        merge_answers=2,
        judge_mt_bench=1,
        judge_alpaca_eval=1,
        score_benchmark=4,
    )
    + NOTICES
    + INFERENCE
    + REPORT
)
ANSWERS = Counter(generate_answers=2, merge_answers=6) + MT_BENCH_JUDGE + ALPACA_JUDGE - REPORT
TRAINING = (
    Counter(train_adapter=1, describe_adapter=1, merge_adapter=1)
    + TASKS
    + ANSWERS
    + NOTICES
    + INFERENCE
    - REPORT
)
PREPARATION = Counter(prepare_conversations=1, check_contamination=1) + TRAINING
CONTAMINATION = Counter(check_contamination=1) + REPORT
MODEL = Counter(fetch_model=1) + TRAINING
EVERYTHING = MODEL + Counter(
    fetch_conversations=1,
    fetch_benchmark=4,
    prepare_conversations=1,
    check_contamination=1,
    declare_gate=1,
)

SETTINGS: list[tuple[dict[str, Any], Counter[str]]] = [
    ({"train_adapter": {"lora_r": 8, "lora_alpha": 4}}, TRAINING),  # a swap of two values
    ({"train_adapter": {"learning_rate": 1.0e-4}}, TRAINING),
    ({"train_adapter": {"target_modules": ["q_proj"]}}, TRAINING),
    ({"train_adapter": {"save_minutes": 3, "tracker": "wandb"}}, Counter()),
    ({"prepare_conversations": {"max_conversations": 7}}, PREPARATION),
    ({"merge_adapter": {"max_logit_difference": 0.4}}, MERGE),
    ({"evaluate_task": {"gsm8k": {"limit": 3}}}, TASKS),
    ({"evaluate_task": {"mmlu": {"few_shot": 3}}}, TASKS),
    ({"evaluate_task": {"dtype": "float32"}}, TASKS),
    ({"generate_answers": {"mt_bench": {"limit": 3}}}, ANSWERS),
    ({"generate_answers": {"alpaca_eval": {"limit": 3}}}, ANSWERS),
    ({"judge_mt_bench": {"max_tokens": 100}}, MT_BENCH_JUDGE),
    ({"judge_alpaca_eval": {"both_orders": False}}, ALPACA_JUDGE),
    ({"score_benchmark": {"confidence": 0.9}}, Counter(score_benchmark=12) + REPORT),
    ({"measure_inference": {"new_tokens": 9}}, INFERENCE + REPORT),
    ({"measure_inference": {"usd_per_gpu_hour": 2.5}}, Counter(summarise_inference=1) + REPORT),
    ({"compare_variants": {"seed": 1}}, COMPARISON),
    ({"gate": {"margins": {"gsm8k": 0.02}}}, Counter(declare_gate=1) + REPORT),
    ({"fetch_model": {"base": {"seed": 1}}}, MODEL),
]
CODE: list[tuple[str, Counter[str]]] = [
    ("workflow/scripts/train_adapter.py", TRAINING),
    ("workflow/scripts/write_report.py", Counter(write_report=1, export_report=1)),
    ("workflow/scripts/lorabench/training/encode.py", TRAINING),
    ("workflow/scripts/lorabench/training/trainer.py", TRAINING),
    # what only declares, observes or refuses
    ("workflow/scripts/lorabench/observation/power.py", Counter()),
    ("workflow/scripts/lorabench/observation/progress.py", Counter()),
    ("workflow/scripts/lorabench/observation/steps.py", Counter()),
    ("workflow/scripts/lorabench/training/checks.py", Counter()),
    ("workflow/scripts/lorabench/gpu_state.py", INFERENCE + REPORT),
    ("workflow/scripts/lorabench/documents/training_record.py", Counter()),
    ("workflow/scripts/lorabench/training/settings.py", Counter()),
    ("workflow/scripts/lorabench/job.py", Counter()),
    ("workflow/scripts/lorabench/scoring/load_summary.py", Counter(summarise_inference=1) + REPORT),
    ("workflow/scripts/lorabench/files.py", EVERYTHING),
    ("workflow/scripts/lorabench/control/preflight.py", Counter()),
    ("workflow/scripts/lorabench/control/estimate.py", Counter()),
    ("workflow/scripts/lorabench/control/memory_model.py", Counter()),
    ("workflow/scripts/describe_adapter.py", DESCRIPTION),
    # the merged model has a card, too
    (
        "workflow/scripts/lorabench/description/model_card.py",
        DESCRIPTION + Counter(write_notices=1),
    ),
    ("workflow/scripts/lorabench/description/gpus.py", DESCRIPTION),
    ("workflow/scripts/lorabench/description/utilisation.py", DESCRIPTION),
    ("workflow/scripts/lorabench/description/flops.py", DESCRIPTION),
    ("workflow/scripts/lorabench/description/training.py", DESCRIPTION),
    ("envs/inference.yaml", INFERENCE + REPORT),
    # a benchmark's modules make only jobs with that benchmark stale
    (
        "workflow/scripts/lorabench/data/benchmarks/alpaca_eval.py",
        Counter(fetch_benchmark=1, check_contamination=1) + ANSWERS,
    ),
    ("workflow/scripts/lorabench/evaluation/benchmarks/gsm8k.py", TASKS),
    ("workflow/scripts/lorabench/evaluation/benchmarks/mt_bench.py", ANSWERS),
    ("workflow/scripts/lorabench/scoring/benchmarks/mmlu.py", Counter(score_benchmark=3) + REPORT),
    ("workflow/scripts/lorabench/scoring/protocols.py", Counter(score_benchmark=12) + REPORT),
]
TASK_FILES: list[tuple[str, str, Counter[str]]] = [
    *((name, "# a comment\n", Counter()) for name in ("gsm8k", "gsm8k_cot")),
    *((name, "# a comment\n", Counter()) for name in ("mmlu", "mmlu_continuation")),
    ("gsm8k", "num_fewshot: 4\n", TASKS),
    # no run of the smoke configuration asks it
    ("gsm8k_cot", "num_fewshot: 4\n", Counter()),
    ("mmlu", "num_fewshot: 4\n", TASKS),
]
DATA: list[tuple[str, Counter[str]]] = [
    (
        "workflow/resources/samples/gsm8k_test.jsonl",
        Counter(fetch_benchmark=1, check_contamination=1) + TASKS,
    ),
    ("workflow/resources/samples/performance_prompts.jsonl", INFERENCE + REPORT),
]


@contextmanager
def changed(path: Path, text: str) -> Iterator[None]:
    """Replace a file's text for the time of a block."""
    before = path.read_text()
    path.write_text(text)
    try:
        yield
    finally:
        path.write_text(before)


def test_a_second_run_does_nothing(finished: Checkout) -> None:
    """Everything is up to date after a run."""
    answer = finished.snakemake()
    assert "Nothing to be done" in answer.stderr


@pytest.mark.parametrize("change, expected", SETTINGS, ids=lambda value: str(value)[:60])
def test_a_setting_reruns_its_rule_and_what_follows(
    finished: Checkout, change: dict[str, Any], expected: Counter[str]
) -> None:
    """One changed value schedules exactly the jobs that depend on it."""
    overlay = finished.folder / "overlay.yaml"
    overlay.write_text(yaml.safe_dump(change))
    assert finished.scheduled(
        "--configfile", "config/smoke.yaml", "overlay.yaml", configfile=None
    ) == dict(expected)


@pytest.mark.parametrize("name, expected", CODE, ids=lambda value: str(value)[-40:])
def test_code_reruns_the_rules_that_reach_it(
    finished: Checkout, name: str, expected: Counter[str]
) -> None:
    """Exactly the rules that use the changed file, and what follows, run."""
    path = finished.folder / name
    addition = "\nADDED = 1\n" if name.endswith(".py") else "\nadded: 1\n"
    with changed(path, path.read_text() + addition):
        assert finished.scheduled() == dict(expected)


@pytest.mark.parametrize("name, expected", DATA, ids=lambda value: str(value)[-40:])
def test_a_sample_file_reruns_its_readers(
    finished: Checkout, name: str, expected: Counter[str]
) -> None:
    """A changed data file schedules its fetch and what follows."""
    path = finished.folder / name
    with changed(path, path.read_text().replace("e", "E", 1)):
        assert finished.scheduled() == dict(expected)


@pytest.mark.parametrize("name, addition, expected", TASK_FILES, ids=lambda value: str(value)[:40])
def test_a_task_file_reruns_its_own_benchmark(
    finished: Checkout, name: str, addition: str, expected: Counter[str]
) -> None:
    """A changed key of a task file makes only jobs of that task stale, a comment none."""
    path = finished.folder / "workflow" / "resources" / "tasks" / f"{name}.yaml"
    with changed(path, path.read_text() + addition):
        assert finished.scheduled() == dict(expected)


def test_a_changed_protocol_sentence_asks_no_model(finished: Checkout) -> None:
    """Other words for how a score was made are written by scoring, and shown by the reports."""
    path = finished.folder / "workflow/scripts/lorabench/scoring/benchmarks/gsm8k.py"
    with changed(path, path.read_text().replace("exact match of", "exact matches of")):
        assert finished.scheduled() == dict(Counter(score_benchmark=3) + REPORT)


def test_the_text_of_a_key_reruns_nothing(finished: Checkout) -> None:
    """What config/README.md says of a key makes nothing stale."""
    path = finished.folder / "workflow/scripts/lorabench/evaluation/benchmarks/gsm8k.py"
    with changed(path, path.read_text().replace("Longest answer", "Longest reply")):
        assert finished.scheduled() == {}


def test_comments_of_yaml_files_rerun_nothing(finished: Checkout) -> None:
    """A comment in every configuration, environment, task file and profile at once."""
    folders = ("config", "envs", "workflow/resources/tasks", "profiles/local")
    files = [file for name in folders for file in sorted((finished.folder / name).glob("*.yaml"))]
    before = {path: path.read_text() for path in files}
    for path, text in before.items():
        path.write_text(f"{text.rstrip()}\n# a comment\n")
    try:
        assert finished.scheduled() == {}
    finally:
        for path, text in before.items():
            path.write_text(text)


def test_documentation_reruns_nothing(finished: Checkout) -> None:
    """Comments, docstrings and blank lines in every module at once leave everything up to date."""
    files = sorted((finished.folder / "workflow" / "scripts").rglob("*.py"))
    before = {path: path.read_text() for path in files}
    for path, text in before.items():
        path.write_text(text.replace('"""', '"""Also: ', 1) + "\n\n# A comment.\n")
    try:
        assert finished.scheduled() == {}
    finally:
        for path, text in before.items():
            path.write_text(text)


def test_touching_every_tracked_file_reruns_nothing(finished: Checkout) -> None:
    """File times do not count, as after a fresh checkout of the same commit."""
    for name in finished.git("ls-files").splitlines():
        os.utime(finished.folder / name, follow_symlinks=False)
    assert finished.scheduled() == {}


def test_a_branch_and_back_reruns_nothing(finished: Checkout) -> None:
    """A branch that changed code, left again, leaves everything up to date."""
    script = finished.folder / "workflow" / "scripts" / "train_adapter.py"
    finished.git("checkout", "-q", "-b", "other")
    script.write_text(script.read_text() + "\nADDED = 1\n")
    finished.git("commit", "-q", "-am", "change")
    finished.git("checkout", "-q", "main")
    assert finished.scheduled() == {}
    finished.git("branch", "-D", "other")


def test_a_new_commit_reruns_only_the_export(finished: Checkout) -> None:
    """A commit that changes no code asks for its own export folder and nothing else."""
    finished.git("commit", "-q", "--allow-empty", "-m", "empty")
    assert finished.scheduled() == {"export_report": 1}
    finished.git("reset", "-q", "--soft", "HEAD~1")
    assert finished.scheduled() == {}
