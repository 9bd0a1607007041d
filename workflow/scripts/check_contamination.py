"""Check contamination: training conversations, benchmark items -> data/contamination.json.

For each benchmark and each n: how many of its scored items share a run of n words with a training
conversation, and which. An overlap does not prove that the model learned the item; it marks items
whose score needs a second look.
"""

import logging
from pathlib import Path
from typing import Any

from tqdm import tqdm

from lorabench.data.benchmark import benchmark_data
from lorabench.data.contamination import benchmark_items, overlap
from lorabench.documents.contamination import BenchmarkOverlap, Contamination
from lorabench.files import read_jsonl, write_json
from lorabench.job import run_job

logger = logging.getLogger(__name__)


def check_contamination(
    *, train: Path, benchmarks: list[Path], contamination: Path, settings: dict[str, Any]
) -> None:
    """Write the overlap of each benchmark with the training conversations.

    Args:
        benchmarks: source.json of each benchmark, in resources/benchmarks/{benchmark}/{source}/.
        settings: `ngrams`, the lengths to compare, in words.
    """
    conversations = [
        (row["id"], [message["content"] for message in row["messages"]])
        for _, row in read_jsonl(train)
    ]
    overlaps_of: dict[str, BenchmarkOverlap] = {}
    for source in tqdm(benchmarks, desc="contamination", mininterval=1):
        benchmark = source.parent.parent.name
        table = benchmark_data(benchmark)
        rows = [row for _, row in read_jsonl(source.parent / table.items_file)]
        items = benchmark_items(rows, table.item_texts)
        overlaps = {str(n): overlap(conversations, items, n) for n in settings["ngrams"]}
        overlaps_of[benchmark] = {"items": len(items), "by_ngram_words": overlaps}
        logger.info(
            "%s: %s", benchmark, {n: len(found["overlapping"]) for n, found in overlaps.items()}
        )
    document: Contamination = {
        "schema_version": 1,
        "conversations": len(conversations),
        "benchmarks": overlaps_of,
    }
    write_json(contamination, document)


if __name__ == "__main__":
    run_job(snakemake, check_contamination)
