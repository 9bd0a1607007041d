"""Everything that repeats the training: results/{run}/adapter/run_config.json."""

from typing import Any, Literal, NotRequired

from typing_extensions import TypedDict

from lorabench.documents.limits import Positive, Sha256
from lorabench.documents.source import SourceRecord


class ConfiguredModel(TypedDict):
    """The base model."""

    name: str
    source: SourceRecord
    chat_template_sha256: str | None


class Determinism(TypedDict):
    """What decides whether the same work gives the same bits."""

    seed: int
    deterministic_algorithms: bool
    cudnn_deterministic: bool
    cudnn_benchmark: bool
    float32_matmul_precision: str
    threads: Positive
    cublas_workspace_config: str | None
    python_hash_seed: str | None


class Resolved(TypedDict):
    """What the settings' "auto" and the machine came to."""

    dtype: str
    """In which the layers multiply."""
    device: str
    attention: str
    use_4bit: bool
    row_tokens: int
    """Of a packed row, before halvings."""
    compiled: bool
    not_compiled_because: str | None
    activation_checkpointing: bool
    recomputed_layers: int
    """That compute their activations again in the backward pass."""
    micro_batch_halvings: int
    processes: Positive


class TrainedWith(TypedDict):
    """Of an adapter whose training is recorded."""

    schema_version: Literal[1]
    run: str
    settings: dict[str, Any]
    """The config section as given."""
    resolved: Resolved
    model: ConfiguredModel
    data_sha256: dict[str, Sha256]
    """File name -> SHA-256."""
    history: list[dict[str, Any]]
    """Starts, resumes, memory shortages."""
    hardware: dict[str, Any]
    software: dict[str, Any]
    determinism: Determinism
    git: dict[str, Any] | None
    """Commit and whether files differ from it."""
    remarks: NotRequired[list[str]]
    """Imported adapters: how they differ from the base model they are put on."""


class NotRecorded(TypedDict):
    """Of an imported adapter that brought no record."""

    schema_version: Literal[1]
    status: Literal["not_run"]
    reason: str
    remarks: NotRequired[list[str]]


RunConfig = TrainedWith | NotRecorded
