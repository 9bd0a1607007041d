"""The config sections `evaluate_task` and `generate_answers`, for one benchmark each."""

from dataclasses import dataclass, fields
from typing import Any, Self

from lorabench.errors import ConfigurationError


@dataclass(frozen=True, kw_only=True)
class Gsm8kSettings:
    """GSM8K."""

    task: str  # "gsm8k" (worked examples from the training split) | "gsm8k_cot" (eight fixed examples)
    few_shot: int | None  # examples in a prompt; None = the task's own number, 5 or 8
    answer_filter: str  # "strict-match" | "flexible-extract" (the last number): which of the two makes the score
    max_new_tokens: int
    limit: int | None  # first n test items
    engine: str  # "transformers" | "vllm"


@dataclass(frozen=True, kw_only=True)
class MmluSettings:
    """MMLU."""

    task: str  # "mmlu" (choices are listed, their letters scored) | "mmlu_continuation" (the choices' texts are scored)
    few_shot: int  # first n rows of the subject's dev split
    subjects: list[str]  # empty = all that the data has
    limit_per_subject: int | None  # first n test items of each subject


@dataclass(frozen=True, kw_only=True)
class GenerationSettings:
    """MT-Bench and AlpacaEval."""

    max_new_tokens: int  # of one answer
    limit: int | None  # first n questions


@dataclass(frozen=True, kw_only=True)
class EvaluateTaskSettings:
    """Section `evaluate_task`, with the subsection of one benchmark."""

    dtype: str  # "auto" | "bfloat16" | "float32"
    apply_chat_template: bool
    tokens_per_batch: int  # tokens a forward pass, shared prefix not counted
    benchmark: Gsm8kSettings | MmluSettings

    @classmethod
    def parse(cls, benchmark: str, section: dict[str, Any]) -> Self:
        """Build the settings from the rule's dict; `section["benchmark"]` is the benchmark's own subsection."""
        kind = Gsm8kSettings if benchmark == "gsm8k" else MmluSettings
        return _build(
            cls, section | {"benchmark": _build(kind, section["benchmark"], "evaluate_task")}, "evaluate_task"
        )


@dataclass(frozen=True, kw_only=True)
class GenerateAnswersSettings:
    """Section `generate_answers`, with the subsection of one benchmark."""

    dtype: str
    engine: str  # "transformers" | "vllm"
    tokens_per_batch: int  # tokens whose keys and values are held at once
    seed: int
    benchmark: GenerationSettings

    @classmethod
    def parse(cls, section: dict[str, Any]) -> Self:
        """Build the settings from the rule's dict; `section["benchmark"]` is the benchmark's own subsection."""
        name = "generate_answers"
        return _build(cls, section | {"benchmark": _build(GenerationSettings, section["benchmark"], name)}, name)


def _build(kind: type, values: dict[str, Any], section: str) -> Any:
    known = {field.name for field in fields(kind)}
    wrong = sorted(set(values) ^ known)
    if wrong:
        state = "unknown key" if wrong[0] in values else "missing key"
        raise ConfigurationError(f"{section}: {state} {wrong[0]!r}; the keys are {', '.join(sorted(known))}")
    return kind(**values)
