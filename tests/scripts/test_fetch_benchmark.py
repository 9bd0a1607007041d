"""fetch_benchmark: canonical rows, the judge's prompts and one record."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from fetch_benchmark import fetch_benchmark
from lorabench.control.benchmarks import sample_files
from lorabench.errors import ConfigurationError
from lorabench.files import read_jsonl

BENCHMARKS = {
    "gsm8k": {"train.jsonl", "test.jsonl"},
    "mmlu": {"dev.jsonl", "test.jsonl"},
    "mt_bench": {"question.jsonl", "reference.jsonl", "judge_prompts.jsonl"},
    "alpaca_eval": {"instructions.jsonl", "judge_prompt.txt"},
}


@pytest.mark.parametrize("benchmark", BENCHMARKS)
def test_samples_are_published_in_canonical_form(
    samples: Path, tmp_path: Path, benchmark: str
) -> None:
    """Each benchmark's own files are there, all hashed, and the record counts the rows."""
    source, files = tmp_path / benchmark / "built-in" / "source.json", BENCHMARKS[benchmark]
    own = sample_files(samples, benchmark)
    fetch_benchmark(benchmark=benchmark, samples=own, source=source, settings={"kind": "built-in"})
    record = json.loads(source.read_text())
    assert {file.name for file in source.parent.iterdir()} == files | {"source.json"}
    assert record["sha256"].keys() == files
    for name, rows in record["rows"].items():
        assert sum(1 for _ in read_jsonl(source.parent / name)) == rows


def test_judge_prompt_comes_from_its_own_source(samples: Path, tmp_path: Path) -> None:
    """Data without a prompt takes it from where `judge_prompt` says, or is refused."""
    data = shutil.copy(samples / "alpaca_eval_instructions.json", tmp_path / "outputs.json")
    prompt = samples / "alpaca_eval_judge_prompt.txt"
    settings: dict[str, Any] = {"kind": "path", "path": str(data)}
    source = tmp_path / "out" / "source.json"
    with pytest.raises(ConfigurationError, match=r"no judge_prompt\.txt; put it there or set fe"):
        fetch_benchmark(benchmark="alpaca_eval", samples=[], source=source, settings=settings)
    settings["judge_prompt"] = {"kind": "path", "path": str(prompt)}
    fetch_benchmark(benchmark="alpaca_eval", samples=[], source=source, settings=settings)
    assert (source.parent / "judge_prompt.txt").read_text() == prompt.read_text()


def test_real_mt_bench_is_published(shared_data: Path, tmp_path: Path) -> None:
    """FastChat's own files come out with all questions, references and prompts."""
    source = tmp_path / "out" / "source.json"
    settings = {"kind": "path", "path": str(shared_data / "mt_bench")}
    fetch_benchmark(benchmark="mt_bench", samples=[], source=source, settings=settings)
    counts = {"question.jsonl": 80, "reference.jsonl": 30, "judge_prompts.jsonl": 8}
    assert {name: len([*read_jsonl(source.parent / name)]) for name in counts} == counts
