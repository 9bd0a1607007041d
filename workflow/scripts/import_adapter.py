"""Use an adapter trained elsewhere: its folder -> results/{run}/adapter/, after checking that it
fits the base model.

The same files as train_adapter writes; train_metrics.json and run_config.json are copied where the
folder has them and otherwise say that training was not run here.
"""

import shutil
from pathlib import Path
from typing import Any

from lorabench.arguments import Folder
from lorabench.errors import ConfigurationError, DataError
from lorabench.files import read_json, write_beside, write_json, write_text
from lorabench.job import run_job
from lorabench.training.adapter.check import check_adapter
from lorabench.training.adapter.fingerprint import CONFIG, WEIGHTS, write_fingerprint


def import_adapter(*, model: Path, adapter: Folder, settings: dict[str, Any]) -> None:
    """Check the adapter at `settings["path"]` against the base model and copy it.

    Args:
        model: source.json beside the base model's checkpoint.
        adapter: folder of the outputs.
        settings: the config section.

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
    for name in (CONFIG, WEIGHTS):
        with write_beside(adapter / name) as temporary:
            shutil.copyfile(source / name, temporary)
    for name in ("train_metrics.json", "run_config.json"):
        found = source / name
        absent = {"schema_version": 1, "status": "not_run", "reason": f"imported from {source}"}
        write_json(adapter / name, read_json(found) if found.is_file() else absent)
    card = source / "README.md"
    about = f"# Imported adapter\n\nCopied from {source}; no card came with it.\n"
    write_text(adapter / "README.md", card.read_text(encoding="utf-8") if card.is_file() else about)
    write_fingerprint(adapter / "fingerprint.json", adapter)


if __name__ == "__main__":
    run_job(snakemake, import_adapter, unused=("local",))
