"""The one raw record that training leaves, from which the describing files are made."""

from typing import Any, Literal

from typing_extensions import TypedDict

from lorabench.documents.run_config import Resolved
from lorabench.documents.source import SourceRecord


class SplitLikelihood(TypedDict):
    """Exact likelihood of a set of conversations under base and adapter.

    A row a conversation, in the order of the file.
    """

    ids: list[str]
    label_tokens: list[int]
    base_nll: list[float]
    """Nats, summed over the conversation's labelled tokens."""
    adapter_nll: list[float]


class TrainedModel(TypedDict):
    """The base model that an adapter was trained on."""

    name: str
    """Of its folder here."""
    public_name: str
    """Its hub id, or else its name: never a path of this machine."""
    source: SourceRecord
    chat_template_sha256: str
    config: dict[str, Any]
    """The content of its config.json."""


class MachineReadings(TypedDict):
    """What was read of the machine, by the process that ended the training."""

    peak_memory: dict[str, int | None]
    """Bytes."""
    power: dict[str, Any]
    matrix_speed: dict[str, Any] | None
    """How fast the CPU multiplies in the training's dtype; None = a GPU trained."""
    hardware: dict[str, Any]
    software: dict[str, Any]
    determinism: dict[str, Any]
    git: dict[str, Any] | None


class TrainingRecord(MachineReadings):
    """results/{run}/adapter/training_record.json of a training that was run here."""

    schema_version: Literal[1]
    status: Literal["ok"]
    run: str
    settings: dict[str, Any]
    """The config section as given."""
    resolved: Resolved
    trainable_parameters: int
    model: TrainedModel
    data_sha256: dict[str, str]
    """File -> hash."""
    data: dict[str, int]
    """Counts."""
    log: list[dict[str, Any]]
    """The trainer's log: a row an optimiser step, evaluation or end."""
    history: list[dict[str, Any]]
    """Starts, resumes and memory shortages."""
    resumed_at_step: int | None
    """Of the checkpoint that the last process began with; None = it trained from the start."""
    likelihood: dict[str, SplitLikelihood]
    phase_seconds: dict[str, float]
    """Of the process that ended the training."""
    gpu_idle: dict[str, Any]
    """Share of a few steps' time in which the GPU had no work, or why it is not known."""


class BroughtFiles(TypedDict):
    """What the folder of an imported adapter says about itself; None where it says nothing."""

    train_metrics: dict[str, Any] | None
    run_config: dict[str, Any] | None
    card: str | None


class ImportRecord(TypedDict):
    """results/{run}/adapter/training_record.json of an adapter that was trained elsewhere."""

    schema_version: Literal[1]
    status: Literal["not_run"]
    reason: str
    path: str
    """Folder that it was copied from."""
    remarks: list[str]
    """Where it does not fit this base model, or brought another tokenizer or chat template."""
    brought: BroughtFiles


Record = TrainingRecord | ImportRecord
