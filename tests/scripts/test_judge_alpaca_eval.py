"""judge_alpaca_eval against published references and against the base variant."""

import json
from pathlib import Path
from typing import Any

import pytest

from judging.fake_judge import (
    FakeJudge,
    Response,
    error,
    instruction_answer,
    judge_section,
    openai_answer,
    sent,
)
from judging.jobs import Judged, prefer
from judging.served_model import NAME, ServedModel
from lorabench.control.judge_preflight import ask_judges
from lorabench.files import write_jsonl
from lorabench.judging.alpaca_eval import preference_for_first, shows_variant_first
from lorabench.judging.wire import read_reply
from lorabench.scoring.benchmark import scored_benchmark


def answers(output: str, count: int = 6) -> list[dict[str, Any]]:
    """Return answer rows to the first instructions; every third one is the reference itself."""
    texts = [f"It is {n}." if n % 3 == 2 else f"{output} {n}" for n in range(count)]
    return [vars(instruction_answer(n, text)) for n, text in enumerate(texts)]


def run(
    tmp_path: Path, folder: Path, judge: dict[str, Any], *, base: bool = False, **changes: Any
) -> Judged:
    """Judge answers of the variant, against the base's where `base`."""
    count = changes.pop("count", 6)
    write_jsonl(tmp_path / "base.jsonl", answers("base", count))
    reference = tmp_path / "base.jsonl" if base else None
    given = answers("variant", count)
    return prefer(tmp_path, folder, judge, given, reference_answers=reference, **changes)


def prefer_variant(number: int, body: dict[str, Any]) -> Response:
    """Give 0.9 to the output that begins with "variant", wherever it is shown."""
    first = "m: variant" in body["messages"][1]["content"]
    top = [{"token": "m", "logprob": -0.10536 if first else -2.30259}]
    top.append({"token": "M", "logprob": -2.30259 if first else -0.10536})
    return openai_answer(
        "m" if first else "M", logprobs={"content": [{"token": "m", "top_logprobs": top}]}
    )


def test_weighted_preference_in_the_drawn_order(
    judge_server: FakeJudge, benchmark_folder: Path, tmp_path: Path
) -> None:
    """The variant gets 0.9 in either order; equal outputs are half a win, unasked."""
    judge_server.respond = prefer_variant
    rows, protocol = run(tmp_path, benchmark_folder, judge_section(judge_server))
    assert [row["score"] for row in rows] == pytest.approx([0.9, 0.9, 0.5, 0.9, 0.9, 0.5], abs=1e-4)
    shown = [order["shown_first"] == "variant" for row in rows for order in row["detail"]["orders"]]
    assert shown == [shows_variant_first(f"Say {n}.") for n in (0, 1, 3, 4)]
    assert rows[0]["detail"]["output_characters"] == len("variant 0")
    assert rows[0]["detail"]["reference_characters"] == len("It is 0.")
    assert (protocol["calls"], protocol["identical_outputs"]) == (4, 2)
    assert protocol["preference_kinds"] == ["weighted"]
    assert judge_server.requests[0]["max_tokens"] == 1
    assert judge_server.requests[0]["top_logprobs"] == 5


def test_both_orders_against_the_base(
    judge_server: FakeJudge, benchmark_folder: Path, tmp_path: Path
) -> None:
    """Two calls a pair; the reference is the base's answer."""
    judge_server.respond = prefer_variant
    rows, protocol = run(
        tmp_path, benchmark_folder, judge_section(judge_server), base=True, both_orders=True
    )
    assert protocol["calls"] == 8
    assert [row["score"] for row in rows] == pytest.approx([0.9, 0.9, 0.5, 0.9, 0.9, 0.5], abs=1e-4)
    assert all("base" in body["messages"][1]["content"] for body in judge_server.requests)
    sentence = scored_benchmark("alpaca_eval").protocol(protocol, None)
    assert "base variant's answers, both orders averaged" in sentence


def test_judge_without_log_probabilities_is_binary(
    judge_server: FakeJudge, benchmark_folder: Path, tmp_path: Path
) -> None:
    """Where they are refused the letter counts, and the protocol says so."""

    def respond(number: int, body: dict[str, Any]) -> Response:
        refused = error(403, "You are not allowed to request logprobs")
        return refused if "logprobs" in body else openai_answer("m")

    judge_server.respond = respond
    rows, protocol = run(tmp_path, benchmark_folder, judge_section(judge_server))
    expected = [float(shows_variant_first(f"Say {n}.")) if n % 3 != 2 else 0.5 for n in range(6)]
    assert [row["score"] for row in rows] == expected
    assert protocol["parameters_dropped"] == ["logprobs", "top_logprobs"]
    assert protocol["preference_kinds"] == ["binary"]


def test_local_judge(benchmark_folder: Path, tmp_path: Path, tiny_model: Path) -> None:
    """Weighted preferences from both orders, labelled as carrying no signal."""
    judge = judge_section(FakeJudge(), kind="local")
    given: dict[str, Any] = {"both_orders": True, "model": tiny_model / "source.json"}
    rows, protocol = run(tmp_path, benchmark_folder, judge, base=True, **given)
    assert all(0 < row["score"] < 1 for row in rows)
    assert [row["score"] for row in rows if row["detail"]["identical"]] == [0.5, 0.5]
    assert (protocol["signal"], protocol["calls"]) == (False, 8)


def test_a_served_model_as_the_judge(
    judge_server: FakeJudge, served_model: ServedModel, benchmark_folder: Path, tmp_path: Path
) -> None:
    """Real log-probabilities give preferences; without either letter a failure."""
    judge_server.respond = served_model.respond
    rows, protocol = run(tmp_path, benchmark_folder, judge_section(judge_server), count=30)
    expected = {}
    for body in judge_server.requests:
        reply = read_reply("openai", json.dumps(served_model.respond(0, body).document).encode())
        expected[body["messages"][1]["content"].split("\n")[0]] = preference_for_first(reply)[0]
    for n, row in enumerate(rows):
        first = expected[f"Instruction: Say {n}."] if n % 3 != 2 else 0.5
        variant = first if first is None or shows_variant_first(f"Say {n}.") else 1 - first
        assert row["score"] == (None if variant is None else pytest.approx(variant, abs=1e-6))
    unparsed = [row for row in rows if row["outcome"] == "judge_unparsed"]
    assert 0 < len(unparsed) < 20 and protocol["failures"] == {"judge_unparsed": len(unparsed)}
    assert (protocol["items"], protocol["calls"], protocol["cached_calls"]) == (30, 20, 0)
    assert len(judge_server.requests) == 20
    assert (protocol["models_returned"], protocol["preference_kinds"]) == ([NAME], ["weighted"])
    again, protocol = run(tmp_path, benchmark_folder, judge_section(judge_server), count=30)
    assert again == rows
    assert (protocol["calls"], protocol["cached_calls"], len(judge_server.requests)) == (0, 20, 20)


def test_the_question_before_a_run_has_the_same_parameters(
    judge_server: FakeJudge, benchmark_folder: Path, tmp_path: Path
) -> None:
    """What a judge refuses of a judging request it refuses of that question."""
    judge = judge_section(judge_server)
    run(tmp_path, benchmark_folder, judge)
    ask_judges([("judge_alpaca_eval", {"judge": judge, "max_tokens": 1})], "run")
    assert sent(judge_server.requests[-1]) == sent(judge_server.requests[0])
