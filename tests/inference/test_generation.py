"""The timed decode loop against transformers' own greedy generation on the tiny model."""

from pathlib import Path

import pytest
import torch
from peft import PeftModel
from transformers import PreTrainedModel

from lorabench.chat import encode_chat
from lorabench.end_tokens import end_token_ids
from lorabench.inference.decoder import Decoder
from lorabench.inference.generation import Generation, generate_timed
from lorabench.llama import load_tokenizer
from lorabench.variants import load_variant

NEW_TOKENS = 12


@pytest.fixture(scope="module")
def model(tiny_model: Path) -> PreTrainedModel | PeftModel:
    """Return the tiny model in float32."""
    return load_variant("base", base=tiny_model, adapter=None, merged=None, dtype="float32")


@pytest.fixture(scope="module")
def prompt(tiny_model: Path) -> list[int]:
    """Return a chat prompt's token ids."""
    question = "Name three rivers and say where they end."
    return encode_chat(load_tokenizer(tiny_model), [{"role": "user", "content": question}])


def generate(
    model: PreTrainedModel | PeftModel, prompt: list[int], suppressed: list[int]
) -> Generation:
    """Return a generation of `NEW_TOKENS` tokens by a decoder of one slot."""
    capacity = len(prompt) + NEW_TOKENS
    decoder = Decoder(model, slots=1, capacity=capacity, suppressed=suppressed)
    return generate_timed(decoder, prompt, NEW_TOKENS)


def test_tokens_equal_those_of_transformers(
    model: PreTrainedModel | PeftModel, prompt: list[int], tiny_model: Path
) -> None:
    """The loop generates what `generate` does: greedy, fixed length, no end tokens."""
    ended = sorted(end_token_ids(model.generation_config, load_tokenizer(tiny_model)))
    expected = model.generate(  # type: ignore[operator]
        torch.tensor([prompt]),
        attention_mask=torch.ones(1, len(prompt), dtype=torch.long),
        do_sample=False,
        max_new_tokens=NEW_TOKENS,
        suppress_tokens=ended,
    )
    assert generate(model, prompt, ended).tokens == expected[0, len(prompt) :].tolist()


def test_suppressed_tokens_never_appear(
    model: PreTrainedModel | PeftModel, prompt: list[int]
) -> None:
    """Suppressing what it would say gives other tokens, as many as before."""
    free = generate(model, prompt, [])
    forced = generate(model, prompt, sorted(set(free.tokens)))
    assert len(forced.tokens) == NEW_TOKENS
    assert not set(forced.tokens) & set(free.tokens)


def test_times_add_up(model: PreTrainedModel | PeftModel, prompt: list[int]) -> None:
    """The first token's time and the gaps, one fewer than tokens, sum to the end-to-end time."""
    generation = generate(model, prompt, [])
    assert len(generation.inter_token_latencies_ms) == NEW_TOKENS - 1
    assert min(generation.time_to_first_token_ms, *generation.inter_token_latencies_ms) > 0
    total = generation.time_to_first_token_ms + sum(generation.inter_token_latencies_ms)
    assert generation.end_to_end_ms == pytest.approx(total)


def test_all_end_tokens_are_known(model: PreTrainedModel | PeftModel, tiny_model: Path) -> None:
    """Both of Llama 3's end tokens are suppressed, not the tokenizer's only."""
    tokenizer = load_tokenizer(tiny_model)
    vocabulary = tokenizer.get_vocab()
    assert set(end_token_ids(model.generation_config, tokenizer)) >= {
        vocabulary["<|eot_id|>"],
        tokenizer.eos_token_id,
    }
