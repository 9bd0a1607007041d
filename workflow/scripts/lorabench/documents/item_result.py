"""The result of one benchmark item: one line of results/{run}/eval/{variant}/{benchmark}.jsonl."""

from dataclasses import dataclass
from typing import Annotated, Any

from lorabench.documents.limits import Whole, one_of

Outcome = Annotated[
    str, one_of("correct", "incorrect", "judged", "judge_unparsed", "judge_refused", "judge_failed")
]


@dataclass(frozen=True, kw_only=True)
class ItemResult:
    """What one variant did on one item; rows of two variants pair by `id`.

    An item whose outcome is a failure of the procedure (unparsed judgment, refused request) has
    `score` None: it is counted as a failure next to the score, never averaged as zero. A wrong or
    unparsable *model* answer scores 0.

    `score` is 0 or 1 for GSM8K and MMLU, 1 to 10 for MT-Bench (one row a turn), and for AlpacaEval
    the judge's preference for the variant, 0 to 1.
    """

    index: Whole
    """Position in the benchmark after `limit`, from 0; shards join by it."""
    id: str
    """Stable name of the item, the same for all variants."""
    cluster: str
    """Unit of resampling: MMLU subject, MT-Bench question, else the item itself."""
    score: float | None
    outcome: Outcome
    detail: dict[str, Any]
    """What the benchmark adds: responses, log-likelihoods, lengths, category, turn."""
