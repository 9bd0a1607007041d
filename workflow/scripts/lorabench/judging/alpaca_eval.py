"""AlpacaEval 2's pairwise judging (arXiv 2404.04475; package alpaca_eval 0.6.6).

The judge sees the instruction and two outputs, called m (shown first) and M, and answers with one
letter. Which output is shown first is drawn once for each instruction, from the instruction's own
text, so it is the same for all variants. Where the judge gives log-probabilities the preference is
weighted, p(m) / (p(m) + p(M)); else it is 0 or 1. All preferences here are for the variant, from 0
to 1: alpaca_eval's `preference` less 1.
"""

import math
import random
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lorabench.documents.answer import Answer
from lorabench.documents.item_result import ItemResult
from lorabench.errors import DataError
from lorabench.files import read_jsonl
from lorabench.judging.exchange import Judge, JudgeRequest, Reply, unjudged
from lorabench.judging.reasks import ask_until_clear
from lorabench.judging.settings import JudgeSettings

# the names under which the outputs are shown
FIRST, SECOND = "m", "M"
PLACEHOLDERS = ("instruction", "output_1", "output_2")
REASK = 'Answer with one letter and nothing else: "m" or "M".'
# alpaca_eval's default
SEED = 0
# alternatives of the answer's first token, as alpaca_eval asks for
TOP_LOG_PROBABILITIES = 5


@dataclass(frozen=True)
class Pair:
    """One instruction with the reference's and the variant's output."""

    answer: Answer
    reference: str
    # one for each order; empty for identical outputs
    requests: list[JudgeRequest]
    # of each request
    variant_first: list[bool]


def request_parameters(judge: JudgeSettings, max_tokens: int) -> dict[str, Any]:
    """Return what is sent with every prompt; a local judge generates nothing, it weighs choices."""
    if judge.kind == "local":
        return {"assistant_prefix": "", "choices": [FIRST, SECOND]}
    asked = {"logprobs": True, "top_logprobs": TOP_LOG_PROBABILITIES}
    return {"max_tokens": max_tokens, "temperature": judge.temperature, **asked}


def read_messages(path: Path) -> list[dict[str, str]]:
    """Return the prompt file's chat: its ChatML blocks as messages, not filled in.

    The blocks are split before anything is filled in, so that control tokens in an output stay
    text.

    Raises:
        DataError: no block, or a placeholder does not occur exactly once.
    """
    text = path.read_text(encoding="utf-8")
    blocks = re.findall(r"<\|im_start\|>(\w+)\n(.*?)<\|im_end\|>", text, flags=re.DOTALL)
    if not blocks:
        raise DataError(
            f"{path}: no <|im_start|>role ... <|im_end|> block; expected alpaca_eval's prompt"
            " format"
        )
    for name in PLACEHOLDERS:
        if (count := text.count("{" + name + "}")) != 1:
            raise DataError(
                f"{path}: the placeholder {{{name}}} occurs {count} times, expected once"
            )
    return [{"role": role, "content": content.strip()} for role, content in blocks]


def read_references(path: Path) -> dict[str, str]:
    """Return instruction id -> the benchmark's own reference output.

    Raises:
        DataError: an instruction has no reference output.
    """
    references = {}
    for number, row in read_jsonl(path):
        if not isinstance(row.get("reference_output"), str):
            raise DataError(
                f"{path}:{number}: {row.get('id')} has no reference_output; set"
                " judge_alpaca_eval.reference to base"
            )
        references[str(row["id"])] = row["reference_output"]
    return references


def shows_variant_first(instruction: str) -> bool:
    """Return whether alpaca_eval shows the variant's output first for this instruction."""
    draw = random.Random(f"is_switched_outputs{instruction}{SEED}")
    return draw.choices([False, True], k=1)[0]


def fill_in(
    messages: list[dict[str, str]], instruction: str, first: str, second: str
) -> list[dict[str, str]]:
    """Return the judge's messages; what an output contains is never taken for a placeholder."""
    values = dict(zip(PLACEHOLDERS, (instruction, first, second), strict=True))
    pattern = re.compile(r"\{(" + "|".join(PLACEHOLDERS) + r")\}")
    return [
        message | {"content": pattern.sub(lambda match: values[match[1]], message["content"])}
        for message in messages
    ]


def pairs_to_judge(
    answers: list[Answer],
    references: Mapping[str, str],
    messages: list[dict[str, str]],
    parameters: dict[str, Any],
    both_orders: bool,
) -> list[Pair]:
    """Return one pair an answer with its requests: in the drawn order or in both.

    Raises:
        DataError: an instruction has no reference.
    """
    pairs = []
    for answer in answers:
        if answer.id not in references:
            raise DataError(f"AlpacaEval instruction {answer.id} has no reference output")
        reference, output = references[answer.id], answer.outputs[0]
        drawn = shows_variant_first(answer.prompts[0])
        orders = [] if reference == output else [False, True] if both_orders else [drawn]
        requests = []
        for first in orders:
            shown = (output, reference) if first else (reference, output)
            item = f"{answer.id} {'variant' if first else 'reference'} first"
            filled = fill_in(messages, answer.prompts[0], *shown)
            requests.append(JudgeRequest(item=item, messages=filled, parameters=parameters))
        pairs.append(Pair(answer, reference, requests, orders))
    return pairs


def preference_for_first(reply: Reply) -> tuple[float | None, str]:
    """Return preference for the output shown first (None: unclear), and "weighted" or "binary"."""
    if reply.log_probabilities is not None:
        weights = {
            name: math.exp(reply.log_probabilities.get(name, -math.inf)) for name in (FIRST, SECOND)
        }
        total = sum(weights.values())
        return (weights[FIRST] / total if total > 0 else None), "weighted"
    name = re.sub(r"[^A-Za-z]", "", reply.text)
    return {FIRST: 1.0, SECOND: 0.0}.get(name), "binary"


def compare_pairs(
    judge: Judge, pairs: list[Pair], reasks: int
) -> tuple[list[ItemResult], list[Reply]]:
    """Return one row an instruction and all answers of the judge; identical outputs are a tie.

    An answer that names neither output is asked for again up to `reasks` times; then the row is a
    failure `judge_unparsed`.
    """
    asked = ask_until_clear(
        judge,
        [request for pair in pairs for request in pair.requests],
        lambda reply: preference_for_first(reply)[0] is not None,
        reasks,
        REASK,
    )
    remaining = iter(asked.replies)
    rows = [
        _row(index, pair, [next(remaining) for _ in pair.requests])
        for index, pair in enumerate(pairs)
    ]
    return rows, asked.everything


def _row(index: int, pair: Pair, replies: list[Reply]) -> ItemResult:
    orders, preferences, fault = [], [], None
    for first, reply in zip(pair.variant_first, replies, strict=True):
        value, kind = preference_for_first(reply) if reply.outcome == "answered" else (None, "none")
        preference = None if value is None else value if first else 1 - value
        preferences.append(preference)
        orders.append(
            {
                "shown_first": "variant" if first else "reference",
                "preference": preference,
                "kind": kind,
                "judge_text": reply.text,
                "judge_model": reply.model,
                "reason": reply.reason,
            }
        )
        if preference is None:
            fault = fault or unjudged(reply)
    given = [value for value in preferences if value is not None]
    score = None if fault else sum(given) / len(given) if replies else 0.5
    detail = {
        "category": pair.answer.category,
        "dataset": pair.answer.category,
        "output_characters": len(pair.answer.outputs[0]),
        "reference_characters": len(pair.reference),
        "identical": not replies,
        "orders": orders,
    }
    return ItemResult(
        index=index,
        id=pair.answer.id,
        cluster=pair.answer.id,
        score=score,
        outcome=fault or "judged",
        detail=detail,
    )
