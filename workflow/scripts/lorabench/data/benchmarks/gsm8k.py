"""GSM8K (arXiv 2110.14168): word problems with worked answers that end in "#### number"."""

import re
from pathlib import Path

from lorabench.data.benchmark import BenchmarkData
from lorabench.data.tables import Row, field, find_files, read_rows
from lorabench.errors import DataError

FINAL_ANSWER = re.compile(r"####\s*-?[$]?[\d.,]*\d")


def read_gsm8k(folder: Path) -> dict[str, list[Row]]:
    """Return train.jsonl and test.jsonl: rows of id, question, answer.

    Raises:
        DataError: a split is missing, or a row has no question, no answer or no final "####
            number".
    """
    return {f"{split}.jsonl": _read_split(folder, split) for split in ("train", "test")}


def _read_split(folder: Path, split: str) -> list[Row]:
    """Return the canonical rows of one split."""
    patterns = (f"{split}.jsonl", f"main/{split}-*.parquet", f"{split}-*.parquet")
    rows: list[Row] = []
    for file in find_files(folder, patterns, f"GSM8K {split} split"):
        for place, row in read_rows(file):
            answer = field(row, "answer", str, place)
            if not FINAL_ANSWER.search(answer):
                raise DataError(
                    f"{place}: field 'answer': expected a worked answer that ends in '#### number'"
                )
            question = field(row, "question", str, place)
            rows.append(
                {"id": f"gsm8k-{split}-{len(rows)}", "question": question, "answer": answer}
            )
    if not rows:
        raise DataError(f"{folder}: the GSM8K {split} split is empty")
    return rows


BENCHMARK = BenchmarkData(
    read=read_gsm8k,
    hub_files=("main/train-*.parquet", "main/test-*.parquet", "README.md"),
    items_file="test.jsonl",
    item_texts=lambda row: (row["id"], [row["question"], row["answer"]]),
)
