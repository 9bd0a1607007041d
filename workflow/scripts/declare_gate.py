"""Record the gate's margins before there are results: config -> gate_declaration.json.

The first job of a run, which nothing else waits for but the gate itself. Each change of the margins
adds an entry with its time and the results that existed then; entries are never taken away. The
history is kept in results/{run}/work/, because Snakemake deletes a rule's outputs before it runs
again.
"""

from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from lorabench.documents.gate import Declared
from lorabench.files import read_json, write_json
from lorabench.job import run_job
from lorabench.scoring.gate_declaration import declare, existing_results


def declare_gate(
    *, settings: dict[str, Any], history: Path, declaration: Path, declared_at: str | None = None
) -> None:
    """Write the declaration.

    Args:
        history: JSON file of all declarations of this run, extended in place.
        declaration: gate_declaration.json, in the run's folder, which is looked through for results
            that exist already.
        declared_at: UTC, ISO 8601; None = now.
    """
    declared_at = declared_at or datetime.now(UTC).isoformat(timespec="seconds")
    results = existing_results(declaration.parent)
    entries = (
        [Declared(**entry) for entry in read_json(history)["history"]] if history.is_file() else []
    )
    entries = declare(entries, settings, declared_at, results)
    document = {"schema_version": 1, "history": [asdict(entry) for entry in entries]}
    history.parent.mkdir(parents=True, exist_ok=True)
    write_json(history, document)
    write_json(declaration, document)


if __name__ == "__main__":
    run_job(snakemake, declare_gate)
