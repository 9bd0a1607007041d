"""Check and link a Hugging Face checkpoint folder."""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from lorabench.errors import DataError
from lorabench.files import read_json, write_json
from lorabench.safetensors_header import read_entries, read_header

# ends of the names of architectures that continue a text
CAUSAL = ("ForCausalLM", "LMHeadModel", "ForConditionalGeneration")
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
        if not isinstance(read_json(folder / name), dict):
            raise DataError(f"{folder / name}: expected a JSON object")
    check_not_quantised(folder)
    weights = _weight_files(folder)
    _check_shapes(folder, weights)
    template = folder / "chat_template.jinja"
    written = template.is_file() and template.read_text(encoding="utf-8").strip()
    if not written and not read_json(folder / "tokenizer_config.json").get("chat_template"):
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
        files = [single]
    elif index.is_file():
        document = read_json(index)
        places = document.get("weight_map") if isinstance(document, dict) else None
        names = set(places.values()) if isinstance(places, dict) else set()
        if not names or not all(isinstance(name, str) and "/" not in name for name in names):
            raise DataError(f"{index}: expected a weight_map, from each tensor to its file")
        files = [folder / name for name in sorted(names)]
        missing = [file.name for file in files if not file.is_file()]
        if missing:
            raise DataError(
                f"{folder}: {', '.join(missing)} missing, which {index.name} names; download the"
                " rest"
            )
    else:
        pickles = [*folder.glob("*.bin"), *folder.glob("*.pt"), *folder.glob("*.pth")]
        named = f"only {pickles[0].name}, which can run code when loaded" if pickles else ""
        raise DataError(
            f"{folder}: {named or 'no weights'}; expected model.safetensors or its shards"
            " (save_pretrained writes them)"
        )
    for file in files:
        _check_weights(file)
    return files


def _check_shapes(folder: Path, weights: Iterable[Path]) -> None:
    """Compare config.json with the weights that are there.

    The library would load the layers that fit, and draw at random what is missing.

    Raises:
        DataError: it is another kind of model, has other layers or other sizes.
    """
    config = read_json(folder / "config.json")
    kinds = config.get("architectures")
    if isinstance(kinds, list) and kinds and not any(str(kind).endswith(CAUSAL) for kind in kinds):
        raise DataError(f"{folder}/config.json: {kinds[0]} is no model that continues a text")
    shapes = {name: shape for file in weights for name, shape in read_header(file).items()}
    embedding = shapes.get("model.embed_tokens.weight")
    expected = [config.get("vocab_size"), config.get("hidden_size")]
    if embedding and None not in expected and embedding != expected:
        raise DataError(
            f"{folder}/config.json: vocab_size and hidden_size are {expected}, but the weights have"
            f" {embedding}; the files are of two models"
        )
    layers = {
        int(found[1]) for name in shapes if (found := re.match(r"model\.layers\.(\d+)\.", name))
    }
    count = config.get("num_hidden_layers")
    # further ones, which predict several tokens at once, are not used here
    more = config.get("num_nextn_predict_layers") or 0
    if layers and count is not None and len(layers) not in (count, count + more):
        raise DataError(
            f"{folder}/config.json: num_hidden_layers is {count}, but the weights have"
            f" {len(layers)} layers; the files are of two models"
        )


def _check_weights(path: Path) -> None:
    """Check by its header that a safetensors file is whole and holds plain numbers."""
    for name, entry in read_entries(path)[0].items():
        if name.endswith("weight") and entry["dtype"] not in PLAIN_DTYPES:
            raise DataError(
                f"{path}: {name} is stored as {entry['dtype']}, so quantised; use the original"
                " checkpoint in bfloat16, float16 or float32"
            )


def check_layers(folder: Path, wanted: Iterable[str]) -> None:
    """Check by names and shapes that a base model has the layers that adapters are wanted for.

    Raises:
        DataError: a name is that of no linear layer with weights of its own.
    """
    shapes: dict[str, list[int]] = {}
    for path in folder.glob("*.safetensors"):
        shapes |= read_header(path)
    layers = {name.split(".")[-2] for name, shape in shapes.items() if _is_matrix(name, shape)}
    layers -= {"embed_tokens", "wte", "embed_in"}
    if read_json(folder / "config.json").get("tie_word_embeddings"):
        # merged, it would change the embedding as well
        layers -= {"lm_head", "embed_out"}
    if missing := sorted(set(wanted) - layers):
        raise DataError(
            f"train_adapter.target_modules: the base model has no linear layer {missing[0]!r} with"
            f" weights of its own; expected some of {', '.join(sorted(layers))}"
        )


def _is_matrix(name: str, shape: list[int]) -> bool:
    return name.endswith(".weight") and len(shape) == 2


def link_checkpoint(folder: Path, target: Path) -> None:
    """Link the files of a checkpoint into `target`, with a generation config in any case."""
    for file in checkpoint_files(folder):
        (target / file.name).symlink_to(file.absolute())
    if not (target / "generation_config.json").exists():
        config: dict[str, Any] = read_json(folder / "config.json")
        names = ("bos_token_id", "eos_token_id", "pad_token_id")
        ids = {key: config[key] for key in names if config.get(key) is not None}
        write_json(target / "generation_config.json", ids)
