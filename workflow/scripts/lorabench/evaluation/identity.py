"""What a stored answer depends on beside its prompt: the weights, the arithmetic and the versions."""

from importlib.metadata import version
from pathlib import Path
from typing import Any

from lorabench.files import sha256_file

PACKAGES = ("torch", "transformers", "peft", "lm_eval")


def model_fingerprint(source: Path, adapter: Path | None, merged: Path | None) -> str:
    """Return a name for a variant's weights: the hashes of the files that describe them.

    Args:
        source: the base model's source.json, which holds the hashes of its files.
        adapter: the adapter's fingerprint.json, for the variant that loads it.
        merged: merge_report.json, for the merged variant.
    """
    files = {"base": source, "adapter": adapter, "merged": merged}
    return " ".join(f"{name}:{sha256_file(file)[:16]}" for name, file in files.items() if file)


def answer_identity(fingerprint: str, dtype: str, more: dict[str, Any]) -> dict[str, Any]:
    """Return the identity under which answers are stored; `more` is what the generation itself depends on."""
    return {"model": fingerprint, "dtype": dtype, "versions": {name: version(name) for name in PACKAGES}, **more}
