"""Scores in a model card's header, as the hub's `model-index` wants them, and as a table.

https://github.com/huggingface/hub-docs/blob/main/modelcard.md
"""

import json
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from lorabench.description.model_card import hub_id
from lorabench.documents.score import Scored
from lorabench.documents.source import SourceRecord
from lorabench.scoring.benchmark import scored_benchmark

HEADER = re.compile(r"\A---\n(.*?)^---\n", re.DOTALL | re.MULTILINE)
# what an earlier export wrote
INDEX = re.compile(r"^model-index:.*\n(?:[ \t-].*\n)*", re.MULTILINE)
TABLE = "\n## Scores\n"


def with_scores(card: str, scores: Sequence[Scored], sources: Mapping[str, SourceRecord]) -> str:
    """Return a card with the scores of its model in place of those that it has.

    A card without a header, as an imported adapter may bring, gets one.

    Args:
        scores: score files of the variant.
        sources: benchmark -> source.json.
    """
    found = HEADER.match(card)
    header, body = (found[1], card[found.end() :]) if found else ("", f"\n{card}")
    title = next((line[2:] for line in body.splitlines() if line.startswith("# ")), "model")
    results = [_result(score, sources.get(score["benchmark"])) for score in scores]
    # JSON is YAML
    index = json.dumps([{"name": title, "results": results}], ensure_ascii=False)
    body = body.partition(TABLE)[0].rstrip("\n") + "\n"
    return f"---\n{INDEX.sub('', header)}model-index: {index}\n---\n{body}{_table(scores)}"


def _result(score: Scored, source: SourceRecord | None) -> dict[str, Any]:
    name = score["benchmark"]
    repository = hub_id(source) if source else None
    dataset: dict[str, Any] = {
        "type": repository or name,
        "name": scored_benchmark(name).title,
        "args": {"protocol": score["protocol"], "n": score["n"]},
    }
    if source and repository and source["revision"]:
        dataset["revision"] = source["revision"]
    error, interval = score["standard_error"], score["interval"]
    uncertainty = {
        "standard_error": None if error is None else round(error, 5),
        "interval": interval and [round(bound, 5) for bound in interval],
        "confidence": score["confidence"],
        "unit": score["unit"],
    }
    metric = {
        "type": score["metric"],
        "name": score["metric"].replace("_", " "),
        "value": round(score["score"], 5),
        "args": uncertainty,
    }
    return {"task": {"type": "text-generation"}, "dataset": dataset, "metrics": [metric]}


def _table(scores: Sequence[Scored]) -> str:
    rows = [
        f"| {scored_benchmark(score['benchmark']).title} | {score['score']:.4g} |"
        f" {format(score['standard_error'] or math.nan, '.2g')} |"
        f" {score['n']:,} | {score['unit']} | {score['protocol']} |"
        for score in scores
    ]
    head = "| benchmark | score | standard error | n | unit | protocol |\n|---|---|---|---|---|---|"
    return "\n".join([TABLE, head, *rows]) + "\n"
