"""The folder of an adapter: names of its files, and the hashes that later stages read."""

from pathlib import Path

from lorabench.documents.fingerprint import Fingerprint
from lorabench.files import sha256_file, write_json

CONFIG = "adapter_config.json"
WEIGHTS = "adapter_model.safetensors"


def write_fingerprint(path: Path, folder: Path) -> None:
    """Write the hashes of the adapter in `folder`; the same adapter gives the same file."""
    fingerprint: Fingerprint = {
        "schema_version": 1,
        "sha256": {name: sha256_file(folder / name) for name in (CONFIG, WEIGHTS)},
    }
    write_json(path, fingerprint)
