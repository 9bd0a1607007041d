"""Tables of a benchmark's parts: groups, subjects, turns, categories, further scores."""

from collections.abc import Mapping
from typing import Any

from lorabench.documents.report import PartTable
from lorabench.documents.score import Scored
from lorabench.scoring.benchmark import ScoredBenchmark

# of AlpacaEval's score: of interest only next to training on such data
WITHOUT_OASST = "without_oasst_instructions"


def part_tables(
    table: ScoredBenchmark, variants: Mapping[str, Scored], oasst: bool
) -> list[PartTable]:
    """Return the tables that have rows.

    Args:
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
    titled = (("groups", groups), ("other scores", others), (table.breakdown_title, breakdown))
    tables: list[PartTable] = [
        {"title": title, "rows": _rows(parts, table.part_titles)} for title, parts in titled
    ]
    return [made for made in tables if made["rows"]]


def _rows(
    parts: Mapping[str, Mapping[str, Any]], titles: Mapping[str, str]
) -> list[dict[str, Any]]:
    """Turn variant -> part -> figures into one row a part."""
    table: dict[str, dict[str, Any]] = {}
    for variant, rows in parts.items():
        for name, part in rows.items():
            title = titles.get(name, name.replace("_", " "))
            row = {"name": name, "title": title, "n": part["n"], "variants": {}}
            cell = {"score": part["score"], "interval": part.get("interval")}
            table.setdefault(name, row)["variants"][variant] = cell
    return list(table.values())
