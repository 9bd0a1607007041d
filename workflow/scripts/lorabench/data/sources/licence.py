"""Find the licence that a data set, model or package states for itself."""

import re
import zipfile
from email.parser import HeaderParser
from pathlib import Path


def read_licence(folder: Path) -> str | None:
    """Return the licence that a card (README.md) names in its front matter, None where it names
    none."""
    card = folder / "README.md"
    found = card.is_file() and re.search(
        r"^license:\s*(\S+)", card.read_text(encoding="utf-8"), re.MULTILINE
    )
    return found.group(1) if found else None


def wheel_licence(wheel: Path) -> str | None:
    """Return the licence in a wheel's metadata, None where it states none."""
    with zipfile.ZipFile(wheel) as archive:
        name = next(name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        metadata = HeaderParser().parsestr(archive.read(name).decode("utf-8"))
    stated = metadata.get("License-Expression") or metadata.get("License")
    if stated:
        return stated.splitlines()[0]
    classifiers = [
        value for value in metadata.get_all("Classifier", []) if value.startswith("License ::")
    ]
    return classifiers[0].rsplit(" :: ", 1)[-1] if classifiers else None
