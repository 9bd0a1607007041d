"""Convert a GGUF file of a Llama model to a Hugging Face checkpoint in bfloat16."""

from pathlib import Path
from typing import Any

import numpy
from gguf import GGUFReader, ReaderTensor, dequantize
from safetensors import TensorSpec, serialize_file

from lorabench.data.models.gguf_tokenizer import write_tokenizer
from lorabench.errors import DataError
from lorabench.files import write_json

OUTER_NAMES = {
    "token_embd.weight": "model.embed_tokens.weight",
    "output_norm.weight": "model.norm.weight",
    "output.weight": "lm_head.weight",
}
BLOCK_NAMES = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}


def convert_gguf(path: Path, folder: Path) -> str | None:
    """Write the checkpoint of the GGUF file `path` to `folder`; return its licence.

    The weights are those of the quantised file, not of the model that it was made from. Peak memory
    is about the bfloat16 checkpoint plus the largest tensor in float32.

    Raises:
        DataError: the file holds another architecture, another tokenizer or an unknown tensor.
    """
    reader = GGUFReader(path)
    metadata = {name: field.contents() for name, field in reader.fields.items()}
    if metadata.get("general.architecture") != "llama":
        raise DataError(
            f"{path}: architecture {metadata.get('general.architecture')!r}, expected 'llama'"
        )
    tensors = {_name(tensor.name, path): _weight(tensor, metadata) for tensor in reader.tensors}
    folder.mkdir(parents=True, exist_ok=True)
    write_tokenizer(metadata, folder)
    config = _config(metadata, tied="lm_head.weight" not in tensors)
    write_json(folder / "config.json", config)
    ids = {key: config[key] for key in ("bos_token_id", "eos_token_id", "pad_token_id")}
    write_json(folder / "generation_config.json", ids)
    _save(tensors, folder / "model.safetensors")
    return metadata.get("general.license")


def _name(name: str, path: Path) -> str:
    """Return the Hugging Face name of a GGUF tensor."""
    if name in OUTER_NAMES:
        return OUTER_NAMES[name]
    prefix, _, rest = name.partition(".")
    block, _, kind = rest.partition(".")
    kind = kind.removesuffix(".weight")
    if prefix != "blk" or kind not in BLOCK_NAMES:
        raise DataError(f"{path}: tensor {name!r} has no place in a Llama checkpoint")
    return f"model.layers.{block}.{BLOCK_NAMES[kind]}.weight"


def _weight(tensor: ReaderTensor, metadata: dict[str, Any]) -> numpy.ndarray:
    """Return a tensor dequantised, in Hugging Face's row order, as the bits of bfloat16."""
    # (out, in) or (in,)
    weight = dequantize(tensor.data, tensor.tensor_type)
    if tensor.name.endswith("attn_q.weight"):
        weight = _split_halves(weight, metadata["llama.attention.head_count"])
    elif tensor.name.endswith("attn_k.weight"):
        weight = _split_halves(weight, metadata["llama.attention.head_count_kv"])
    return _bfloat16_bits(weight)


def _bfloat16_bits(weight: numpy.ndarray) -> numpy.ndarray:
    """Return finite float32 values rounded to bfloat16, as 16-bit integers."""
    bits = numpy.ascontiguousarray(weight, dtype=numpy.float32).view(numpy.uint32)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(numpy.uint16)


def _save(tensors: dict[str, numpy.ndarray], path: Path) -> None:
    """Write the bits of bfloat16 tensors as a safetensors file."""
    specs = {
        name: TensorSpec(
            dtype="bfloat16", shape=bits.shape, data_ptr=bits.ctypes.data, data_len=bits.nbytes
        )
        for name, bits in tensors.items()
    }
    serialize_file(specs, path, metadata={"format": "pt"})
    # the library makes the file private
    path.chmod(0o644)


def _split_halves(weight: numpy.ndarray, heads: int) -> numpy.ndarray:
    """Undo GGUF's row order of query and key weights.

    GGUF keeps the two rows that rotary embedding turns together side by side (0, 1, 2, …); Hugging
    Face keeps all first rows of a head, then all second rows.
    """
    rows, columns = weight.shape
    pairs = weight.reshape(heads, rows // heads // 2, 2, columns)
    return pairs.swapaxes(1, 2).reshape(rows, columns)


def _config(metadata: dict[str, Any], *, tied: bool) -> dict[str, Any]:
    """Return config.json of the model; `tied` when the output projection is the embedding."""
    heads, hidden = metadata["llama.attention.head_count"], metadata["llama.embedding_length"]
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "vocab_size": len(metadata["tokenizer.ggml.tokens"]),
        "hidden_size": hidden,
        "intermediate_size": metadata["llama.feed_forward_length"],
        "num_hidden_layers": metadata["llama.block_count"],
        "num_attention_heads": heads,
        "num_key_value_heads": metadata["llama.attention.head_count_kv"],
        "head_dim": hidden // heads,
        "hidden_act": "silu",
        "max_position_embeddings": metadata["llama.context_length"],
        # stored as float32
        "rms_norm_eps": round(metadata["llama.attention.layer_norm_rms_epsilon"], 12),
        "rope_theta": metadata["llama.rope.freq_base"],
        "attention_bias": False,
        "mlp_bias": False,
        "tie_word_embeddings": tied,
        "bos_token_id": metadata["tokenizer.ggml.bos_token_id"],
        "eos_token_id": metadata["tokenizer.ggml.eos_token_id"],
        "pad_token_id": metadata["tokenizer.ggml.unknown_token_id"],
        "dtype": "bfloat16",
    }
