"""The sample data: schemas, counts, balance, answers worked out again."""

import csv
import json
import math
import re
import string
from collections import Counter
from collections.abc import Iterator
from fractions import Fraction
from itertools import permutations, product
from pathlib import Path
from typing import Any

import pytest

from lorabench.files import read_jsonl

MMLU_GROUPS = {
    "elementary_mathematics": "STEM",
    "high_school_biology": "STEM",
    "high_school_geography": "social sciences",
    "nutrition": "other",
    "philosophy": "humanities",
    "world_religions": "humanities",
}
MT_BENCH_CATEGORIES = {
    "writing",
    "roleplay",
    "reasoning",
    "math",
    "coding",
    "extraction",
    "stem",
    "humanities",
}
PERFORMANCE_CATEGORIES = [
    "code_generation",
    "mathematical_reasoning",
    "creative_writing",
    "question_answering",
    "summarisation",
]
NUMBER_WORDS = {
    "three": 3,
    "third": 3,
    "thirds": 3,
    "four": 4,
    "quarter": 4,
    "five": 5,
    "percent": 100,
}
ANNOTATION = re.compile(r"<<([^=<>]+)=([^<>]+)>>([\d.]+)")


def rows_of(path: Path) -> list[dict[str, Any]]:
    """Rows of a JSONL file."""
    return [row for _, row in read_jsonl(path)]


def mmlu_rows(samples: Path, subject: str, split: str) -> list[dict[str, str]]:
    """Rows of one subject's CSV file."""
    with (samples / "mmlu" / f"{subject}_{split}.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


# --- word problems ---


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


def test_each_step_uses_known_numbers(samples: Path) -> None:
    """A number in a step is in the question, an earlier result, or 1 or 2."""
    for row in rows_of(samples / "gsm8k_test.jsonl"):
        known = {1.0, 2.0} | {float(number) for number in re.findall(r"\d+", row["question"])}
        known |= {
            float(NUMBER_WORDS.get(word, 1))
            for word in re.findall(r"[a-z]+", row["question"].lower())
        }
        for expression, result, _ in ANNOTATION.findall(row["answer"]):
            numbers = {float(number) for number in re.findall(r"\d+", expression)}
            assert numbers <= known, row["question"]
            known.add(float(result))


def test_first_word_problems_span_easy_to_hard(samples: Path) -> None:
    """Steps grow towards the end; the first 16 problems have one, two and more."""
    steps = [row["answer"].count("<<") for row in rows_of(samples / "gsm8k_test.jsonl")]
    assert {1, 2} < set(steps[:16])
    assert sum(steps[:20]) < sum(steps[20:40]) < sum(steps[40:])


# --- multiple choice ---


@pytest.mark.parametrize("subject", sorted(MMLU_GROUPS))
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


def test_subjects_are_the_files_and_cover_the_four_groups(samples: Path) -> None:
    """The folder holds exactly the six subjects, and each of MMLU's groups has one."""
    assert {path.name for path in (samples / "mmlu").iterdir()} == {
        f"{subject}_{split}.csv" for subject in MMLU_GROUPS for split in ("dev", "test")
    }
    assert len(set(MMLU_GROUPS.values())) == 4


def value_of(question: str) -> Fraction:
    """The number that an elementary mathematics question asks for."""
    fixed: dict[str, int | Fraction] = {
        "Which number is the largest?": 91,
        "Which number comes next: 2, 4, 6, 8, ?": 8 + 2,
        "How many sides does a triangle have?": 3,
        "How many minutes are in two hours?": 2 * 60,
        "Which fraction is equal to 0.75?": Fraction("0.75"),
        "A rectangle is 8 cm long and 5 cm wide. What is its area in square cm?": 8 * 5,
        "What is the value of x if 3x + 4 = 19?": Fraction(19 - 4, 3),
        "Divide 47 by 6. What is left over?": 47 % 6,
        "What is the sum of 2/3 and 1/6?": Fraction(2, 3) + Fraction(1, 6),
    }
    if question in fixed:
        return Fraction(fixed[question])
    expression = question.removeprefix("What is ").removesuffix("?")
    symbols = {
        "half of": "1/2*",
        "one quarter of": "1/4*",
        "percent of": "/100*",
        "divided by": "/",
        "x": "*",
    }
    for phrase, symbol in symbols.items():
        expression = expression.replace(phrase, symbol)
    assert re.fullmatch(r"[\d+*/(). -]+", expression), question
    return Fraction(eval(expression)).limit_denominator(1000)


def test_arithmetic_choices_hold_the_value_once(samples: Path) -> None:
    """In elementary mathematics the marked choice, and no other, is the number asked for."""
    for row in mmlu_rows(samples, "elementary_mathematics", "dev") + mmlu_rows(
        samples, "elementary_mathematics", "test"
    ):
        matching = [
            str(i) for i in range(4) if Fraction(row[f"choice{i}"]) == value_of(row["question"])
        ]
        assert matching == [row["answer"]], row["question"]


# --- judged benchmarks ---


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
    wanted = {
        row["question_id"]
        for row in questions
        if row["category"] in {"math", "reasoning", "coding"}
    }
    references = rows_of(samples / "mt_bench_reference.jsonl")
    assert {row["question_id"] for row in references} == wanted
    assert all(len(row["turns"]) == 2 for row in references)


def test_math_and_reasoning_references_are_right(samples: Path) -> None:
    """The figures and orders of the references follow when they are worked out by brute force."""
    turns = {
        row["question_id"]: row["turns"] for row in rows_of(samples / "mt_bench_reference.jsonl")
    }
    ahead = [("Ada", "Bo"), ("Bo", "Cy"), ("Cy", "Di"), ("Ed", "Ada")]
    runners = ["Ada", "Bo", "Cy", "Di", "Ed"]
    orders = [
        o
        for o in permutations(runners)
        if all(o.index(first) < o.index(second) for first, second in ahead)
    ]
    assert len(orders) == 1 and ", ".join(orders[0]) in turns[3][0]
    place = orders[0].index("Cy")
    overtaken = [*orders[0][: place - 1], "Cy", orders[0][place - 1], *orders[0][place + 1 :]]
    assert ", ".join(overtaken) in turns[3][1]
    assert (
        f"diagonal is {math.hypot(12, 5):.0f} cm" in turns[4][0]
        and f"= {12 * 5} square cm" in turns[4][0]
    )
    assert f"= {math.hypot(24, 10):.0f} cm" in turns[4][1]
    no_pair = max(sum(taken) for taken in product(range(5), range(4), range(3)) if max(taken) <= 1)
    no_green = max(sum(taken) for taken in product(range(5), range(4)))
    assert (
        f"take out {no_pair + 1} socks" in turns[11][0]
        and f"take out {no_green + 1} socks" in turns[11][1]
    )
    low, middle, high = next((n - 1, n, n + 1) for n in range(72) if 3 * n == 72)
    assert f"{low}, {middle} and {high}" in turns[12][0]
    assert (
        f"product is {low} * {high} = {low * high}" in turns[12][1]
        and f"= {middle**2}" in turns[12][1]
    )


def defined_in(reference: str, name: str) -> Any:
    """The function `name` of the Python block in a reference answer."""
    block = re.search(r"```python\n(.*?)```", reference, re.DOTALL)
    assert block is not None
    names: dict[str, Any] = {}
    exec(block.group(1), names)
    return names[name]


def test_coding_references_run(samples: Path) -> None:
    """The code of the references does what the questions ask, with the results named."""
    turns = {
        row["question_id"]: row["turns"] for row in rows_of(samples / "mt_bench_reference.jsonl")
    }
    first, second = (defined_in(turn, "longest_word") for turn in turns[5])
    assert [first(text) for text in ("a bb cc", "", "one")] == ["bb", "", "one"]
    assert (second("Wait, really?!"), second("..."), second("")) == ("really", "", "")
    total, stream = (defined_in(turn, "running_total") for turn in turns[13])
    assert total([2, 3, 5]) == list(stream([2, 3, 5])) == [2, 5, 10]


def test_judge_prompts_fill_with_their_fields_alone(samples: Path) -> None:
    """The four judge prompts have FastChat's fields and ask for a rating in double brackets."""
    single, turns = {"question", "answer"}, {"question_1", "question_2", "answer_1", "answer_2"}
    fields = {
        "single-v1": single,
        "single-math-v1": single | {"ref_answer_1"},
        "single-v1-multi-turn": turns,
        "single-math-v1-multi-turn": turns | {"ref_answer_1", "ref_answer_2"},
    }
    prompts = {row["name"]: row for row in rows_of(samples / "mt_bench_judge_prompts.jsonl")}
    assert set(prompts) == set(fields)
    for name, row in prompts.items():
        assert {
            field for _, field, _, _ in string.Formatter().parse(row["prompt_template"]) if field
        } == fields[name]
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
    fields = [field for _, field, _, _ in string.Formatter().parse(prompt) if field]
    assert fields == ["instruction", "output_1", "output_2"]


def test_performance_prompts_cover_the_categories_in_turn(samples: Path) -> None:
    """20 prompts; each five cover all categories; summaries are of about 150 words."""
    rows = rows_of(samples / "performance_prompts.jsonl")
    assert [row["category"] for row in rows] == PERFORMANCE_CATEGORIES * 4
    assert len({row["id"] for row in rows}) == len({row["prompt"] for row in rows}) == 20
    for row in rows:
        if row["category"] == "summarisation":
            assert 130 <= len(row["prompt"].split("\n\n", 1)[1].split()) <= 180


# --- all files ---


def strings_in(value: Any) -> Iterator[str]:
    """Every string inside a JSON value."""
    if isinstance(value, str):
        yield value
    for item in (
        value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    ):
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
            yield path.read_text(encoding="utf-8").split("\n", 1)[
                1
            ]  # without the header, which the schema fixes


def eight_grams(text: str) -> set[tuple[str, ...]]:
    """Runs of eight words, without case, punctuation and numbers."""
    words = re.findall(r"[^\W\d]+", text.lower())
    return {tuple(words[i : i + 8]) for i in range(len(words) - 7)}


def test_no_question_appears_twice(samples: Path) -> None:
    """Prompts, problems, questions and instructions are different in all files together."""
    questions = [tree["prompt"]["text"] for tree in rows_of(samples / "oasst_trees.jsonl")]
    questions += [
        row["question"]
        for split in ("train", "test")
        for row in rows_of(samples / f"gsm8k_{split}.jsonl")
    ]
    for subject in MMLU_GROUPS:
        questions += [
            row["question"]
            for split in ("dev", "test")
            for row in mmlu_rows(samples, subject, split)
        ]
    questions += [
        turn for row in rows_of(samples / "mt_bench_question.jsonl") for turn in row["turns"]
    ]
    questions += [row["prompt"] for row in rows_of(samples / "performance_prompts.jsonl")]
    questions += [
        row["instruction"]
        for row in json.loads((samples / "alpaca_eval_instructions.json").read_text())
    ]
    assert [
        question for question, count in Counter(map(str.lower, questions)).items() if count > 1
    ] == []


@pytest.mark.slow
def test_no_text_in_common_with_the_real_data(samples: Path, shared_data: Path) -> None:
    """No run of eight words of a sample stands in the real data sets."""
    ours = set().union(*map(eight_grams, texts_of(samples)))
    assert len(ours) > 10_000
    assert [gram for text in texts_of(shared_data) for gram in eight_grams(text) & ours] == []
