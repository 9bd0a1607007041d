"""Publish the adapter: results/{run}/adapter/ -> artifacts/lora-{run}/.

The folder holds what other tools load (adapter_config.json, adapter_model.safetensors, the base
model's tokenizer and chat template) and what says how it was made (run_config.json,
train_metrics.json, README.md). AutoPeftModelForCausalLM loads it wherever the base model can be
found; README.md says which one that is. Weights are hard links where
the file system allows, so that nothing large is stored twice.
"""

from collections.abc import Sequence
from pathlib import Path

from lorabench.arguments import Folder
from lorabench.job import run_job
from lorabench.publishing import publish_file

# Those of the base model; the first two are always there.
TOKENIZER = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "chat_template.jinja",
    "tokenizer.model",
    "vocab.json",
    "merges.txt",
)


def export_adapter(*, files: Sequence[Path], model: Path, folder: Folder) -> None:
    """Publish `files`, and the tokenizer from the folder of `model` (source.json), in `folder`
    under their own names."""
    for file in [*files, *(model.parent / name for name in TOKENIZER)]:
        if file in files or file.is_file():
            # the base's files are links, and a hard link to a link breaks with it
            publish_file(file.resolve(), folder / file.name)


if __name__ == "__main__":
    run_job(snakemake, export_adapter, unused=("settings",))
