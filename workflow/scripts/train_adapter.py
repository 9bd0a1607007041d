"""Train the LoRA adapter: prepared conversations -> results/{run}/adapter/.

It writes what training makes and nothing that only describes it: the adapter's two files,
fingerprint.json (content hashes by which later stages notice a new adapter) and
training_record.json, the raw readings and facts that describe_adapter turns into metrics and model
card. A killed run goes on from its newest checkpoint in results/{run}/work/train_adapter.
"""

import shutil
from pathlib import Path
from typing import Any

from lorabench.arguments import Folder, arguments_of
from lorabench.documents.training_record import SplitLikelihood, TrainingRecord
from lorabench.files import read_json, read_jsonl, sha256_file, sha256_json, write_json
from lorabench.job import job, log_process
from lorabench.llama import load_tokenizer, resolve_dtype
from lorabench.observation.data_counts import count_split
from lorabench.observation.machine import machine_readings, timed
from lorabench.observation.matrix_speed import warn_of_slow_bfloat16
from lorabench.observation.power import PowerMeter
from lorabench.observation.tracking import check_tracker
from lorabench.training.adapter.files import round_adapter, save_adapter
from lorabench.training.adapter.folder import write_fingerprint
from lorabench.training.checkpoints import read_history
from lorabench.training.checks import check_not_empty
from lorabench.training.encode import Encoded, TrainingData, encode_conversations
from lorabench.training.fit import Session, fit
from lorabench.training.lora import choose_4bit, load_frozen_base
from lorabench.training.memory_use import keep_freed_memory
from lorabench.training.processes import is_first, run_processes
from lorabench.training.settings import check_length, parse_settings
from lorabench.training.trainer import AdapterTrainer

# Keys that first count after the last step: checkpoints made under another value go on.
LATE_SETTINGS = ("adapter_dtype",)


def train_adapter(
    *,
    model: Path,
    train: Path,
    validation: Path,
    adapter: Folder,
    work: Path,
    run: str,
    settings: dict[str, Any],
    free_settings: dict[str, Any] | None = None,
    attempt: int = 1,
    tracking: Path = Path("logs/tracking"),
) -> None:
    """Train, measure and write the adapter.

    Args:
        model: source.json next to the base's checkpoint.
        work: folder of checkpoints, removed at the end.
        free_settings: keys of the section that change no result.
        attempt: counts the tries of the job.
        tracking: folder of the trackers' files.
    """
    all_settings = settings | (free_settings or {})
    options = parse_settings(all_settings)
    source, model_config = read_json(model), read_json(model.parent / "config.json")
    check_tracker(options.tracker)
    check_length(options.max_seq_length, model_config)
    warn_of_slow_bfloat16(options.dtype)
    hashes = {path.name: sha256_file(path) for path in (train, validation)}
    seconds: dict[str, float] = {}
    with timed(seconds, "encode"):
        tokenizer = load_tokenizer(model.parent)
        data, counts = _encode_both(tokenizer, train, validation, options.max_seq_length)
    with timed(seconds, "load"):
        options = choose_4bit(options, model.parent)
        base = load_frozen_base(model.parent, options)
    session = Session(
        work=work,
        # what auto came to: a resume never changes the base that adapters learn on
        recipe=_recipe(settings | {"use_4bit": options.use_4bit}, hashes, source),
        run=run,
        tracking=tracking,
        attempt=attempt,
    )
    from_hub = source["kind"] == "hub"
    with PowerMeter() as meter:
        revision = source["revision"] if from_hub else None
        fitted = fit(base, tokenizer, data, options, session, revision)
    seconds["train"] = fitted.seconds
    trainer = fitted.trainer
    # before it is measured, so that the likelihoods are those of the saved adapter
    saved_as = resolve_dtype(options.adapter_dtype)
    round_adapter(trainer.adapters, saved_as)
    with timed(seconds, "likelihood"):
        likelihoods = _likelihoods(trainer)
    record: TrainingRecord = {
        # count up where older records mean something else; a new reading is absent from them
        "schema_version": 1,
        "status": "ok",
        "run": run,
        "settings": all_settings,
        "resolved": fitted.resolved,
        "trainable_parameters": trainer.adapters.get_nb_trainable_parameters()[0],
        "model": {
            "name": model.parent.name,
            "public_name": source["origin"].partition("@")[0] if from_hub else model.parent.name,
            "source": source,
            "chat_template_sha256": sha256_json(tokenizer.chat_template),
            "config": model_config,
        },
        "data_sha256": hashes,
        "data": counts,
        "log": trainer.state.log_history,
        "history": read_history(work),
        "resumed_at_step": fitted.resumed_at_step,
        "likelihood": likelihoods,
        "phase_seconds": seconds,
        "gpu_idle": trainer.meter.reading(),
        **machine_readings(meter, resolve_dtype(options.dtype), options.seed),
    }
    if is_first():
        save_adapter(trainer.adapters, adapter, record["model"]["public_name"], saved_as)
        write_json(adapter / "training_record.json", record)
        # last, since later stages read the adapter by it
        write_fingerprint(adapter / "fingerprint.json", adapter)
        shutil.rmtree(work)


def train_as_one_of_several(*, log: Path, **arguments: Any) -> None:
    """Train in a process that the job started."""
    log_process(log)
    keep_freed_memory()
    train_adapter(**arguments)


def _recipe(
    settings: dict[str, Any], data: dict[str, str], source: dict[str, Any]
) -> dict[str, Any]:
    """Return what decides the adapter: a run continues only checkpoints of the same recipe."""
    deciding = {key: value for key, value in settings.items() if key not in LATE_SETTINGS}
    return {"settings": deciding, "data": data, "model": source["sha256"]}


def _encode_both(
    tokenizer: Any, train: Path, validation: Path, max_length: int
) -> tuple[TrainingData, dict[str, int]]:
    """Return both sets as tokens, and counts of what they hold."""
    splits: dict[str, list[Encoded]] = {}
    counts: dict[str, int] = {}
    for split, path in (("train", train), ("validation", validation)):
        rows = ((f"{path}:{number}", row) for number, row in read_jsonl(path))
        splits[split], dropped = encode_conversations(tokenizer, rows, max_length)
        check_not_empty(splits[split], path, max_length)
        counts |= count_split(split, splits[split], dropped)
    return TrainingData(**splits), counts


def _likelihoods(trainer: AdapterTrainer) -> dict[str, SplitLikelihood]:
    """Measure base and adapter on the validation set and as many first training conversations."""
    data = trainer.data
    splits = {"validation": data.validation, "train": data.train[: len(data.validation)]}
    results: dict[str, SplitLikelihood] = {}
    for split, items in splits.items():
        with trainer.adapters.disable_adapter():
            base = trainer.likelihood(items, f"{split} likelihood, base")
        results[split] = {
            "ids": [item.id for item in items],
            "label_tokens": [item.label_count for item in items],
            "base_nll": base,
            "adapter_nll": trainer.likelihood(items, f"{split} likelihood, adapter"),
        }
    return results


if __name__ == "__main__":
    keep_freed_memory()
    with job(snakemake):
        arguments = arguments_of(snakemake, train_adapter, unused=("summary",))
        processes = snakemake.resources.get("gpu", 0)
        if processes > 1:
            arguments["log"] = Path(snakemake.log[0])
            run_processes(train_as_one_of_several, arguments, processes, snakemake.threads)
        else:
            train_adapter(**arguments)
