"""Which files of a folder on this machine are inputs of a run: what is read, and nothing else.

A folder is often a git clone, or one where an editor or a library keeps caches. Were they inputs,
`git status` would train an adapter again.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from lorabench.data.models.checkpoint import SUPPORT_FILES
from lorabench.errors import ConfigurationError

# what a checkpoint or an adapter is made of, in its folder itself
CHECKPOINT_FILES = ("*.safetensors", *SUPPORT_FILES)
CACHES = ("__pycache__", "node_modules")
LEFT_BY_PROGRAMS = (".pyc", ".swp", ".tmp", ".part", ".lock", "~")


def local_files(entry: Mapping[str, Any]) -> list[str]:
    """Return the files of a data source of kind `path`, which are inputs of its fetch.

    Raises:
        ConfigurationError: the folder cannot be listed, as /proc, whose content changes meanwhile.
    """
    if entry["kind"] != "path":
        return []
    path = Path(entry["path"])
    try:
        found = [file for file in path.rglob("*") if _counts(file.relative_to(path))]
        return _as_text(found if path.is_dir() else [path])
    except OSError as error:
        raise ConfigurationError(
            f"{path}: cannot be listed ({error.strerror}); expected a folder with data files only"
        ) from error


def checkpoint_inputs(entry: Mapping[str, Any]) -> list[str]:
    """Return the files of a model of kind `path`; an empty list for other kinds."""
    return [] if entry["kind"] != "path" else folder_inputs(entry["path"])


def folder_inputs(folder: str | None) -> list[str]:
    """Return the files of a checkpoint or an adapter in `folder`, [] without a folder."""
    if folder is None:
        return []
    found = {file for pattern in CHECKPOINT_FILES for file in Path(folder).glob(pattern)}
    return _as_text(file for file in found if _counts(file.relative_to(folder)))


def _counts(path: Path) -> bool:
    hidden = any(part.startswith(".") or part in CACHES for part in path.parts)
    return not hidden and not path.name.endswith(LEFT_BY_PROGRAMS)


def _as_text(files: Iterable[Path]) -> list[str]:
    return sorted(str(file) for file in files if file.is_file())
