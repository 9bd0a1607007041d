"""Raw times of one generation: one line of results/{run}/perf/{variant}.jsonl."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class TokenTimes:
    """One prompt, one repeat; greedy, end of turn suppressed, so that all variants generate equally
    many tokens."""

    # base | lora | merged; "base_again" is the A/A control
    variant: str
    # from 0; warm-up is not recorded
    repeat: int
    # place of this variant in the turn of its prompt, from 0
    order: int
    prompt_id: str
    category: str
    prompt_tokens: int
    # of the token ids, to prove that variants saw the same prompt
    prompt_sha256: str
    new_tokens: int
    # from the call to the first generated token
    time_to_first_token_ms: float
    # new_tokens - 1 gaps
    inter_token_latencies_ms: list[float]
    end_to_end_ms: float
