"""Read rows of data files in public formats, each with the place that an error message names."""

import csv
import gzip
import json
import re
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lorabench.errors import DataError

Row = dict[str, Any]
TYPE_NAMES = {str: "text", int: "an integer", list: "a list", dict: "an object"}
TYPE_NAMES |= {bool: "true or false"}


def read_rows(path: Path) -> Iterator[tuple[str, Row]]:
    """Yield (place, row) of a JSON Lines, JSON, CSV or parquet file.

    A place is "file:line", or "file: row n" (from 1) where a format has no lines.

    Raises:
        DataError: no such file, unknown format, not UTF-8, not JSON, or a row is no object.
    """
    if not path.is_file():
        raise DataError(f"{path}: no such file")
    name = path.name.removesuffix(".gz")
    try:
        if name.endswith(".jsonl"):
            yield from _json_lines(path)
        elif name.endswith(".json"):
            yield from _json_list(path)
        elif name.endswith(".csv"):
            yield from _csv_rows(path)
        elif name.endswith(".parquet"):
            yield from _parquet_rows(path)
        else:
            raise DataError(f"{path}: expected a .jsonl, .jsonl.gz, .json, .csv or .parquet file")
    except (UnicodeDecodeError, csv.Error, OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path}: cannot be read ({error})") from None


def _json_lines(path: Path) -> Iterator[tuple[str, Row]]:
    open_file = gzip.open if path.suffix == ".gz" else open
    with open_file(path, "rb") as file:
        for number, line in enumerate(file, start=1):
            place = f"{path}:{number}"
            try:
                text = line.decode("utf-8-sig" if number == 1 else "utf-8")
            except UnicodeDecodeError as error:
                raise DataError(
                    f"{place}: not UTF-8 (byte {error.start + 1} of the line); save it as UTF-8"
                ) from None
            if text.strip():
                yield _as_row(_parse(text, place), place)


def _json_list(path: Path) -> Iterator[tuple[str, Row]]:
    text = path.read_text(encoding="utf-8-sig")
    # JSON Lines under the name of JSON: an object a line
    if re.match(r"\s*\{[^\n]*\}\s*\n\s*\{", text):
        yield from _json_lines(path)
        return
    values = _parse(text, str(path))
    if not isinstance(values, list):
        raise DataError(f"{path}: expected a JSON list of objects, found {type(values).__name__}")
    for number, value in enumerate(values, start=1):
        yield _as_row(value, f"{path}: row {number}")


def _csv_rows(path: Path) -> Iterator[tuple[str, Row]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.DictReader(file)
        for row in reader:
            if None in row:
                raise DataError(f"{path}:{reader.line_num}: more columns than the header names")
            yield f"{path}:{reader.line_num}", row


def _parquet_rows(path: Path) -> Iterator[tuple[str, Row]]:
    # here, because the check before a run reads no parquet as a rule
    from pyarrow import ArrowException, parquet

    try:
        batches = parquet.ParquetFile(path).iter_batches(batch_size=1000)
        rows = (row for batch in batches for row in batch.to_pylist())
        for number, row in enumerate(rows, start=1):
            yield f"{path}: row {number}", row
    except ArrowException as error:
        raise DataError(f"{path}: not a readable parquet file ({error})") from None


def _parse(text: str, place: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        line = f", line {error.lineno}" if error.lineno > 1 else ""
        raise DataError(f"{place}: not JSON ({error.msg}{line})") from None
    except RecursionError:
        raise DataError(f"{place}: JSON nested too deeply to be read") from None
    except ValueError as error:
        # an integer of thousands of digits
        raise DataError(f"{place}: JSON that cannot be read ({error})") from None


def _as_row(value: Any, place: str) -> tuple[str, Row]:
    if not isinstance(value, dict):
        raise DataError(f"{place}: expected a JSON object, found {type(value).__name__}")
    return place, value


def field(row: Row, name: str, kind: type, place: str) -> Any:
    """Return `row[name]`, which must be of type `kind`; text must be storable as UTF-8.

    Raises:
        DataError: the field is missing or of another type.
    """
    if name not in row:
        raise DataError(
            f"{place}: field {name!r} is missing; found {', '.join(map(str, row)) or 'nothing'}"
        )
    value = row[name]
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise DataError(
            f"{place}: field {name!r}: expected {TYPE_NAMES[kind]}, found {value!r:.60}"
        )
    if isinstance(value, str):
        try:
            value.encode("utf-8")
        except UnicodeEncodeError:
            raise DataError(
                f"{place}: field {name!r}: half of a surrogate pair is not text"
            ) from None
    return value


def optional(row: Row, name: str, kind: type, place: str) -> Any:
    """Return `field(row, name, …)`, or None where it is missing or null."""
    return None if row.get(name) is None else field(row, name, kind, place)


def texts(row: Row, name: str, place: str) -> list[str]:
    """Return `row[name]`, which must be a non-empty list of texts."""
    values = field(row, name, list, place)
    if not values or not all(isinstance(value, str) for value in values):
        raise DataError(f"{place}: field {name!r}: expected a list of texts, found {values!r:.60}")
    return values


def find_files(folder: Path, patterns: tuple[str, ...], what: str) -> list[Path]:
    """Return the files of `folder` that match the first pattern with any match, sorted by name.

    Raises:
        DataError: nothing matches; the message says that `what` was looked for.
    """
    for pattern in patterns:
        found = sorted(file for file in folder.glob(pattern) if file.is_file())
        if found:
            return found
    raise DataError(f"{folder}: no {what}; expected one of {', '.join(patterns)}")
