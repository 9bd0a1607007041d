"""Put the shards of a benchmark's answers together -> results/{run}/answers/{variant}/.

The rows are those that one job would have made, in the order of the questions.
"""

from pathlib import Path
from typing import Any

from lorabench.errors import DataError
from lorabench.files import read_json, read_jsonl, write_json, write_jsonl
from lorabench.job import run_job

SUMS = (
    "questions",
    "turns_truncated",
    "turns_with_less_room",
    "turns_from_store",
    "tokens_computed",
    "seconds",
)
# what shards may differ in; `device` because a cluster's GPUs have different names
FREE = (*SUMS, "device")


def merge_answers(
    *, shards: list[Path], protocols: list[Path], answers: Path, protocol: Path
) -> None:
    """Write all shards' rows and one protocol.

    Args:
        shards: rows (`Answer`) of every shard; `protocols` says how each was made.

    Raises:
        DataError: a question is missing or occurs twice, or shards were made in different ways.
    """
    rows = sorted(
        (row for path in shards for _, row in read_jsonl(path)), key=lambda row: row["index"]
    )
    if [row["index"] for row in rows] != list(range(len(rows))):
        raise DataError(
            f"{shards[0].parent}: the shards do not add up to one benchmark; delete them and run"
            " again"
        )
    made: list[dict[str, Any]] = [read_json(path) for path in protocols]
    different = sorted(
        key
        for key in made[0]
        if key not in FREE and any(one.get(key) != made[0][key] for one in made)
    )
    if different:
        raise DataError(
            f"{shards[0].parent}: the shards were made differently ({', '.join(different)}); delete"
            " them and run again"
        )
    sums = {key: round(sum(one[key] for one in made), 3) for key in SUMS}
    write_jsonl(answers, rows)
    write_json(protocol, made[0] | sums | {"shards": len(shards)})


if __name__ == "__main__":
    run_job(snakemake, merge_answers, unused=("folders", "settings"))
