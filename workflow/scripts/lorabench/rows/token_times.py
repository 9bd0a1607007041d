"""Raw times of one generation: one line of results/{run}/perf/{variant}.jsonl."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class TokenTimes:
    """One prompt, one repeat; greedy, end of turn suppressed, so that all variants generate equally many tokens."""

    variant: str  # base | lora | merged; "base_again" is the A/A control
    repeat: int  # from 0; warm-up is not recorded
    order: int  # place of this variant in the turn of its prompt, from 0
    prompt_id: str
    category: str
    prompt_tokens: int
    prompt_sha256: str  # of the token ids, to prove that variants saw the same prompt
    new_tokens: int
    time_to_first_token_ms: float  # from the call to the first generated token
    inter_token_latencies_ms: list[float]  # new_tokens - 1 gaps
    end_to_end_ms: float
