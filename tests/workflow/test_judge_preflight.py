"""A remote judge is asked before the first job."""

from pathlib import Path

import pytest
import yaml

from checkout import CLEAN, Checkout, copy_repository
from judging.fake_judge import FakeJudge, error, openai_answer

pytestmark = pytest.mark.slow
JUDGMENTS = "results/smoke/judgments/base/mt_bench.jsonl"


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    """Return a copy of the repository for this file, since its runs leave results."""
    return copy_repository(tmp_path_factory.mktemp("judged") / "lorabench")


def start(
    checkout: Checkout,
    url: str,
    *words: str,
    model: str = "some-judge",
    profile: str = "local",
    environment: dict[str, str] | None = None,
) -> tuple[int, str]:
    """Run the smoke configuration with both judges at `url`."""
    judge = {"judge": {"kind": "openai", "model": model, "base_url": url}}
    overlay = {"judge_mt_bench": judge, "judge_alpaca_eval": judge}
    (checkout.folder / "judge.yaml").write_text(yaml.safe_dump(overlay))
    given = (*words, "--configfile", "config/smoke.yaml", "judge.yaml")
    answer = checkout.snakemake(
        *given,
        configfile=None,
        profile=profile,
        environment={"OPENAI_API_KEY": "x", **(environment or {})},
    )
    return answer.returncode, answer.stdout + answer.stderr


def test_a_retired_judge_stops_the_run_before_its_first_job(
    checkout: Checkout, judge_server: FakeJudge
) -> None:
    """One question for each benchmark; the reason is shown and nothing was made."""
    judge_server.respond = lambda number, body: error(
        404, "The model `some-judge` has been deprecated"
    )
    code, text = start(checkout, judge_server.url, "all")
    assert code == 2, text
    for section in ("judge_mt_bench", "judge_alpaca_eval"):
        assert f"{section}: judge some-judge" in text
    assert "has been deprecated" in text and "Traceback" not in text
    assert len(judge_server.requests) == 2
    assert not (checkout.folder / "results").exists()


def test_a_silent_judge_stops_a_local_run(checkout: Checkout) -> None:
    """Nobody listens there: one line a section, and nothing was made."""
    code, text = start(checkout, "http://127.0.0.1:9/v1", "all")
    assert code == 2, text
    assert (
        "judge_mt_bench: judge some-judge at http://127.0.0.1:9/v1/chat/completions gives no answer"
        in text
    )
    assert "Traceback" not in text and not (checkout.folder / "results").exists()


def test_a_silent_judge_does_not_stop_a_cluster(checkout: Checkout, tmp_path: Path) -> None:
    """A warning, then jobs are submitted: to a cluster here that takes none."""
    for name in ("sacct", "sbatch", "sinfo", "squeue"):
        (tmp_path / name).write_text("#!/bin/sh\necho no cluster here >&2\nexit 1\n")
        (tmp_path / name).chmod(0o755)
    settings = "MinJobAge = 300 sec\\nAccountingStorageType = accounting_storage/none"
    (tmp_path / "scontrol").write_text(f"#!/bin/sh\nprintf '{settings}\\n'\n")
    (tmp_path / "scontrol").chmod(0o755)
    path = {"PATH": f"{tmp_path}:{CLEAN['PATH']}"}
    words = (JUDGMENTS, "--slurm-init-seconds-before-status-checks", "1")
    code, text = start(
        checkout, "http://127.0.0.1:9/v1", *words, profile="slurm-gpu", environment=path
    )
    assert "lorabench: warning: judge_mt_bench: judge some-judge at http://127.0.0.1:9/v1" in text
    assert code == 1 and "no cluster here" in text


def test_no_judge_is_asked_where_none_will_judge(
    checkout: Checkout, judge_server: FakeJudge
) -> None:
    """A target without judged scores starts, and so does a dry run."""
    judge_server.respond = lambda number, body: error(404, "gone")
    for words in (("results/smoke/data/summary.json",), ("all", "-n")):
        code, text = start(checkout, judge_server.url, *words)
        assert code == 0, text
    assert judge_server.requests == []


def test_a_judge_that_answers_lets_the_run_start(
    checkout: Checkout, judge_server: FakeJudge
) -> None:
    """It is asked once; a second run and --touch ask nobody."""
    judge_server.respond = lambda number, body: openai_answer("m [[5]]")
    code, text = start(checkout, judge_server.url, JUDGMENTS)
    assert code == 0, text
    assert "lorabench: judge_mt_bench: judge some-judge answers as judge-2026-01-01\n" in text
    assert len(judge_server.requests) == 1 + 2 * 4
    code, text = start(checkout, judge_server.url, JUDGMENTS)
    assert code == 0 and "Nothing to be done" in text
    code, text = start(checkout, judge_server.url, JUDGMENTS, "--touch", model="another-judge")
    assert code == 0 and "judge_mt_bench" in text, text
    assert len(judge_server.requests) == 1 + 2 * 4
