"""The rule generate_answers: dialogue, temperatures, seeds, limits and resumption."""

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from generate_answers import generate_answers
from lorabench.errors import DataError
from lorabench.evaluation.parts import Parts
from lorabench.evaluation.weights import Loader
from lorabench.files import read_json, read_jsonl, write_json, write_jsonl
from merge_answers import merge_answers

pytest_plugins = ["evaluation_fixtures"]

CATEGORIES = {"writing": 0.7, "math": 0.0, "stem": 0.1, "coding": 0.0}


@pytest.fixture
def questions(tmp_path: Path) -> Path:
    """Return a folder with the rows of both benchmarks, prompts of unlike lengths."""
    write_jsonl(
        tmp_path / "question.jsonl",
        (
            {
                "question_id": 81 + n,
                "category": name,
                "turns": [f"Tell me {'much ' * n}about {name}.", "Shorter, please."],
            }
            for n, name in enumerate(CATEGORIES)
        ),
    )
    write_jsonl(
        tmp_path / "instructions.jsonl",
        (
            {"id": f"alpaca-{n}", "dataset": "own", "instruction": f"Explain {'very ' * n}well."}
            for n in range(5)
        ),
    )
    return tmp_path


def run(
    out: Path,
    source: Path,
    data: Path,
    benchmark: str,
    tokens_per_batch: int = 2048,
    new: int = 12,
    shard: int = 0,
    shards: int = 1,
) -> list[dict[str, Any]]:
    """Generate the answers in the folder `out` and return the rows."""
    parts = Parts(
        variants="base",
        source=source,
        adapter=None,
        merged=None,
        data=[data / "source.json"],
        answers=out,
        store=out / "store",
        shard=shard,
        shards=shards,
        settings={
            "dtype": "float32",
            "engine": "transformers",
            "tokens_per_batch": tokens_per_batch,
            "seed": 42,
            "benchmarks": {benchmark: {"max_new_tokens": new, "limit": None}},
        },
    )
    generate_answers(parts=parts)
    return [row for _, row in read_jsonl(out / "base" / f"{benchmark}.jsonl")]


def made(out: Path, benchmark: str) -> dict[str, Any]:
    """Return how the answers in the folder `out` were made."""
    protocol: dict[str, Any] = read_json(out / "base" / f"{benchmark}.json")
    return protocol


def greedy(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    messages: list[dict[str, str]],
    new: int,
) -> str:
    """Return the answer that transformers' own generate gives to one dialogue."""
    text = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    tokens = torch.tensor([tokenizer.encode(text, add_special_tokens=False)])
    output: torch.Tensor = model.generate(  # type: ignore[operator]
        tokens, attention_mask=torch.ones_like(tokens), do_sample=False, max_new_tokens=new
    )
    return str(tokenizer.decode(output[0, tokens.shape[1] :], skip_special_tokens=True)).strip()


def test_greedy_answers_are_those_of_generate(
    tmp_path: Path,
    source: Path,
    questions: Path,
    base: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
) -> None:
    """The second turn sees the model's own first answer."""
    rows = {row["category"]: row for row in run(tmp_path, source, questions, "mt_bench")}
    for category in ("math", "coding"):
        first, second = rows[category]["prompts"]
        messages = [{"role": "user", "content": first}]
        assert rows[category]["outputs"][0] == greedy(base, tokenizer, messages, 12)
        messages += [
            {"role": "assistant", "content": rows[category]["outputs"][0]},
            {"role": "user", "content": second},
        ]
        assert rows[category]["outputs"][1] == greedy(base, tokenizer, messages, 12)


def test_rows_say_how_they_were_made(tmp_path: Path, source: Path, questions: Path) -> None:
    """Rows keep order, ids, temperatures and counts; truncated turns are counted."""
    rows = run(tmp_path, source, questions, "mt_bench")
    assert [(row["index"], row["id"], row["category"]) for row in rows] == [
        (n, str(81 + n), name) for n, name in enumerate(CATEGORIES)
    ]
    assert [row["temperature"] for row in rows] == list(CATEGORIES.values())
    for row in rows:
        assert all(count <= 12 for count in row["output_tokens"])
        assert all(
            count == 12
            for count, cut in zip(row["output_tokens"], row["truncated"], strict=True)
            if cut
        )
    assert made(tmp_path, "mt_bench")["turns_truncated"] == sum(
        sum(row["truncated"]) for row in rows
    )


@pytest.mark.parametrize("benchmark", ["mt_bench", "alpaca_eval"])
def test_batching_changes_no_answer(
    tmp_path: Path, source: Path, questions: Path, benchmark: str
) -> None:
    """Answers one at a time are those of a large batch, sampled ones included."""
    together = run(tmp_path / "together", source, questions, benchmark)
    alone = run(tmp_path / "alone", source, questions, benchmark, tokens_per_batch=1)
    assert together == alone


@pytest.mark.parametrize("benchmark", ["mt_bench", "alpaca_eval"])
def test_shards_merge_into_what_one_job_answers(
    tmp_path: Path, source: Path, questions: Path, benchmark: str
) -> None:
    """Three jobs' answers are those of one; missing and foreign shards are noticed."""
    whole = run(tmp_path / "whole", source, questions, benchmark)
    folders = [tmp_path / str(shard) for shard in range(3)]
    for shard, folder in enumerate(folders):
        run(folder, source, questions, benchmark, shard=shard, shards=3)
    shards, protocols = (
        [folder / "base" / f"{benchmark}.{kind}" for folder in folders]
        for kind in ("jsonl", "json")
    )
    out = {"answers": tmp_path / "merged.jsonl", "protocol": tmp_path / "merged.json"}
    merge_answers(shards=shards[::-1], protocols=protocols[::-1], **out)
    assert [row for _, row in read_jsonl(out["answers"])] == whole
    one, merged = made(tmp_path / "whole", benchmark), read_json(out["protocol"])
    for key in ("versions", "model", "questions", "turns_truncated"):
        assert merged[key] == one[key]
    with pytest.raises(DataError, match="do not add up"):
        merge_answers(shards=shards[1:], protocols=protocols[1:], **out)
    write_json(protocols[0], read_json(protocols[0]) | {"engine": "vllm"})
    with pytest.raises(DataError, match=r"made differently \(engine\)"):
        merge_answers(shards=shards, protocols=protocols, **out)


def test_a_second_run_generates_nothing(tmp_path: Path, source: Path, questions: Path) -> None:
    """All turns come from the store, also those that were sampled."""
    first = run(tmp_path, source, questions, "mt_bench")
    assert run(tmp_path, source, questions, "mt_bench") == first
    protocol = made(tmp_path, "mt_bench")
    assert (protocol["tokens_computed"], protocol["turns_from_store"]) == (0, 8)


def test_an_answer_that_cannot_fit_is_refused(
    tmp_path: Path, source: Path, questions: Path
) -> None:
    """A limit beyond the model's context names the question and the key to lower."""
    with pytest.raises(DataError, match=r"question 81, turn 1.*max_new_tokens"):
        run(tmp_path, source, questions, "mt_bench", new=100_000)


@pytest.mark.parametrize("benchmark", ["mt_bench", "alpaca_eval"])
def test_answers_of_the_store_need_no_weights(
    tmp_path: Path, source: Path, questions: Path, benchmark: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rows are the same, both turns, and the protocol keeps the sampling limits."""
    first = run(tmp_path, source, questions, benchmark)
    before = made(tmp_path, benchmark)
    monkeypatch.setattr(Loader, "__call__", lambda *_: pytest.fail("the weights were loaded"))
    assert run(tmp_path, source, questions, benchmark) == first
    again = made(tmp_path, benchmark)
    assert again["tokens_computed"] == 0
    assert (again["top_k"], again["top_p"]) == (before["top_k"], before["top_p"])
