"""Keys reach the judge and nothing else; what would show one is refused by name."""

import logging
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from judging.fake_judge import FakeJudge, Response, answer_row, error, judge_section, openai_answer
from judging.jobs import rate
from lorabench.control.judge_preflight import ask_judges
from lorabench.errors import ConfigurationError, PrerequisiteError
from lorabench.job import job
from lorabench.judging.availability import SECRETS, base_url_fault, judge_available, secret_faults
from lorabench.judging.settings import parse_judge

KEY = "sk-planted-0123456789abcdef"
URL = "http://localhost:8000/v1"


def run_job(tmp_path: Path, root: Path, folder: Path, judge: dict[str, Any]) -> None:
    """Judge two questions as Snakemake's job would, with every library's log."""
    log = tmp_path / "logs" / "judge.log"
    scripts = root / "workflow" / "scripts"
    with job(
        SimpleNamespace(log=[str(log)], scriptdir=str(scripts), rule="judge_mt_bench", threads=1)
    ):
        logging.getLogger().setLevel(logging.DEBUG)
        rate(tmp_path, folder, judge, [answer_row(n) for n in range(2)], reasks=1)


ECHOES = {
    "answer": openai_answer(f"Your key is {KEY}. Rating: [[7]]", model=KEY),
    "passing error": error(500, f"bad gateway for {KEY}"),
    "refused": error(401, f"Incorrect API key provided: {KEY}"),
    "no credit": error(402, f"account of {KEY} is empty"),
    "bad request": error(400, f"odd key {KEY}", code=KEY, param=KEY),
    "no JSON": Response(document=f"<html>{KEY}</html>".encode()),
    "redirect": Response(status=307, document=b"", headers={"location": f"http://h/{KEY}"}),
}


@pytest.mark.parametrize("kind", ["openai", "anthropic"])
@pytest.mark.parametrize("response", ECHOES.values(), ids=ECHOES)
def test_no_file_of_a_run_holds_the_key(
    judge_server: FakeJudge,
    benchmark_folder: Path,
    tmp_path: Path,
    root: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    kind: str,
    response: Response,
) -> None:
    """Log, store, outputs and terminal of a judge that repeats the key wherever it can."""
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv("ANTHROPIC_API_KEY", KEY)
    monkeypatch.setattr("lorabench.judging.clients.LONGEST_BACKOFF_SECONDS", 0.001)
    judge_server.respond = lambda number, body: response
    with suppress(SystemExit):
        run_job(tmp_path, root, benchmark_folder, judge_section(judge_server, kind=kind))
    judge = {"judge": judge_section(judge_server, kind=kind), "max_tokens": 64}
    states = ask_judges([("judge_mt_bench", judge)], "run")
    assert KEY in str(judge_server.headers)
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(files) >= 3
    assert [path for path in files if KEY.encode() in path.read_bytes()] == []
    assert KEY not in "".join(capsys.readouterr()) + str(states)


@pytest.mark.parametrize("name", SECRETS)
@pytest.mark.parametrize("value", ["sk-one\nsk-two", "sk-one\r", "sk\x00one", "sk-\u2026", "\tsk"])
def test_a_key_with_a_line_break_is_refused_by_name(name: str, value: str) -> None:
    """The line has the variable and never the value."""
    (line,) = secret_faults({name: value})
    assert line.startswith(name) and "one" not in line.replace("one of", "")
    assert secret_faults({name: "sk-proj_abc.DEF-123"}) == []


def test_a_judge_with_such_a_key_is_not_asked(
    judge_server: FakeJudge, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither a job nor the question before a run sends it."""
    monkeypatch.setenv("OPENAI_API_KEY", "sk-planted\nsecond line")
    judge = judge_section(judge_server)
    with pytest.raises(PrerequisiteError, match="OPENAI_API_KEY holds a line break") as caught:
        ask_judges([("judge_mt_bench", {"judge": judge, "max_tokens": 64})], "run")
    assert "planted" not in str(caught.value) and judge_server.requests == []
    reason = judge_available(judge, {"OPENAI_API_KEY": "sk-planted\nsecond line"})
    assert reason and "OPENAI_API_KEY" in reason and "planted" not in reason


@pytest.mark.parametrize(
    "url",
    [
        "http://user:hunter2@host/v1",
        "https://hunter2@host",
        "https://host/v1?api_key=hunter2",
        "https://host/v1#hunter2",
        "https://host/v1\nhunter2",
        "https://host /v1",
        "ftp://host/hunter2",
        "hunter2",
        "http://",
        "http://host\\hunter2/v1",
        "http://host:99999999/hunter2",
        "http://[hunter2",
        5,
    ],
)
def test_an_address_that_may_hold_a_secret_is_refused(url: Any) -> None:
    """User names, queries and fragments would be copied into reports; the line repeats none."""
    fault = base_url_fault(url)
    assert fault and "hunter2" not in fault
    section = judge_section(FakeJudge(url=URL)) | {"base_url": url}
    with pytest.raises(ConfigurationError) as caught:
        parse_judge(section)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("url", [None, URL, "https://api.example.com", "http://[::1]:8000/v1/"])
def test_plain_addresses_are_taken(url: str | None) -> None:
    """With or without port and path."""
    assert base_url_fault(url) is None
