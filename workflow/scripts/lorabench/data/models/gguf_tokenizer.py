"""Rebuild a Hugging Face tokenizer from the metadata of a GGUF file."""

from pathlib import Path
from typing import Any

from tokenizers import AddedToken, Tokenizer, decoders, pre_tokenizers
from tokenizers.models import BPE

from lorabench.errors import DataError
from lorabench.files import write_json

# Token kinds of the GGUF format (`tokenizer.ggml.token_type`).
CONTROL_TOKEN = 3


def build_tokenizer(metadata: dict[str, Any]) -> Tokenizer:
    """Return the byte-level BPE tokenizer that the `tokenizer.ggml.*` keys describe.

    GGUF stores how text is split before BPE by name only (`tokenizer.ggml.pre`). "smollm" means:
    every digit by itself, then GPT-2's split into words. A wrong split still encodes and decodes
    every text, but not as in training.

    Raises:
        DataError: the file uses another kind of tokenizer.
    """
    kind, split = metadata.get("tokenizer.ggml.model"), metadata.get("tokenizer.ggml.pre")
    if (kind, split) != ("gpt2", "smollm"):
        raise DataError(
            f"tokenizer.ggml.model={kind!r}, tokenizer.ggml.pre={split!r}: only ('gpt2', 'smollm')"
            " can be converted; give a Hugging Face checkpoint with `kind: path` instead"
        )
    tokens: list[str] = metadata["tokenizer.ggml.tokens"]
    merges = [tuple(merge.split(" ")) for merge in metadata["tokenizer.ggml.merges"]]
    vocabulary = {token: index for index, token in enumerate(tokens)}
    tokenizer = Tokenizer(BPE(vocab=vocabulary, merges=merges))
    digits = pre_tokenizers.Digits(individual_digits=True)
    words = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([digits, words])
    tokenizer.decoder = decoders.ByteLevel()
    kinds = metadata["tokenizer.ggml.token_type"]
    control = [token for token, kind in zip(tokens, kinds, strict=True) if kind == CONTROL_TOKEN]
    tokenizer.add_special_tokens(
        [AddedToken(token, special=True, normalized=False) for token in control]
    )
    return tokenizer


def write_tokenizer(metadata: dict[str, Any], folder: Path) -> None:
    """Write tokenizer.json and tokenizer_config.json (with the chat template) to `folder`.

    The padding token is the unknown token, which a byte-level tokenizer never produces. The file's
    own is the end of turn: a trainer that masks padding would never teach the model to stop.
    """
    tokens = metadata["tokenizer.ggml.tokens"]
    named = {
        name: tokens[metadata[f"tokenizer.ggml.{name}_token_id"]]
        for name in ("bos", "eos", "unknown")
    }
    build_tokenizer(metadata).save(str(folder / "tokenizer.json"))
    write_json(
        folder / "tokenizer_config.json",
        {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "bos_token": named["bos"],
            "eos_token": named["eos"],
            "unk_token": named["unknown"],
            "pad_token": named["unknown"],
            "model_max_length": metadata["llama.context_length"],
            "clean_up_tokenization_spaces": False,
            "chat_template": metadata["tokenizer.chat_template"],
        },
    )
