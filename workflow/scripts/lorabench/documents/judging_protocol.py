"""How answers were judged: the .json with each results/{run}/judgments/{variant}/{benchmark}.jsonl.

Facts only; the sentence that a report shows is made of them where scores are made.
"""

from typing import Any, Literal

from typing_extensions import TypedDict


class JudgeFacts(TypedDict):
    """Who judged."""

    kind: str
    model: str
    base_url: str | None
    temperature: float | None


class JudgingProtocol(TypedDict):
    """What every judging job records; a benchmark adds its settings, counts and input hashes."""

    schema_version: Literal[2]
    """1 held the sentence, which is now made of these facts where scores are made."""
    benchmark: str
    signal: bool
    """False where the judge's scores mean nothing."""
    judge: JudgeFacts
    models_returned: list[str]
    parameters_sent: list[dict[str, Any]]
    """Each distinct set that reached the judge, without what it refused."""
    parameters_dropped: list[str]
    prompt_sha256: dict[str, str]
    items: int
    judged: int
    failures: dict[str, int]
    """Outcome -> items without a score."""
    answers: int
    calls: int
    cached_calls: int
    """Answers that came from the store."""
    input_tokens: int
    output_tokens: int
    tokens_not_reported: int
    """Answers without a count of tokens."""
    usd: float
    """What the answers cost, whoever paid."""
    usd_of_other_runs: float
    """What of it other runs paid."""
    usd_this_run: float
    """What this job paid."""
    lost_requests: int
    """Requests that were sent and whose answer was never stored."""
    lost_usd_at_most: float
    estimated_usd_this_run: float
    wall_seconds: float


class RatingProtocol(JudgingProtocol):
    """Of MT-Bench."""

    questions: int
    turns: int
    corrected_references: bool


class PreferenceProtocol(JudgingProtocol):
    """Of AlpacaEval."""

    questions: int
    reference: Literal["published", "base"]
    """Whose answers the variant's are compared with."""
    both_orders: bool
