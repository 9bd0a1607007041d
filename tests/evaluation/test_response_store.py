"""The store gives back what was added, and nothing of another identity."""

from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from lorabench.errors import DataError
from lorabench.evaluation import response_store
from lorabench.evaluation.response_store import ResponseStore, open_shared


def test_answers_outlive_the_process(tmp_path: Path) -> None:
    """A second store on the same file finds the first one's answers."""
    with ResponseStore(tmp_path / "a.jsonl", {"model": "x"}) as store:
        store.add(["loglikelihood", "2 + 2 =", " 4"], [-0.5, True])
    with ResponseStore(tmp_path / "a.jsonl", {"model": "x"}) as again:
        assert again.get(["loglikelihood", "2 + 2 =", " 4"]) == [-0.5, True]
        assert again.get(["loglikelihood", "2 + 2 =", " 5"]) is None
        assert again.hits == 1


def test_another_model_finds_nothing(tmp_path: Path) -> None:
    """Answers of one model are never taken for another's, even in one file."""
    with ResponseStore(tmp_path / "a.jsonl", {"model": "x"}) as store:
        store.add(["q"], "yes")
    with ResponseStore(tmp_path / "a.jsonl", {"model": "y"}) as other:
        assert other.get(["q"]) is None


def test_a_torn_last_line_is_cut_off(tmp_path: Path) -> None:
    """What a killed process left half written is dropped; other lines can be read."""
    path = tmp_path / "a.jsonl"
    with ResponseStore(path, {}) as store:
        store.add(["one"], 1)
        store.add(["two"], 2)
    path.write_bytes(path.read_bytes()[:-7])
    with ResponseStore(path, {}) as store:
        assert store.get(["one"]) == 1
        assert store.get(["two"]) is None
        store.add(["two"], 2)
    with ResponseStore(path, {}) as store:
        assert store.get(["two"]) == 2


def test_a_damaged_line_is_named(tmp_path: Path) -> None:
    """A broken line that is not the last is an error with file and line."""
    path = tmp_path / "a.jsonl"
    path.write_text('{"key": "k", "answer": 1}\nnonsense\n{"key": "l", "answer": 2}\n')
    with pytest.raises(DataError, match=r"a\.jsonl:2"):
        ResponseStore(path, {})


IDENTITY = {"model": "x"}
PART = "mmlu.0-of-1"


def test_another_run_finds_the_answers(tmp_path: Path) -> None:
    """Shards may differ in number; a torn last line of another run is left as it is."""
    with open_shared(tmp_path / "one", "base", "mmlu.0-of-2", IDENTITY) as store:
        store.add(["q"], 1)
        store.add(["r"], 2)
    with open_shared(tmp_path / "one", "base", "gsm8k.0-of-1", IDENTITY) as store:
        store.add(["s"], 3)
    (file,) = (tmp_path / "one").glob("*/mmlu.*")
    torn = file.read_bytes()[:-3]
    file.write_bytes(torn)
    with open_shared(tmp_path / "two", "base", PART, IDENTITY) as store:
        assert [store.get([name]) for name in "qrs"] == [1, None, None]
    assert file.read_bytes() == torn
    with open_shared(tmp_path / "two", "base", PART, {"model": "y"}) as store:
        assert store.get(["q"]) is None


def test_a_job_waits_for_another_runs_answers(tmp_path: Path) -> None:
    """While one job answers, the other waits; then it has all answers."""
    opened: list[Any] = []

    def second() -> None:
        with open_shared(tmp_path / "two", "base", PART, IDENTITY) as store:
            opened.append(store.get(["q"]))

    with open_shared(tmp_path / "one", "base", PART, IDENTITY) as store:
        waiting = Thread(target=second)
        waiting.start()
        store.add(["q"], "late")
        with open_shared(tmp_path / "two", "base", "mmlu.1-of-2", IDENTITY):
            assert opened == []
    waiting.join()
    assert opened == ["late"]


def test_a_file_system_without_locks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both jobs work at once, each in its own file."""

    def refuse(*_: object) -> None:
        raise OSError("no locks here")

    monkeypatch.setattr(response_store.fcntl, "flock", refuse)
    with (
        open_shared(tmp_path / "one", "base", PART, IDENTITY) as one,
        open_shared(tmp_path / "two", "base", PART, IDENTITY) as two,
    ):
        one.add(["q"], 1)
        two.add(["q"], 1)
    assert len(list(tmp_path.glob(f"*/*/{PART}.jsonl"))) == 2
