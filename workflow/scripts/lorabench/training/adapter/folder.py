"""The folder of an adapter: names of its files, and the hashes that later stages read."""

from pathlib import Path

from lorabench.files import sha256_file, write_json

CONFIG = "adapter_config.json"
WEIGHTS = "adapter_model.safetensors"


def write_fingerprint(path: Path, folder: Path) -> None:
    """Write the hashes of the adapter in `folder`; the same adapter gives the same file."""
    write_json(
        path,
        {
            "schema_version": 1,
            "sha256": {name: sha256_file(folder / name) for name in (CONFIG, WEIGHTS)},
        },
    )
