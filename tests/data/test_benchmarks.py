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

Rows = list[dict[str, Any]]
WORD_PROBLEM = {"question": "1 + 1?", "answer": "1 + 1 = 2\n#### 2"}
CHOICE = {"subject": "anatomy", "question": "Which?", "choices": ["a", "b", "c", "d"], "answer": 3}
QUESTION = {"question_id": 81, "category": "writing", "turns": ["First.", "Second."]}
CSV_HEADER = "question,choice0,choice1,choice2,choice3,answer\n"


def write_jsonl(path: Path, rows: Rows) -> None:
    """Write rows to a file whose folder may not exist yet."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def write_parquet(path: Path, rows: Rows) -> None:
    """Write rows as the hub stores them."""
    path.parent.mkdir(parents=True, exist_ok=True)
    parquet.write_table(pyarrow.Table.from_pylist(rows), path)


def test_gsm8k_reads_the_hubs_layout(tmp_path: Path) -> None:
    """Parquet files under main/ become numbered rows of their split."""
    for split in ("train", "test"):
        write_parquet(
            tmp_path / "main" / f"{split}-00000-of-00001.parquet", [WORD_PROBLEM, WORD_PROBLEM]
        )
    tables = read_gsm8k(tmp_path)
    assert [row["id"] for row in tables["test.jsonl"]] == ["gsm8k-test-0", "gsm8k-test-1"]
    assert tables["train.jsonl"][0] == {"id": "gsm8k-train-0", **WORD_PROBLEM}


def test_mmlu_reads_csv_parquet_and_jsonl_alike(tmp_path: Path) -> None:
    """The three layouts of the same question give the same rows."""
    for split in ("dev", "test"):
        (tmp_path / "csv" / split).mkdir(parents=True)
        (tmp_path / "csv" / split / f"anatomy_{split}.csv").write_text(
            CSV_HEADER + "Which?,a,b,c,d,3\n"
        )
        write_parquet(tmp_path / "hub" / "all" / f"{split}-00000-of-00001.parquet", [CHOICE])
        write_jsonl(tmp_path / "jsonl" / f"{split}.jsonl", [CHOICE])
    tables = [read_mmlu(tmp_path / layout) for layout in ("csv", "hub", "jsonl")]
    assert tables[0] == tables[1] == tables[2]
    assert tables[0]["test.jsonl"] == [{"id": "anatomy-test-0", **CHOICE}]


def test_mt_bench_reads_both_places_of_references(tmp_path: Path) -> None:
    """References are in reference_answer/gpt-4.jsonl, or next to the questions."""
    reference = {
        "question_id": 81,
        "model_id": "gpt-4",
        "choices": [{"index": 0, "turns": ["A", "B"]}],
    }
    for folder, name in (
        ("fastchat", "reference_answer/gpt-4.jsonl"),
        ("flat", "reference_gpt-4.jsonl"),
    ):
        write_jsonl(tmp_path / folder / "question.jsonl", [QUESTION])
        write_jsonl(tmp_path / folder / name, [reference])
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
    assert [
        (row["id"], row["reference_output"])
        for row in read_alpaca_eval(tmp_path)["instructions.jsonl"]
    ] == [("alpaca-0", "o"), ("alpaca-1", None)]


def gsm8k_without_final_answer(folder: Path) -> object:
    """Read a GSM8K folder whose second test answer has no final number."""
    write_jsonl(folder / "train.jsonl", [WORD_PROBLEM])
    write_jsonl(folder / "test.jsonl", [WORD_PROBLEM, WORD_PROBLEM | {"answer": "two"}])
    return read_gsm8k(folder)


def gsm8k_with_number_as_question(folder: Path) -> object:
    """Read a GSM8K folder with a mistyped field."""
    write_jsonl(folder / "train.jsonl", [WORD_PROBLEM | {"question": 7}])
    return read_gsm8k(folder)


def mmlu_with_letter(folder: Path) -> object:
    """Read the header-and-letter variant of MMLU's files."""
    (folder / "dev").mkdir()
    (folder / "dev" / "anatomy_dev.csv").write_text(
        CSV_HEADER + '"Which,\nthen?",a,b,c,d,3\nWhich?,a,b,c,d,D\n'
    )
    return read_mmlu(folder)


def mmlu_with_three_choices(folder: Path) -> object:
    """Read a question with a choice too few."""
    write_jsonl(folder / "dev.jsonl", [CHOICE | {"choices": ["a", "b", "c"]}])
    return read_mmlu(folder)


def mmlu_without_examples(folder: Path) -> object:
    """Read a test subject without dev questions."""
    write_jsonl(folder / "dev.jsonl", [CHOICE])
    write_jsonl(folder / "test.jsonl", [CHOICE, CHOICE | {"subject": "virology"}])
    return read_mmlu(folder)


def mt_bench_with_one_turn(folder: Path) -> object:
    """Read a one-turn question."""
    write_jsonl(folder / "question.jsonl", [QUESTION | {"turns": ["Only."]}])
    return read_mt_bench(folder)


def mt_bench_with_stray_reference(folder: Path) -> object:
    """Read a reference to a question that is not there."""
    write_jsonl(folder / "question.jsonl", [QUESTION])
    write_jsonl(folder / "reference_gpt-4.jsonl", [{"question_id": 7, "turns": ["A", "B"]}])
    return read_mt_bench(folder)


def judge_prompts_without_math(folder: Path) -> object:
    """Read judge prompts that lack the reference-guided ones."""
    names = ("single-v1", "single-v1-multi-turn")
    prompt = {
        "type": "single",
        "system_prompt": "",
        "prompt_template": "{question}",
        "output_format": "[[rating]]",
    }
    write_jsonl(folder / "judge_prompts.jsonl", [{"name": name, **prompt} for name in names])
    return read_judge_prompts(folder / "judge_prompts.jsonl")


def alpaca_with_an_object(folder: Path) -> object:
    """Read a JSON file that is no list."""
    (folder / "outputs.json").write_text('{"instruction": "x"}')
    return read_alpaca_eval(folder)


def alpaca_with_two_files(folder: Path) -> object:
    """Read a folder in which two files could be meant."""
    for name in ("a.json", "b.json"):
        (folder / name).write_text("[]")
    return read_alpaca_eval(folder)


def alpaca_prompt_without_slot(folder: Path) -> object:
    """Read a judge's prompt with one output only."""
    (folder / "judge_prompt.txt").write_text("{instruction} {output_1}")
    return read_judge_prompt(folder / "judge_prompt.txt")


def broken_json(folder: Path) -> object:
    """Read a file whose second line is cut off."""
    write_jsonl(folder / "train.jsonl", [WORD_PROBLEM])
    (folder / "train.jsonl").open("a").write('{"question": "1')
    return read_gsm8k(folder)


def latin_text(folder: Path) -> object:
    """Read a file that is not UTF-8."""
    (folder / "train.jsonl").write_bytes('{"question": "é"}'.encode("latin-1"))
    return read_gsm8k(folder)


def broken_parquet(folder: Path) -> object:
    """Read a cut-off parquet file."""
    (folder / "main").mkdir()
    (folder / "main" / "train-00000-of-00001.parquet").write_bytes(b"PAR1 cut off")
    return read_gsm8k(folder)


@pytest.mark.parametrize(
    ("read", "message"),
    [
        (
            gsm8k_without_final_answer,
            r"test.jsonl:2: field 'answer': expected a worked answer that ends in '#### number'",
        ),
        (gsm8k_with_number_as_question, "train.jsonl:1: field 'question': expected text, found 7"),
        (mmlu_with_letter, r"anatomy_dev.csv:4: field 'answer': expected 0, 1, 2 or 3, found 'D'"),
        (
            mmlu_with_three_choices,
            "dev.jsonl:1: expected four choices and an answer from 0 to 3, found 3 choices",
        ),
        (mmlu_without_examples, "no dev questions for virology"),
        (mt_bench_with_one_turn, "question.jsonl:1: field 'turns': expected 2 turns, found 1"),
        (
            mt_bench_with_stray_reference,
            "reference_gpt-4.jsonl:1: field 'question_id': 7 is not in question.jsonl",
        ),
        (judge_prompts_without_math, "no prompt named single-math-v1, single-math-v1-multi-turn"),
        (alpaca_with_an_object, "outputs.json: expected a JSON list of objects, found dict"),
        (alpaca_with_two_files, r"several files \(a.json, b.json\)"),
        (alpaca_prompt_without_slot, r"judge_prompt.txt: no \{output_2\}"),
        (broken_json, "train.jsonl:2: not JSON"),
        (latin_text, "train.jsonl:1: not UTF-8"),
        (broken_parquet, "not a readable parquet file"),
        (read_gsm8k, "no GSM8K train split; expected one of train.jsonl"),
        (read_mt_bench, "no MT-Bench questions"),
        (read_alpaca_eval, "no AlpacaEval instructions"),
    ],
)
def test_wrong_schema_is_named(
    tmp_path: Path, read: Callable[[Path], object], message: str
) -> None:
    """The message says which file, which line and which field."""
    with pytest.raises(DataError, match=message):
        read(tmp_path)


def test_real_files_are_read_whole(shared_data: Path) -> None:
    """Files of the public benchmarks, as their authors publish them, fit the readers."""
    assert len(read_gsm8k(shared_data / "gsm8k")["test.jsonl"]) == 400
    subjects = {row["subject"] for row in read_mmlu(shared_data / "mmlu")["test.jsonl"]}
    assert len(subjects) == 12
    mt_bench = read_mt_bench(shared_data / "mt_bench")
    assert {name: len(rows) for name, rows in mt_bench.items()} == {
        "question.jsonl": 80,
        "reference.jsonl": 30,
    }
    assert len(read_judge_prompts(shared_data / "mt_bench" / "judge_prompts.jsonl")) == 8
    instructions = read_alpaca_eval(shared_data / "alpaca_eval")["instructions.jsonl"]
    assert len(instructions) == 805
    assert instructions[0]["reference_generator"] == "gpt4_1106_preview"
