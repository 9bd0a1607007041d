"""AlpacaEval (arXiv 2404.04475): instructions with a model's outputs, and the judge's prompt."""

from pathlib import Path

from lorabench.data.benchmark import BenchmarkData, JudgePrompt
from lorabench.data.tables import Row, field, find_files, optional, read_rows
from lorabench.errors import DataError

BASELINE = "alpaca_eval_gpt4_baseline.json"
PATTERNS = (BASELINE, "reference_outputs*.json", "instructions.json", "*.json")
SLOTS = ("{instruction}", "{output_1}", "{output_2}")


def read_alpaca_eval(path: Path) -> dict[str, list[Row]]:
    """Return instructions.jsonl: id, dataset, instruction, reference_output, reference_generator.

    The last two are null where the source has no reference outputs. The order of the source is
    kept: the difficulty terms of the length-controlled win rate go by position.

    Raises:
        DataError: no such file, several candidates, or a row without an instruction.
    """
    rows: list[Row] = []
    for place, row in read_rows(_find_file(path)):
        rows.append(
            {
                "id": f"alpaca-{len(rows)}",
                "dataset": field(row, "dataset", str, place),
                "instruction": field(row, "instruction", str, place),
                "reference_output": optional(row, "output", str, place),
                "reference_generator": optional(row, "generator", str, place),
            }
        )
    if not rows:
        raise DataError(f"{path}: no instructions")
    return {"instructions.jsonl": rows}


def _find_file(path: Path) -> Path:
    """Return the data file that `path` is or holds."""
    if not path.is_dir():
        return path
    found = find_files(path, PATTERNS, "AlpacaEval instructions")
    if len(found) > 1:
        raise DataError(
            f"{path}: several files ({', '.join(file.name for file in found)}); point `path` at one"
            " of them"
        )
    return found[0]


def read_judge_prompt(path: Path) -> str:
    """Return the text of the judge's prompt.

    Raises:
        DataError: no such file, or a slot for the instruction or an output is missing.
    """
    if not path.is_file():
        raise DataError(f"{path}: no such file")
    text = path.read_text(encoding="utf-8")
    missing = [slot for slot in SLOTS if slot not in text]
    if missing:
        raise DataError(f"{path}: no {', '.join(missing)} in the judge's prompt")
    return text


BENCHMARK = BenchmarkData(
    read=read_alpaca_eval,
    hub_files=(BASELINE, "README.md"),
    items_file="instructions.jsonl",
    item_texts=lambda row: (row["id"], [row["instruction"]]),
    judge_prompt=JudgePrompt(file="judge_prompt.txt", read=read_judge_prompt),
)
