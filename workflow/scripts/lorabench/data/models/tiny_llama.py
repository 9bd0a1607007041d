"""Make a tiny random Llama checkpoint from a seed, with Llama 3's control tokens and chat format.

Its answers mean nothing; it lets every stage run for real in seconds. The same seed and samples
give the same bytes on every machine: weights are scaled uniform integers, so no rounding of a
transcendental function can differ.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy
from safetensors.numpy import save_file
from tokenizers import AddedToken, Regex, Tokenizer, decoders, pre_tokenizers, processors
from tokenizers.models import BPE
from tokenizers.trainers import BpeTrainer

from lorabench.files import read_jsonl, write_json

# Llama 3's first control tokens in their order; there they begin at id 128000, here after the
# ordinary vocabulary.
CONTROL_TOKENS = [
    "<|begin_of_text|>",
    "<|end_of_text|>",
    *(f"<|reserved_special_token_{number}|>" for number in range(4)),
    "<|start_header_id|>",
    "<|end_header_id|>",
    "<|reserved_special_token_4|>",
    "<|eot_id|>",
]
# Llama 3 has none; a pad equal to an end token would mask it from the loss
PAD_TOKEN = "<|reserved_special_token_0|>"
CHAT_TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}{{ '<|start_header_id|>' + message['role'] +"
    " '<|end_header_id|>\n\n' }}{{ message['content'] | trim }}{{ '<|eot_id|>' }}{% endfor %}{% if"
    " add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}"
)
ORDINARY_TOKENS = 1014
# tokens, as in Llama 3
CONTEXT_LENGTH = 8192

HIDDEN, INTERMEDIATE, LAYERS, HEADS, KEY_VALUE_HEADS = 64, 128, 2, 4, 2
HEAD_SIZE = HIDDEN // HEADS


def make_tiny_llama(folder: Path, *, seed: int = 0, samples: Path) -> None:
    """Write the checkpoint's files to `folder`: float32 weights, about 0.9 MB.

    `samples` is a JSON Lines file of conversation trees; the tokenizer is trained on the text of
    all their messages.
    """
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = _train_tokenizer(list(_texts(samples)))
    tokenizer.save(str(folder / "tokenizer.json"))
    write_json(folder / "tokenizer_config.json", _tokenizer_config())
    config = _config(tokenizer)
    write_json(folder / "config.json", config)
    ends = [tokenizer.token_to_id(token) for token in ("<|end_of_text|>", "<|eot_id|>")]
    ids = {"eos_token_id": ends, "pad_token_id": config["pad_token_id"]}
    write_json(folder / "generation_config.json", {"bos_token_id": config["bos_token_id"], **ids})
    weights = folder / "model.safetensors"
    save_file(_random_weights(config["vocab_size"], seed), weights, metadata={"format": "pt"})
    # the library makes the file private
    weights.chmod(0o644)


def _texts(samples: Path) -> Iterator[str]:
    """Yield the text of every message of every tree."""
    for _, tree in read_jsonl(samples):
        waiting = [tree["prompt"]]
        while waiting:
            message = waiting.pop()
            yield message["text"]
            waiting += message.get("replies", [])


def _train_tokenizer(texts: list[str]) -> Tokenizer:
    """Return a byte-level BPE tokenizer of Llama 3's kind."""
    tokenizer = Tokenizer(BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(r"\p{N}{1,3}"), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = BpeTrainer(
        vocab_size=ORDINARY_TOKENS,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.add_special_tokens(
        [AddedToken(token, special=True, normalized=False) for token in CONTROL_TOKENS]
    )
    begin = CONTROL_TOKENS[0]
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{begin} $A",
        pair=f"{begin} $A {begin}:1 $B:1",
        special_tokens=[(begin, tokenizer.token_to_id(begin))],
    )
    return tokenizer


def _tokenizer_config() -> dict[str, Any]:
    """Return tokenizer_config.json."""
    return {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": "<|begin_of_text|>",
        "eos_token": "<|eot_id|>",
        "pad_token": PAD_TOKEN,
        "model_max_length": CONTEXT_LENGTH,
        "clean_up_tokenization_spaces": False,
        "chat_template": CHAT_TEMPLATE,
    }


def _config(tokenizer: Tokenizer) -> dict[str, Any]:
    """Return config.json: Llama 3's shape, small."""
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "vocab_size": tokenizer.get_vocab_size(),
        "hidden_size": HIDDEN,
        "intermediate_size": INTERMEDIATE,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": HEADS,
        "num_key_value_heads": KEY_VALUE_HEADS,
        "head_dim": HEAD_SIZE,
        "hidden_act": "silu",
        "max_position_embeddings": CONTEXT_LENGTH,
        "rms_norm_eps": 1e-05,
        "rope_theta": 500000.0,
        "attention_bias": False,
        "mlp_bias": False,
        "tie_word_embeddings": False,
        "bos_token_id": tokenizer.token_to_id("<|begin_of_text|>"),
        "eos_token_id": tokenizer.token_to_id("<|eot_id|>"),
        "pad_token_id": tokenizer.token_to_id(PAD_TOKEN),
        "dtype": "float32",
    }


def _random_weights(vocabulary: int, seed: int) -> dict[str, numpy.ndarray]:
    """Return all weights; matrices keep the variance of what passes through them.

    That makes logits differ by about one, so that tests which compare variants see a difference
    when there is one.
    """
    generator = numpy.random.default_rng(seed)

    def matrix(rows: int, columns: int) -> numpy.ndarray:
        numbers = generator.integers(-(2**23), 2**23, size=(rows, columns))
        # uniform between -1 and 1, of variance 1/3
        uniform = numbers.astype(numpy.float32) / 2**23
        return uniform * numpy.float32((3 / columns) ** 0.5)

    weights = {"model.embed_tokens.weight": matrix(vocabulary, HIDDEN)}
    for layer in range(LAYERS):
        block = f"model.layers.{layer}"
        weights |= {
            f"{block}.self_attn.q_proj.weight": matrix(HEADS * HEAD_SIZE, HIDDEN),
            f"{block}.self_attn.k_proj.weight": matrix(KEY_VALUE_HEADS * HEAD_SIZE, HIDDEN),
            f"{block}.self_attn.v_proj.weight": matrix(KEY_VALUE_HEADS * HEAD_SIZE, HIDDEN),
            f"{block}.self_attn.o_proj.weight": matrix(HIDDEN, HEADS * HEAD_SIZE),
            f"{block}.mlp.gate_proj.weight": matrix(INTERMEDIATE, HIDDEN),
            f"{block}.mlp.up_proj.weight": matrix(INTERMEDIATE, HIDDEN),
            f"{block}.mlp.down_proj.weight": matrix(HIDDEN, INTERMEDIATE),
            f"{block}.input_layernorm.weight": numpy.ones(HIDDEN, numpy.float32),
            f"{block}.post_attention_layernorm.weight": numpy.ones(HIDDEN, numpy.float32),
        }
    weights["model.norm.weight"] = numpy.ones(HIDDEN, numpy.float32)
    weights["lm_head.weight"] = matrix(vocabulary, HIDDEN)
    return weights
