"""GGUF conversion: the weights and tokenizer that come out are those that went in."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy
import pytest
from gguf import GGMLQuantizationType, GGUFWriter, TokenType, quantize
from safetensors import safe_open
from tokenizers import Tokenizer

from lorabench.data.models.gguf_checkpoint import convert_gguf
from lorabench.data.models.gguf_tokenizer import build_tokenizer
from lorabench.errors import DataError

HEADS, KEY_VALUE_HEADS, HIDDEN, HEAD_SIZE = 4, 2, 32, 8
TOKENS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "1", "2", "12", "a", "b", "ab", "Ġ", "Ġab"]
MERGES = ["a b", "1 2", "Ġ ab"]
# of SmolLM2's own tokenizer.json, as published with several ports of the model
REFERENCE_ENCODINGS = [
    ("Hello world", [19556, 905]),
    ("  spaced  text", [216, 23861, 216, 1694]),
    ("Hello, 世界!", [19556, 28, 216, 7906, 240, 178, 239, 230, 17]),
    ("The year 2024 had 365 days", [504, 713, 216, 34, 32, 34, 36, 761, 216, 35, 38, 37, 2009]),
]


def interleave_rotary_rows(weight: numpy.ndarray, heads: int) -> numpy.ndarray:
    """Return query or key rows in GGUF's order: the two halves of a head interleaved."""
    halves = weight.reshape(heads, 2, -1, weight.shape[1])
    return numpy.stack([halves[:, 0], halves[:, 1]], axis=2).reshape(weight.shape)


@pytest.fixture
def write_gguf(tmp_path: Path) -> Callable[..., tuple[Path, dict[str, numpy.ndarray]]]:
    """Return a function that writes a Llama GGUF file and gives back its weights."""

    def write(
        architecture: str = "llama", split: str = "smollm"
    ) -> tuple[Path, dict[str, numpy.ndarray]]:
        generator = numpy.random.default_rng(0)
        shapes = {
            "model.embed_tokens": (len(TOKENS), HIDDEN),
            "model.norm": (HIDDEN,),
            "model.layers.0.self_attn.q_proj": (HEADS * HEAD_SIZE, HIDDEN),
            "model.layers.0.self_attn.k_proj": (KEY_VALUE_HEADS * HEAD_SIZE, HIDDEN),
            "model.layers.0.mlp.down_proj": (HIDDEN, 64),
        }
        weights = {
            f"{name}.weight": generator.normal(size=shape).astype(numpy.float32)
            for name, shape in shapes.items()
        }
        names = ["token_embd", "output_norm", "blk.0.attn_q", "blk.0.attn_k", "blk.0.ffn_down"]
        path = tmp_path / f"{architecture}-{split}.gguf"
        writer = GGUFWriter(path, architecture)
        writer.add_context_length(64)
        writer.add_embedding_length(HIDDEN)
        writer.add_block_count(1)
        writer.add_feed_forward_length(64)
        writer.add_head_count(HEADS)
        writer.add_head_count_kv(KEY_VALUE_HEADS)
        writer.add_layer_norm_rms_eps(1e-5)
        writer.add_rope_freq_base(1e4)
        writer.add_license("apache-2.0")
        writer.add_tokenizer_model("gpt2")
        writer.add_tokenizer_pre(split)
        writer.add_token_list(TOKENS)
        writer.add_token_types([TokenType.CONTROL] * 3 + [TokenType.NORMAL] * (len(TOKENS) - 3))
        writer.add_token_merges(MERGES)
        writer.add_bos_token_id(1)
        writer.add_eos_token_id(2)
        writer.add_unk_token_id(0)
        writer.add_chat_template("{{ messages }}")
        for name, weight in zip(names, weights.values(), strict=True):
            heads = {"blk.0.attn_q": HEADS, "blk.0.attn_k": KEY_VALUE_HEADS}.get(name)
            stored = interleave_rotary_rows(weight, heads) if heads else weight
            kind = GGMLQuantizationType.Q8_0 if name == "blk.0.ffn_down" else None
            packed = stored if kind is None else quantize(stored, kind)
            writer.add_tensor(f"{name}.weight", packed, raw_dtype=kind)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
        return path, weights

    return write


def test_converted_weights_are_the_originals_rounded_to_bfloat16(
    write_gguf: Callable[..., Any], tmp_path: Path
) -> None:
    """Names, row order and rounding come back; quantised tensors within their step."""
    import torch

    path, weights = write_gguf()
    licence = convert_gguf(path, tmp_path / "checkpoint")
    assert licence == "apache-2.0"
    with safe_open(tmp_path / "checkpoint" / "model.safetensors", "pt") as file:
        converted = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118, not a mapping
    assert converted.keys() == weights.keys()
    for name, weight in weights.items():
        expected = torch.from_numpy(weight)
        if "down_proj" in name:
            assert torch.allclose(converted[name].float(), expected, atol=0.03)
        else:
            assert torch.equal(converted[name], expected.to(torch.bfloat16))


def test_config_describes_the_model_and_padding_is_not_the_end_of_turn(
    write_gguf: Callable[..., Any], tmp_path: Path
) -> None:
    """Sizes and tied embeddings are read; padding is the unused unknown token."""
    path, _ = write_gguf()
    convert_gguf(path, tmp_path / "checkpoint")
    config = json.loads((tmp_path / "checkpoint" / "config.json").read_text())
    sizes = {"num_attention_heads": 4, "num_key_value_heads": 2}
    expected = {**sizes, "rms_norm_eps": 1e-5, "rope_theta": 1e4}
    assert {key: config[key] for key in expected} == expected
    assert config["tie_word_embeddings"] is True
    tokens = json.loads((tmp_path / "checkpoint" / "tokenizer_config.json").read_text())
    assert (tokens["eos_token"], tokens["pad_token"]) == ("<|im_end|>", "<|endoftext|>")


def test_digits_stay_single_although_the_vocabulary_has_pairs(
    write_gguf: Callable[..., Any], tmp_path: Path
) -> None:
    """ "smollm" cuts between digits before any merge; control tokens are one token."""
    path, _ = write_gguf()
    convert_gguf(path, tmp_path / "checkpoint")
    tokenizer = Tokenizer.from_file(str(tmp_path / "checkpoint" / "tokenizer.json"))
    assert tokenizer.encode("12ab ab<|im_end|>").tokens == ["1", "2", "ab", "Ġab", "<|im_end|>"]


def test_other_architecture_is_refused(write_gguf: Callable[..., Any], tmp_path: Path) -> None:
    """A file that is not a Llama is named, not converted."""
    path, _ = write_gguf(architecture="gemma")
    with pytest.raises(DataError, match="architecture 'gemma', expected 'llama'"):
        convert_gguf(path, tmp_path / "checkpoint")


def test_other_text_split_is_refused() -> None:
    """A split that was never checked would silently encode text in another way than in training."""
    with pytest.raises(DataError, match=r"tokenizer\.ggml\.pre='llama-bpe'"):
        build_tokenizer({"tokenizer.ggml.model": "gpt2", "tokenizer.ggml.pre": "llama-bpe"})


@pytest.mark.parametrize(("text", "ids"), REFERENCE_ENCODINGS)
def test_demo_models_tokenizer_encodes_like_the_original(
    root: Path, text: str, ids: list[int]
) -> None:
    """The demo model's converted tokenizer, where it was fetched, gives published ids."""
    path = root / "resources" / "models" / "SmolLM2-135M-Instruct" / "tokenizer.json"
    if not path.is_file():
        pytest.skip("needs the demo model: make bench-demo fetches it")
    assert Tokenizer.from_file(str(path)).encode(text).ids == ids
