"""A judging job killed at random: no answer is lost, and none is paid for twice."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from judging.fake_judge import FakeJudge, Response, answer_row, judge_section
from judging.served_model import ServedModel
from lorabench.files import write_jsonl
from lorabench.judging.exchange import JudgeRequest
from lorabench.judging.settings import parse_judge
from lorabench.judging.store import AnswerStore

CONCURRENCY = 3
QUESTIONS = 30
TOKENS = 6  # of every answer: the served model never ends by itself
ONE_USD_AN_ANSWER = {
    "usd_per_million_input_tokens": 0.0,
    "usd_per_million_output_tokens": 1e6 / TOKENS,
}
RUNNER = """
import json, sys
from pathlib import Path
from judge_mt_bench import judge_mt_bench
given = json.loads(sys.argv[1])
settings = given.pop("settings")
paths = {k: Path(v) for k, v in given.items()}
fixed = {"references": None, "model": None, "writer": "mt_bench-lora", "min_judged_share": 0.9}
judge_mt_bench(settings=settings, **fixed, **paths)
"""


def start(root: Path, arguments: dict[str, Any]) -> "subprocess.Popen[bytes]":
    """Start the script in its own process."""
    environment = os.environ | {"PYTHONPATH": str(root / "workflow" / "scripts")}
    return subprocess.Popen(
        [sys.executable, "-c", RUNNER, json.dumps(arguments)],
        env=environment,
        stderr=subprocess.DEVNULL,
    )


def test_killed_runs_pay_for_no_answer_twice(
    judge_server: FakeJudge,
    served_model: ServedModel,
    benchmark_folder: Path,
    tmp_path: Path,
    root: Path,
) -> None:
    """Three kills: the limit is exactly what all answers cost once."""
    generator = random.Random(7)

    def respond(number: int, body: dict[str, Any]) -> Response:
        answer = served_model.respond(number, body)
        answer.delay_seconds = 0.05  # so that a kill meets requests in flight
        return answer

    judge_server.respond = respond
    limit = 2 * QUESTIONS + 1e-6
    prices = ONE_USD_AN_ANSWER | {"max_judge_usd": limit}
    judge = judge_section(judge_server, concurrency=CONCURRENCY, temperature=1.0, **prices)
    write_jsonl(tmp_path / "answers.jsonl", [answer_row(n) for n in range(QUESTIONS)])
    arguments: dict[str, Any] = {
        "answers": str(tmp_path / "answers.jsonl"),
        "benchmark": str(benchmark_folder),
        "store": str(tmp_path / "store"),
        "rows": str(tmp_path / "rows.jsonl"),
        "protocol": str(tmp_path / "protocol.json"),
        "settings": {"judge": judge, "max_tokens": TOKENS, "reasks": 0},
    }

    def keys(bodies: list[dict[str, Any]]) -> list[str]:
        sent, identity = {"temperature": 1.0, "max_tokens": TOKENS}, parse_judge(judge).identity
        requests = [JudgeRequest(item="", messages=b["messages"], parameters=sent) for b in bodies]
        return [request.key(identity) for request in requests]

    # after each kill: requests seen so far, answers in the store
    kept: list[tuple[int, set[str]]] = []
    for _ in range(3):
        process = start(root, arguments)
        goal = len(judge_server.requests) + generator.randint(3, 12)
        while len(judge_server.requests) < goal and process.poll() is None:
            time.sleep(0.005)
        time.sleep(generator.uniform(0, 0.05))
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
        assert not (tmp_path / "rows.jsonl").exists()
        seen = keys(judge_server.requests)
        with AnswerStore(tmp_path / "store", "reader") as store:
            kept.append((len(seen), {key for key in seen if key in store}))
    assert start(root, arguments).wait() == 0
    seen = keys(judge_server.requests)
    assert len(kept[0][1]) > 0
    assert all(answered.isdisjoint(seen[count:]) for count, answered in kept)
    assert len(set(seen)) == 2 * QUESTIONS
    # those in flight at a kill
    assert len(seen) - len(set(seen)) <= 3 * CONCURRENCY
    rows = [json.loads(line) for line in (tmp_path / "rows.jsonl").open()]
    ids = [f"{81 + n}-{turn}" for n in range(QUESTIONS) for turn in (1, 2)]
    assert [row["id"] for row in rows] == ids
    protocol = json.loads((tmp_path / "protocol.json").read_text())
    assert protocol["usd"] == pytest.approx(2 * QUESTIONS)
    assert protocol["cached_calls"] == len(kept[-1][1])
    first = (tmp_path / "rows.jsonl").read_bytes()
    assert start(root, arguments).wait() == 0
    assert len(judge_server.requests) == len(seen)
    assert (tmp_path / "rows.jsonl").read_bytes() == first
