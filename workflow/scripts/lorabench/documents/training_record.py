"""The one raw record that training leaves: readings and facts, from which the describing files are
made."""

from typing import Any, Literal, TypedDict


class SplitLikelihood(TypedDict):
    """Exact likelihood of a set of conversations under base and adapter, a row a conversation in
    the order of the file."""

    ids: list[str]
    label_tokens: list[int]
    # nats, summed over the conversation's labelled tokens
    base_nll: list[float]
    adapter_nll: list[float]


class TrainedModel(TypedDict):
    """The base model that an adapter was trained on."""

    # of its folder here
    name: str
    # its hub id, or else its name: never a path of this machine
    public_name: str
    # the content of its source.json
    source: dict[str, Any]
    chat_template_sha256: str
    # the content of its config.json
    config: dict[str, Any]


class TrainingRecord(TypedDict):
    """results/{run}/adapter/training_record.json of a training that was run here."""

    schema_version: Literal[1]
    status: Literal["ok"]
    run: str
    # the config section as given
    settings: dict[str, Any]
    # what "auto" and this machine came to
    resolved: dict[str, Any]
    trainable_parameters: int
    model: TrainedModel
    # file -> hash
    data_sha256: dict[str, str]
    # counts
    data: dict[str, int]
    # the trainer's log: a row an optimiser step, evaluation or end
    log: list[dict[str, Any]]
    # starts, resumes and memory shortages
    history: list[dict[str, Any]]
    # of the checkpoint that the last process began with; None = it trained from the start
    resumed_at_step: int | None
    likelihood: dict[str, SplitLikelihood]
    # of the process that ended the training, as are memory and power
    phase_seconds: dict[str, float]
    # bytes
    peak_memory: dict[str, int | None]
    # share of a few steps' time in which the GPU had no work, or the reason why it is not known
    gpu_idle: dict[str, Any]
    power: dict[str, Any]
    # how fast the CPU multiplies in the training's dtype; None = a GPU trained
    matrix_speed: dict[str, Any] | None
    hardware: dict[str, Any]
    software: dict[str, Any]
    determinism: dict[str, Any]
    git: dict[str, Any] | None


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
    # folder that it was copied from
    path: str
    # where it does not belong to this base model, or brought another tokenizer or chat template
    remarks: list[str]
    brought: BroughtFiles
