"""How inference was measured: results/{run}/perf/raw/conditions.json."""

from typing import Any, Literal

from typing_extensions import TypedDict


class InferenceConditions(TypedDict):
    """The content of conditions.json."""

    schema_version: Literal[1]
    variants: dict[str, dict[str, Any]]
    """Variant -> how it was loaded, its memory and its decode step."""
    n_prompts: int
    repeats: int
    warmup: int
    warmup_tokens: int
    new_tokens: int
    load: dict[str, Any]
    """The settings of the load measurement."""
    load_skipped: list[dict[str, Any]]
    """Levels of load that were not run, and why."""
    servers: dict[str, dict[str, Any]]
    """Variant -> the endpoint that served it."""
    copy_bandwidth_bytes_per_second: float | None
    environment: dict[str, Any]
    """The machine and its state before and after."""
