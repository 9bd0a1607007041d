"""The config sections `evaluate_task` and `generate_answers`, for one benchmark each."""

from dataclasses import dataclass, fields
from typing import Any, Self

from lorabench.errors import ConfigurationError


@dataclass(frozen=True, kw_only=True)
class Gsm8kSettings:
    """GSM8K."""

    # "gsm8k" (worked examples from the training split) | "gsm8k_cot" (eight fixed examples)
    task: str
    # examples in a prompt; None = the task's own number, 5 or 8
    few_shot: int | None
    # "strict-match" | "flexible-extract" (the last number): which of the two makes the score
    answer_filter: str
    max_new_tokens: int
    # first n test items
    limit: int | None
    # "transformers" | "vllm"
    engine: str


@dataclass(frozen=True, kw_only=True)
class MmluSettings:
    """MMLU."""

    # "mmlu" (choices are listed, their letters scored) | "mmlu_continuation" (the choices' texts
    # are scored)
    task: str
    # first n rows of the subject's dev split
    few_shot: int
    # empty = all that the data has
    subjects: list[str]
    # first n test items of each subject
    limit_per_subject: int | None


@dataclass(frozen=True, kw_only=True)
class GenerationSettings:
    """MT-Bench and AlpacaEval."""

    # of one answer
    max_new_tokens: int
    # first n questions
    limit: int | None


@dataclass(frozen=True, kw_only=True)
class EvaluateTaskSettings:
    """Section `evaluate_task`, with the subsection of one benchmark."""

    # "auto" | "bfloat16" | "float32"
    dtype: str
    apply_chat_template: bool
    # tokens a forward pass, shared prefix not counted
    tokens_per_batch: int
    benchmark: Gsm8kSettings | MmluSettings

    @classmethod
    def parse(cls, benchmark: str, section: dict[str, Any]) -> Self:
        """Build the settings from the rule's dict; `section["benchmark"]` is the benchmark's own
        subsection."""
        kind = Gsm8kSettings if benchmark == "gsm8k" else MmluSettings
        return _build(
            cls,
            section | {"benchmark": _build(kind, section["benchmark"], "evaluate_task")},
            "evaluate_task",
        )


@dataclass(frozen=True, kw_only=True)
class GenerateAnswersSettings:
    """Section `generate_answers`, with the subsection of one benchmark."""

    dtype: str
    # "transformers" | "vllm"
    engine: str
    # tokens whose keys and values are held at once
    tokens_per_batch: int
    seed: int
    benchmark: GenerationSettings

    @classmethod
    def parse(cls, section: dict[str, Any]) -> Self:
        """Build the settings from the rule's dict; `section["benchmark"]` is the benchmark's own
        subsection."""
        name = "generate_answers"
        return _build(
            cls,
            section | {"benchmark": _build(GenerationSettings, section["benchmark"], name)},
            name,
        )


def _build(kind: type, values: dict[str, Any], section: str) -> Any:
    known = {field.name for field in fields(kind)}
    wrong = sorted(set(values) ^ known)
    if wrong:
        state = "unknown key" if wrong[0] in values else "missing key"
        raise ConfigurationError(
            f"{section}: {state} {wrong[0]!r}; the keys are {', '.join(sorted(known))}"
        )
    return kind(**values)
