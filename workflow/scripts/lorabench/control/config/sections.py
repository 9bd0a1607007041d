"""The whole config: which sections there are. What a stage works by is declared in its room; what
only the rules read is declared here."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import reduce
from operator import or_
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, ConfigDict, Field, GetCoreSchemaHandler, create_model

from lorabench.data.settings import ContaminationSettings, PreparationSettings
from lorabench.data.sources.source import KINDS
from lorabench.evaluation.settings import (
    EvaluationKeys,
    GenerationKeys,
    GenerationSettings,
    Gsm8kSettings,
    MmluSettings,
)
from lorabench.inference.settings import InferenceSettings
from lorabench.judging.settings import (
    JudgeAlpacaEvalSettings,
    JudgeMtBenchSettings,
    JudgeSettings,
)
from lorabench.scoring.settings import ComparisonSettings
from lorabench.section import Count, Distinct, LocalPath, Name, Section, Variant
from lorabench.training.settings import ImportSettings, MergeSettings, TrainingSettings

KEYS_OF_KINDS = frozenset(key for kind in KINDS.values() for key in kind.model_fields)
BENCHMARKS = ("gsm8k", "mmlu", "mt_bench", "alpaca_eval")
Benchmark = Literal["gsm8k", "mmlu", "mt_bench", "alpaca_eval"]


def _without_other_kinds(entry: Any) -> Any:
    """Drop the keys of other kinds: an overlay that changes the kind leaves the old kind's keys."""
    kind = KINDS.get(entry.get("kind", "")) if isinstance(entry, Mapping) else None
    if kind is None:
        return entry
    others = KEYS_OF_KINDS - set(kind.model_fields)
    return {key: value for key, value in entry.items() if key not in others}


@dataclass(frozen=True, eq=False)
class AnyKind:
    """Annotation of a key that takes a source of any kind, with `more` keys in each: key -> (type,
    default or Field), as in `pydantic.create_model`."""

    # of the classes' names, for editors
    prefix: str
    more: Mapping[str, Any] = field(default_factory=dict)

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> Any:
        """Return pydantic's schema of the alternatives, told apart by `kind`."""
        kinds = [
            create_model(
                f"{self.prefix}{kind.__name__}",
                __base__=kind,
                **self.more,
            )
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
NAME_TEXT = "Folder under resources/models; also the name that reports show."
ModelSource = Annotated[Any, AnyKind("Model", {"name": (Name, Field(description=NAME_TEXT))})]


class FetchModel(Section):
    """Models."""

    base: ModelSource
    """The model that is fine-tuned."""
    judge: ModelSource | None
    """The model of a `local` judge; null = the base model."""


class FetchBenchmark(Section):
    """Benchmark data."""

    gsm8k: DataSource
    """Grade-school word problems (arXiv 2110.14168)."""
    mmlu: DataSource
    """Multiple choice over 57 subjects (arXiv 2009.03300)."""
    mt_bench: PromptedSource
    """Two-turn questions with judge prompts and references (arXiv 2306.05685)."""
    alpaca_eval: PromptedSource
    """Instructions with reference outputs (AlpacaEval 2, arXiv 2404.04475)."""


class EvaluateTask(EvaluationKeys):
    """Benchmarks of lm-evaluation-harness: GSM8K and MMLU."""

    shards: Count
    """Jobs that each benchmark is split into."""
    gsm8k: Gsm8kSettings
    """GSM8K."""
    mmlu: MmluSettings
    """MMLU."""


class GenerateAnswers(GenerationKeys):
    """Answers to MT-Bench and AlpacaEval."""

    shards: Count
    """Jobs that each benchmark is split into."""
    mt_bench: GenerationSettings
    """MT-Bench."""
    alpaca_eval: GenerationSettings
    """AlpacaEval."""


class ScoreBenchmark(Section):
    """What is evaluated and scored."""

    variants: Distinct[Variant] = Field(min_length=1)
    """Variants to evaluate."""
    benchmarks: Distinct[Benchmark]
    """Benchmarks to run."""
    confidence: float = Field(gt=0.5, lt=1)
    """Level of every interval."""
    length_control_file: LocalPath | None
    """AlpacaEval's `df_gamed.csv` (checked by SHA-256), for the length-controlled win rate of all
    805 items; null = not computed."""


class ExportAdapter(Section):
    """Copy of the adapter under the name that users know."""

    folder: LocalPath | None
    """null = `artifacts/lora-{run}` (LORA_OUTPUT_DIR). A folder that holds other files is
    refused."""


class Config(Section):
    """lorabench: one section a rule. config/config.yaml holds the defaults; an overlay names what
    it changes."""

    model_config = ConfigDict(title="lorabench configuration")

    run: Name
    """Name of the run, a folder under `results/`."""
    require_gpu: bool
    """Stop before work starts on a machine without a GPU; jobs that compute with the model ask the
    scheduler for one."""
    sweep: dict[Name, dict[str, Any]]
    """Suffix -> overrides of sections; each entry adds the run `{run}-{suffix}`."""
    fetch_model: FetchModel
    fetch_conversations: DataSource
    """Training conversations: OpenAssistant trees or messages, or JSON Lines of `messages`."""
    fetch_benchmark: FetchBenchmark
    prepare_conversations: PreparationSettings
    check_contamination: ContaminationSettings
    import_adapter: ImportSettings
    train_adapter: TrainingSettings
    merge_adapter: MergeSettings
    evaluate_task: EvaluateTask
    generate_answers: GenerateAnswers
    judge: JudgeSettings
    judge_mt_bench: JudgeMtBenchSettings
    judge_alpaca_eval: JudgeAlpacaEvalSettings
    score_benchmark: ScoreBenchmark
    measure_inference: InferenceSettings
    compare_variants: ComparisonSettings
    export_adapter: ExportAdapter
