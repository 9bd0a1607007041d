"""The config sections `evaluate_task` and `generate_answers`, whole and for one benchmark each."""

from typing import Any, Literal, Self

from lorabench.evaluation.benchmark import BenchmarkSettings
from lorabench.section import Count, Dtype, Section, Seed

Tokens = Count | Literal["auto"]


class EvaluationKeys(Section):
    """Benchmarks of lm-evaluation-harness."""

    dtype: Dtype
    """Of the model."""
    apply_chat_template: bool
    """Put prompts through the chat template; one setting for all variants."""
    tokens_per_batch: Tokens
    """Tokens a forward pass; prefixes that questions share are not counted. auto = 32768, and for
    GSM8K's texts on a GPU as many rows as its free memory holds, at most 256."""


class EvaluateTaskSettings(EvaluationKeys):
    """Section `evaluate_task`, with the subsection of one benchmark."""

    benchmark: Any

    @property
    def engine(self) -> str:
        """Return what generates: "transformers" or, where the benchmark may choose it, "vllm"."""
        return str(getattr(self.benchmark, "engine", "transformers"))

    @classmethod
    def parse(cls, kind: type[BenchmarkSettings], section: dict[str, Any]) -> Self:
        """Build the settings from the rule's dict; `benchmark` has the benchmark's own keys."""
        own = kind.parse_section(section["benchmark"], "evaluate_task.benchmark")
        return cls.parse_section(section | {"benchmark": own}, "evaluate_task")


class GenerationKeys(Section):
    """Answers to the questions of judged benchmarks."""

    dtype: Dtype
    """Of the model."""
    engine: Literal["transformers", "vllm"]
    """What generates: transformers (our passes over shared prefixes) or vllm (a GPU; environment
    envs/vllm.yaml)."""
    tokens_per_batch: Tokens
    """Padded tokens a batch, prompt and answer. auto = 32768, on a GPU as many rows as its free
    memory holds, at most 256."""
    seed: Seed
    """Of sampling where the protocol's temperature is above 0."""


class GenerateAnswersSettings(GenerationKeys):
    """Section `generate_answers`, with the subsection of one benchmark."""

    benchmark: Any

    @classmethod
    def parse(cls, kind: type[BenchmarkSettings], section: dict[str, Any]) -> Self:
        """Build the settings from the rule's dict; `benchmark` has the benchmark's own keys."""
        own = kind.parse_section(section["benchmark"], "generate_answers.benchmark")
        return cls.parse_section(section | {"benchmark": own}, "generate_answers")
