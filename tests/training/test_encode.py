"""Encoding: loss on the assistant's text and its end of turn only."""

from pathlib import Path
from typing import Any

import pytest

from lorabench.errors import DataError
from lorabench.llama import load_tokenizer
from lorabench.training.encode import IGNORED, encode_conversations

pytest_plugins = ["training_fixtures"]

CHATML = (
    "{% if messages[0]['role'] != 'system' %}<|eot_id|>system\nBe brief.<|end_of_text|>\n{% endif"
    " %}{% for m in messages %}<|eot_id|>{{ m['role'] }}\n{{ m['content'] }}<|end_of_text|>\n{%"
    " endfor %}{% if add_generation_prompt %}<|eot_id|>assistant\n{% endif %}"
)
ALWAYS_OPEN = (
    "{{ bos_token }}{% for m in messages %}<|start_header_id|>{{ m['role']"
    " }}<|end_header_id|>\n\n{{ m['content'] }}<|eot_id|>{% endfor %}{{"
    " '<|start_header_id|>assistant<|end_header_id|>\n\n' }}"
)
REWRITING = (
    "{% for m in messages %}{{ m['content'] if loop.last else 'earlier' }}<|eot_id|>{% endfor %}"
)
MESSAGES = [
    {"role": "user", "content": "What is a tide?"},
    {"role": "assistant", "content": "The sea, rising and falling."},
    {"role": "user", "content": "Why?"},
    {"role": "assistant", "content": "The moon."},
]


@pytest.fixture
def tokenizer(tiny_model: Path) -> Any:
    """Return the tiny model's tokenizer, fresh for each test."""
    return load_tokenizer(tiny_model)


def labelled_text(tokenizer: Any, labels: list[int]) -> str:
    """Return the text of the labelled tokens."""
    return str(tokenizer.decode([label for label in labels if label != IGNORED]))


@pytest.mark.parametrize(
    ("template", "end"),
    [(None, "<|eot_id|>"), (CHATML, "<|end_of_text|>"), (ALWAYS_OPEN, "<|eot_id|>")],
)
def test_only_answers_and_their_end_of_turn_are_labelled(
    tokenizer: Any, template: str | None, end: str
) -> None:
    """Llama 3, ChatML with a default system message, early Llama 3 templates."""
    tokenizer.chat_template = template or tokenizer.chat_template
    (item,), dropped = encode_conversations(
        tokenizer, [("here", {"id": "a", "messages": MESSAGES})], 4096
    )
    assert (
        labelled_text(tokenizer, item.labels) == f"The sea, rising and falling.{end}The moon.{end}"
    )
    assert dropped == 0 and item.cut_tokens == 0
    rendered = tokenizer.apply_chat_template(MESSAGES, tokenize=False)
    assert rendered.startswith(tokenizer.decode(item.input_ids))
    assert item.labels[-1] != IGNORED


def test_tokens_of_the_prompt_are_those_of_generation(tokenizer: Any) -> None:
    """What precedes an answer is tokenised as the prompt that the model continues at inference."""
    (item,), _ = encode_conversations(
        tokenizer, [("here", {"id": "a", "messages": MESSAGES})], 4096
    )
    prompt = tokenizer.apply_chat_template(MESSAGES[:1], tokenize=False, add_generation_prompt=True)
    ids = tokenizer.encode(prompt, add_special_tokens=False)
    assert item.input_ids[: len(ids)] == ids


def test_long_conversations_keep_their_beginning_and_empty_ones_are_counted(tokenizer: Any) -> None:
    """Cut tokens are counted; a conversation without an answer left is dropped."""
    row = ("here", {"id": "a", "messages": MESSAGES})
    (whole,), _ = encode_conversations(tokenizer, [row], 4096)
    (cut,), _ = encode_conversations(tokenizer, [row], len(whole.input_ids) - 5)
    assert cut.input_ids == whole.input_ids[:-5] and cut.cut_tokens == 5
    kept, dropped = encode_conversations(tokenizer, [row], 3)
    assert kept == [] and dropped == 1


def test_control_tokens_in_text_are_written_apart(tokenizer: Any) -> None:
    """A message cannot close its turn; only the template's end of turn is a token."""
    messages = [MESSAGES[0], {"role": "assistant", "content": "Bye.<|eot_id|> Ha."}]
    (item,), _ = encode_conversations(
        tokenizer, [("here", {"id": "a", "messages": messages})], 4096
    )
    assert labelled_text(tokenizer, item.labels) == "Bye.< |eot_id| > Ha.<|eot_id|>"
    assert item.labels.count(tokenizer.convert_tokens_to_ids("<|eot_id|>")) == 1


def test_a_template_that_rewrites_earlier_turns_is_refused(tokenizer: Any) -> None:
    """Without a common beginning the assistant's text cannot be found."""
    tokenizer.chat_template = REWRITING
    with pytest.raises(DataError, match="rewrites earlier turns"):
        encode_conversations(tokenizer, [("here", {"id": "a", "messages": MESSAGES})], 4096)
