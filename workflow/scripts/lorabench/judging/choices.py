"""Probabilities of answer strings from the probabilities of tokens.

A rating is a string, not a token: "10" is one token for Llama 3 and two ("1", "0") for SmolLM2,
where the token "1" also begins "10". With c1..cn the tokens of string c and L the prompt,

    P(c) = product over i of p(ci | L, c1..c(i-1)),  less P(d) for every other choice d whose tokens
    begin with c's.

All choices are read from one forward pass over L and the longest choice but its last token.
"""

import math
from dataclasses import dataclass

import torch
from transformers import PreTrainedTokenizerBase

from lorabench.errors import JudgeError

# keeps the logarithm of an impossible choice finite
SMALLEST = 1e-30


@dataclass(frozen=True)
class ChoiceTokens:
    """The tokens of each choice, and the tokens that go before all of them."""

    tokens: dict[str, list[int]]
    appended: list[int]


def encode_choices(
    tokenizer: PreTrainedTokenizerBase, choices: list[str], context: str
) -> ChoiceTokens:
    """Return the tokens that each choice adds after `context`, the end of the prompt.

    Raises:
        JudgeError: two choices part after different tokens, so that one pass cannot predict both.
    """
    before = tokenizer.encode(context, add_special_tokens=False)
    tokens = {}
    for choice in choices:
        joined = tokenizer.encode(context + choice, add_special_tokens=False)
        # where the tokenizer merges over the boundary, which generation cannot
        if joined[: len(before)] != before:
            tokens[choice] = tokenizer.encode(choice, add_special_tokens=False)
        else:
            tokens[choice] = joined[len(before) :]
    appended = max((ids[:-1] for ids in tokens.values()), key=len)
    for choice, ids in tokens.items():
        if not ids or ids[:-1] != appended[: len(ids) - 1]:
            raise JudgeError(
                f"the local judge's tokenizer splits {choice!r} into {ids}, which cannot be scored"
                f" with the other choices in one pass (shared start {appended}); choose another"
                " judge model"
            )
    return ChoiceTokens(tokens, appended)


def choice_log_probabilities(tokens: dict[str, list[int]], table: torch.Tensor) -> dict[str, float]:
    """Return the log-probability of each choice.

    Args:
        table: log-probabilities (position, vocabulary) after the prompt and after each appended
            token.
    """
    whole = {
        choice: math.exp(sum(float(table[position, token]) for position, token in enumerate(ids)))
        for choice, ids in tokens.items()
    }
    result = {}
    for choice, ids in tokens.items():
        longer = [
            other for other, its in tokens.items() if len(its) > len(ids) and its[: len(ids)] == ids
        ]
        result[choice] = math.log(
            max(whole[choice] - sum(whole[other] for other in longer), SMALLEST)
        )
    return result
