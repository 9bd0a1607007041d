"""What the licences of the base model and of the training data ask of somebody who distributes the
adapter.

A reminder of the texts' main duties, not legal advice.
"""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Licence:
    """A licence with its main duties for a distributed derivative."""

    name: str
    # True: notices are all it asks
    permissive: bool
    duties: tuple[str, ...]


LLAMA_3 = Licence(
    name="Meta Llama 3 Community License",
    permissive=False,
    duties=(
        "ship a copy of the licence agreement and the notice file that it prescribes",
        'display "Built with Meta Llama 3" and begin the model\'s name with "Llama 3"',
        "follow the Acceptable Use Policy; above 700 million monthly users, ask Meta for a licence",
        "do not use outputs to improve other language models",
    ),
)
KNOWN = {
    "llama3": LLAMA_3,
    "apache-2.0": Licence(
        name="Apache License 2.0",
        permissive=True,
        duties=("keep the licence and notices, state your changes",),
    ),
    "mit": Licence(
        name="MIT License", permissive=True, duties=("keep the copyright and licence notice",)
    ),
    "cc0-1.0": Licence(name="CC0 1.0", permissive=True, duties=()),
    "cc-by-4.0": Licence(name="CC BY 4.0", permissive=True, duties=("name the authors",)),
    "cc-by-nc-4.0": Licence(
        name="CC BY-NC 4.0", permissive=False, duties=("no commercial use", "name the authors")
    ),
}
NAMES_OF_LLAMA_3 = ("llama3", "llama-3", "meta-llama-3", "llama 3 community", "meta llama 3")


def find_licence(text: str | None) -> Licence | None:
    """Return the licence that a source names, None where it names none or one that is not known
    here."""
    if not text:
        return None
    key = text.strip().lower()
    if any(name in key for name in NAMES_OF_LLAMA_3) and "3." not in key:
        return LLAMA_3
    key = key.removesuffix(" license").removesuffix(" licence").replace(" ", "-")
    return KNOWN.get(key)
