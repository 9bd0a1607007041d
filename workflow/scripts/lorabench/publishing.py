"""Put copies of result files where users look for them, large ones as hard links."""

import os
import shutil
from collections.abc import Iterable
from pathlib import Path

from lorabench.files import read_json, replacing, write_json

# Snakemake touches the outputs of a finished job. A linked file is touched in its source folder
# too, and rules that read it there would run again; only weights are large enough to link, and
# other rules read their fingerprint instead.
LINK_FROM_BYTES = 16 * 2**20
# What an export takes from the base model's folder; the first two are always there.
TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "chat_template.jinja",
    "tokenizer.model",
    "vocab.json",
    "merges.txt",
)
# in a folder of exports: the names that exports wrote there
MANIFEST = "exported_files.json"


def publish_file(source: Path, target: Path) -> None:
    """Replace `target` by the same file as `source` (large ones) or a copy of it."""
    with replacing(target) as temporary:
        if source.stat().st_size >= LINK_FROM_BYTES:
            _link_or_copy(source, temporary)
        else:
            shutil.copyfile(source, temporary)
        if target.exists() and target.samefile(temporary):
            # rename() does nothing between two names of one file
            target.unlink()


def exported_files(folder: Path) -> set[str]:
    """Return the names that earlier exports wrote into `folder`; what else is there is not ours."""
    manifest = folder / MANIFEST
    return set(read_json(manifest)["files"]) if manifest.is_file() else set()


def note_exports(folder: Path, names: Iterable[str]) -> None:
    """Write into `folder` that `names` are files of an export."""
    files = sorted(exported_files(folder) | set(names))
    write_json(folder / MANIFEST, {"schema_version": 1, "files": files})


def publish_folder(source: Path, target: Path) -> None:
    """Publish every file of a flat folder; other files of the target are removed."""
    for file in sorted(source.iterdir()):
        publish_file(file, target / file.name)
    for file in sorted(target.iterdir()) if target.is_dir() else ():
        if not (source / file.name).exists():
            file.unlink()


def _link_or_copy(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:
        # another file system, or one without hard links
        shutil.copyfile(source, target)
