"""MMLU (arXiv 2009.03300): four-way multiple choice, with five worked examples a subject."""

from collections import Counter
from pathlib import Path

from lorabench.data.benchmark import BenchmarkData
from lorabench.data.tables import Row, field, find_files, read_rows, texts
from lorabench.errors import DataError

CHOICES = ("choice0", "choice1", "choice2", "choice3")


def read_mmlu(folder: Path) -> dict[str, list[Row]]:
    """Return dev.jsonl and test.jsonl: rows of id, subject, question, choices (4), answer (0 to 3).

    Reads one CSV a subject (dev/anatomy_dev.csv), the hub's parquet files, or dev.jsonl and
    test.jsonl.

    Raises:
        DataError: a split or a subject's examples are missing, or a row is not four choices and an
            answer.
    """
    splits = {split: _read_split(folder, split) for split in ("dev", "test")}
    without = {row["subject"] for row in splits["test"]} - {row["subject"] for row in splits["dev"]}
    if without:
        raise DataError(
            f"{folder}: no dev questions for {', '.join(sorted(without))}; each subject needs its"
            " examples"
        )
    return {f"{split}.jsonl": rows for split, rows in splits.items()}


def _read_split(folder: Path, split: str) -> list[Row]:
    """Return the canonical rows of one split; ids count within a subject, in source order."""
    tables = (f"{split}/*_{split}.csv", f"*_{split}.csv")
    patterns = (*tables, f"all/{split}-*.parquet", f"{split}-*.parquet", f"{split}.jsonl")
    rows: list[Row] = []
    seen: Counter[str] = Counter()
    for file in find_files(folder, patterns, f"MMLU {split} split"):
        for place, row in read_rows(file):
            if file.suffix == ".csv":
                row = _from_csv(row, file.stem.removesuffix(f"_{split}"), place)
            subject = field(row, "subject", str, place)
            choices, answer = texts(row, "choices", place), field(row, "answer", int, place)
            if len(choices) != 4 or not 0 <= answer <= 3:
                found = f"{len(choices)} choices and answer {answer}"
                raise DataError(
                    f"{place}: expected four choices and an answer from 0 to 3, found {found}"
                )
            rows.append(
                {
                    "id": f"{subject}-{split}-{seen[subject]}",
                    "subject": subject,
                    "question": field(row, "question", str, place),
                    "choices": choices,
                    "answer": answer,
                }
            )
            seen[subject] += 1
    if not rows:
        raise DataError(f"{folder}: the MMLU {split} split is empty")
    return rows


def _from_csv(row: Row, subject: str, place: str) -> Row:
    """Return a CSV row in the hub's form."""
    answer = field(row, "answer", str, place)
    if answer not in ("0", "1", "2", "3"):
        raise DataError(f"{place}: field 'answer': expected 0, 1, 2 or 3, found {answer!r}")
    choices = [field(row, name, str, place) for name in CHOICES]
    return row | {"subject": subject, "choices": choices, "answer": int(answer)}


BENCHMARK = BenchmarkData(
    read=read_mmlu,
    hub_files=("all/dev-*.parquet", "all/test-*.parquet", "README.md"),
    items_file="test.jsonl",
    item_texts=lambda row: (row["id"], [row["question"], *row["choices"]]),
)
