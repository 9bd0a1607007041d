"""The rule evaluate_task: rows, protocol, shards, resumption, and agreement with stock lm_eval."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import lm_eval
import pytest
from lm_eval.models.huggingface import HFLM
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from evaluate_task import evaluate_task
from evaluation_fixtures import built_tasks
from lorabench.control.benchmarks import read_task_file
from lorabench.evaluation.weights import Weights
from lorabench.files import read_json, read_jsonl
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
    """Return the arguments of `evaluate_task` with outputs in the folder `out`."""
    given = {**COMMON, "benchmark": OWN[benchmark], **(settings or {})}
    return {
        "weights": Weights(variant="base", source=source, adapter=None, merged=None),
        "benchmark": benchmark,
        "data": data,
        "task_file": read_task_file(root / TASK_FILES, given["benchmark"]),
        "rows": out / f"{benchmark}.{shard}-of-{shards}.jsonl",
        "protocol": out / f"{benchmark}.{shard}-of-{shards}.json",
        "store": out / "store",
        "shard": shard,
        "shards": shards,
        "settings": given,
    }


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
    own = given["settings"]["benchmark"]
    tasks = built_tasks(root / TASK_FILES, data[benchmark], benchmark, own)
    stock = lm_eval.simple_evaluate(
        HFLM(pretrained=base, tokenizer=tokenizer, batch_size=1),
        tasks=list(tasks.values()),
        apply_chat_template=chat,
        fewshot_as_multiturn=chat,
        bootstrap_iters=0,
    )
    samples = [row for name in tasks for row in stock["samples"][name]]
    rows = read_rows(given["rows"])
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
    whole = read_rows(tmp_path / f"{benchmark}.0-of-1.jsonl")
    parts: list[dict[str, Any]] = []
    for shard in range(3):
        evaluate_task(**arguments(root, tmp_path, source, data[benchmark], benchmark, shard, 3))
        part = read_rows(tmp_path / f"{benchmark}.{shard}-of-3.jsonl")
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
    assert read_rows(tmp_path / f"{benchmark}.11-of-12.jsonl") == []
    files = tmp_path.glob(f"{benchmark}.*.json")
    joined = join_protocols([read_json(path) for path in files])
    assert joined["few_shot"] == {"gsm8k": 2, "mmlu": 5}[benchmark]


def test_a_finished_shard_computes_nothing_again(
    root: Path, tmp_path: Path, source: Path, data: dict[str, Path]
) -> None:
    """Without its outputs, a rerun takes every answer from the store."""
    given = arguments(root, tmp_path, source, data["mmlu"], "mmlu")
    evaluate_task(**given)
    first = given["rows"].read_text()
    given["rows"].unlink()
    evaluate_task(**given)
    assert given["rows"].read_text() == first
    protocol = read_json(given["protocol"])
    assert (protocol["tokens_computed"], protocol["requests_from_store"]) == (0, 40)


def test_another_run_loads_no_weights(
    root: Path, tmp_path: Path, source: Path, data: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its rows are the first run's, in shards or not; what is asked otherwise is computed."""
    for benchmark in ("mmlu", "gsm8k"):
        first = arguments(root, tmp_path, source, data[benchmark], benchmark)
        first["store"] = tmp_path / "stores" / "first"
        evaluate_task(**first)
        second = arguments(root, tmp_path / "second", source, data[benchmark], benchmark)
        second["store"] = tmp_path / "stores" / "second"
        with monkeypatch.context() as context:
            context.setattr(Weights, "load", lambda *_: pytest.fail("the weights were loaded"))
            evaluate_task(**second)
        assert second["rows"].read_text() == first["rows"].read_text()
        assert read_json(second["protocol"])["tokens_computed"] == 0
    second["settings"]["apply_chat_template"] = True
    evaluate_task(**second)
    assert read_json(second["protocol"])["requests_from_store"] == 0


def test_other_weights_take_nothing_from_the_store(
    root: Path, tmp_path: Path, source: Path, data: dict[str, Path]
) -> None:
    """A change of the weights' hash makes every stored answer unknown."""
    given = arguments(root, tmp_path, source, data["mmlu"], "mmlu")
    evaluate_task(**given)
    source.write_text(json.dumps({"sha256": {"model.safetensors": "other"}}))
    evaluate_task(**given)
    assert read_json(given["protocol"])["requests_from_store"] == 0


@pytest.mark.slow
def test_a_killed_job_goes_on_where_it_was(
    root: Path, tmp_path: Path, source: Path, data: dict[str, Path]
) -> None:
    """The rerun computes only what the store lacks, with the rows of a whole run."""
    longer = {**GSM8K, "max_new_tokens": 150}
    settings = {"benchmark": longer, "tokens_per_batch": 160}  # one problem at a time
    given = arguments(root, tmp_path, source, data["gsm8k"], "gsm8k", settings=settings)
    plain = {
        key: str(value) if isinstance(value, Path) else value
        for key, value in given.items()
        if key != "weights"
    }
    plain["source"] = str(source)
    code = (
        "import json, sys; from pathlib import Path; from evaluate_task import Weights,"
        " evaluate_task\ngiven = json.loads(sys.argv[1])\nweights = Weights(variant='base',"
        " source=Path(given.pop('source')), adapter=None, merged=None)\npaths = ('data',"
        " 'rows', 'protocol', 'store')\ngiven = {key: Path(value) if key in paths else value for"
        " key, value in given.items()}\nevaluate_task(weights=weights, **given)"
    )
    environment = {
        **os.environ,
        "PYTHONPATH": str(root / "workflow" / "scripts"),
        "HF_HUB_OFFLINE": "1",
    }
    process = subprocess.Popen(
        [sys.executable, "-c", code, json.dumps(plain)], env=environment, stderr=subprocess.DEVNULL
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
    assert not given["rows"].exists()
    evaluate_task(**given)
    assert read_json(given["protocol"])["requests_from_store"] == finished
    keys = [row["key"] for _, row in read_jsonl(store)]
    assert len(keys) == len(set(keys)) == 10
    whole = arguments(root, tmp_path / "whole", source, data["gsm8k"], "gsm8k", settings=settings)
    evaluate_task(**whole)
    assert whole["rows"].read_text() == given["rows"].read_text()
