"""Scoring a benchmark from its shards."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lorabench.documents.item_result import ItemResult
from lorabench.errors import DataError
from lorabench.files import read_jsonl, write_json
from report.synthetic_run import (
    ROWS,
    answers_protocol_of,
    gsm8k_rows,
    mt_bench_rows,
    protocol_of,
    write_rows,
)
from score_benchmark import score_benchmark


def run(
    folder: Path, benchmark: str, shards: list[list[ItemResult]], **changes: Any
) -> dict[str, Any]:
    """Score shards and return the score file; `changes` are of score_benchmark's arguments."""
    rows = [write_rows(folder / f"{number}.jsonl", shard) for number, shard in enumerate(shards)]
    protocols = [folder / f"{number}.json" for number in range(len(shards))]
    for path in protocols:
        write_json(path, protocol_of(benchmark))
    given: dict[str, Any] = {
        "rows": rows,
        "protocols": protocols,
        "answers_protocol": None,
        "length_control_file": None,
        "not_run_reason": None,
        "benchmark": benchmark,
        "variant": "base",
        "settings": {"confidence": 0.95, "min_judged_share": 0.9},
        "rows_output": folder / "eval.jsonl",
        "score_output": folder / "eval.json",
    }
    score_benchmark(**{**given, **changes})
    return dict(json.loads((folder / "eval.json").read_text(encoding="utf-8")))


def test_shards_in_any_order_give_the_unsharded_files(tmp_path: Path) -> None:
    """Two interleaved shards make the same rows and score as one."""
    rows = gsm8k_rows("base")
    whole = run(tmp_path / "whole", "gsm8k", [rows])
    halves = run(tmp_path / "halves", "gsm8k", [rows[1::2], rows[::2]])
    assert halves == whole
    assert (tmp_path / "whole/eval.jsonl").read_bytes() == (
        tmp_path / "halves/eval.jsonl"
    ).read_bytes()


@pytest.mark.parametrize("benchmark", ROWS)
def test_every_score_has_n_error_interval_and_protocol(tmp_path: Path, benchmark: str) -> None:
    """What a reader needs to judge a number is next to it."""
    score = run(tmp_path, benchmark, [ROWS[benchmark]("lora")])
    assert score["status"] == "ok" and score["protocol"] and score["n"] > 0
    assert score["interval"][0] < score["score"] < score["interval"][1]
    assert score["standard_error"] > 0


def test_failed_judgments_are_counted_and_not_averaged(tmp_path: Path) -> None:
    """The mean is over the ratings that were read."""
    rows = mt_bench_rows("base")
    score = run(tmp_path, "mt_bench", [rows])
    read = [row.score for row in rows if row.score is not None]
    assert score["failures"] == {"judge_unparsed": 1}
    assert (score["n"], score["items"]) == (15, 16)
    assert score["protocol"].endswith("; 15 of 16 items have a score")
    assert score["score"] == pytest.approx(sum(read) / 15)


def test_mmlu_has_subjects_groups_and_both_averages(tmp_path: Path) -> None:
    """The micro average weighs questions, the macro average subjects."""
    rows = [row for row in ROWS["mmlu"]("base") if row.cluster != "anatomy" or row.index < 8]
    rows = [replace(row, index=index) for index, row in enumerate(rows)]
    score = run(tmp_path, "mmlu", [rows])
    subjects = score["breakdown"]
    micro = sum(part["score"] * part["n"] for part in subjects.values()) / len(rows)
    assert set(score["secondary"]["groups"]) == {"stem", "humanities", "social_sciences", "other"}
    assert score["score"] == score["secondary"]["micro_average"]["score"] == pytest.approx(micro)
    macro = sum(part["score"] for part in subjects.values()) / 4
    assert score["secondary"]["macro_average"]["score"] == pytest.approx(macro)


def test_oasst_instructions_are_set_apart(tmp_path: Path) -> None:
    """AlpacaEval's instructions from the training data's source have a win rate without them."""
    score = run(tmp_path, "alpaca_eval", [ROWS["alpaca_eval"]("lora")])
    assert score["secondary"]["without_oasst_instructions"]["n"] == 16


def test_without_rows_the_score_says_why(tmp_path: Path) -> None:
    """A benchmark that did not run has no number, not a zero."""
    score = run(tmp_path, "mt_bench", [], not_run_reason="OPENAI_API_KEY is not set")
    assert (score["status"], score["reason"]) == ("not_run", "OPENAI_API_KEY is not set")
    assert "score" not in score
    assert list(read_jsonl(tmp_path / "eval.jsonl")) == []


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (lambda rows: rows[:3] + rows[4:], "but not index 3"),
        (lambda rows: [*rows, rows[0]], "index 0 twice"),
        (lambda rows: [*rows, replace(rows[0], index=len(rows))], "unique ids"),
        (lambda rows: [], "no rows"),
    ],
)
def test_incomplete_shards_are_refused(tmp_path: Path, change: Any, fault: str) -> None:
    """Missing, doubled and renamed items stop the rule with a line that names them."""
    with pytest.raises(DataError, match=fault):
        run(tmp_path, "gsm8k", [change(gsm8k_rows("base"))])


def test_shards_of_different_protocols_are_refused(tmp_path: Path) -> None:
    """Rows made in two ways have no common score."""
    other = tmp_path / "other.json"
    write_json(other, protocol_of("gsm8k") | {"few_shot": 8})
    with pytest.raises(DataError, match=r"different ways \(few_shot\)"):
        run(tmp_path, "gsm8k", [gsm8k_rows("base")], protocols=[tmp_path / "0.json", other])


def test_a_judged_score_tells_how_the_answers_were_made(tmp_path: Path) -> None:
    """The protocol sentence names generation and judging, the detail holds both."""
    answers = tmp_path / "answers.json"
    write_json(answers, answers_protocol_of("mt_bench"))
    score = run(tmp_path, "mt_bench", [mt_bench_rows("base")], answers_protocol=answers)
    assert score["protocol"].startswith(
        "MT-Bench questions, two turns, chat template, at most 96 new tokens a turn, float32;"
    )
    assert "; MT-Bench single-answer grading (FastChat's prompts) of 8" in score["protocol"]
    assert score["protocol_detail"]["answers"]["turns_truncated"] == 3


def test_a_judge_that_failed_throughout_leaves_no_score(tmp_path: Path) -> None:
    """Failures on every item are a benchmark that did not run; its rows are kept."""
    rows = [replace(row, score=None, outcome="judge_failed") for row in mt_bench_rows("base")]
    score = run(tmp_path, "mt_bench", [rows])
    assert score["status"] == "not_run"
    assert score["reason"] == (
        "none of 16 items has a score, at least 90% are needed (score_benchmark.min_judged_share):"
        " 16 judge_failed"
    )
    assert len(list(read_jsonl(tmp_path / "eval.jsonl"))) == 16


def test_below_the_share_of_judged_items_there_is_no_score(tmp_path: Path) -> None:
    """A mean over a few answered items is no score; the reason has both numbers."""
    rows = mt_bench_rows("lora")
    failed = [replace(row, score=None, outcome="judge_refused") for row in rows[:2]]
    score = run(tmp_path, "mt_bench", [failed + rows[2:]])
    assert score["status"] == "not_run" and "score" not in score
    assert score["reason"].startswith("14 of 16 items have a score, at least 90% are needed")
    assert run(tmp_path, "mt_bench", [failed[:1] + rows[1:]])["status"] == "ok"
