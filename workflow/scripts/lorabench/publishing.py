"""Put copies of result files where users look for them: whole or not at all, large ones as hard
links."""

import os
import shutil
from pathlib import Path

from lorabench.files import write_beside

# Snakemake touches the outputs of a finished job. A linked file is touched in its source folder
# too, and rules that read it there would run again; only weights are large enough to link, and
# other rules read their fingerprint instead.
LINK_FROM_BYTES = 16 * 2**20


def publish_file(source: Path, target: Path) -> None:
    """Make `target` the same file as `source` (large, same file system) or a copy of it, replacing
    what was there."""
    with write_beside(target) as temporary:
        if source.stat().st_size >= LINK_FROM_BYTES:
            temporary.unlink()
            _link_or_copy(source, temporary)
        else:
            shutil.copyfile(source, temporary)
        if target.exists() and target.samefile(temporary):
            # rename() does nothing between two names of one file
            target.unlink()


def publish_folder(source: Path, target: Path) -> None:
    """Publish every file of a flat folder; files that the target had before and the source has not
    are removed."""
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
