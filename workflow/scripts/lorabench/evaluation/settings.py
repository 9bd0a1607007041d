"""The config sections `evaluate_task` and `generate_answers`, whole and for one benchmark each."""

from typing import Any, Literal, Self

from pydantic import Field

from lorabench.section import Count, Distinct, Dtype, Section, Seed, Text


class Gsm8kSettings(Section):
    """GSM8K."""

    task: Literal["gsm8k", "gsm8k_cot"]
    """gsm8k: worked examples from the training split; gsm8k_cot: the eight fixed chain-of-thought
    examples of Wei et al."""
    few_shot: int | None = Field(ge=0)
    """Examples in a prompt, the first n; null = the task's own number, 5 or 8."""
    answer_filter: Literal["strict-match", "flexible-extract"]
    """Which answer filter makes the score (both are recorded): the trained form of the answer, or
    the last number."""
    max_new_tokens: Count
    """Longest answer; answers that reach it are counted as truncated."""
    limit: int | None = Field(ge=1)
    """First n items; null = all."""
    engine: Literal["transformers", "vllm"]
    """What generates: transformers (our passes over shared prefixes) or vllm (a GPU; environment
    envs/vllm.yaml)."""


class MmluSettings(Section):
    """MMLU."""

    task: Literal["mmlu", "mmlu_continuation"]
    """mmlu: the choices are listed and their letters scored; mmlu_continuation: the texts of the
    choices are scored, for models too small to map choices to letters. Scores of the two do not
    compare."""
    few_shot: int = Field(ge=0)
    """First n development questions of the subject as examples."""
    subjects: Distinct[Text]
    """Subjects to ask; empty = all in the data."""
    limit_per_subject: int | None = Field(ge=1)
    """First n questions of each subject; null = all."""


class GenerationSettings(Section):
    """Questions that a judge reads the answers of."""

    max_new_tokens: Count
    """Longest answer."""
    limit: int | None = Field(ge=1)
    """First n questions; null = all."""


class EvaluationKeys(Section):
    """Benchmarks of lm-evaluation-harness."""

    dtype: Dtype
    """Of the model."""
    apply_chat_template: bool
    """Put prompts through the chat template; one setting for all variants."""
    tokens_per_batch: Count
    """Tokens a forward pass; prefixes that questions share are not counted."""


class EvaluateTaskSettings(EvaluationKeys):
    """Section `evaluate_task`, with the subsection of one benchmark."""

    benchmark: Gsm8kSettings | MmluSettings

    @classmethod
    def parse(cls, benchmark: str, section: dict[str, Any]) -> Self:
        """Build the settings from the rule's dict; `section["benchmark"]` is the benchmark's own
        subsection."""
        kind = Gsm8kSettings if benchmark == "gsm8k" else MmluSettings
        return cls(**section | {"benchmark": kind(**section["benchmark"])})


class GenerationKeys(Section):
    """Answers to the questions of judged benchmarks."""

    dtype: Dtype
    """Of the model."""
    engine: Literal["transformers", "vllm"]
    """What generates: transformers (our passes over shared prefixes) or vllm (a GPU; environment
    envs/vllm.yaml)."""
    tokens_per_batch: Count
    """Padded tokens a batch, prompt and answer."""
    seed: Seed
    """Of sampling where the protocol's temperature is above 0."""


class GenerateAnswersSettings(GenerationKeys):
    """Section `generate_answers`, with the subsection of one benchmark."""

    benchmark: GenerationSettings

    @classmethod
    def parse(cls, section: dict[str, Any]) -> Self:
        """Build the settings from the rule's dict; `section["benchmark"]` is the benchmark's own
        subsection."""
        return cls(**section | {"benchmark": GenerationSettings(**section["benchmark"])})
