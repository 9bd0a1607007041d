"""What licences ask of somebody who distributes the adapter or the merged model.

A reminder of the texts' main duties, not legal advice.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lorabench.documents.source import SourceRecord


@dataclass(frozen=True, kw_only=True)
class Licence:
    """A licence with its main duties for a distributed derivative."""

    # as model hubs write it
    identifier: str
    name: str
    duties: tuple[str, ...]
    # True: notices are all it asks
    permissive: bool = True
    # the sentence that the file NOTICE must hold, None where the licence prescribes none
    notice: str | None = None
    # the words that must be displayed
    built_with: str | None = None
    # what the name of a model trained from it must begin with; spaces may be hyphens
    name_begins: str | None = None
    # addresses of the licence text and of the acceptable use policy
    text_url: str | None = None
    policy_url: str | None = None


def _llama_3(version: str, folder: str) -> Licence:
    """Return the terms of a version of Llama 3; those from 3.1 on ask for "Llama" only."""
    meta = version == "3"
    product = "Meta Llama 3" if meta else f"Llama {version}"
    built_with = "Built with Meta Llama 3" if meta else "Built with Llama"
    begins = "Llama 3" if meta else "Llama"
    return Licence(
        identifier="llama3" if meta else f"llama{version}",
        name=f"{product} Community License",
        permissive=False,
        duties=(
            "ship a copy of the licence agreement and the notice file that it prescribes",
            f'display "{built_with}" and begin the model\'s name with "{begins}"',
            "follow the Acceptable Use Policy; above 700 million monthly users, ask Meta for a"
            " licence",
            *(("do not use outputs to improve other language models",) if meta else ()),
        ),
        notice=(
            f"{product} is licensed under the {product} Community License, Copyright © Meta"
            " Platforms, Inc. All Rights Reserved."
        ),
        built_with=built_with,
        name_begins=begins,
        text_url=f"https://{folder}/license",
        policy_url=f"https://{folder}/use-policy",
    )


LLAMA_3 = _llama_3("3", "llama.meta.com/llama3")
LLAMAS = {"3": LLAMA_3} | {
    version: _llama_3(version, f"www.llama.com/llama{version.replace('.', '_')}")
    for version in ("3.1", "3.2", "3.3")
}
KNOWN = {
    licence.identifier: licence
    for licence in (
        *LLAMAS.values(),
        Licence(
            identifier="apache-2.0",
            name="Apache License 2.0",
            duties=("keep the licence and notices, state your changes",),
            text_url="https://www.apache.org/licenses/LICENSE-2.0",
        ),
        Licence(
            identifier="mit", name="MIT License", duties=("keep the copyright and licence notice",)
        ),
        Licence(identifier="cc0-1.0", name="CC0 1.0", duties=()),
        Licence(identifier="cc-by-4.0", name="CC BY 4.0", duties=("name the authors",)),
        Licence(
            identifier="cc-by-nc-4.0",
            name="CC BY-NC 4.0",
            permissive=False,
            duties=("no commercial use", "name the authors"),
        ),
    )
}
# of the file that stands for a text that was not there
POINTER = "The text was not in the base model's folder."
# "Meta-Llama-3-8B", "llama3", "Llama-3.1-8B", "llama_3_2"; not Llama 2, Llama 30B or tiny-llama
LLAMA_NAME = re.compile(r"llama[-_ ]?3(?!\d)(?:[._]([123])(?!\d))?", re.IGNORECASE)


def find_licence(text: str | None) -> Licence | None:
    """Return the licence that a source names, None if it is not known here."""
    if not text:
        return None
    key = text.strip().lower()
    if found := LLAMA_NAME.search(key):
        return LLAMAS["3" if found[1] is None else f"3.{found[1]}"]
    key = key.removesuffix(" license").removesuffix(" licence").replace(" ", "-")
    return KNOWN.get(key)


def base_licence(folder: str, source: SourceRecord) -> Licence | None:
    """Return a base model's licence: Llama 3's by its name, else what its source states.

    Args:
        folder: name of the model's folder.
        source: the content of its source.json.
    """
    origin = Path(source["origin"].partition("@")[0]).name
    named = next((name for name in (origin, folder) if LLAMA_NAME.search(name)), None)
    return find_licence(named or source["licence"])


def missing_duties(licence: Licence, folder: Path) -> list[str]:
    """Return codes of what the licence asks for and a folder to be shipped lacks.

    `licence_text`: no LICENSE, or only where to find it though a copy is asked for; `notice`: no
    NOTICE with the prescribed sentence; `built_with`: the card (README.md) does not display the
    words; `name`: the card's title does not begin as asked.
    """
    faults = []
    text = _text(folder / "LICENSE")
    if not text or (licence.notice and POINTER in text):
        faults.append("licence_text")
    if licence.notice and licence.notice not in _text(folder / "NOTICE"):
        faults.append("notice")
    card = _text(folder / "README.md")
    if licence.built_with and licence.built_with not in card:
        faults.append("built_with")
    if licence.name_begins:
        title = next((line[2:] for line in card.splitlines() if line.startswith("# ")), "")
        if not _begins(title, licence.name_begins):
            faults.append("name")
    return faults


def model_name(base_name: str, run: str, kind: str, licence: Licence | None) -> str:
    """Name what was made of a base model, "lora" or "merged", beginning as its licence asks.

    Args:
        base_name: hub id or name of the base model.
        licence: of the base model, None where it is not known.
    """
    name = f"{base_name.rpartition('/')[2]}-{run}-{kind}"
    begins = licence.name_begins if licence else None
    if begins is None or _begins(name, begins):
        return name
    start = name.lower().find("llama")
    if start > 0 and _begins(name[start:], begins):
        return name[start:]
    return f"{begins.replace(' ', '-')}-{name}"


def headline(base_name: str, run: str, kind: str, licence: Licence | None) -> list[str]:
    """Return the first lines of a model card: the model's name, and the words to be displayed."""
    built_with = [f"**{licence.built_with}**", ""] if licence and licence.built_with else []
    return [f"# {model_name(base_name, run, kind, licence)}", "", *built_with]


def _begins(name: str, words: str) -> bool:
    return name.replace("-", " ").lower().startswith(words.lower())


def licence_text(licence: Licence | None, base_name: str, files: Sequence[Path]) -> str:
    """Return the content of the file LICENSE: the base model's own text, else where to find it."""
    if files:
        return "\n\n".join(file.read_text(encoding="utf-8").strip() for file in files) + "\n"
    named = licence.name if licence else "a licence that its source does not name"
    where = f": {licence.text_url}" if licence and licence.text_url else ""
    return (
        f"This model derives from {base_name}, which is under {named}{where}.\n"
        f"{POINTER} Put a copy in the place of this file before you distribute the model.\n"
    )


def notice_text(licence: Licence | None, base_name: str) -> str:
    """Return the content of the file NOTICE: the attribution that the licence prescribes."""
    if licence is None or licence.notice is None:
        return f"Derived from {base_name} by training a LoRA adapter.\n"
    policy = f"\nAcceptable Use Policy: {licence.policy_url}\n" if licence.policy_url else ""
    return f"{licence.notice}\n{policy}\nDerived from {base_name} by training a LoRA adapter.\n"


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.is_file() else ""
