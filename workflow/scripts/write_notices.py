"""Write the licence files that the adapter and the merged model must carry.

LICENSE is the text from the base model's folder, else a pointer to it; a use policy found there is
copied too. NOTICE holds the attribution that the licence prescribes. The gate looks at the folder
that would ship and fails where something is missing.
"""

import shutil
from pathlib import Path

from lorabench.arguments import Folder
from lorabench.description.licences import (
    Licence,
    base_licence,
    headline,
    licence_text,
    notice_text,
)
from lorabench.description.model_card import hub_header, hub_id
from lorabench.documents.source import SourceRecord
from lorabench.files import read_json, write_text
from lorabench.job import run_job


def write_notices(
    *,
    run: str,
    model: Path,
    conversations_source: Path,
    adapter_files: Folder,
    merged_files: Folder,
) -> None:
    """Write the files.

    Args:
        model: source.json of the base model, in its folder.
    """
    source: SourceRecord = read_json(model)
    base_name = hub_id(source) or model.parent.name
    licence = base_licence(model.parent.name, source)
    texts = sorted(model.parent.glob("LICENSE*"))
    for folder in (adapter_files, merged_files):
        write_text(folder / "LICENSE", licence_text(licence, base_name, texts))
        write_text(folder / "NOTICE", notice_text(licence, base_name))
        for policy in model.parent.glob("USE_POLICY*"):
            shutil.copyfile(policy, folder / policy.name)
    card = merged_files / "README.md"
    write_text(card, merged_card(run, base_name, source, read_json(conversations_source), licence))


def merged_card(
    run: str,
    base_name: str,
    source: SourceRecord,
    conversations: SourceRecord,
    licence: Licence | None,
) -> str:
    """Return the model card of the merged checkpoint."""
    lines = [
        "---",
        *hub_header("finetune", hub_id(source), hub_id(conversations)),
        "library_name: transformers",
        f"license: {licence.identifier if licence else source['licence'] or 'other'}",
        "pipeline_tag: text-generation",
        "---",
        "",
        *headline(base_name, run, "merged", licence),
        f"{base_name} with the LoRA adapter of the run `{run}` merged into its weights.",
        "merge_report.json says how far it is from base + adapter.",
        "LICENSE and NOTICE belong to it.",
        "",
        "```python",
        "from transformers import AutoModelForCausalLM, AutoTokenizer",
        "",
        "folder = 'PATH/TO/THIS/FOLDER'",
        "model = AutoModelForCausalLM.from_pretrained(folder)",
        "tokenizer = AutoTokenizer.from_pretrained(folder)",
        "```",
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    run_job(snakemake, write_notices, unused=("settings", "adapter", "merge_report"))
