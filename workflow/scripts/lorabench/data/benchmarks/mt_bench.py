"""MT-Bench (arXiv 2306.05685): two-turn questions, judge prompts and reference answers."""

from pathlib import Path

from lorabench.data.benchmark import BenchmarkData, JudgePrompt
from lorabench.data.tables import Row, field, find_files, read_rows, texts
from lorabench.errors import DataError

REFERENCES = (
    *("reference_gpt-4.jsonl", "reference_answer/gpt-4.jsonl"),
    *("reference.jsonl", "reference_answer/*.jsonl"),
)
NEEDED_PROMPTS = {
    *("single-v1", "single-math-v1"),
    *("single-v1-multi-turn", "single-math-v1-multi-turn"),
}


def read_mt_bench(folder: Path) -> dict[str, list[Row]]:
    """Return the rows of question.jsonl and of reference.jsonl.

    Raises:
        DataError: a file is missing, a question has not two turns, or a reference answers no
            question.
    """
    questions = [
        {
            "question_id": _id(row, place),
            "category": field(row, "category", str, place),
            "turns": _turns(row, place),
        }
        for file in find_files(folder, ("question.jsonl",), "MT-Bench questions")
        for place, row in read_rows(file)
    ]
    known = {question["question_id"] for question in questions}
    references = []
    files = find_files(folder, REFERENCES, "MT-Bench reference answers")
    if len(files) > 1:
        raise DataError(
            f"{folder}: several reference answers ({', '.join(file.name for file in files)});"
            " keep one"
        )
    for place, row in read_rows(files[0]):
        if _id(row, place) not in known:
            raise DataError(
                f"{place}: field 'question_id': {row['question_id']} is not in question.jsonl"
            )
        turns = _reference_turns(row, place)
        references.append({"question_id": row["question_id"], "turns": turns})
    return {"question.jsonl": questions, "reference.jsonl": references}


def read_judge_prompts(path: Path) -> list[Row]:
    """Return the rows of a judge_prompts.jsonl, unchanged.

    Raises:
        DataError: the file or one of the prompts of single-answer grading is missing.
    """
    prompts = []
    for place, row in read_rows(path):
        for name in ("name", "type", "system_prompt", "prompt_template", "output_format"):
            field(row, name, str, place)
        prompts.append(row)
    if missing := NEEDED_PROMPTS - {prompt["name"] for prompt in prompts}:
        raise DataError(f"{path}: no prompt named {', '.join(sorted(missing))}")
    return prompts


def _id(row: Row, place: str) -> int:
    return field(row, "question_id", int, place)


def _turns(row: Row, place: str) -> list[str]:
    turns = texts(row, "turns", place)
    if len(turns) != 2:
        raise DataError(f"{place}: field 'turns': expected 2 turns, found {len(turns)}")
    return turns


def _reference_turns(row: Row, place: str) -> list[str]:
    """Return both turns' reference answers, from FastChat's answer schema or the plain one."""
    if "choices" in row:
        choices = field(row, "choices", list, place)
        if not choices or not isinstance(choices[0], dict):
            raise DataError(f"{place}: field 'choices': expected a list with one object")
        return _turns(choices[0], f"{place}: choices[0]")
    return _turns(row, place)


BENCHMARK = BenchmarkData(
    read=read_mt_bench,
    hub_files=("question.jsonl", "judge_prompts.jsonl", "reference*", "README.md"),
    items_file="question.jsonl",
    item_texts=lambda row: (str(row["question_id"]), row["turns"]),
    judge_prompt=JudgePrompt(file="judge_prompts.jsonl", read=read_judge_prompts),
)
