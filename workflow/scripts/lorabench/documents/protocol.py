"""How the rows of a benchmark were made: the .json next to shards, answers and judgments.

Facts only; the sentence that a report shows is made of them where scores are made.
"""

from typing import Annotated, Any, Literal, NotRequired

from typing_extensions import TypedDict

from lorabench.documents.limits import one_of


class Made(TypedDict):
    """What all generating jobs record."""

    schema_version: Literal[2]
    """1 held the sentence of the score."""
    benchmark: str
    dtype: Annotated[str, one_of("bfloat16", "float32")]
    engine: Annotated[str, one_of("transformers", "vllm")]
    device: str
    versions: dict[str, str]
    """Name of the library -> version."""
    model: str
    """Hashes of the files that describe the weights."""
    settings: dict[str, Any]
    """The rule's section, with this benchmark's keys under `benchmark`."""
    tokens_computed: int
    seconds: float


class TaskProtocol(Made):
    """A shard of a benchmark that lm-evaluation-harness asked."""

    task: str
    harness: str
    few_shot: int
    """Examples in a prompt."""
    items: int
    requests_from_store: int


class AnswersProtocol(Made):
    """A shard of answers to questions, or all of them."""

    top_k: int
    """Of sampled answers."""
    top_p: float
    questions: int
    turns_truncated: int
    turns_with_less_room: int
    turns_from_store: int
    shards: NotRequired[int]
    """Of all answers: how many jobs made them."""
