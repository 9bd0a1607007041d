"""Publishing a report."""

import json
from dataclasses import asdict
from pathlib import Path

import pytest

from lorabench.documents.answer import Answer
from lorabench.files import write_jsonl
from report.schema_check import EXPORT_FILES
from report.synthetic_run import export, report_inputs
from write_report import write_report


def answers(folder: Path) -> list[Path]:
    """Write two MT-Bench answers of the base and return the file."""
    rows = [
        Answer(
            index=index,
            id=str(81 + index),
            category="writing",
            prompts=["Write.", "Again."],
            outputs=["One.", "Two."],
            output_tokens=[2, 2],
            truncated=[False, False],
            temperature=0.7,
        )
        for index in range(2)
    ]
    write_jsonl(folder / "answers" / "base" / "mt_bench.jsonl", map(asdict, rows))
    return [folder / "answers" / "base" / "mt_bench.jsonl"]


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory, root: Path) -> Path:
    """Return the folder of a published report, published twice."""
    folder = tmp_path_factory.mktemp("run")
    given = report_inputs(folder, root)
    write_report(**given)
    target = folder / "reports" / "bench" / "0123456789ab"
    for _ in range(2):
        export(given, target, answers(folder))
    return target


def test_all_files_that_users_know_are_there(published: Path) -> None:
    """The folder holds the named files and the figures, and nothing half written."""
    assert {path.name for path in published.iterdir()} == {
        *EXPORT_FILES,
        *("report.md", "report.html", "items.html", "figures"),
    }
    assert (published / "figures" / "scores.png").is_file()


def test_the_git_state_is_written_inside(published: Path) -> None:
    """Every JSON file of ours carries its version and the state of the working tree."""
    for path in published.glob("*.json"):
        document = json.loads(path.read_text(encoding="utf-8"))
        assert document["schema_version"] == (2 if path.name == "report.json" else 1)
        assert "git" in document


def test_items_and_answers_are_next_to_their_scores(published: Path) -> None:
    """Every item of GSM8K and every judged answer of MT-Bench can be read in one file."""
    items = json.loads((published / "gsm8k_results.json").read_text(encoding="utf-8"))["variants"]
    assert {variant: len(part["items"]) for variant, part in items.items()} == {
        "base": 60,
        "lora": 60,
        "merged": 60,
    }
    outputs = json.loads((published / "mtbench_outputs.json").read_text(encoding="utf-8"))[
        "variants"
    ]["base"]["outputs"]
    assert outputs[1]["outputs"] == ["One.", "Two."]
    assert len(outputs[1]["scores"]) == 2 and outputs[1]["scores"][1] is None
