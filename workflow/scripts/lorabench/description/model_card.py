"""The adapter's model card: what it is, how it was made, how good it is, its notices."""

from lorabench.description.licences import Licence, base_licence, model_name
from lorabench.documents.train_metrics import Trained
from lorabench.documents.training_record import ImportRecord, TrainedModel, TrainingRecord


def model_card(record: TrainingRecord, metrics: Trained) -> str:
    """Return the card as Markdown with the metadata header that model hubs read.

    Args:
        record: of the training.
        metrics: the content of train_metrics.json.
    """
    base_name = record["model"]["public_name"]
    # what the base model's source states, and what is known of it
    stated = record["model"]["source"]["licence"]
    licence = base_licence(base_name, record["model"]["source"])
    header = _header(base_name, licence.identifier if licence else (stated or "other"))
    settings = record["settings"]
    data = metrics["data"]
    validation = metrics["likelihood"]["validation"]
    in_4bit = record["resolved"]["use_4bit"]
    method = "QLoRA (base in NF4, double quantised)" if in_4bit else "LoRA"
    lines = [
        f"# {model_name(base_name, record['run'], 'lora', licence)}",
        "",
        *([f"**{licence.built_with}**", ""] if licence and licence.built_with else []),
        (
            f"A LoRA adapter for [{base_name}](https://huggingface.co/{base_name})."
            if "/" in base_name
            else f"A LoRA adapter for {base_name}."
        ),
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
    about = f"# Imported adapter\n\nCopied from {record['path']}; no card came with it.\n"
    return record["brought"]["card"] or about


def _header(base_name: str, licence: str) -> list[str]:
    return [
        "---",
        f"base_model: {base_name}",
        "base_model_relation: adapter",
        "library_name: peft",
        f"license: {licence}",
        "pipeline_tag: text-generation",
        "tags: [lora, sft]",
        "---",
        "",
    ]


def _loading(base_name: str, model: TrainedModel) -> list[str]:
    """Return how to load the adapter: by itself where its base is on the hub, else with a path."""
    source = model["source"]
    if source.get("kind") == "hub":
        return [
            "`AutoPeftModelForCausalLM.from_pretrained` of PEFT takes this folder, which holds the"
            f" tokenizer, and fetches {base_name} from the hub. The adapter was trained on its"
            f" revision {source.get('revision')}.",
        ]
    weights = {
        name: value
        for name, value in (source.get("sha256") or {}).items()
        if name.endswith(".safetensors")
    }
    return [
        f"The base model {base_name} has no address on the hub: the adapter needs the checkpoint"
        f" that it was trained on ({source.get('kind')}: {base_name}). Give its path:",
        "",
        "```python",
        "base = AutoModelForCausalLM.from_pretrained('PATH/TO/" + base_name + "')",
        "model = PeftModel.from_pretrained(base, 'PATH/TO/THIS/FOLDER')",
        "```",
        "",
        f"`AutoPeftModelForCausalLM.from_pretrained` of this folder works where a folder"
        f" {base_name} with that checkpoint is in the working folder. Its weights:",
        "",
        *(f"- {name}: SHA-256 {value}" for name, value in sorted(weights.items())),
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
