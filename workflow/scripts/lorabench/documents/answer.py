"""Generated answers to one question: one line of
results/{run}/answers/{variant}/{benchmark}.jsonl."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Answer:
    """A variant's answers to the one turn (AlpacaEval) or two turns (MT-Bench) of a question; lists
    run over turns."""

    # position in the benchmark after `limit`, from 0
    index: int
    # MT-Bench question_id, AlpacaEval instruction id
    id: str
    # MT-Bench category, AlpacaEval `dataset`
    category: str
    # the user's turns
    prompts: list[str]
    # the variant's turns, special tokens removed
    outputs: list[str]
    # generated tokens, the end-of-turn token not counted
    output_tokens: list[int]
    # True where generation stopped at the token limit
    truncated: list[bool]
    # 0 = greedy
    temperature: float
