"""Check and link a Hugging Face checkpoint folder."""

from pathlib import Path
from typing import Any

from lorabench.errors import DataError
from lorabench.files import read_json, write_json
from lorabench.safetensors_header import read_entries

PLAIN_DTYPES = ("F64", "F32", "F16", "BF16")
LEGAL_FILES = ("LICENSE*", "USE_POLICY*", "NOTICE*")
SUPPORT_FILES = ("*.json", "*.jinja", "tokenizer.model", *LEGAL_FILES, "README.md")


def checkpoint_files(folder: Path) -> list[Path]:
    """Return the files of a checkpoint: weights, config, tokenizer, licence texts.

    Raises:
        DataError: something is missing, or the weights are pickle files, which can run code when
            loaded.
    """
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder")
    for name in ("config.json", "tokenizer.json", "tokenizer_config.json"):
        if not (folder / name).is_file():
            raise DataError(f"{folder}: no {name}; expected a Hugging Face checkpoint folder")
    check_not_quantised(folder)
    weights = _weight_files(folder)
    template = folder / "chat_template.jinja"
    if not template.is_file() and not read_json(folder / "tokenizer_config.json").get(
        "chat_template"
    ):
        raise DataError(
            f"{folder}: the tokenizer has no chat template; use an instruction-tuned checkpoint"
        )
    support = {file for pattern in SUPPORT_FILES for file in folder.glob(pattern)}
    return sorted({*weights, *support} - {folder / "source.json"})


def check_not_quantised(folder: Path) -> None:
    """Check by config.json that a checkpoint's weights are plain numbers.

    LoRA is trained on packed ones, but cannot be merged into them.

    Raises:
        DataError: they were saved quantised (bitsandbytes, GPTQ, AWQ, FP8, …).
    """
    config = read_json(folder / "config.json")
    if not isinstance(config, dict):
        raise DataError(f"{folder}/config.json: expected a JSON object")
    nested = config.get("text_config")
    found = config.get("quantization_config") or (
        nested.get("quantization_config") if isinstance(nested, dict) else None
    )
    if found is None and not (folder / "quantize_config.json").is_file():
        return
    method = found.get("quant_method") if isinstance(found, dict) else None
    raise DataError(
        f"{folder}: the weights are stored quantised ({method or 'quantize_config.json'}), and an"
        " adapter cannot be merged into them: use the original checkpoint in bfloat16, float16 or"
        " float32; train_adapter.use_4bit: true quantises it in memory"
    )


def _weight_files(folder: Path) -> list[Path]:
    """Return the safetensors files that hold the whole model."""
    index, single = folder / "model.safetensors.index.json", folder / "model.safetensors"
    if single.is_file():
        _check_weights(single)
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
            _check_weights(file)
        return files
    pickles = [*folder.glob("*.bin"), *folder.glob("*.pt"), *folder.glob("*.pth")]
    found = f"only {pickles[0].name}, which can run code when loaded" if pickles else "no weights"
    raise DataError(
        f"{folder}: {found}; expected model.safetensors or its shards (save_pretrained writes them)"
    )


def _check_weights(path: Path) -> None:
    """Check by its header that a safetensors file is whole and holds plain numbers.

    Raises:
        DataError: it is not whole, or its weights are quantised.
    """
    for name, entry in read_entries(path)[0].items():
        if name.endswith("weight") and entry["dtype"] not in PLAIN_DTYPES:
            raise DataError(
                f"{path}: {name} is stored as {entry['dtype']}, so quantised; use the original"
                " checkpoint in bfloat16, float16 or float32"
            )


def link_checkpoint(folder: Path, target: Path) -> None:
    """Link the files of a checkpoint into `target`, with a generation config in any case."""
    for file in checkpoint_files(folder):
        (target / file.name).symlink_to(file.absolute())
    if not (target / "generation_config.json").exists():
        config: dict[str, Any] = read_json(folder / "config.json")
        names = ("bos_token_id", "eos_token_id", "pad_token_id")
        ids = {key: config[key] for key in names if config.get(key) is not None}
        write_json(target / "generation_config.json", ids)
