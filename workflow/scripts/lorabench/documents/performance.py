"""Inference of one variant: results/{run}/perf/{variant}.json."""

from typing import Any, Literal, NotRequired

from typing_extensions import TypedDict

from lorabench.documents.limits import Interval, Positive, Share, Variant, Whole


class Distribution(TypedDict):
    """Percentiles of a metric; the unit is in the metric's name."""

    median: float
    p50: float
    p95: float
    p99: float | None
    """Null with too few values."""
    min: float
    max: float
    n: Positive


class RatioToBase(TypedDict):
    """The ratio variant / base of a metric; of the base: the base measured again."""

    median: float
    """Paired by prompt and repeat."""
    interval: Interval | None
    confidence: float
    n: Positive
    noise_band: Interval
    """The base against itself, widened to include 1."""
    beyond_noise: bool
    """Whether the interval is wholly outside the band."""
    method: str


class SingleStream(TypedDict):
    """The speed of one user, and what bounds it."""

    tokens_per_second: float
    """After the first token, median."""
    interval: Interval | None
    bytes_read_per_token: float
    """Weights, and the keys and values held on average."""
    copy_bandwidth_bytes_per_second: float | None
    """A large copy's reading and writing, on this machine."""
    bandwidth_share: float | None
    """Bytes read a second by that bandwidth; above 1 where caches hold the weights."""
    captured: bool
    """Passes were replayed as CUDA graphs."""
    not_captured: str | None
    """Why a GPU's passes were not."""
    gpu_idle_share: float | None
    """Of a step, without a running kernel; null on a CPU."""
    launch_bound: bool
    """Python's launches bound the speed: not a server's."""


class StreamMemory(TypedDict):
    """What one more user takes."""

    kv_bytes_per_token: int
    tokens: int
    """Of the longest generation."""
    kv_bytes: int
    activation_bytes: float | None
    """Of a pass, for a moment; null on a CPU."""


class WithinLimit(TypedDict):
    """How a level of load keeps a pair of limits."""

    name: str
    share: Share
    """Of all requests, that met both limits."""
    passed: bool
    """99 % did."""
    goodput_requests_per_second: float


class LoadRatio(TypedDict):
    """The ratio variant / base in tokens a second for a user, paired by request.

    Of the base: the base measured again.
    """

    median: float
    interval: Interval | None
    n: int
    noise_band: Interval | None
    """[low, high]; null where the base was not measured twice."""
    beyond_noise: bool


class LoadFigures(TypedDict):
    """What the requests of one level of load show; without an answered one only the counts."""

    requests: int
    failed: int
    reasons: NotRequired[list[str]]
    """Why requests failed."""
    tokens_from: NotRequired[list[Literal["decoder", "usage", "stream"]]]
    """How output tokens were counted."""
    output_tokens_per_second: float | None
    """Of all requests together."""
    output_tokens_per_second_interval: NotRequired[Interval | None]
    time_to_first_token_ms: NotRequired[Distribution]
    time_per_output_token_ms: NotRequired[Distribution | None]
    end_to_end_ms: NotRequired[Distribution]


class Level(LoadFigures):
    """One level of load."""

    concurrency: Positive
    """Requests in flight."""
    within_limits: list[WithinLimit]
    ratio_to_base: LoadRatio | None


class LimitAnswer(TypedDict):
    """How many users are served within a pair of limits, and at what price."""

    name: str
    time_to_first_token_ms: float
    time_per_output_token_ms: float
    users: Whole
    """The highest level that passes, every lower one passing, too."""
    at_least: bool
    """The sweep ended before the limits did."""
    output_tokens_per_second: float | None
    usd_per_million_tokens: float | None
    """Null without a price."""
    usd_interval: Interval | None
    ratio_to_base: LoadRatio | None


class SkippedLevel(TypedDict):
    """A level of load that was not run."""

    concurrency: int
    reason: str


class EngineLoad(TypedDict):
    """Many users at once on one engine."""

    levels: list[Level]
    limits: list[LimitAnswer]
    skipped: list[SkippedLevel]
    endpoint: dict[str, Any] | None
    """Of a server."""


class Load(TypedDict):
    """Many users at once on our own decoder and on a configured server; null where not measured."""

    own: EngineLoad | None
    server: EngineLoad | None


class PerformanceHead(TypedDict):
    """What every performance file holds."""

    schema_version: Literal[1]
    variant: Variant


class PerformanceFigures(TypedDict):
    """What was measured of a variant."""

    status: Literal["ok"]
    reason: None
    protocol: str
    """How the figures of one user were taken, in one sentence."""
    dtype: str
    device: str
    gpu: str | None
    attention: str
    threads: int
    parameters: int
    requires_grad: list[bool]
    """The values that its parameters have."""
    n_prompts: int
    repeats: int
    warmup: int
    new_tokens: int
    metrics: dict[str, Distribution]
    """Metric -> distribution; the unit is in the name."""
    by_category: dict[str, dict[str, Distribution]]
    """Category of prompts -> metric -> distribution."""
    ratios_to_base: dict[str, RatioToBase] | None
    """Metric -> ratio; of the base: the base measured again."""
    memory: dict[str, float | None]
    """Reading in MiB; null where the machine has none."""
    single_stream: SingleStream
    memory_per_stream: StreamMemory
    load: Load
    environment: dict[str, Any]
    """The machine and its state before and after."""


class Measured(PerformanceHead, PerformanceFigures):
    """A variant that was measured."""


class NotMeasured(PerformanceHead):
    """A variant that was not measured."""

    status: Literal["not_run"]
    reason: str


Performance = Measured | NotMeasured
