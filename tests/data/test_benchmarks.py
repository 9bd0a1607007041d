"""Benchmark readers: public schemas become one form; a wrong row is named by its place."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow
import pytest
from pyarrow import parquet

from lorabench.data.benchmarks.alpaca_eval import read_alpaca_eval, read_judge_prompt
from lorabench.data.benchmarks.gsm8k import read_gsm8k
from lorabench.data.benchmarks.mmlu import read_mmlu
from lorabench.data.benchmarks.mt_bench import read_judge_prompts, read_mt_bench
from lorabench.errors import DataError
from lorabench.files import write_jsonl, write_text

Rows = list[dict[str, Any]]
WORD_PROBLEM = {"question": "1 + 1?", "answer": "1 + 1 = 2\n#### 2"}
CHOICE = {"subject": "anatomy", "question": "Which?", "choices": ["a", "b", "c", "d"], "answer": 3}
QUESTION = {"question_id": 81, "category": "writing", "turns": ["First.", "Second."]}
CSV_HEADER = "question,choice0,choice1,choice2,choice3,answer\n"


def write_parquet(path: Path, rows: Rows) -> None:
    """Write rows as the hub stores them."""
    path.parent.mkdir(parents=True, exist_ok=True)
    parquet.write_table(pyarrow.Table.from_pylist(rows), path)


def test_gsm8k_reads_the_hubs_layout(tmp_path: Path) -> None:
    """Parquet files under main/ become numbered rows of their split."""
    for split in ("train", "test"):
        file = tmp_path / "main" / f"{split}-00000-of-00001.parquet"
        write_parquet(file, [WORD_PROBLEM, WORD_PROBLEM])
    tables = read_gsm8k(tmp_path)
    assert [row["id"] for row in tables["test.jsonl"]] == ["gsm8k-test-0", "gsm8k-test-1"]
    assert tables["train.jsonl"][0] == {"id": "gsm8k-train-0", **WORD_PROBLEM}


def test_mmlu_reads_csv_parquet_and_jsonl_alike(tmp_path: Path) -> None:
    """The three layouts of the same question give the same rows."""
    for split in ("dev", "test"):
        rows = tmp_path / "csv" / split / f"anatomy_{split}.csv"
        write_text(rows, CSV_HEADER + "Which?,a,b,c,d,3\n")
        write_parquet(tmp_path / "hub" / "all" / f"{split}-00000-of-00001.parquet", [CHOICE])
        write_jsonl(tmp_path / "jsonl" / f"{split}.jsonl", [CHOICE])
    tables = [read_mmlu(tmp_path / layout) for layout in ("csv", "hub", "jsonl")]
    assert tables[0] == tables[1] == tables[2]
    assert tables[0]["test.jsonl"] == [{"id": "anatomy-test-0", **CHOICE}]


def test_mt_bench_reads_both_places_of_references(tmp_path: Path) -> None:
    """References are in reference_answer/gpt-4.jsonl, or next to the questions."""
    choices = [{"index": 0, "turns": ["A", "B"]}]
    places = {"fastchat": "reference_answer/gpt-4.jsonl", "flat": "reference_gpt-4.jsonl"}
    for folder, name in places.items():
        write_jsonl(tmp_path / folder / "question.jsonl", [QUESTION])
        write_jsonl(tmp_path / folder / name, [{"question_id": 81, "choices": choices}])
    tables = read_mt_bench(tmp_path / "fastchat")
    assert tables == read_mt_bench(tmp_path / "flat")
    assert tables["reference.jsonl"] == [{"question_id": 81, "turns": ["A", "B"]}]


def test_alpaca_eval_keeps_order_and_marks_missing_references(tmp_path: Path) -> None:
    """Rows are numbered by position, and an instruction without reference output has null."""
    rows = [
        {"dataset": "d", "instruction": "x", "output": "o", "generator": "g"},
        {"dataset": "d", "instruction": "y"},
    ]
    (tmp_path / "any.json").write_text(json.dumps(rows))
    read = read_alpaca_eval(tmp_path)["instructions.jsonl"]
    found = [(row["id"], row["reference_output"]) for row in read]
    assert found == [("alpaca-0", "o"), ("alpaca-1", None)]


PROMPT = {"type": "single", "system_prompt": "", "prompt_template": "", "output_format": ""}
# reader, files of its folder (the reader of a single file gets that), message
WRONG: list[tuple[Callable[[Path], object], dict[str, Rows | bytes], str]] = [
    (
        read_gsm8k,
        {"train.jsonl": [WORD_PROBLEM, WORD_PROBLEM | {"answer": "two"}]},
        r"train.jsonl:2: field 'answer': expected a worked answer that ends in '#### number'",
    ),
    (
        read_gsm8k,
        {"train.jsonl": [WORD_PROBLEM | {"question": 7}]},
        "train.jsonl:1: field 'question': expected text, found 7",
    ),
    (
        read_mmlu,
        {"dev/anatomy_dev.csv": f'{CSV_HEADER}"Which,\nthen?",a,b,c,d,3\nx,a,b,c,d,D\n'.encode()},
        r"anatomy_dev.csv:4: field 'answer': expected 0, 1, 2 or 3, found 'D'",
    ),
    (
        read_mmlu,
        {"dev.jsonl": [CHOICE | {"choices": ["a", "b", "c"]}]},
        "dev.jsonl:1: expected four choices and an answer from 0 to 3, found 3 choices",
    ),
    (
        read_mmlu,
        {"dev.jsonl": [CHOICE], "test.jsonl": [CHOICE, CHOICE | {"subject": "virology"}]},
        "no dev questions for virology",
    ),
    (
        read_mt_bench,
        {"question.jsonl": [QUESTION | {"turns": ["Only."]}]},
        "question.jsonl:1: field 'turns': expected 2 turns, found 1",
    ),
    (
        read_mt_bench,
        {"question.jsonl": [QUESTION], "reference_gpt-4.jsonl": [QUESTION | {"question_id": 7}]},
        "reference_gpt-4.jsonl:1: field 'question_id': 7 is not in question.jsonl",
    ),
    (
        read_judge_prompts,
        {"p.jsonl": [{"name": name, **PROMPT} for name in ("single-v1", "single-v1-multi-turn")]},
        "no prompt named single-math-v1, single-math-v1-multi-turn",
    ),
    (
        read_alpaca_eval,
        {"outputs.json": b'{"instruction": "x"}'},
        "outputs.json: expected a JSON list of objects, found dict",
    ),
    (read_alpaca_eval, {"a.json": b"[]", "b.json": b"[]"}, r"several files \(a.json, b.json\)"),
    (
        read_judge_prompt,
        {"judge_prompt.txt": b"{instruction} {output_1}"},
        r"judge_prompt.txt: no \{output_2\}",
    ),
    (read_gsm8k, {"train.jsonl": b'{"question": "1'}, "train.jsonl:1: not JSON"),
    (read_gsm8k, {"main/train-0.parquet": b"PAR1 cut off"}, "not a readable parquet file"),
    (read_gsm8k, {}, "no GSM8K train split; expected one of train.jsonl"),
    (read_mt_bench, {}, "no MT-Bench questions"),
    (read_alpaca_eval, {}, "no AlpacaEval instructions"),
]


@pytest.mark.parametrize(("read", "files", "message"), WRONG, ids=[case[2] for case in WRONG])
def test_wrong_schema_is_named(
    tmp_path: Path, read: Callable[[Path], object], files: dict[str, Rows | bytes], message: str
) -> None:
    """The message says which file, which line and which field."""
    for name, content in files.items():
        if isinstance(content, bytes):
            (tmp_path / name).parent.mkdir(exist_ok=True)
            (tmp_path / name).write_bytes(content)
        else:
            write_jsonl(tmp_path / name, content)
    single = read in (read_judge_prompts, read_judge_prompt)
    with pytest.raises(DataError, match=message):
        read(tmp_path / next(iter(files)) if single else tmp_path)


def test_real_files_are_read_whole(shared_data: Path) -> None:
    """Files of the public benchmarks, as their authors publish them, fit the readers."""
    assert len(read_gsm8k(shared_data / "gsm8k")["test.jsonl"]) == 400
    subjects = {row["subject"] for row in read_mmlu(shared_data / "mmlu")["test.jsonl"]}
    assert len(subjects) == 12
    mt_bench = read_mt_bench(shared_data / "mt_bench")
    counts = {name: len(rows) for name, rows in mt_bench.items()}
    assert counts == {"question.jsonl": 80, "reference.jsonl": 30}
    assert len(read_judge_prompts(shared_data / "mt_bench" / "judge_prompts.jsonl")) == 8
    instructions = read_alpaca_eval(shared_data / "alpaca_eval")["instructions.jsonl"]
    assert len(instructions) == 805
    assert instructions[0]["reference_generator"] == "gpt4_1106_preview"
