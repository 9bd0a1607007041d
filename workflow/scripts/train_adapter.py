"""Train the LoRA adapter: prepared conversations -> results/{run}/adapter/.

Beside the adapter: train_metrics.json (the course of training, exact likelihoods before and after,
memory, FLOPs), run_config.json (everything that repeating it takes), a model card, and
fingerprint.json, the content hashes by which later stages notice a new adapter. A killed run goes
on from its newest checkpoint in results/{run}/work/train_adapter.
"""

import shutil
import sys
import time
from pathlib import Path
from typing import Any

from lorabench.arguments import Folder, arguments_of
from lorabench.description.flops import shapes_of
from lorabench.description.model_card import model_card
from lorabench.description.training import data_summary, run_config, train_metrics
from lorabench.errors import DataError
from lorabench.files import read_json, read_jsonl, sha256_file, sha256_json, write_json, write_text
from lorabench.job import job, log_process
from lorabench.llama import load_tokenizer, resolve_dtype
from lorabench.training.adapter.files import round_adapter, save_adapter
from lorabench.training.adapter.fingerprint import CONFIG, WEIGHTS, write_fingerprint
from lorabench.training.encode import Encoded, check_length, encode_conversations
from lorabench.training.fit import fit
from lorabench.training.likelihood import likelihood
from lorabench.training.lora import load_frozen_base
from lorabench.training.memory_use import keep_freed_memory
from lorabench.training.placement import recompute_activations
from lorabench.training.power import PowerMeter
from lorabench.training.processes import is_first, run_as_one_of_several, run_processes
from lorabench.training.settings import parse_settings
from lorabench.training.tracking import check_tracker

# Settings that do not touch the course of training: checkpoints made under other values of them go
# on.
FREE_SETTINGS = ("adapter_dtype", "save_minutes", "tracker")


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

    `model` is source.json beside the base's checkpoint; `adapter`, `work` and `tracking` are the
    folders of outputs, checkpoints (removed at the end) and trackers; `settings` is the config
    section, `free_settings` those of its keys that change no result, `attempt` counts tries of the
    job.
    """
    settings = settings | (free_settings or {})
    started = time.monotonic()
    options, source, folder = parse_settings(settings), read_json(model), model.parent
    check_tracker(options.tracker)
    tokenizer, model_config = load_tokenizer(folder), read_json(folder / "config.json")
    check_length(options.max_seq_length, model_config)
    train_set, validation_set, counts = _encode_both(
        tokenizer, train, validation, options.max_seq_length
    )
    phases, started = {"encode": time.monotonic() - started}, time.monotonic()
    checkpointing, dtype = (
        recompute_activations(options, shapes_of(model_config)),
        resolve_dtype(options.dtype),
    )
    base = load_frozen_base(folder, dtype, options)
    phases["load"] = time.monotonic() - started
    hashes = {path.name: sha256_file(path) for path in (train, validation)}
    with PowerMeter() as meter:
        fitted = fit(
            base,
            tokenizer,
            train_set,
            validation_set,
            options,
            dtype=dtype,
            checkpointing=checkpointing,
            revision=source["revision"] if source["kind"] == "hub" else None,
            recipe=_recipe(settings, hashes, source),
            work=work,
            attempt=attempt,
            run=run,
            tracking=tracking,
        )
    phases["train"], started = fitted.seconds, time.monotonic()
    round_adapter(fitted.model, resolve_dtype(options.adapter_dtype))
    likelihoods = _likelihoods(fitted, train_set, validation_set, options.max_seq_length)
    metrics = train_metrics(
        fitted,
        data=counts,
        model_config=model_config,
        epochs=options.num_epochs,
        likelihood=likelihoods,
        phase_seconds=phases | {"likelihood": time.monotonic() - started},
        meter=meter,
    )
    about = {
        "name": folder.name,
        "source": source,
        "chat_template_sha256": sha256_json(tokenizer.chat_template),
    }
    config = run_config(run=run, settings=settings, fitted=fitted, model=about, data=hashes)
    if is_first():
        _publish(fitted.model, adapter, metrics, config)
        shutil.rmtree(work)


def _recipe(
    settings: dict[str, Any], data: dict[str, str], source: dict[str, Any]
) -> dict[str, Any]:
    """Return what decides the adapter: two runs with the same recipe may continue each other's
    checkpoints."""
    deciding = {key: value for key, value in settings.items() if key not in FREE_SETTINGS}
    return {"settings": deciding, "data": data, "model": source["sha256"]}


def _encode_both(
    tokenizer: Any, train: Path, validation: Path, max_length: int
) -> tuple[list[Encoded], list[Encoded], dict[str, Any]]:
    """Return both sets as tokens, and what there is to count about them."""
    train_set, train_dropped = _encode(tokenizer, train, max_length)
    validation_set, validation_dropped = _encode(tokenizer, validation, max_length)
    dropped = {"train": train_dropped, "validation": validation_dropped}
    return train_set, validation_set, data_summary(train_set, validation_set, dropped)


def _encode(tokenizer: Any, path: Path, max_length: int) -> tuple[list[Encoded], int]:
    rows = ((f"{path}:{number}", row) for number, row in read_jsonl(path))
    encoded, dropped = encode_conversations(tokenizer, rows, max_length)
    if not encoded:
        raise DataError(
            f"{path}: no conversation with an assistant's text within {max_length} tokens; nothing"
            " to learn"
        )
    return encoded, dropped


def _likelihoods(
    fitted: Any, train: list[Encoded], validation: list[Encoded], capacity: int
) -> dict[str, Any]:
    """Measure base and adapter on the validation set and on as many training conversations, the
    first in file order."""
    results: dict[str, Any] = {}
    for split, items in (("validation", validation), ("train", train[: len(validation)])):
        arguments = (fitted.model, items, capacity, fitted.attention, fitted.device)
        with fitted.model.disable_adapter():
            base = likelihood(*arguments, f"{split} likelihood, base")
        adapter = likelihood(*arguments, f"{split} likelihood, adapter")
        results[split] = {"base": base.as_json(), "adapter": adapter.as_json()}
    return results


def _publish(model: Any, folder: Path, metrics: dict[str, Any], config: dict[str, Any]) -> None:
    """Write the outputs; the adapter's two files go through a temporary folder, the fingerprint
    comes last."""
    source = config["model"]["source"]
    base_name = (
        source["origin"].partition("@")[0] if source["kind"] == "hub" else config["model"]["name"]
    )
    partial = folder.with_name(f".{folder.name}.part")
    partial.mkdir(parents=True, exist_ok=True)
    save_adapter(model, partial, base_name, resolve_dtype(config["settings"]["adapter_dtype"]))
    folder.mkdir(parents=True, exist_ok=True)
    for name in (CONFIG, WEIGHTS):
        (partial / name).replace(folder / name)
    partial.rmdir()
    write_json(folder / "train_metrics.json", metrics)
    write_json(folder / "run_config.json", config)
    card = model_card(
        base_name=base_name,
        run=config["run"],
        licence=source["licence"],
        metrics=metrics,
        run_config=config,
    )
    write_text(folder / "README.md", card)
    write_fingerprint(folder / "fingerprint.json", folder)


if __name__ == "__main__":
    keep_freed_memory()
    if len(sys.argv) > 1:
        log_process(Path(sys.argv[2]))
        run_as_one_of_several(train_adapter)
        sys.exit()
    with job(snakemake):
        arguments = arguments_of(snakemake, train_adapter, unused=("summary",))
        if snakemake.resources.get("gpu", 0) > 1:
            script = Path(snakemake.scriptdir) / "train_adapter.py"
            log = Path(snakemake.log[0])
            run_processes(script, arguments, snakemake.resources.gpu, log, snakemake.threads)
        else:
            train_adapter(**arguments)
