"""The config sections `evaluate_task` and `generate_answers`, for one benchmark each."""

from dataclasses import dataclass, fields
from typing import Any, Self

from pydantic import ValidationError

from lorabench.errors import ConfigurationError
from lorabench.evaluation.benchmark import BenchmarkSettings


@dataclass(frozen=True, kw_only=True)
class EvaluateTaskSettings:
    """Section `evaluate_task`, with the subsection of one benchmark."""

    # "auto" | "bfloat16" | "float32"
    dtype: str
    apply_chat_template: bool
    # tokens a forward pass, shared prefix not counted
    tokens_per_batch: int
    benchmark: Any

    @property
    def engine(self) -> str:
        """Return what generates: "transformers" or, where the benchmark may choose it, "vllm"."""
        return str(getattr(self.benchmark, "engine", "transformers"))

    @classmethod
    def parse(cls, kind: type[BenchmarkSettings], section: dict[str, Any]) -> Self:
        """Build the settings from the rule's dict; `section["benchmark"]` is the benchmark's own
        subsection."""
        return _build(cls, kind, section, "evaluate_task")


@dataclass(frozen=True, kw_only=True)
class GenerateAnswersSettings:
    """Section `generate_answers`, with the subsection of one benchmark."""

    dtype: str
    # "transformers" | "vllm"
    engine: str
    # tokens whose keys and values are held at once
    tokens_per_batch: int
    seed: int
    benchmark: Any

    @classmethod
    def parse(cls, kind: type[BenchmarkSettings], section: dict[str, Any]) -> Self:
        """Build the settings from the rule's dict; `section["benchmark"]` is the benchmark's own
        subsection."""
        return _build(cls, kind, section, "generate_answers")


def _build(kind: type, own: type[BenchmarkSettings], values: dict[str, Any], section: str) -> Any:
    known = {field.name for field in fields(kind)}
    wrong = sorted(set(values) ^ known)
    if wrong:
        state = "unknown key" if wrong[0] in values else "missing key"
        raise ConfigurationError(
            f"{section}: {state} {wrong[0]!r}; the keys are {', '.join(sorted(known))}"
        )
    try:
        benchmark = own.model_validate(values["benchmark"])
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise ConfigurationError(
            f"{section}: {place}: {first['msg']}; the keys are"
            f" {', '.join(sorted(own.model_fields))}"
        ) from None
    return kind(**{**values, "benchmark": benchmark})
