"""The script judge_mt_bench: rows and protocol from a remote and from the local judge."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from judging.fake_judge import (
    FakeJudge,
    Response,
    answer_row,
    judge_section,
    openai_answer,
    sent,
)
from judging.jobs import Judged, rate
from judging.served_model import NAME, ServedModel
from lorabench.control.judge_preflight import ask_judges
from lorabench.errors import DataError
from lorabench.files import write_jsonl
from lorabench.judging.mt_bench import REASK
from lorabench.scoring.benchmark import scored_benchmark


def run(tmp_path: Path, folder: Path, judge: dict[str, Any], **changes: Any) -> Judged:
    """Judge three questions, one of them guided by a reference."""
    answers = [answer_row(0), answer_row(1), answer_row(2, id="101", category="math")]
    return rate(tmp_path, folder, judge, answers, **changes)


@pytest.fixture
def quiet_first(judge_server: FakeJudge) -> Iterator[FakeJudge]:
    """Return a judge that is silent on turn 2 at first, and on one item for ever."""

    def respond(number: int, body: dict[str, Any]) -> Response:
        text = body["messages"][1]["content"]
        if "Write about 1." in text and "Now shorter." not in text:
            return openai_answer("Hard to say.")
        asked_again = body["messages"][-1]["content"] == REASK
        return openai_answer(
            "Rating: [[8]]" if asked_again or "Now shorter." not in text else "Nice."
        )

    judge_server.respond = respond
    yield judge_server


def test_remote_judge(quiet_first: FakeJudge, benchmark_folder: Path, tmp_path: Path) -> None:
    """Six rows; the one without a rating is a counted failure."""
    rows, protocol = run(tmp_path, benchmark_folder, judge_section(quiet_first))
    ids = [(name, f"{name}-{turn}") for name in ("81", "82", "101") for turn in (1, 2)]
    assert [(row["cluster"], row["id"]) for row in rows] == ids
    assert [row["index"] for row in rows] == list(range(6))
    assert [row["score"] for row in rows] == [8.0, 8.0, None, 8.0, 8.0, 8.0]
    assert rows[2]["outcome"] == "judge_unparsed"
    assert rows[2]["detail"]["judgment"] == "Hard to say."
    assert [row["detail"]["tries"] for row in rows] == [1, 2, 3, 2, 1, 2]
    assert rows[4]["detail"]["category"] == "math" and rows[4]["detail"]["turn"] == 1
    assert not any(row["detail"]["expected_score"] for row in rows)
    calls = 6 + 4 + 1
    assert protocol["calls"] == len(quiet_first.requests) == calls
    assert protocol["cached_calls"] == 0
    assert protocol["failures"] == {"judge_unparsed": 1}
    assert protocol["models_returned"] == ["judge-2026-01-01"]
    assert protocol["parameters_sent"] == [{"temperature": 0, "max_tokens": 64}]
    assert protocol["usd"] == pytest.approx(calls * (100 * 2 + 10 * 8) / 1e6)
    assert protocol["signal"] is True
    sentence = scored_benchmark("mt_bench").protocol(protocol, None)
    assert "3 questions, 6 turns; judge judge (openai, temperature 0)" in sentence
    assert "secret" not in (tmp_path / "protocol.json").read_text()


def test_corrected_references_take_the_place_of_the_originals(
    judge_server: FakeJudge, benchmark_folder: Path, tmp_path: Path
) -> None:
    """A file that corrects nothing is refused."""
    file = tmp_path / "corrected.jsonl"
    write_jsonl(file, [{"question_id": 101, "turns": ["five", "ten"]}])
    _, protocol = run(tmp_path, benchmark_folder, judge_section(judge_server), references=file)
    asked = [body["messages"][1]["content"] for body in judge_server.requests]
    guided = [text for text in asked if "Reference" in text]
    assert any("five" in text for text in guided) and not any("four" in text for text in guided)
    assert protocol["corrected_references"] is True
    _, plain = run(tmp_path / "plain", benchmark_folder, judge_section(judge_server))
    assert plain["reference_sha256"] != protocol["reference_sha256"]
    unknown, malformed = {"question_id": 7, "turns": ["a", "b"]}, {"question_id": 101}
    for row, fault in ((unknown, "question_id 7"), (malformed, "jsonl:1")):
        write_jsonl(file, [row])
        with pytest.raises(DataError, match=fault):
            run(tmp_path, benchmark_folder, judge_section(judge_server), references=file)


def test_local_judge(benchmark_folder: Path, tmp_path: Path, tiny_model: Path) -> None:
    """Expected ratings between 1 and 10, and the warning that they carry no signal."""
    judge, model = judge_section(FakeJudge(), kind="local"), tiny_model / "source.json"
    rows, protocol = run(tmp_path, benchmark_folder, judge, model=model)
    assert all(1 < row["score"] < 10 and row["detail"]["expected_score"] for row in rows)
    assert all(
        sum(row["detail"]["rating_probabilities"].values()) == pytest.approx(1) for row in rows
    )
    assert (protocol["signal"], protocol["judge"]["kind"]) == (False, "local")
    assert "too small to tell" in scored_benchmark("mt_bench").protocol(protocol, None)
    vouched = judge | {"carries_signal": True}
    again, protocol = run(tmp_path, benchmark_folder, vouched, model=model)
    assert again == rows and protocol["cached_calls"] == 6
    assert protocol["signal"] is True
    assert "says that it counts" in scored_benchmark("mt_bench").protocol(protocol, None)


def test_a_served_model_as_the_judge(
    judge_server: FakeJudge, served_model: ServedModel, benchmark_folder: Path, tmp_path: Path
) -> None:
    """Every call, token and unreadable judgment is counted, then all is stored."""
    judge_server.respond = served_model.respond
    given = (tmp_path, benchmark_folder, judge_section(judge_server, temperature=1.0))
    rows, protocol = run(*given, reasks=1, max_tokens=3)
    unparsed = [row for row in rows if row["outcome"] == "judge_unparsed"]
    assert len(rows) == protocol["items"] == 6
    assert 0 < len(unparsed) < 6 and protocol["failures"] == {"judge_unparsed": len(unparsed)}
    for row in rows:
        ratings = re.findall(r"\[\[(\d)\]\]", row["detail"]["judgment"])
        assert row["score"] == (float(ratings[-1]) if ratings else None)
    calls = sum(row["detail"]["tries"] for row in rows)
    assert protocol["calls"] == len(judge_server.requests) == calls > 6
    assert protocol["output_tokens"] == 3 * calls
    assert protocol["models_returned"] == [NAME]
    assert {row["detail"]["judge_model"] for row in rows} == {NAME}
    again, protocol = run(*given, reasks=1, max_tokens=3)
    assert again == rows and protocol["calls"] == 0
    assert protocol["cached_calls"] == len(judge_server.requests) == calls


def test_the_question_before_a_run_has_the_same_parameters(
    judge_server: FakeJudge, benchmark_folder: Path, tmp_path: Path
) -> None:
    """What a judge refuses of a judging request it refuses of that question."""
    judge = judge_section(judge_server)
    run(tmp_path, benchmark_folder, judge)
    ask_judges([("judge_mt_bench", {"judge": judge, "max_tokens": 64})], "run")
    assert sent(judge_server.requests[-1]) == sent(judge_server.requests[0])
