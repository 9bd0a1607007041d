"""Find the licence that a data set, model or package states for itself."""

import zipfile
from email.parser import HeaderParser
from pathlib import Path

import yaml
from huggingface_hub import metadata_load


def read_licence(folder: Path) -> str | None:
    """Return the licence that a card (README.md) names in its front matter, None without one.

    A card may name several; they are joined with commas.
    """
    card = folder / "README.md"
    try:
        stated = (metadata_load(card) or {}).get("license") if card.is_file() else None
    except (ValueError, yaml.YAMLError):
        return None
    if stated is None:
        return None
    return ", ".join(map(str, stated)) if isinstance(stated, list) else str(stated)


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
