"""The adapter's model card: what it is, how it was made, how good it is, its notices."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lorabench.description.licences import Licence, base_licence, headline
from lorabench.documents.source import SourceRecord
from lorabench.documents.train_metrics import Trained
from lorabench.documents.training_record import ImportRecord, TrainedModel, TrainingRecord


def hub_id(source: Mapping[str, Any]) -> str | None:
    """Return the repository of a source (source.json), None where it is not on the hub."""
    return str(source["origin"]).partition("@")[0] if source["kind"] == "hub" else None


def hub_header(relation: str, base: str | None, data: str | None) -> list[str]:
    """Return a header's lines on the hub ids of base model and data set, as far as they have one.

    Args:
        relation: of the model to its base, "adapter" or "finetune".
    """
    lines = [f"base_model: {base}", f"base_model_relation: {relation}"] if base else []
    return lines + (["datasets:", f"- {data}"] if data else [])


def model_card(record: TrainingRecord, metrics: Trained, conversations: SourceRecord) -> str:
    """Return the card as Markdown with the metadata header that model hubs read."""
    base_name = record["model"]["public_name"]
    # what the base model's source states, and what is known of it
    stated = record["model"]["source"]["licence"]
    licence = base_licence(base_name, record["model"]["source"])
    header = [
        "---",
        *hub_header("adapter", hub_id(record["model"]["source"]), hub_id(conversations)),
        "library_name: peft",
        f"license: {licence.identifier if licence else (stated or 'other')}",
        "pipeline_tag: text-generation",
        "tags: [lora, sft]",
        "---",
        "",
    ]
    address = f"[{base_name}](https://huggingface.co/{base_name})"
    settings = record["settings"]
    data = metrics["data"]
    validation = metrics["likelihood"]["validation"]
    in_4bit = record["resolved"]["use_4bit"]
    method = "QLoRA (base in NF4, double quantised)" if in_4bit else "LoRA"
    lines = [
        *headline(base_name, record["run"], "lora", licence),
        f"A LoRA adapter for {address if '/' in base_name else base_name}.",
        "",
        (
            f"- Method: {method}, rank"
            f" {settings['lora_r']}, alpha {settings['lora_alpha']}, dropout"
            f" {settings['lora_dropout']}, on {', '.join(settings['target_modules'])}"
        ),
        (
            f"- Data: {data['train_conversations']} conversations, {data['train_tokens']} tokens an"
            " epoch; loss on the assistant's text and its end-of-turn tokens only"
        ),
        (
            f"- Recipe: {settings['num_epochs']} epochs, learning rate {settings['learning_rate']},"
            f" {settings['batch_size'] * settings['gradient_accumulation']} conversations a step,"
            f" seed {settings['seed']}"
        ),
        "",
        "## Held-out negative log-likelihood",
        "",
        "| model | nats per token | perplexity |",
        "|---|---|---|",
        *(
            f"| {who} | {validation[who]['nll_per_token']:.4f} |"
            f" {validation[who]['perplexity']:.3f} |"
            for who in ("base", "adapter")
        ),
        "",
        (
            f"Over {validation['base']['label_tokens']} labelled tokens of"
            f" {validation['base']['conversations']} conversations that were not trained on."
            " run_config.json holds what is needed to repeat the run, train_metrics.json its"
            " course."
        ),
        "",
        "## Loading",
        "",
        *_loading(base_name, record["model"]),
        "",
        "## Limitations",
        "",
        (
            "The conversations were not checked for correctness; the adapter can state falsehoods,"
            " repeat prejudices of its data, and has had no safety training beyond that of its base"
            " model."
        ),
        "",
        "## Licence",
        "",
        *_licence(base_name, stated, licence),
    ]
    return "\n".join(header + lines) + "\n"


def imported_card(record: ImportRecord) -> str:
    """Return the card that an imported adapter brought, or one that says that it brought none."""
    folder = Path(record["path"]).name
    about = f"# Imported adapter\n\nCopied from a folder `{folder}`; no card came with it.\n"
    return record["brought"]["card"] or about


def _loading(base_name: str, model: TrainedModel) -> list[str]:
    """Return lines that load the adapter; a base that is not on the hub is named by its hashes."""
    source, place, where = model["source"], f"'PATH/TO/{base_name}'", []
    if source["kind"] == "hub":
        place = f"'{base_name}', revision='{source['revision']}'"
    else:
        hashes = sorted(source["sha256"].items())
        weights = [(name, value) for name, value in hashes if name.endswith(".safetensors")]
        where = [
            f"The base model {base_name} has no address on the hub: the adapter needs the"
            f" checkpoint that it was trained on ({source['kind']}):",
            "",
            *(f"- {name}: SHA-256 {value}" for name, value in weights),
            "",
        ]
    return [
        *where,
        "```python",
        "from peft import PeftModel",
        "from transformers import AutoModelForCausalLM, AutoTokenizer",
        "",
        "folder = 'PATH/TO/THIS/FOLDER'",
        f"base = AutoModelForCausalLM.from_pretrained({place})",
        "model = PeftModel.from_pretrained(base, folder)",
        "tokenizer = AutoTokenizer.from_pretrained(folder)",
        "```",
    ]


def _licence(base_name: str, stated: str | None, licence: Licence | None) -> list[str]:
    if licence is None or licence.notice is None:
        known = f"({stated})" if stated else "(see its own card)"
        return [f"The adapter derives from {base_name}, whose licence {known} applies."]
    return [
        licence.notice,
        "",
        (
            f"When you distribute this adapter, ship a copy of the {licence.name} with it, keep the"
            f" notice above and “{licence.built_with}”, and follow the Acceptable Use Policy. Both"
            f" texts: {licence.text_url} and {licence.policy_url}."
        ),
    ]
