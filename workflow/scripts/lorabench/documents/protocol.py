"""How the rows of a benchmark were made: the .json beside shards, answers and judgments.

Facts only; the sentence that a report shows is made of them where scores are made.
"""

from typing import Any, TypedDict

VERSION = 2


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
