"""One request of a load measurement: one line of results/{run}/perf/raw/load.jsonl."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class LoadRequest:
    """A request among others that run at the same time, and when its tokens came."""

    # "own" = our decoder in a process here | "server" = an OpenAI-compatible endpoint
    engine: str
    # base | lora | merged; "base_again" is the A/A control
    variant: str
    # from 0
    repeat: int
    # requests in flight at any time
    concurrency: int
    # from 0, in order of sending
    number: int
    prompt_id: str
    # "ok" | "failed"; a failed request has no times
    status: str
    # why it failed
    reason: str | None
    output_tokens: int | None
    # how they were counted: "decoder" | "usage" (the server's own count) | "stream" (its chunks)
    tokens_from: str | None
    # from the start of this level of load to the sending
    sent_ms: float
    # from the sending to the first token, waiting included
    time_to_first_token_ms: float | None
    # from the sending to the last token
    end_to_end_ms: float | None
