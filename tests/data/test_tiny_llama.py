"""The tiny Llama: same bytes from the same seed, Llama 3's tokens and chat text."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from tokenizers import Tokenizer

from lorabench.data.models.tiny_llama import make_tiny_llama
from lorabench.files import sha256_file

MAKE = (
    "import sys; from pathlib import Path; from lorabench.data.models.tiny_llama import"
    " make_tiny_llama; make_tiny_llama(Path(sys.argv[1]), seed=0, samples=Path(sys.argv[2]))"
)


def hashes(folder: Path) -> dict[str, str]:
    """Return file name -> digest of a checkpoint folder."""
    return {file.name: sha256_file(file) for file in folder.iterdir() if file.name != "source.json"}


def test_same_seed_gives_the_same_bytes_in_every_process(
    tiny_model: Path, samples: Path, tmp_path: Path, root: Path
) -> None:
    """Neither hash seeds nor threads of another process change a byte."""
    environment = os.environ | {
        "PYTHONPATH": str(root / "workflow" / "scripts"),
        "PYTHONHASHSEED": "7",
        "TOKENIZERS_PARALLELISM": "true",
    }
    given = [str(tmp_path / "again"), str(samples / "oasst_trees.jsonl")]
    subprocess.run([sys.executable, "-c", MAKE, *given], check=True, env=environment)
    assert hashes(tmp_path / "again") == hashes(tiny_model)


def test_another_seed_changes_only_the_weights(
    tiny_model: Path, samples: Path, tmp_path: Path
) -> None:
    """The tokenizer depends on the samples, the weights on the seed."""
    make_tiny_llama(tmp_path / "other", seed=1, samples=samples / "oasst_trees.jsonl")
    first, other = hashes(tiny_model), hashes(tmp_path / "other")
    assert {name for name in first if first[name] != other[name]} == {"model.safetensors"}


def test_generation_ends_at_either_end_token_and_never_at_padding(tiny_model: Path) -> None:
    """Llama 3 stops at <|end_of_text|> and <|eot_id|>; padding is neither."""
    ids = Tokenizer.from_file(str(tiny_model / "tokenizer.json")).get_vocab()
    found = json.loads((tiny_model / "generation_config.json").read_text())
    assert found["eos_token_id"] == [ids["<|end_of_text|>"], ids["<|eot_id|>"]]
    assert found["pad_token_id"] not in found["eos_token_id"]


def test_control_tokens_stand_in_the_order_of_llama_3(tiny_model: Path) -> None:
    """Offsets from the first control token are those of Llama 3 (128000 onwards)."""
    ids = Tokenizer.from_file(str(tiny_model / "tokenizer.json")).get_vocab()
    offsets = {"end_of_text": 1, "start_header_id": 6, "end_header_id": 7, "eot_id": 9}
    first = ids["<|begin_of_text|>"]
    assert {name: ids[f"<|{name}|>"] - first for name in offsets} == offsets


@pytest.mark.parametrize(
    "text", ["Grüße, 日本語 — naïve 3.14 🙂", "  two  spaces\n\n\ttab\r\n", "12345 a1b2"]
)
def test_text_survives_encoding(tiny_model: Path, text: str) -> None:
    """Byte-level BPE loses nothing, and encoding begins with one begin-of-text token."""
    tokenizer = Tokenizer.from_file(str(tiny_model / "tokenizer.json"))
    encoded = tokenizer.encode(text)
    assert encoded.tokens.count("<|begin_of_text|>") == 1
    assert encoded.tokens[0] == "<|begin_of_text|>"
    assert tokenizer.decode(encoded.ids) == text


@pytest.mark.slow
def test_chat_text_and_model_are_llama_3s(tiny_model: Path) -> None:
    """The rendered conversation is Llama 3's; transformers runs the checkpoint."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaForCausalLM

    tokenizer = AutoTokenizer.from_pretrained(tiny_model)
    messages = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": " Hi! "},
        {"role": "assistant", "content": "Hello."},
    ]
    text = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    assert (
        text == "<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\nBe brief.<|eot_id|>"
        "<|start_header_id|>user<|end_header_id|>\n\nHi!<|eot_id|>"
        "<|start_header_id|>assistant<|end_header_id|>\n\nHello.<|eot_id|>"
        "<|start_header_id|>assistant<|end_header_id|>\n\n"
    )
    ids = torch.tensor([tokenizer.encode(text, add_special_tokens=False)])
    assert (ids == tokenizer.bos_token_id).sum() == 1
    model = AutoModelForCausalLM.from_pretrained(tiny_model)
    assert isinstance(model, LlamaForCausalLM)
    with torch.inference_mode():
        logits = model(ids).logits
    assert logits.shape == (1, ids.shape[1], len(tokenizer))
    assert 0.3 < logits.std() < 3
