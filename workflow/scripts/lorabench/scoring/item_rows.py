"""Rows of benchmark items: join shards, and pair two variants by item id."""

import math
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from lorabench.documents.item_result import ItemResult
from lorabench.errors import DataError
from lorabench.files import read_jsonl

NAMES = frozenset(field.name for field in fields(ItemResult))


def read_item_results(path: Path) -> list[ItemResult]:
    """Return the rows of one file, in file order.

    Raises:
        DataError: a row lacks a field of ItemResult or has one that it does not know.
    """
    rows = []
    for number, row in read_jsonl(path):
        if set(row) != NAMES:
            raise DataError(
                f"{path}:{number}: expected the fields {sorted(NAMES)}, found {sorted(row)}"
            )
        rows.append(ItemResult(**row))
    return rows


def join_shards(paths: Sequence[Path]) -> list[ItemResult]:
    """Return the rows of all shards, sorted by index, complete from 0.

    Raises:
        DataError: an index is missing or doubled, an id occurs twice, or there is no row at all.
    """
    rows = sorted(
        (row for path in paths for row in read_item_results(path)), key=lambda row: row.index
    )
    names = ", ".join(str(path) for path in paths)
    if not rows:
        raise DataError(f"{names}: no rows; delete the file(s) and run the benchmark again")
    for expected, row in enumerate(rows):
        if row.index != expected:
            fault = "twice" if row.index < expected else f"but not index {expected}"
            raise DataError(
                f"{names}: found index {row.index} {fault}; expected each of 0..{len(rows) - 1}"
                " once"
            )
    seen: dict[str, int] = {}
    for row in rows:
        if row.id in seen:
            raise DataError(
                f"{names}: item id {row.id} at index {seen[row.id]} and {row.index}; expected"
                " unique ids"
            )
        seen[row.id] = row.index
    return rows


def pair_rows(
    reference: Sequence[ItemResult], variant: Sequence[ItemResult]
) -> tuple[list[tuple[ItemResult, ItemResult]], int]:
    """Return the (reference, variant) pairs that both have a score, and how many lack one.

    Raises:
        DataError: the two variants did not see the same items.
    """
    other = {row.id: row for row in variant}
    if {row.id for row in reference} != set(other):
        missing = sorted({row.id for row in reference} ^ set(other))
        raise DataError(
            f"two variants saw different items: {len(missing)} unpaired, the first {missing[0]}"
        )
    pairs = [(row, other[row.id]) for row in reference]
    scored = [pair for pair in pairs if pair[0].score is not None and pair[1].score is not None]
    return scored, len(pairs) - len(scored)


def as_scores(rows: Sequence[ItemResult]) -> list[float]:
    """Return the scores of rows that all have one.

    Raises:
        DataError: a score is no finite number; where right answers are counted it would be a wrong
            one.
    """
    for row in rows:
        if row.score is not None and not math.isfinite(row.score):
            raise DataError(f"item {row.id}: score {row.score}, expected a finite number or null")
    return [float(row.score) for row in rows if row.score is not None]


def detail_text(row: ItemResult, key: str, default: str) -> str:
    """Return a detail of a row as text, `default` where the stage did not write it."""
    value: Any = row.detail.get(key, default)
    return str(value)
