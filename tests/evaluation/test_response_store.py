"""The store gives back what was added, and nothing of another identity."""

from pathlib import Path

import pytest

from lorabench.errors import DataError
from lorabench.evaluation.response_store import ResponseStore


def test_answers_outlive_the_process(tmp_path: Path) -> None:
    """A second store on the same file and identity finds the first one's answers, and counts
    them."""
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
    """What a killed process left half written is dropped; lines before it and lines added later can
    be read."""
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
