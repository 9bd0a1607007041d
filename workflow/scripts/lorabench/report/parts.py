"""Tables of a benchmark's parts: MMLU groups and subjects, MT-Bench turns and categories, further
scores."""

from collections.abc import Mapping
from typing import Any

# of AlpacaEval's score: of interest only beside training on such data
WITHOUT_OASST = "without_oasst_instructions"
TITLES = {
    "mmlu": "subjects",
    "mt_bench": "turns and categories",
    "alpaca_eval": "sources of the instructions",
}


def part_tables(
    benchmark: str, variants: Mapping[str, Mapping[str, Any]], oasst: bool
) -> list[dict[str, Any]]:
    """Return non-empty tables {"title", "rows": [{"name", "n", "variants": {variant: {"score",
    "interval"}}}]}.

    Args:
        benchmark: its name.
        variants: variant -> score file content, only those that ran.
        oasst: the training conversations come from OpenAssistant, as some of AlpacaEval's
            instructions do.
    """
    groups = {variant: score["secondary"].get("groups", {}) for variant, score in variants.items()}
    breakdown = {variant: score["breakdown"] for variant, score in variants.items()}
    others = {
        variant: {
            key: part
            for key, part in score["secondary"].items()
            if "score" in part and (oasst or key != WITHOUT_OASST)
        }
        for variant, score in variants.items()
    }
    titled = (
        ("groups", groups),
        ("other scores", others),
        (TITLES.get(benchmark, "parts"), breakdown),
    )
    tables = [{"title": title, "rows": _rows(parts)} for title, parts in titled]
    return [table for table in tables if table["rows"]]


def _rows(parts: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Turn variant -> part -> figures into one row a part."""
    names = dict.fromkeys(name for rows in parts.values() for name in rows)
    table = []
    for name in names:
        found = {variant: rows[name] for variant, rows in parts.items() if name in rows}
        cells = {
            variant: {"score": part["score"], "interval": part.get("interval")}
            for variant, part in found.items()
        }
        table.append({"name": name, "n": next(iter(found.values()))["n"], "variants": cells})
    return table
