"""How large an evaluation is, how long it takes and what its judge costs, before anything runs."""

import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lorabench.control.benchmarks import BENCHMARKS, JUDGED, TASKS
from lorabench.control.configuration import source_label
from lorabench.data.benchmark import benchmark_data
from lorabench.files import read_json
from lorabench.scoring.benchmark import RATING, scored_benchmark

# conversations of oasst1's validation split with an answered prompt
OASST1 = 518
# Tokens of a judge's calls: its prompt, an answer of usual length, a published reference, a rating
# with its explanation (see `judging.budget`).
PROMPT_TOKENS, ANSWER_TOKENS, REFERENCE_TOKENS, RATING_TOKENS = 350, 400, 450, 400


def item_count(run: Mapping[str, Any], benchmark: str, resources: Path) -> int | None:
    """Return the items that a run asks of a benchmark, None if only the fetch shows it."""
    entry = run["fetch_benchmark"][benchmark]
    file = resources / benchmark / source_label(entry) / benchmark_data(benchmark).items_file
    section = run["evaluate_task" if benchmark in TASKS else "generate_answers"][benchmark]
    per_subject = section.get("limit_per_subject")
    subjects = section.get("subjects") or []
    if file.is_file():
        with file.open(encoding="utf-8") as lines:
            rows = [json.loads(line) for line in lines]
        counts = Counter(str(row.get("subject", "")) for row in rows)
        kept = [counts[name] for name in counts if not subjects or name in subjects]
        available = sum(min(count, per_subject or count) for count in kept)
    elif entry["kind"] in ("hub", "wheel"):
        table = scored_benchmark(benchmark)
        # published scores of ratings rest on two turns a question
        available = table.items // 2 if table.unit == RATING else table.items
        if per_subject:
            available = min(available, per_subject * (len(subjects) or 57))
    else:
        return None
    return min(available, section.get("limit") or available)


def held_out_count(run: Mapping[str, Any]) -> int | None:
    """Return the held-out conversations of a run, None if only preparing the data shows it."""
    file = Path("results") / run["run"] / "data" / "summary.json"
    if file.is_file():
        return int(read_json(file)["splits"].get("validation", {}).get("kept", 0)) or None
    limit = run["prepare_conversations"]["max_conversations"]
    source = run["fetch_conversations"]
    if (source["kind"], source.get("repo")) != ("hub", "OpenAssistant/oasst1"):
        return None
    return min(OASST1, limit or OASST1)


def judge_cost(run: Mapping[str, Any], benchmark: str, items: int) -> float | None:
    """Return the expected cost of judging one variant in USD.

    None where there is nothing to pay or no price is known.
    """
    section = run[JUDGED[benchmark]]
    judge = section["judge"]
    prices = [judge[f"usd_per_million_{kind}_tokens"] for kind in ("input", "output")]
    if judge["kind"] not in ("openai", "anthropic") or not any(prices):
        return None
    longest = run["generate_answers"][benchmark]["max_new_tokens"]
    answer, output = min(longest, ANSWER_TOKENS), min(section["max_tokens"], RATING_TOKENS)
    if scored_benchmark(benchmark).unit == RATING:
        # the second turn shows both answers
        calls, asked = 2 * items, PROMPT_TOKENS + 1.5 * answer
    else:
        calls = items * (2 if section.get("both_orders") else 1)
        asked = PROMPT_TOKENS + answer + REFERENCE_TOKENS
    return float(calls * (asked * prices[0] + output * prices[1]) / 1e6)


def measured_seconds(work: Path, benchmark: str) -> float | None:
    """Return the seconds that a benchmark's answers took in this run before, all variants.

    None where there are none.

    Args:
        work: results/{run}/work, which has how each part was made.
    """
    rule = "evaluate_task" if benchmark in TASKS else "generate_answers"
    files = sorted((work / rule).glob(f"*/*/*/{benchmark}.json"))
    return sum(read_json(file)["seconds"] for file in files) if files else None


def evaluated(run: Mapping[str, Any]) -> list[str]:
    """Return the benchmarks that a run scores, in the order of the config."""
    return [name for name in run["score_benchmark"]["benchmarks"] if name in BENCHMARKS]
