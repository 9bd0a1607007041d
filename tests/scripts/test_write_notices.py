"""Licence files of the adapter and the merged model."""

from pathlib import Path
from typing import Any

import pytest

from lorabench.description.licences import LLAMAS, base_licence, missing_duties, model_name
from report.synthetic_run import write_source
from write_notices import write_notices


def notices(folder: Path, name: str, origin: str = "/models/base", **texts: str) -> Path:
    """Write the files for a base model of that name; `texts` are in its folder."""
    model = write_source(folder / name / "source.json", "path", licence=None, origin=origin)
    for file, text in texts.items():
        (model.parent / file).write_text(text)
    adapter, merged = folder / "adapter", folder / "merged"
    write_notices(
        run="run",
        model=model,
        conversations_source=write_source(folder / "oasst" / "source.json"),
        adapter_files=adapter,
        merged_files=merged,
    )
    return merged


def test_llama_3_ships_with_text_notice_words_and_name(tmp_path: Path) -> None:
    """The base's own texts are copied, the attribution and the name are as the licence asks."""
    texts = {"LICENSE": "The agreement.", "USE_POLICY": "The policy."}
    merged = notices(tmp_path, "Meta-Llama-3-8B-Instruct", **texts)
    assert (merged / "LICENSE").read_text() == "The agreement.\n"
    assert (merged / "USE_POLICY").read_text() == "The policy."
    assert "Meta Llama 3 is licensed under the Meta Llama 3" in (merged / "NOTICE").read_text()
    card = (merged / "README.md").read_text()
    assert "# Llama-3-8B-Instruct-run-merged\n" in card and "Built with Meta Llama 3" in card
    assert missing_duties(LLAMAS["3"], merged) == []
    assert missing_duties(LLAMAS["3"], tmp_path / "adapter") == ["built_with", "name"]


def test_later_llamas_have_their_own_terms(tmp_path: Path) -> None:
    """3.1 asks for "Built with Llama" and another notice; a pointer is not the text."""
    merged = notices(tmp_path, "base", origin="meta-llama/Llama-3.1-8B-Instruct@0123")
    assert "llama3_1/license" in (merged / "LICENSE").read_text()
    assert "Llama 3.1 is licensed under the Llama 3.1" in (merged / "NOTICE").read_text()
    assert "**Built with Llama**" in (merged / "README.md").read_text()
    assert missing_duties(LLAMAS["3.1"], merged) == ["licence_text"]
    (merged / "LICENSE").write_text("The agreement.")
    assert missing_duties(LLAMAS["3.1"], merged) == []
    assert "notice" in missing_duties(LLAMAS["3.2"], merged)


@pytest.mark.parametrize(
    ("name", "version"),
    [
        ("Meta-Llama-3-8B", "3"),
        ("llama3", "3"),
        ("Llama-3.2-1B", "3.2"),
        ("llama_3_3_70b", "3.3"),
        ("Llama-2-7b", None),
        ("tiny-random-llama", None),
        ("llama-30b", None),
    ],
)
def test_a_base_is_known_by_its_name(name: str, version: str | None) -> None:
    """The name decides where its source states nothing."""
    source: Any = {"origin": "/models/base", "licence": None}
    found = base_licence(name, source)
    assert found is (LLAMAS[version] if version else None)


@pytest.mark.parametrize(
    ("base", "expected"),
    [
        ("meta-llama/Meta-Llama-3-8B-Instruct", "Llama-3-8B-Instruct-run-lora"),
        ("llama3-8b", "Llama-3-llama3-8b-run-lora"),
        ("my-tuned-Llama-3-8B", "Llama-3-8B-run-lora"),
    ],
)
def test_names_begin_as_the_licence_asks(base: str, expected: str) -> None:
    """What comes before Llama is cut, or the words are put in front."""
    assert model_name(base, "run", "lora", LLAMAS["3"]) == expected
    assert model_name("SmolLM2", "run", "lora", None) == "SmolLM2-run-lora"
