"""Describe the adapter: training_record.json -> train_metrics.json, run_config.json, README.md.

Nothing is measured here, so that another wording, table or formula never trains again.
"""

from pathlib import Path

from lorabench.description.model_card import imported_card, model_card
from lorabench.description.training import imported, run_config, train_metrics
from lorabench.documents.training_record import Record
from lorabench.files import read_json, write_json, write_text
from lorabench.job import run_job


def describe_adapter(
    *, record: Path, conversations_source: Path, metrics: Path, config: Path, card: Path
) -> None:
    """Write the three files from the record of a training, or of an import."""
    found: Record = read_json(record)
    if found["status"] == "ok":
        trained = train_metrics(found)
        measured, resolved = dict(trained), dict(run_config(found))
        text = model_card(found, trained, read_json(conversations_source))
    else:
        measured = imported(found, "train_metrics")
        resolved = imported(found, "run_config")
        text = imported_card(found)
    write_json(metrics, measured)
    write_json(config, resolved)
    write_text(card, text)


if __name__ == "__main__":
    run_job(snakemake, describe_adapter, unused=("settings",))
