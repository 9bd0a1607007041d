"""The decoder with fixed places against transformers' own growing cache, on the tiny model."""

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import DynamicCache, PreTrainedModel

from device_reads import DeviceReads
from lorabench.captured import Captured, rehearse
from lorabench.chat import encode_chat
from lorabench.inference import decoder as module
from lorabench.inference.decoder import Decoder
from lorabench.llama import load_tokenizer
from lorabench.variants import load_variant

NEW_TOKENS = 10
TEXTS = (
    "Name three rivers.",
    "Say where the rivers end and which of them is the longest, in one short sentence each.",
    "Why?",
)


@pytest.fixture(scope="module")
def prompts(tiny_model: Path) -> list[list[int]]:
    """Return chat prompts of different lengths as token ids."""
    tokenizer = load_tokenizer(tiny_model)
    return [encode_chat(tokenizer, [{"role": "user", "content": text}]) for text in TEXTS]


@pytest.fixture(scope="module", params=["base", "lora", "merged"])
def model(request: pytest.FixtureRequest, tiny_model: Path) -> PreTrainedModel | PeftModel:
    """Return a variant of the tiny model in float32; the adapter's weights change the answers."""
    base = load_variant("base", base=tiny_model, adapter=None, merged=None, dtype="float32")
    if request.param == "base":
        return base
    torch.manual_seed(1)
    config = LoraConfig(r=4, target_modules=["q_proj", "down_proj"], init_lora_weights=False)
    adapted = get_peft_model(base, config).eval()  # type: ignore[arg-type]
    if request.param == "lora":
        return adapted
    merged: Any = adapted.merge_and_unload()
    return cast(PreTrainedModel, merged)


@torch.inference_mode()
def growing(model: PreTrainedModel | PeftModel, prompt: Sequence[int]) -> list[int]:
    """Return the greedy tokens of the usual forward pass with a cache that grows."""
    cache, step, tokens = DynamicCache(config=model.config), torch.tensor([list(prompt)]), []
    for _ in range(NEW_TOKENS):
        output: Any = model(input_ids=step, past_key_values=cache, use_cache=True)
        step = output.logits[:, -1].argmax(dim=-1, keepdim=True)
        tokens.append(int(step.item()))
    return tokens


def decode(decoder: Decoder, prompts: Sequence[Sequence[int]]) -> list[list[int]]:
    """Return the new tokens of all prompts, which enter one after the other between steps."""
    tokens: list[list[int]] = []
    while min((len(row) for row in tokens), default=0) < NEW_TOKENS or len(tokens) < len(prompts):
        if len(tokens) < len(prompts):
            tokens.append([decoder.read(len(tokens), prompts[len(tokens)])])
        for row, token in zip(tokens, decoder.step(), strict=False):
            row.append(token)
    return [row[:NEW_TOKENS] for row in tokens]


@pytest.mark.parametrize(("padded_to", "whole_reach"), [(None, False), (64, True)])
def test_slots_give_the_tokens_of_a_growing_cache(
    model: PreTrainedModel | PeftModel,
    prompts: list[list[int]],
    padded_to: int | None,
    whole_reach: bool,
) -> None:
    """Rows that enter at different times keep their tokens, with a GPU's padding too."""
    capacity = max(map(len, prompts)) + NEW_TOKENS + len(prompts)
    decoder = Decoder(model, slots=4, capacity=capacity, suppressed=[], padded_to=padded_to)
    decoder.slots.whole_reach = whole_reach
    assert decode(decoder, prompts) == [growing(model, prompt) for prompt in prompts]


def test_a_slot_can_be_used_again(
    model: PreTrainedModel | PeftModel, prompts: list[list[int]]
) -> None:
    """A shorter prompt after a longer one sees nothing of it."""
    decoder = Decoder(model, slots=1, capacity=200, suppressed=[])
    for prompt in sorted(prompts, key=len, reverse=True):
        assert decode(decoder, [prompt]) == [growing(model, prompt)]


def test_captured_passes_are_replayed_with_their_state(
    model: PreTrainedModel | PeftModel, prompts: list[list[int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Passes before a capture leave no trace, and none asks the device for a value.

    Without a GPU a replay runs the pass.
    """

    class Rehearsed(Captured):
        def _capture(self) -> Any:
            with DeviceReads() as reads:
                rehearse(self._run, self._state)
            assert reads.found == []
            return SimpleNamespace(replay=self._run)

    monkeypatch.setattr(module, "Captured", Rehearsed)
    decoder = Decoder(model, slots=3, capacity=200, suppressed=[], captured=True)
    decoder.prepare(prompts)
    assert decoder.slots.whole_reach
    assert decode(decoder, prompts) == [growing(model, prompt) for prompt in prompts]


def test_bytes_are_those_of_the_tensors(tiny_model: Path, prompts: list[list[int]]) -> None:
    """A token takes 2 x layers x key heads x head size numbers; a step reads all weights."""
    model = load_variant("base", base=tiny_model, adapter=None, merged=None, dtype="float32")
    config: Any = model.config
    decoder = Decoder(model, slots=2, capacity=100, suppressed=[])
    decoder.read(0, prompts[0])
    numbers = 2 * config.num_hidden_layers * config.num_key_value_heads * config.head_dim
    assert decoder.slots.bytes_per_token == 4 * numbers
    everything = sum(parameter.nbytes for parameter in model.parameters())
    embedding = 0 if config.tie_word_embeddings else 4 * config.vocab_size * config.hidden_size
    assert decoder.weight_bytes_per_step == everything - embedding
