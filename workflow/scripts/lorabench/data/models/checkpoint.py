"""Check and link a Hugging Face checkpoint folder."""

from pathlib import Path
from typing import Any

from lorabench.errors import DataError
from lorabench.files import read_json, write_json
from lorabench.safetensors_header import read_header

SUPPORT_FILES = (
    "*.json",
    "*.jinja",
    "tokenizer.model",
    "LICENSE*",
    "USE_POLICY*",
    "NOTICE*",
    "README.md",
)


def checkpoint_files(folder: Path) -> list[Path]:
    """Return the files of a checkpoint: safetensors weights, config, tokenizer with a chat
    template, licence texts.

    Raises:
        DataError: something is missing, or the weights are pickle files, which can run code when
            loaded.
    """
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder")
    for name in ("config.json", "tokenizer.json", "tokenizer_config.json"):
        if not (folder / name).is_file():
            raise DataError(f"{folder}: no {name}; expected a Hugging Face checkpoint folder")
    weights = _weight_files(folder)
    template = folder / "chat_template.jinja"
    if not template.is_file() and not read_json(folder / "tokenizer_config.json").get(
        "chat_template"
    ):
        raise DataError(
            f"{folder}: the tokenizer has no chat template; use an instruction-tuned checkpoint"
        )
    support = {
        file
        for pattern in SUPPORT_FILES
        for file in folder.glob(pattern)
        if file.name != "source.json"
    }
    return sorted({*weights, *support})


def _weight_files(folder: Path) -> list[Path]:
    """Return the safetensors files that hold the whole model."""
    index, single = folder / "model.safetensors.index.json", folder / "model.safetensors"
    if single.is_file():
        read_header(single)
        return [single]
    if index.is_file():
        files = [folder / name for name in sorted(set(read_json(index)["weight_map"].values()))]
        missing = [file.name for file in files if not file.is_file()]
        if missing:
            raise DataError(
                f"{folder}: {', '.join(missing)} missing, which {index.name} names; download the"
                " rest"
            )
        for file in files:
            read_header(file)
        return files
    pickles = [*folder.glob("*.bin"), *folder.glob("*.pt"), *folder.glob("*.pth")]
    found = f"only {pickles[0].name}, which can run code when loaded" if pickles else "no weights"
    raise DataError(
        f"{folder}: {found}; expected model.safetensors or its shards (save_pretrained writes them)"
    )


def link_checkpoint(folder: Path, target: Path) -> None:
    """Link the files of a checkpoint into `target`; where it has no generation config, write one
    from config.json."""
    for file in checkpoint_files(folder):
        (target / file.name).symlink_to(file.absolute())
    if not (target / "generation_config.json").exists():
        config: dict[str, Any] = read_json(folder / "config.json")
        ids = {key: config.get(key) for key in ("bos_token_id", "eos_token_id", "pad_token_id")}
        write_json(
            target / "generation_config.json",
            {key: value for key, value in ids.items() if value is not None},
        )
