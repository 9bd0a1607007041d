"""Prepare the conversations: flat messages -> results/{run}/data/.

One top-ranked path a tree, the source's own split or one by hash, optional filters, clean text.
audit.jsonl says of every tree why it was kept or dropped; summary.json counts that and holds the
content hashes of the two data files.
"""

import logging
from dataclasses import asdict
from pathlib import Path
from typing import Any

from lorabench.data.conversations.preparation import prepare, summarise
from lorabench.data.settings import PreparationSettings
from lorabench.documents.summary import DataSummary
from lorabench.files import read_jsonl, sha256_file, write_json, write_jsonl
from lorabench.job import run_job

# by this name its warnings reach the terminal, too
logger = logging.getLogger("lorabench.prepare_conversations")


def prepare_conversations(
    *,
    messages: Path,
    train: Path,
    validation: Path,
    audit: Path,
    summary: Path,
    settings: dict[str, Any],
) -> None:
    """Write the conversations of both splits, the audit and the summary."""
    prepared = prepare((row for _, row in read_jsonl(messages)), PreparationSettings(**settings))
    write_jsonl(train, map(asdict, prepared.train))
    write_jsonl(validation, map(asdict, prepared.validation))
    write_jsonl(audit, map(asdict, prepared.audit))
    hashes = {path.name: sha256_file(path) for path in (train, validation)}
    counts = summarise(prepared)
    document: DataSummary = {"schema_version": 1, **counts, "sha256": hashes}
    write_json(summary, document)
    for remark in counts["remarks"]:
        logger.warning(remark)
    logger.info(
        "%d training and %d validation conversations", len(prepared.train), len(prepared.validation)
    )


if __name__ == "__main__":
    run_job(snakemake, prepare_conversations)
