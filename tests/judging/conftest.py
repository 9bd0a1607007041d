"""Fixtures of the judging tests: a running judge server and small judge prompts."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from judging.fake_judge import FakeJudge, running_judge, write_benchmark


@pytest.fixture
def judge_server(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeJudge]:
    """Return a judge server; keys for both interfaces are set."""
    with running_judge(monkeypatch) as fake:
        yield fake


@pytest.fixture
def benchmark_folder(tmp_path: Path) -> Path:
    """Return a folder with judge prompts, one reference and instructions."""
    return write_benchmark(tmp_path / "benchmark")
