"""Load a checkpoint and its tokenizer, in the precision and on the device that the machine has."""

from pathlib import Path
from typing import Any

import torch
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    BitsAndBytesConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from lorabench.errors import missing_weights
from lorabench.processor import fast_bfloat16


def device() -> torch.device:
    """Return this process's GPU, or the CPU without one."""
    if torch.cuda.is_available():
        return torch.device("cuda", torch.cuda.current_device())
    return torch.device("cpu")


def resolve_dtype(name: str) -> torch.dtype:
    """Turn the config's `dtype` into a torch dtype.

    "auto" is bfloat16 where the machine multiplies it fast (a GPU that supports it, a CPU by
    `fast_bfloat16`), else float32: a CPU without such instructions is several times slower in
    bfloat16.
    """
    if name != "auto":
        return {"bfloat16": torch.bfloat16, "float32": torch.float32}[name]
    on_gpu = torch.cuda.is_available()
    fast = torch.cuda.is_bf16_supported(including_emulation=False) if on_gpu else fast_bfloat16()
    return torch.bfloat16 if fast else torch.float32


def load_tokenizer(folder: Path) -> PreTrainedTokenizerBase:
    """Load a checkpoint's tokenizer, with a padding token that ends no turn where it has one."""
    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    if tokenizer.pad_token_id is None:
        # Llama 3 ends turns with <|eot_id|>, so this one is free
        spare = "<|end_of_text|>"
        tokenizer.pad_token = spare if spare in tokenizer.get_vocab() else tokenizer.eos_token
    return tokenizer


def four_bit() -> BitsAndBytesConfig:
    """Return QLoRA's quantisation (arXiv 2305.14314, section 3)."""
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch.bfloat16,
    )


def load_base(
    folder: Path, dtype: torch.dtype, use_4bit: bool = False, place: torch.device | None = None
) -> PreTrainedModel:
    """Load a checkpoint folder on `place`, or `device()`, with sdpa attention; safetensors only.

    Raises:
        DataError: the files lack a weight, which the library would draw at random.
    """
    loaded: Any = AutoModelForCausalLM.from_pretrained(
        folder,
        dtype=dtype,
        device_map={"": place or device()},
        local_files_only=True,
        use_safetensors=True,
        attn_implementation="sdpa",
        quantization_config=four_bit() if use_4bit else None,
        output_loading_info=True,
    )
    model: PreTrainedModel = loaded[0]
    if missing := sorted(loaded[1]["missing_keys"]):
        raise missing_weights(str(folder), missing)
    return model
