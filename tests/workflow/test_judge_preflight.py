"""A remote judge is asked before the first job: a retired model stops the run, a working one lets it start."""

from collections.abc import Iterator

import pytest
import yaml

from checkout import Checkout, copy_repository
from judging.fake_judge import FakeJudge, error, openai_answer, running_judge

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    """Return a copy of the repository for this file alone, since its runs leave results."""
    return copy_repository(tmp_path_factory.mktemp("judged") / "lorabench")


@pytest.fixture
def judge_server(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeJudge]:
    """Return a judge server on loopback."""
    with running_judge(monkeypatch) as fake:
        yield fake


def start(checkout: Checkout, judge_server: FakeJudge, target: str) -> tuple[int, str]:
    """Run `target` of the smoke run with the server as both judges; return exit code and what was printed."""
    judge = {"judge": {"kind": "openai", "model": "some-judge", "base_url": judge_server.url}}
    overlay = {"judge_mt_bench": judge, "judge_alpaca_eval": judge}
    (checkout.folder / "judge.yaml").write_text(yaml.safe_dump(overlay))
    answer = checkout.snakemake(
        target, "--configfile", "config/smoke.yaml", "judge.yaml", configfile=None, environment={"OPENAI_API_KEY": "x"}
    )
    return answer.returncode, answer.stdout + answer.stderr


def test_a_retired_judge_stops_the_run_before_its_first_job(checkout: Checkout, judge_server: FakeJudge) -> None:
    """Two questions, one for each judged benchmark; the provider's reason is shown and nothing was made."""
    judge_server.respond = lambda number, body: error(404, "The model `some-judge` has been deprecated")
    code, text = start(checkout, judge_server, "all")
    assert code == 2, text
    for section in ("judge_mt_bench", "judge_alpaca_eval"):
        assert f"{section}: judge some-judge" in text
    assert "has been deprecated" in text and "Traceback" not in text
    assert len(judge_server.requests) == 2
    assert not (checkout.folder / "results").exists()


def test_no_judge_is_asked_where_none_will_judge(checkout: Checkout, judge_server: FakeJudge) -> None:
    """A target without judged scores starts, whatever the judge would say."""
    judge_server.respond = lambda number, body: error(404, "gone")
    code, text = start(checkout, judge_server, "results/smoke/data/summary.json")
    assert code == 0, text
    assert judge_server.requests == []


def test_a_judge_that_answers_lets_the_run_start(checkout: Checkout, judge_server: FakeJudge) -> None:
    """The question is asked once for each section, and the jobs follow: here up to the first model's answers."""
    judge_server.respond = lambda number, body: openai_answer("m [[5]]")
    code, text = start(checkout, judge_server, "results/smoke/judgments/base/mt_bench.jsonl")
    assert code == 0, text
    assert len(judge_server.requests) == 1 + 2 * 4
