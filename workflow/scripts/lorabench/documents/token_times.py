"""Raw times of one generation: one line of results/{run}/perf/{variant}.jsonl."""

from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from lorabench.documents.limits import Arm, Positive, Sha256, Whole


@dataclass(frozen=True, kw_only=True)
class TokenTimes:
    """One prompt, one repeat.

    Greedy, end of turn suppressed, so that all variants generate equally many tokens.
    """

    variant: Arm
    """base_again is the A/A control."""
    repeat: Whole
    """From 0; warm-up is not recorded."""
    order: Whole
    """Place of this variant in the turn of its prompt, from 0."""
    prompt_id: str
    category: str
    prompt_tokens: Positive
    prompt_sha256: Sha256
    """Of the token ids, to prove that variants saw the same prompt."""
    new_tokens: Annotated[int, Field(ge=2)]
    time_to_first_token_ms: Annotated[float, Field(gt=0)]
    """From the call to the first generated token."""
    inter_token_latencies_ms: list[float]
    """new_tokens - 1 gaps."""
    end_to_end_ms: Annotated[float, Field(gt=0)]
