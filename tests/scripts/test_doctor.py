"""The doctor's lines on judges."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from doctor import doctor
from judging.fake_judge import FakeJudge, error, openai_answer


def findings(
    tmp_path: Path,
    root: Path,
    capsys: pytest.CaptureFixture[str],
    judges: dict[str, dict[str, Any]],
) -> tuple[list[str], list[str]]:
    """Return the printed lines on judging and the faults, for the smoke run with these judges."""
    overlay = tmp_path / "judges.yaml"
    sections = {section: {"judge": judge} for section, judge in judges.items()}
    overlay.write_text(yaml.safe_dump(sections))
    faults = doctor([root / "config" / "smoke.yaml", overlay])
    printed = capsys.readouterr().out.splitlines()
    return [line for line in printed if line.startswith("judging")], faults


def test_each_judge_has_a_line(
    judge_server: FakeJudge,
    tmp_path: Path,
    root: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A missing key is named and asks nobody; a judge that answers is named."""
    monkeypatch.delenv("ANTHROPIC_API_KEY")
    judge_server.respond = lambda number, body: openai_answer("m")
    served = {"kind": "openai", "model": "some-judge", "base_url": judge_server.url}
    silent = {"kind": "anthropic", "model": "some-judge"}
    judges = {"judge_mt_bench": silent, "judge_alpaca_eval": served}
    lines, faults = findings(tmp_path, root, capsys, judges)
    assert lines[0].startswith("judging   judge_mt_bench: ANTHROPIC_API_KEY is not set")
    assert lines[1].startswith(
        "judging   judge_alpaca_eval: judge some-judge answers as judge-2026-01-01"
    )
    assert len(lines) == 2 and faults == []
    assert len(judge_server.requests) == 1


def test_a_retired_judge_is_a_fault(
    judge_server: FakeJudge, tmp_path: Path, root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The provider's reason is in its line; a local judge is not asked."""
    judge_server.respond = lambda number, body: error(404, "The model has been deprecated")
    judges = {
        "judge_mt_bench": {"kind": "openai", "model": "some-judge", "base_url": judge_server.url}
    }
    lines, faults = findings(tmp_path, root, capsys, judges)
    assert lines[0].startswith("judging   judge_alpaca_eval: a model on this machine, whose scores")
    assert "judge.carries_signal to true" in lines[0]
    assert (
        lines[1].startswith("judging   judge_mt_bench: judge some-judge")
        and "has been deprecated" in lines[1]
    )
    assert faults == [lines[1].removeprefix("judging   ")]
