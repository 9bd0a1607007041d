"""Render conversations with a tokenizer's chat template, for every stage.

Two things that are no input of a run are kept out of the text. Templates that print today's date
(Llama 3.1 and later) get a fixed one, or the same run would give other tokens tomorrow. And what
somebody wrote into a message is never read as a control token, whatever the tokenizer's control
tokens are.
"""

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any

from jinja2 import TemplateError
from transformers import PreTrainedTokenizerBase
from transformers.utils.chat_template_utils import _compile_jinja_template

from lorabench.errors import DataError

# The date that Llama 3.1's own template prints where it cannot ask for today's.
PINNED_DATE = datetime(2024, 7, 26)


@lru_cache(maxsize=8)
def control_pattern(tokenizer: PreTrainedTokenizerBase) -> re.Pattern[str]:
    """Return a pattern that finds any of the tokenizer's own control tokens in text."""
    added = tokenizer.added_tokens_decoder.values()
    tokens = [token.content for token in added if token.special and not token.content.isspace()]
    return re.compile("|".join(map(re.escape, sorted(tokens, key=len, reverse=True))) or r"(?!)")


def as_plain_text(text: str, control: re.Pattern[str]) -> tuple[str, int]:
    """Return the text with its control tokens written apart ("< |eot_id| >"), and their number.

    They stay readable, but no tokenizer takes them for real ones.
    """
    found = 0
    # writing one apart can bring another one to light, inside it or across its edge
    while control.search(text):
        text, count = control.subn(_write_apart, text)
        found += count
    return text, found


def _write_apart(match: re.Match[str]) -> str:
    token = match.group()
    # one character cannot be written apart
    return " ".join(filter(None, (token[0], token[1:-1], token[-1]))) if len(token) > 1 else ""


def render_chat(
    tokenizer: PreTrainedTokenizerBase,
    messages: Sequence[Mapping[str, Any]],
    *,
    prompt: bool,
    continued: bool = False,
) -> str:
    """Return the text of a conversation, control tokens of the template included.

    Args:
        tokenizer: with a chat template.
        messages: role and content; control tokens in the content are written apart.
        prompt: end with the opening of an assistant turn.
        continued: leave the last message open, for a model that goes on writing it.

    Raises:
        DataError: the tokenizer has no template, or the template refuses these messages.
    """
    if not tokenizer.chat_template:
        raise DataError(
            f"{tokenizer.name_or_path}: the tokenizer has no chat template; use an instruct model"
        )
    control = control_pattern(tokenizer)
    safe = [
        {**message, "content": as_plain_text(message["content"], control)[0]}
        for message in messages
    ]
    try:
        _pin_date(tokenizer)
        text = tokenizer.apply_chat_template(
            safe, tokenize=False, add_generation_prompt=prompt, continue_final_message=continued
        )
    except TemplateError as error:
        roles = ", ".join(message["role"] for message in messages)
        raise DataError(
            f"{tokenizer.name_or_path}: the chat template refuses a conversation of the roles"
            f" {roles} ({error}); leave out what it does not know (often the system message)"
        ) from None
    return str(text)


def _pin_date(tokenizer: PreTrainedTokenizerBase) -> None:
    """Answer a template's question for today with PINNED_DATE.

    The library compiles a template once and keeps it; functions cannot be given with the messages.
    """
    compiled = _compile_jinja_template(tokenizer.get_chat_template())
    compiled.environment.globals["strftime_now"] = PINNED_DATE.strftime


def encode_chat(
    tokenizer: PreTrainedTokenizerBase, messages: Sequence[Mapping[str, Any]]
) -> list[int]:
    """Return the token ids of a conversation up to where the assistant's next turn begins."""
    text = render_chat(tokenizer, messages, prompt=True)
    # the template writes the special tokens itself
    return list(tokenizer.encode(text, add_special_tokens=False))
