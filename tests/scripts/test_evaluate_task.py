"""The rule evaluate_task: rows, protocol, shards, resumption, and agreement with stock lm_eval."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import lm_eval
import pytest
from lm_eval.models.huggingface import HFLM
from peft import PeftModel
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from evaluate_task import evaluate_task
from evaluation_fixtures import built_tasks
from lorabench import variants
from lorabench.control.benchmarks import read_task_file
from lorabench.errors import ConfigurationError
from lorabench.evaluation.parts import Part, Parts
from lorabench.evaluation.weights import Loader
from lorabench.files import read_json, read_jsonl, write_json
from lorabench.scoring.protocols import join_protocols
from sections import section

pytest_plugins = ["evaluation_fixtures"]

COMMON = {"dtype": "float32", "apply_chat_template": False, "tokens_per_batch": 1024}
GSM8K = section("evaluate_task")["gsm8k"] | {
    "few_shot": 2,
    "answer_filter": "flexible-extract",
    "max_new_tokens": 12,
}
MMLU = section("evaluate_task")["mmlu"]
OWN = {"gsm8k": GSM8K, "mmlu": MMLU}
TASK_FILES = Path("workflow") / "resources" / "tasks"
TEXTS = {"benchmark": {**MMLU, "task": "mmlu_continuation"}}


@pytest.fixture
def data(gsm8k_data: Path, mmlu_data: Path) -> dict[str, Path]:
    """Return the folder of each benchmark's rows."""
    return {"gsm8k": gsm8k_data, "mmlu": mmlu_data}


def arguments(
    root: Path,
    out: Path,
    source: Path,
    data: Path,
    benchmark: str,
    shard: int = 0,
    shards: int = 1,
    settings: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Return the arguments of `evaluate_task` for the base, with outputs in the folder `out`."""
    given = {**COMMON, "benchmark": OWN[benchmark], **(settings or {})}
    own = given.pop("benchmark")
    parts = Parts(
        variants="base",
        source=source,
        adapter=None,
        merged=None,
        data=[data / "source.json"],
        answers=out / f"{shard}-of-{shards}",
        store=out / "store",
        shard=shard,
        shards=shards,
        settings={**given, "benchmarks": {benchmark: own}},
    )
    task_file = read_task_file(root / TASK_FILES, own)
    return {"parts": parts, "task_files": {benchmark: task_file}}


def part_of(given: dict[str, Any]) -> Part:
    """Return the one part of a job's arguments."""
    (part,) = given["parts"].each()
    return part


def read_rows(path: Path) -> list[dict[str, Any]]:
    """Return the rows of a file."""
    return [row for _, row in read_jsonl(path)]


@pytest.mark.parametrize("chat", [False, True])
@pytest.mark.parametrize(
    ("benchmark", "own_settings"), [("gsm8k", {}), ("mmlu", {}), ("mmlu", TEXTS)]
)
def test_scores_equal_those_of_stock_lm_eval(
    root: Path,
    tmp_path: Path,
    source: Path,
    data: dict[str, Path],
    base: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    benchmark: str,
    own_settings: dict[str, Any],
    chat: bool,
) -> None:
    """simple_evaluate with the harness' HFLM gives the same result for every item."""
    settings = {"apply_chat_template": chat, **own_settings}
    given = arguments(root, tmp_path, source, data[benchmark], benchmark, settings=settings)
    evaluate_task(**given)
    own = given["parts"].settings["benchmarks"][benchmark]
    tasks = built_tasks(root / TASK_FILES, data[benchmark], benchmark, own)
    stock = lm_eval.simple_evaluate(
        HFLM(pretrained=base, tokenizer=tokenizer, batch_size=1),
        tasks=list(tasks.values()),
        apply_chat_template=chat,
        fewshot_as_multiturn=chat,
        bootstrap_iters=0,
    )
    samples = [row for name in tasks for row in stock["samples"][name]]
    rows = read_rows(part_of(given).file("jsonl"))
    if benchmark == "gsm8k":
        for key in ("strict-match", "flexible-extract"):
            expected = [
                (row["doc"]["id"], bool(row["exact_match"]))
                for row in samples
                if row["filter"] == key
            ]
            assert [(row["id"], row["detail"][key.replace("-", "_")]) for row in rows] == expected
        responses = [row["resps"][0][0] for row in samples if row["filter"] == "strict-match"]
        assert [row["detail"]["response"] for row in rows] == responses
        assert [row["score"] for row in rows] == [
            float(row["detail"]["flexible_extract"]) for row in rows
        ]
    else:
        assert [(row["id"], row["score"]) for row in rows] == [
            (row["doc"]["id"], row["acc"]) for row in samples
        ]
        for row, sample in zip(rows, samples, strict=True):
            expected = [response[0][0] for response in sample["resps"]]
            assert row["detail"]["log_probabilities"] == pytest.approx(expected, abs=1e-4)
            assert row["detail"].get("acc_norm") == sample.get("acc_norm")
    assert [row["index"] for row in rows] == list(range(10))


@pytest.mark.parametrize("benchmark", ["gsm8k", "mmlu"])
def test_shards_join_to_the_unsharded_rows(
    root: Path, tmp_path: Path, source: Path, data: dict[str, Path], benchmark: str
) -> None:
    """Three shards hold the rows of one, each once, made in one way; a shard may be empty."""
    evaluate_task(**arguments(root, tmp_path, source, data[benchmark], benchmark))
    whole = read_rows(tmp_path / f"0-of-1/base/{benchmark}.jsonl")
    parts: list[dict[str, Any]] = []
    for shard in range(3):
        evaluate_task(**arguments(root, tmp_path, source, data[benchmark], benchmark, shard, 3))
        part = read_rows(tmp_path / f"{shard}-of-3/base/{benchmark}.jsonl")
        assert {row["index"] % 3 for row in part} == {shard}
        parts += part
    for row, other in zip(whole, sorted(parts, key=lambda row: row["index"]), strict=True):
        close = {
            name: pytest.approx(other["detail"].pop(name), abs=1e-4)
            for name in ("log_probabilities", "margin")
            if name in row["detail"]
        }
        assert all(row["detail"].pop(name) == value for name, value in close.items())
        assert row == other
    evaluate_task(**arguments(root, tmp_path, source, data[benchmark], benchmark, 11, 12))
    assert read_rows(tmp_path / f"11-of-12/base/{benchmark}.jsonl") == []
    files = tmp_path.glob(f"*/base/{benchmark}.json")
    joined: Any = join_protocols([read_json(path) for path in files])
    assert joined["few_shot"] == {"gsm8k": 2, "mmlu": 5}[benchmark]


def test_a_finished_shard_computes_nothing_again(
    root: Path, tmp_path: Path, source: Path, data: dict[str, Path]
) -> None:
    """Without its outputs, a rerun takes every answer from the store."""
    given = arguments(root, tmp_path, source, data["mmlu"], "mmlu")
    part = part_of(given)
    evaluate_task(**given)
    first = part.file("jsonl").read_text()
    part.file("jsonl").unlink()
    evaluate_task(**given)
    assert part.file("jsonl").read_text() == first
    protocol = read_json(part.file("json"))
    assert (protocol["tokens_computed"], protocol["requests_from_store"]) == (0, 40)


def test_another_run_loads_no_weights(
    root: Path, tmp_path: Path, source: Path, data: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its rows are the first run's, in shards or not; what is asked otherwise is computed."""
    for benchmark in ("mmlu", "gsm8k"):
        first, second = (
            arguments(root, tmp_path / run, source, data[benchmark], benchmark)
            for run in ("first", "second")
        )
        for given in (first, second):
            given["parts"] = replace(
                given["parts"], store=tmp_path / given["parts"].answers.parent.name
            )
        evaluate_task(**first)
        with monkeypatch.context() as context:
            context.setattr(Loader, "__call__", lambda *_: pytest.fail("the weights were loaded"))
            evaluate_task(**second)
        assert part_of(second).file("jsonl").read_text() == part_of(first).file("jsonl").read_text()
        assert read_json(part_of(second).file("json"))["tokens_computed"] == 0
    second["parts"].settings["apply_chat_template"] = True
    evaluate_task(**second)
    assert read_json(part_of(second).file("json"))["requests_from_store"] == 0


def test_base_and_adapter_take_one_load(
    root: Path,
    tmp_path: Path,
    source: Path,
    adapted: PeftModel,
    data: dict[str, Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One job's rows of two variants and two benchmarks are, bit for bit, those of separate jobs.

    The base's weights are read once.
    """
    adapted.save_pretrained(str(tmp_path / "adapter"))
    write_json(tmp_path / "adapter" / "fingerprint.json", {})
    adapter = tmp_path / "adapter" / "fingerprint.json"
    loads: list[Path] = []
    load_base = variants.load_base

    def counted(folder: Path, *more: Any) -> PreTrainedModel:
        loads.append(folder)
        return load_base(folder, *more)

    monkeypatch.setattr(variants, "load_base", counted)
    together = arguments(root, tmp_path / "together", source, data["gsm8k"], "gsm8k")
    more = arguments(root, tmp_path / "together", source, data["mmlu"], "mmlu")
    own = {"gsm8k": GSM8K, "mmlu": MMLU}
    together["task_files"] |= more["task_files"]
    together["parts"] = replace(
        together["parts"],
        variants="base-lora",
        adapter=adapter,
        data=[data[name] / "source.json" for name in own],
        settings={**COMMON, "benchmarks": own},
    )
    evaluate_task(**together)
    assert loads == [source.parent]
    for part in together["parts"].each():
        name, variant = part.benchmark, part.weights.variant
        alone = arguments(root, tmp_path / variant / name, source, data[name], name)
        alone["parts"] = replace(
            alone["parts"], variants=variant, adapter=adapter if variant == "lora" else None
        )
        evaluate_task(**alone)
        assert part.file("jsonl").read_bytes() == part_of(alone).file("jsonl").read_bytes()
    texts = {
        part.weights.variant: part.file("jsonl").read_text()
        for part in together["parts"].each()
        if part.benchmark == "mmlu"
    }
    assert texts["base"] != texts["lora"]


def test_a_fault_names_its_benchmark_and_keeps_the_answers_of_others(
    root: Path, tmp_path: Path, source: Path, data: dict[str, Path]
) -> None:
    """The second benchmark cannot be asked; the first one's answers are in the store."""
    given = arguments(root, tmp_path, source, data["gsm8k"], "gsm8k")
    broken = {**MMLU, "few_shot": 99}
    parts = replace(
        given["parts"],
        data=[data["gsm8k"] / "source.json", data["mmlu"] / "source.json"],
        settings={**COMMON, "benchmarks": {"gsm8k": GSM8K, "mmlu": broken}},
    )
    with pytest.raises(ConfigurationError, match="few_shot") as fault:
        evaluate_task(parts=parts, task_files={**given["task_files"], "mmlu": {}})
    assert fault.value.__notes__ == ["mmlu on base"]
    evaluate_task(**given)
    assert read_json(part_of(given).file("json"))["tokens_computed"] == 0


def test_other_weights_take_nothing_from_the_store(
    root: Path, tmp_path: Path, source: Path, data: dict[str, Path]
) -> None:
    """A change of the weights' hash makes every stored answer unknown."""
    given = arguments(root, tmp_path, source, data["mmlu"], "mmlu")
    evaluate_task(**given)
    source.write_text(json.dumps({"sha256": {"model.safetensors": "other"}}))
    evaluate_task(**given)
    assert read_json(part_of(given).file("json"))["requests_from_store"] == 0


@pytest.mark.slow
def test_a_killed_job_goes_on_where_it_was(
    root: Path, tmp_path: Path, source: Path, data: dict[str, Path]
) -> None:
    """The rerun computes only what the store lacks, with the rows of a whole run."""
    longer = {**GSM8K, "max_new_tokens": 150}
    settings = {"benchmark": longer, "tokens_per_batch": 160}  # one problem at a time
    given = arguments(root, tmp_path, source, data["gsm8k"], "gsm8k", settings=settings)
    paths = ("source", "answers", "store")
    plain = {name: str(getattr(given["parts"], name)) for name in paths}
    more = {"data": str(data["gsm8k"] / "source.json"), "settings": given["parts"].settings}
    code = (
        "import json, sys; from pathlib import Path; from evaluate_task import Parts, evaluate_task"
        "\npaths, more, files = json.loads(sys.argv[1])"
        "\npaths = {name: Path(path) for name, path in paths.items()}"
        "\nparts = Parts(variants='base', adapter=None, merged=None, shard=0, shards=1,"
        " data=[Path(more['data'])], settings=more['settings'], **paths)"
        "\nevaluate_task(parts=parts, task_files=files)"
    )
    words = json.dumps([plain, more, given["task_files"]])
    environment = {
        **os.environ,
        "PYTHONPATH": str(root / "workflow" / "scripts"),
        "HF_HUB_OFFLINE": "1",
    }
    process = subprocess.Popen(
        [sys.executable, "-c", code, words], env=environment, stderr=subprocess.DEVNULL
    )
    stored: list[Path] = []
    while process.poll() is None and (not stored or stored[0].read_bytes().count(b"\n") < 3):
        time.sleep(0.01)
        stored = list((tmp_path / "store").glob("base-*/gsm8k.0-of-1.jsonl"))
    (store,) = stored
    process.send_signal(signal.SIGKILL)
    process.wait()
    finished = store.read_bytes().count(b"\n")
    assert 3 <= finished < 10
    assert not part_of(given).file("jsonl").exists()
    evaluate_task(**given)
    assert read_json(part_of(given).file("json"))["requests_from_store"] == finished
    keys = [row["key"] for _, row in read_jsonl(store)]
    assert len(keys) == len(set(keys)) == 10
    whole = arguments(root, tmp_path / "whole", source, data["gsm8k"], "gsm8k", settings=settings)
    evaluate_task(**whole)
    assert part_of(whole).file("jsonl").read_text() == part_of(given).file("jsonl").read_text()
