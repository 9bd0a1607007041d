"""The whole config. A stage's keys are declared in its room, those of the rules here."""

import importlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import reduce
from operator import or_
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BeforeValidator,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    create_model,
)

from lorabench.control.benchmarks import BENCHMARKS, JUDGED, TASKS, settings_class
from lorabench.data.benchmark import benchmark_data
from lorabench.data.settings import ContaminationSettings, PreparationSettings
from lorabench.data.sources.source import KINDS
from lorabench.evaluation.settings import EvaluationKeys, GenerationKeys
from lorabench.inference.settings import InferenceSettings
from lorabench.judging.settings import JudgeAlpacaEvalSettings, JudgeMtBenchSettings, JudgeSettings
from lorabench.scoring.settings import ComparisonSettings, GateSettings
from lorabench.section import MOST, Distinct, LocalPath, Name, Section, Text, Variant
from lorabench.training.settings import ImportSettings, MergeSettings, TrainingSettings

KEYS_OF_KINDS = frozenset(key for kind in KINDS.values() for key in kind.model_fields)


def _without_other_kinds(entry: Any) -> Any:
    """Drop the keys of other kinds: an overlay that changes the kind leaves the old kind's keys."""
    kind = KINDS.get(str(entry.get("kind"))) if isinstance(entry, Mapping) else None
    if kind is None:
        return entry
    others = KEYS_OF_KINDS - set(kind.model_fields)
    return {key: value for key, value in entry.items() if key not in others}


@dataclass(frozen=True, eq=False)
class AnyKind:
    """Annotation of a key that takes a source of any kind.

    Each kind has the keys of `more` too: key -> (type, default or Field), as in
    `pydantic.create_model`.
    """

    # of the classes' names, for editors
    prefix: str
    more: Mapping[str, Any] = field(default_factory=dict)

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> Any:
        """Return pydantic's schema of the alternatives, separated by `kind`."""
        kinds = [
            create_model(f"{self.prefix}{kind.__name__}", __base__=kind, **self.more)
            for kind in KINDS.values()
        ]
        options: Any = Annotated[reduce(or_, kinds), Field(discriminator="kind")]
        return handler.generate_schema(Annotated[options, BeforeValidator(_without_other_kinds)])


DataSource = Annotated[Any, AnyKind("Data")]
PROMPT_TEXT = "Source of the judge's prompt where the benchmark's own source has none."
PromptedSource = Annotated[
    Any,
    AnyKind(
        "Prompted",
        {"judge_prompt": (DataSource | None, Field(default=None, description=PROMPT_TEXT))},
    ),
]
FORMAT_TEXT = (
    "Shape of the rows: `auto` (by their keys), `trees` (OpenAssistant's trees or messages),"
    " `messages`, `sharegpt`, `alpaca` or `prompt_completion`; examples in docs/data.md."
)
Format = Literal["auto", "trees", "messages", "sharegpt", "alpaca", "prompt_completion"]
ConversationSource = Annotated[
    Any,
    AnyKind("Conversation", {"format": (Format, Field(default="auto", description=FORMAT_TEXT))}),
]
NAME_TEXT = "Folder under resources/models; also the name that reports show."
ModelSource = Annotated[Any, AnyKind("Model", {"name": (Name, Field(description=NAME_TEXT))})]


class FetchModel(Section):
    """Models."""

    base: ModelSource
    """The model that is fine-tuned."""
    judge: ModelSource | None
    """The model of a `local` judge; null = the base model."""


def _sentence(text: str | None) -> str:
    return " ".join((text or "").split())


def _fetch_benchmark_keys() -> dict[str, Any]:
    """Return a source for each benchmark, as keys for `create_model`."""
    keys = {}
    for name in BENCHMARKS:
        source = DataSource if benchmark_data(name).judge_prompt is None else PromptedSource
        about = importlib.import_module(f"lorabench.data.benchmarks.{name}").__doc__
        keys[name] = (source, Field(description=_sentence(about)))
    return keys


def _benchmark_keys(names: Iterable[str]) -> dict[str, Any]:
    """Return the subsections of benchmarks, as keys for `create_model`."""
    kinds = {name: settings_class(name) for name in names}
    return {
        name: (kind, Field(description=_sentence(kind.__doc__))) for name, kind in kinds.items()
    }


FetchBenchmark = create_model(
    "FetchBenchmark", __base__=Section, __doc__="Benchmark data.", **_fetch_benchmark_keys()
)


class Shards(Section):
    """A section whose benchmarks are split into jobs."""

    shards: Annotated[int, Field(ge=1, le=1000)]
    """Jobs that each benchmark is split into."""


EvaluateTask = create_model(
    "EvaluateTask",
    __base__=(EvaluationKeys, Shards),
    __doc__=EvaluationKeys.__doc__,
    **_benchmark_keys(TASKS),
)
GenerateAnswers = create_model(
    "GenerateAnswers",
    __base__=(GenerationKeys, Shards),
    __doc__=GenerationKeys.__doc__,
    **_benchmark_keys(JUDGED),
)


class LatencyLimit(Section):
    """A latency limit; 99 % of a level's requests must keep both times."""

    name: Text
    time_to_first_token_ms: float = Field(gt=0, le=MOST)
    time_per_output_token_ms: float = Field(gt=0, le=MOST)


def _distinct_names(limits: list[LatencyLimit]) -> list[LatencyLimit]:
    if len({limit.name for limit in limits}) < len(limits):
        raise ValueError("expected another name for each limit")
    return limits


class MeasureInference(InferenceSettings):
    """Latency, throughput and memory, all variants interleaved in one job."""

    limits: Annotated[list[LatencyLimit], AfterValidator(_distinct_names)]
    """Latency limits within which users are counted; 99 % of a level's requests must keep both."""
    usd_per_gpu_hour: float | None = Field(gt=0, le=MOST)
    """Price of the GPU, for the cost of a million output tokens; null = not shown."""


def _benchmark(name: str) -> str:
    if name not in BENCHMARKS:
        raise ValueError(f"expected one of {', '.join(BENCHMARKS)}, found {name!r}")
    return name


class ScoreBenchmark(Section):
    """What is evaluated and scored."""

    variants: Distinct[Variant] = Field(min_length=1)
    """Variants to evaluate."""
    benchmarks: Distinct[Annotated[str, AfterValidator(_benchmark)]]
    """Benchmarks to run."""
    confidence: float = Field(gt=0.5, lt=1)
    """Level of every interval."""
    min_judged_share: float = Field(gt=0, le=1)
    """Share of the items that must have a judgment; below it there is no score, and a judging job
    whose questions got no answer fails, so that the next call asks them."""
    length_control_file: LocalPath | None
    """AlpacaEval's `df_gamed.csv` (checked by SHA-256), for the length-controlled win rate of all
    805 items; null = not computed."""


class ExportAdapter(Section):
    """Copy of the adapter under the name that users know."""

    folder: LocalPath | None
    """null = `artifacts/lora-{run}` (LORA_OUTPUT_DIR). A folder that holds other files is
    refused."""


class Config(Section):
    """One section a rule.

    config/config.yaml holds the defaults; an overlay names what it changes.
    """

    model_config = ConfigDict(title="lorabench configuration")

    run: Name
    """Name of the run, a folder under `results/`."""
    require_gpu: bool
    """Stop before work starts on a machine without a GPU; jobs that compute with the model ask the
    scheduler for one."""
    sweep: dict[Name, dict[str, Any]]
    """Suffix -> overrides of sections; each entry adds the run `{run}-{suffix}`."""
    fetch_model: FetchModel
    fetch_conversations: ConversationSource
    """Training conversations: OpenAssistant trees or messages, `messages`, ShareGPT, Alpaca, or
    prompts with completions."""
    # the benchmarks' keys follow from their tables, which mypy cannot see
    fetch_benchmark: FetchBenchmark  # type: ignore[valid-type]
    prepare_conversations: PreparationSettings
    check_contamination: ContaminationSettings
    import_adapter: ImportSettings
    train_adapter: TrainingSettings
    merge_adapter: MergeSettings
    evaluate_task: EvaluateTask  # type: ignore[valid-type]
    generate_answers: GenerateAnswers  # type: ignore[valid-type]
    judge: JudgeSettings
    judge_mt_bench: JudgeMtBenchSettings
    judge_alpaca_eval: JudgeAlpacaEvalSettings
    score_benchmark: ScoreBenchmark
    measure_inference: MeasureInference
    compare_variants: ComparisonSettings
    export_adapter: ExportAdapter
    gate: GateSettings
