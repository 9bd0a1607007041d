"""The sample data: schemas, counts, balance, answers worked out again."""

import csv
import json
import math
import re
import string
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lorabench.files import read_jsonl
from lorabench.judging.mt_bench import REFERENCE_CATEGORIES

MMLU_SUBJECTS = (
    *("elementary_mathematics", "high_school_biology", "high_school_geography"),
    *("nutrition", "philosophy", "world_religions"),
)
MT_BENCH_CATEGORIES = {
    *("writing", "roleplay", "reasoning", "math"),
    *("coding", "extraction", "stem", "humanities"),
}
PERFORMANCE_CATEGORIES = [
    *("code_generation", "mathematical_reasoning", "creative_writing"),
    *("question_answering", "summarisation"),
]
ANNOTATION = re.compile(r"<<([^=<>]+)=([^<>]+)>>([\d.]+)")


def rows_of(path: Path) -> list[dict[str, Any]]:
    """Rows of a JSONL file."""
    return [row for _, row in read_jsonl(path)]


def mmlu_rows(samples: Path, subject: str, split: str) -> list[dict[str, str]]:
    """Rows of one subject's CSV file."""
    with (samples / "mmlu" / f"{subject}_{split}.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize(("split", "count"), [("train", 8), ("test", 60)])
def test_word_problems_are_worked_correctly(samples: Path, split: str, count: int) -> None:
    """Every annotation is right, is repeated in the text, and the last one is the answer."""
    rows = rows_of(samples / f"gsm8k_{split}.jsonl")
    assert len(rows) == count
    for row in rows:
        assert set(row) == {"question", "answer"}
        work, answer = row["answer"].split("\n#### ")
        steps = ANNOTATION.findall(work)
        assert len(steps) == work.count("<<") >= 1
        for expression, result, shown in steps:
            assert re.fullmatch(r"[\d+*/. -]+", expression)
            assert math.isclose(eval(expression), float(result)), row["question"]
            assert shown.rstrip(".") == result
        assert steps[-1][1] == answer
        assert re.fullmatch(r"\d+", answer)


@pytest.mark.parametrize("subject", MMLU_SUBJECTS)
def test_multiple_choice_is_complete_and_balanced(samples: Path, subject: str) -> None:
    """5 + 20 rows, four choices; each position is right once in every four test rows."""
    dev, test = mmlu_rows(samples, subject, "dev"), mmlu_rows(samples, subject, "test")
    assert (len(dev), len(test)) == (5, 20)
    for row in dev + test:
        assert list(row) == ["question", "choice0", "choice1", "choice2", "choice3", "answer"]
        assert len({row[f"choice{i}"] for i in range(4)}) == 4
    assert {row["answer"] for row in dev} == {"0", "1", "2", "3"}
    for start in range(0, 20, 4):
        assert {row["answer"] for row in test[start : start + 4]} == {"0", "1", "2", "3"}


def test_mt_bench_questions_cover_the_categories_twice(samples: Path) -> None:
    """Ids 1 to 16, two turns, and each half holds every category once."""
    rows = rows_of(samples / "mt_bench_question.jsonl")
    assert [row["question_id"] for row in rows] == list(range(1, 17))
    assert all(len(row["turns"]) == 2 and all(row["turns"]) for row in rows)
    for half in (rows[:8], rows[8:]):
        assert {row["category"] for row in half} == MT_BENCH_CATEGORIES


def test_references_answer_math_reasoning_and_coding(samples: Path) -> None:
    """Exactly the six questions with a known solution have a reference of two turns."""
    questions = rows_of(samples / "mt_bench_question.jsonl")
    guided = [row for row in questions if row["category"] in REFERENCE_CATEGORIES]
    references = rows_of(samples / "mt_bench_reference.jsonl")
    assert {row["question_id"] for row in references} == {row["question_id"] for row in guided}
    assert all(len(row["turns"]) == 2 for row in references)


def defined_in(reference: str, name: str) -> Any:
    """The function `name` of the Python block in a reference answer."""
    block = re.search(r"```python\n(.*?)```", reference, re.DOTALL)
    assert block is not None
    names: dict[str, Any] = {}
    exec(block.group(1), names)
    return names[name]


def test_coding_references_run(samples: Path) -> None:
    """The code of the references does what the questions ask, with the results named."""
    references = rows_of(samples / "mt_bench_reference.jsonl")
    turns = {row["question_id"]: row["turns"] for row in references}
    first, second = (defined_in(turn, "longest_word") for turn in turns[5])
    assert [first(text) for text in ("a bb cc", "", "one")] == ["bb", "", "one"]
    assert (second("Wait, really?!"), second("..."), second("")) == ("really", "", "")
    total, stream = (defined_in(turn, "running_total") for turn in turns[13])
    assert total([2, 3, 5]) == list(stream([2, 3, 5])) == [2, 5, 10]


def fields_of(template: str) -> list[str]:
    """The fields that a template is filled in with."""
    return [field for _, field, _, _ in string.Formatter().parse(template) if field]


def test_judge_prompts_fill_with_their_fields_only(samples: Path) -> None:
    """The four judge prompts have FastChat's fields and ask for a rating in double brackets."""
    single, turns = {"question", "answer"}, {"question_1", "question_2", "answer_1", "answer_2"}
    fields = {
        "single-v1": single,
        "single-math-v1": single | {"ref_answer_1"},
        "single-v1-multi-turn": turns,
        "single-math-v1-multi-turn": turns | {"ref_answer_1", "ref_answer_2"},
    }
    prompts = {row["name"]: row for row in rows_of(samples / "mt_bench_judge_prompts.jsonl")}
    assert {name: set(fields_of(row["prompt_template"])) for name, row in prompts.items()} == fields
    for row in prompts.values():
        assert row["type"] == "single" and row["output_format"] == "[[rating]]"
        assert "[[5]]" in row["system_prompt"] + row["prompt_template"]


def test_alpaca_eval_rows_and_judge_prompt(samples: Path) -> None:
    """24 different instructions; the judge prompt is two ChatML messages with its three fields."""
    rows = json.loads((samples / "alpaca_eval_instructions.json").read_text(encoding="utf-8"))
    assert len({row["instruction"] for row in rows}) == len(rows) == 24
    assert all(set(row) == {"dataset", "instruction"} for row in rows)
    prompt = (samples / "alpaca_eval_judge_prompt.txt").read_text(encoding="utf-8")
    messages = re.findall(r"<\|im_start\|>(\w+)\n.*?\n<\|im_end\|>", prompt, re.DOTALL)
    assert messages == ["system", "user"]
    assert fields_of(prompt) == ["instruction", "output_1", "output_2"]


def test_performance_prompts_cover_the_categories_in_turn(samples: Path) -> None:
    """20 prompts; each five cover all categories; summaries are of about 150 words."""
    rows = rows_of(samples / "performance_prompts.jsonl")
    assert [row["category"] for row in rows] == PERFORMANCE_CATEGORIES * 4
    assert len({row["id"] for row in rows}) == len({row["prompt"] for row in rows}) == 20
    for row in rows:
        if row["category"] == "summarisation":
            assert 130 <= len(row["prompt"].split("\n\n", 1)[1].split()) <= 180


def strings_in(value: Any) -> Iterator[str]:
    """Every string inside a JSON value."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            yield from strings_in(item)


def texts_of(folder: Path) -> Iterator[str]:
    """Every text of the data files below a folder."""
    for path in sorted(folder.rglob("*.*")):
        if path.suffix == ".jsonl":
            yield from strings_in(rows_of(path))
        elif path.suffix == ".json":
            yield from strings_in(json.loads(path.read_text(encoding="utf-8")))
        elif path.suffix == ".txt" or (
            path.suffix == ".csv" and path.stem.endswith(("_dev", "_test"))
        ):
            # without the header, which the schema fixes
            yield path.read_text(encoding="utf-8").split("\n", 1)[1]


def eight_grams(text: str) -> set[tuple[str, ...]]:
    """Runs of eight words, without case, punctuation and numbers."""
    words = re.findall(r"[^\W\d]+", text.lower())
    return {tuple(words[i : i + 8]) for i in range(len(words) - 7)}


@pytest.mark.slow
def test_no_text_in_common_with_the_real_data(samples: Path, shared_data: Path) -> None:
    """No run of eight words of a sample is in the real data sets."""
    ours = set().union(*map(eight_grams, texts_of(samples)))
    assert len(ours) > 10_000
    assert [gram for text in texts_of(shared_data) for gram in eight_grams(text) & ours] == []
