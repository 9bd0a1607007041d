"""The course of training: results/{run}/adapter/train_metrics.json."""

from typing import Any, Literal, NotRequired

from typing_extensions import TypedDict

from lorabench.documents.limits import Positive, Share


class WholeLikelihood(TypedDict):
    """Likelihood of the answer tokens of a split under one model; nll in nats."""

    nll_per_token: float
    perplexity: float
    """exp(nll_per_token)."""
    nll_sum: float
    label_tokens: Positive
    conversations: Positive


class ConversationLikelihood(TypedDict):
    """Likelihood of the answer tokens of one conversation, in nats."""

    id: str
    label_tokens: Positive
    base_nll_sum: float
    adapter_nll_sum: float


class SplitLosses(TypedDict):
    """Exact likelihood of a split under base and adapter."""

    base: WholeLikelihood
    adapter: WholeLikelihood
    conversations: NotRequired[list[ConversationLikelihood]]
    """Losses of each conversation."""


class Likelihoods(TypedDict):
    """Exact, token-weighted, over answer tokens."""

    validation: SplitLosses
    train: NotRequired[SplitLosses]


class Utilisation(TypedDict):
    """Speed as a share of the device's peak; null with the reason where that is not known."""

    peak_name: str | None
    precision: str
    peak_flops_per_second: float | None
    share: float | None
    reason: str | None


class TrainingTotals(TypedDict):
    """The whole training."""

    epochs: NotRequired[float]
    steps: Positive
    tokens: int
    label_tokens: int
    step_seconds: float
    tokens_per_second: float
    median_step_tokens_per_second: float
    trainable_parameters: Positive
    floating_point_operations: float
    flops_per_second: float
    utilisation: Utilisation
    gpu_idle: NotRequired[dict[str, Any]]
    """Share of a few steps in which the GPU had no work, or the reason why it is not known."""


class PowerRead(TypedDict):
    """Power of the GPUs by the driver (NVML), while the process that ended the training trained."""

    status: Literal["ok"]
    reason: None
    method: Literal["energy counter", "sampled power"]
    gpus: Positive
    seconds: float
    mean_watts: float
    peak_watts: float
    """Of samples."""
    energy_joules: float
    energy_kwh: float


class PowerNotRead(TypedDict):
    """Power that was not read."""

    status: Literal["not_run"]
    reason: str


class Evaluation(TypedDict):
    """The exact validation loss at one moment of training, in nats."""

    step: Positive
    epoch: float
    nll_per_token: float


class Step(TypedDict):
    """One optimiser step."""

    step: Positive
    epoch: float
    loss: float
    """Nats an answer token."""
    learning_rate: float
    grad_norm: float
    tokens: int
    label_tokens: int
    conversations: int
    micro_batches: int
    padding_fraction: Share
    seconds: float
    tokens_per_second: float
    """Padding not counted."""


class Trained(TypedDict):
    """A training that was run."""

    schema_version: Literal[1]
    status: Literal["ok"]
    likelihood: Likelihoods
    data: dict[str, int]
    """Counts of conversations and tokens."""
    totals: TrainingTotals
    resumed_at_step: Positive | None
    """The process that ended the training went on from a checkpoint made after this step, and
    phase_seconds, peak_memory and power cover what came later; null = it trained from the start,
    and they cover the whole. totals and steps cover the whole either way."""
    phase_seconds: dict[str, float]
    """Wall time of the process that ended the training."""
    peak_memory: dict[str, int | None]
    """Bytes of the process that ended the training; null where there is no GPU or its driver does
    not say. `gpu_device_peak_bytes` and `gpu_process_peak_bytes` are the driver's (NVML), sampled;
    the first counts all processes."""
    power: PowerRead | PowerNotRead
    evaluations: list[Evaluation]
    """Exact validation losses during training."""
    steps: list[Step]


class NotTrained(TypedDict):
    """An imported adapter that brought no record of its training."""

    schema_version: Literal[1]
    status: Literal["not_run"]
    reason: str


TrainMetrics = Trained | NotTrained
