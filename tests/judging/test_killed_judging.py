"""A judging job killed with SIGKILL at random moments: no answer is lost that had arrived, none is asked again."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

from judging.fake_judge import FakeJudge, Response, answer_row, judge_section, openai_answer, write_rows

CONCURRENCY = 3
QUESTIONS = 30
RUNNER = """
import json, sys
from pathlib import Path
from judge_mt_bench import judge_mt_bench
given = json.loads(sys.argv[1])
settings = given.pop("settings")
paths = {k: Path(v) for k, v in given.items()}
judge_mt_bench(references=None, model=None, writer="mt_bench-lora", settings=settings, **paths)
"""


def start(root: Path, arguments: dict[str, Any]) -> "subprocess.Popen[bytes]":
    """Start the script in its own process."""
    environment = os.environ | {"PYTHONPATH": str(root / "workflow" / "scripts")}
    return subprocess.Popen(
        [sys.executable, "-c", RUNNER, json.dumps(arguments)], env=environment, stderr=subprocess.DEVNULL
    )


def test_killed_runs_pay_for_no_answer_twice(
    judge_server: FakeJudge, benchmark_folder: Path, tmp_path: Path, root: Path
) -> None:
    """After three kills the last run completes; only requests in flight at a kill are repeated."""
    generator = random.Random(7)

    def respond(number: int, body: dict[str, Any]) -> Response:
        answer = openai_answer(f"Rating: [[{1 + len(body['messages'][1]['content']) % 10}]]")
        answer.delay_seconds = 0.05
        return answer

    judge_server.respond = respond
    write_rows(tmp_path / "answers.jsonl", [answer_row(n) for n in range(QUESTIONS)])
    arguments: dict[str, Any] = {
        "answers": str(tmp_path / "answers.jsonl"),
        "benchmark": str(benchmark_folder),
        "store": str(tmp_path / "store"),
        "rows": str(tmp_path / "rows.jsonl"),
        "protocol": str(tmp_path / "protocol.json"),
        "settings": {"judge": judge_section(judge_server, concurrency=CONCURRENCY), "max_tokens": 64, "reasks": 0},
    }
    kills = 3
    for _ in range(kills):
        process = start(root, arguments)
        goal = len(judge_server.requests) + generator.randint(3, 12)
        while len(judge_server.requests) < goal and process.poll() is None:
            time.sleep(0.005)
        time.sleep(generator.uniform(0, 0.05))
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
        assert not (tmp_path / "rows.jsonl").exists()
    assert start(root, arguments).wait() == 0
    rows = [json.loads(line) for line in (tmp_path / "rows.jsonl").open()]
    assert [row["id"] for row in rows] == [f"{81 + n}-{turn}" for n in range(QUESTIONS) for turn in (1, 2)]
    asked = Counter(json.dumps(body["messages"]) for body in judge_server.requests)
    assert len(asked) == 2 * QUESTIONS
    assert sum(asked.values()) - len(asked) <= kills * CONCURRENCY
    before = len(judge_server.requests)
    first = (tmp_path / "rows.jsonl").read_bytes()
    assert start(root, arguments).wait() == 0
    assert len(judge_server.requests) == before
    assert (tmp_path / "rows.jsonl").read_bytes() == first
