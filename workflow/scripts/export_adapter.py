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
from lorabench.publishing import TOKENIZER_FILES, note_exports, publish_file


def export_adapter(*, files: Sequence[Path], model: Path, folder: Folder) -> None:
    """Publish `files` and the tokenizer of `model` (source.json) in `folder`.

    Their names are noted there, so that the next export may replace them.
    """
    # files may be links to a cache, and a hard link to a link breaks with it
    sources = {file.name: file.resolve() for file in files}
    # what write_notices copied from the base model besides LICENSE and NOTICE
    sources |= {file.name: file for file in files[0].parent.glob("USE_POLICY*")}
    sources |= {
        name: (model.parent / name).resolve()
        for name in TOKENIZER_FILES
        if (model.parent / name).is_file()
    }
    note_exports(folder, sources)
    for name, source in sources.items():
        publish_file(source, folder / name)


if __name__ == "__main__":
    run_job(snakemake, export_adapter, unused=("settings",))
