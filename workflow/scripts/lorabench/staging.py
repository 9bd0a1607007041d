"""Let a folder of outputs appear whole or not at all."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from shutil import rmtree


@contextmanager
def staging_folder(record: Path) -> Iterator[Path]:
    """Yield an empty folder whose files replace those next to `record` when the block ends well.

    `record` is a file that the block writes under that name. It is moved last, so that the rest is
    whole where it exists. What a killed job left in the staging folder is removed first.
    """
    folder = record.parent
    staging = folder.with_name(f".{folder.name}.part")
    if staging.exists():
        rmtree(staging)
    staging.mkdir(parents=True)
    folder.mkdir(exist_ok=True)
    try:
        yield staging
        for old in folder.iterdir():
            rmtree(old) if old.is_dir() and not old.is_symlink() else old.unlink()
        for new in sorted(staging.iterdir(), key=lambda file: file.name == record.name):
            new.rename(folder / new.name)
    finally:
        rmtree(staging)
