"""Use an adapter trained elsewhere: its folder -> results/{run}/adapter/.

The same files as train_adapter writes; the record says that training was not run here, and holds
what the folder says about itself, from which describe_adapter makes the describing files. Where the
adapter was trained on another model, or comes with another tokenizer or chat template, the record
and the log say so.
"""

import logging
import shutil
from pathlib import Path
from typing import Any

from lorabench.arguments import Folder
from lorabench.documents.training_record import BroughtFiles, ImportRecord
from lorabench.errors import ConfigurationError, DataError
from lorabench.files import read_json, replacing, write_json
from lorabench.job import run_job
from lorabench.training.adapter.check import check_adapter
from lorabench.training.adapter.folder import CONFIG, WEIGHTS, write_fingerprint
from lorabench.training.adapter.origin import find_remarks

# by this name its warnings reach the terminal, too
logger = logging.getLogger("lorabench.import_adapter")


def import_adapter(*, model: Path, adapter: Folder, settings: dict[str, Any]) -> None:
    """Check the adapter at `settings["path"]` against the base model and copy it.

    Args:
        model: source.json next to the base model's checkpoint.

    Raises:
        ConfigurationError: no path is set.
        DataError: the adapter is not whole or does not fit.
    """
    if not settings["path"]:
        raise ConfigurationError(
            "import_adapter.path: no adapter folder given; set it or ADAPTER_PATH"
        )
    source = Path(settings["path"])
    if faults := check_adapter(source, model.parent):
        raise DataError("; ".join(faults))
    remarks = find_remarks(source, model)
    for remark in remarks:
        logger.warning(remark)
    record: ImportRecord = {
        "schema_version": 1,
        "status": "not_run",
        "reason": f"imported from {source}",
        "path": str(source),
        "remarks": remarks,
        "brought": _brought(source),
    }
    for name in (CONFIG, WEIGHTS):
        with replacing(adapter / name) as temporary:
            shutil.copyfile(source / name, temporary)
    write_json(adapter / "training_record.json", record)
    write_fingerprint(adapter / "fingerprint.json", adapter)


def _brought(source: Path) -> BroughtFiles:
    metrics = source / "train_metrics.json"
    config = source / "run_config.json"
    card = source / "README.md"
    return {
        "train_metrics": read_json(metrics) if metrics.is_file() else None,
        "run_config": read_json(config) if config.is_file() else None,
        "card": card.read_text(encoding="utf-8") if card.is_file() else None,
    }


if __name__ == "__main__":
    run_job(snakemake, import_adapter, unused=("local",))
