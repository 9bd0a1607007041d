"""How the rows of a benchmark were made: the .json beside shards, answers and judgments.

Facts only; the sentence that a report shows is made of them where scores are made.
"""

from typing import Any, TypedDict

VERSION = 2
# of judgments; 1 held the sentence, which is now made of these facts where scores are made
JUDGING_VERSION = 2


class Made(TypedDict):
    """What all generating jobs record."""

    schema_version: int
    benchmark: str
    # "bfloat16" | "float32"
    dtype: str
    # "transformers" | "vllm"
    engine: str
    device: str
    # name of the library -> version
    versions: dict[str, str]
    # hashes of the files that describe the weights
    model: str
    # the rule's section, with this benchmark's keys under `benchmark`
    settings: dict[str, Any]
    tokens_computed: int
    seconds: float


class TaskProtocol(Made):
    """A shard of a benchmark that lm-evaluation-harness asked."""

    task: str
    harness: str
    # examples in a prompt
    few_shot: int
    items: int
    requests_from_store: int


class AnswersProtocol(Made):
    """A shard of answers to questions, or all of them."""

    # of sampled answers
    top_k: int
    top_p: float
    questions: int
    turns_truncated: int
    turns_with_less_room: int
    turns_from_store: int


class AskedJudge(TypedDict):
    """Who judged."""

    kind: str
    model: str
    # None for a local judge, as is the temperature
    base_url: str | None
    # None = the provider's own
    temperature: float | None


class JudgingProtocol(TypedDict):
    """The judgments of one variant's answers; a benchmark adds its own settings and counts."""

    schema_version: int
    benchmark: str
    # whether the scores may decide anything
    signal: bool
    judge: AskedJudge
    models_returned: list[str]
    parameters_sent: list[dict[str, Any]]
    parameters_dropped: list[str]
    # prompt file -> hash
    prompt_sha256: dict[str, str]
    items: int
    judged: int
    # outcome -> items without a score
    failures: dict[str, int]
    answers: int
    # answers that this job asked for, and those that the store held
    calls: int
    cached_calls: int
    input_tokens: int
    output_tokens: int
    tokens_not_reported: int
    # what the answers cost, whoever paid; what of it other runs paid; what this job paid
    usd: float
    usd_of_other_runs: float
    usd_this_run: float
    lost_requests: int
    lost_usd_at_most: float
    estimated_usd_this_run: float
    wall_seconds: float
