"""Generated answers to a question: a line of results/{run}/answers/{variant}/{benchmark}.jsonl."""

from dataclasses import dataclass

from lorabench.documents.limits import NotNegative, Whole


@dataclass(frozen=True, kw_only=True)
class Answer:
    """A variant's answers to a question; lists run over turns.

    AlpacaEval has one turn, MT-Bench two.
    """

    index: Whole
    """Position in the benchmark after `limit`, from 0."""
    id: str
    """MT-Bench question_id, AlpacaEval instruction id."""
    category: str
    """MT-Bench category, AlpacaEval `dataset`."""
    prompts: list[str]
    """The user's turns."""
    outputs: list[str]
    """The variant's turns, special tokens removed."""
    output_tokens: list[int]
    """Generated tokens, the end-of-turn token not counted."""
    truncated: list[bool]
    """True where generation stopped at the token limit."""
    temperature: NotNegative
    """0 = greedy."""
