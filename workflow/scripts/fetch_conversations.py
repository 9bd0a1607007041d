"""Fetch the conversations: a source of the config -> resources/conversations/{source}/.

Whatever the schema of the source (trees, flat messages, plain conversations), the result is flat
messages in source order, one a line, without user ids. Which of them become training text is
decided later, by prepare_conversations.
"""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from lorabench.data.conversations.formats import AUTO
from lorabench.data.conversations.reading import (
    HUB_FILES,
    MORE_HUB_FILES,
    check_trees,
    holds_data,
    read_messages,
)
from lorabench.data.sources.download import fetch_source
from lorabench.data.sources.source import HubSource, parse_source, write_record
from lorabench.files import read_jsonl, write_jsonl
from lorabench.job import run_job
from lorabench.staging import staging_folder


def fetch_conversations(*, samples: Path, source: Path, settings: dict[str, Any]) -> None:
    """Publish messages.jsonl next to `source` (source.json).

    Args:
        samples: the project's own conversation trees, the built-in source.
        settings: the source of the config, see `lorabench.data.sources.source`, and `format`, see
            `lorabench.data.conversations.formats`.
    """
    form = settings.get("format", AUTO)
    origin = parse_source({key: value for key, value in settings.items() if key != "format"})
    with staging_folder(source) as staging:
        with TemporaryDirectory(dir=staging) as scratch:
            for hub_files in (HUB_FILES, MORE_HUB_FILES):
                path, licence = fetch_source(
                    origin, built_in=samples, hub_files=hub_files, scratch=Path(scratch)
                )
                if not isinstance(origin, HubSource) or holds_data(path):
                    break
            rows = write_jsonl(staging / "messages.jsonl", read_messages(path, form))
        check_trees(origin, (row for _, row in read_jsonl(staging / "messages.jsonl")))
        write_record(origin, staging, rows={"messages.jsonl": rows}, licence=licence)


if __name__ == "__main__":
    run_job(snakemake, fetch_conversations, unused=("local", "messages"))
