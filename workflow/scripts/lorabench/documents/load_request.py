"""One request of a load measurement: one line of results/{run}/perf/raw/load.jsonl."""

from dataclasses import dataclass
from typing import Annotated, Literal

from lorabench.documents.limits import Arm, NotNegative, Positive, Whole, one_of


@dataclass(frozen=True, kw_only=True)
class LoadRequest:
    """A request among others that run at the same time, and when its tokens came."""

    engine: Annotated[str, one_of("own", "server")]
    """own = our decoder in a process here, server = an OpenAI-compatible endpoint."""
    variant: Arm
    """base_again is the A/A control."""
    repeat: Whole
    """From 0."""
    concurrency: Positive
    """Requests in flight at any time."""
    number: Whole
    """From 0, in order of sending."""
    prompt_id: str
    status: Literal["ok", "failed"]
    """A failed request has no times."""
    reason: str | None
    """Why it failed."""
    output_tokens: int | None
    tokens_from: Literal["decoder", "usage", "stream"] | None
    """How they were counted: decoder, usage (the server's own count) or stream (its chunks)."""
    sent_ms: NotNegative
    """From the start of this level of load to the sending."""
    time_to_first_token_ms: float | None
    """From the sending to the first token, waiting included."""
    end_to_end_ms: float | None
    """From the sending to the last token."""
