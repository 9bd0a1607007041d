"""What an export or an import must not replace: files of the user, and adapters trained here."""

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from lorabench.files import read_json
from lorabench.publishing import exported_files


def find_foreign_files(folder: Path, names: Iterable[str]) -> list[str]:
    """Return one line where an export would replace files that no export wrote.

    Snakemake would remove them before the job.
    """
    known = exported_files(folder)
    foreign = sorted(name for name in names if os.path.lexists(folder / name) and name not in known)
    if not foreign:
        return []
    return [
        f"export_adapter.folder: {folder} has {', '.join(foreign)} that no earlier export wrote;"
        " choose another folder (LORA_OUTPUT_DIR), or move them away"
    ]


def find_replaced_adapters(
    runs: Mapping[str, Mapping[str, Any]], importing: Iterable[str]
) -> list[str]:
    """Return one line for each run that would import an adapter over one that was trained in it."""
    return [
        f"run {name!r} holds an adapter that was trained here, and import_adapter.path"
        f" {runs[name]['import_adapter']['path']!r} would replace it: give the run another name"
        " (run: NAME)"
        for name in sorted(importing)
        if _trained_here(Path("results") / name / "adapter" / "training_record.json")
    ]


def _trained_here(record: Path) -> bool:
    return record.is_file() and read_json(record).get("status") != "not_run"
