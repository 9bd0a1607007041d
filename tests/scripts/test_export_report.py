"""Publishing a report."""

from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import ModelCard

from export_report import add_scores
from judging.fake_judge import answer_row
from lorabench.files import read_json, write_jsonl
from lorabench.report.model_index import with_scores
from report.schema_check import EXPORT_FILES
from report.synthetic_run import export, report_inputs
from write_report import write_report


def answers(folder: Path) -> list[Path]:
    """Write two MT-Bench answers of the base and return the file."""
    file = folder / "answers" / "base" / "mt_bench.jsonl"
    write_jsonl(file, [answer_row(index, outputs=["One.", "Two."]) for index in range(2)])
    return [file]


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
        document = read_json(path)
        assert document["schema_version"] == (2 if path.name == "report.json" else 1)
        assert "git" in document


def test_items_and_answers_are_next_to_their_scores(published: Path) -> None:
    """Every item of GSM8K and every judged answer of MT-Bench can be read in one file."""
    items = read_json(published / "gsm8k_results.json")["variants"]
    assert [(variant, len(items[variant]["items"])) for variant in items] == [
        *(("base", 60), ("lora", 60), ("merged", 60))
    ]
    outputs = read_json(published / "mtbench_outputs.json")["variants"]["base"]["outputs"]
    assert outputs[1]["outputs"] == ["One.", "Two."]
    assert len(outputs[1]["scores"]) == 2 and outputs[1]["scores"][1] is None


def test_cards_get_the_scores_of_their_variant(published: Path) -> None:
    """The hub's own parser reads each score with its error and protocol.

    From the second export as from the first; an adapter's card without a header gets one.
    """
    scores = read_json(published / "eval_results.json")["scores"]
    for folder, variant in (("adapter", "lora"), ("merged", "merged")):
        text = (published.parent / folder / "README.md").read_text(encoding="utf-8")
        assert text.count("## Scores") == 1 and "5-shot" in text
        card: Any = ModelCard(text)
        assert (card.data.model_name, card.data.license) == (f"some-{folder}", "mit")
        found = {result.dataset_type: result for result in card.data.eval_results}
        assert set(found) == set(scores)
        for name, result in found.items():
            assert result.metric_value == pytest.approx(scores[name][variant]["score"], abs=1e-5)
            assert result.metric_args["standard_error"] > 0
            assert result.dataset_args["protocol"] == scores[name][variant]["protocol"]
    source: Any = {"kind": "hub", "origin": "openai/gsm8k@e53f", "revision": "e53f"}
    plain: Any = ModelCard(with_scores("# Mine\n", [scores["gsm8k"]["lora"]], {"gsm8k": source}))
    assert plain.data.eval_results[0].dataset_type == "openai/gsm8k"
    again = with_scores(str(plain), [scores["gsm8k"]["lora"]], {"gsm8k": source})
    assert ModelCard(again).data.to_dict() == plain.data.to_dict()


def test_scores_of_a_mute_judge_are_in_no_card(published: Path, tmp_path: Path) -> None:
    """The hub shows a number without the sentence that says that it means nothing."""
    scores = read_json(published / "eval_results.json")["scores"]
    scores["mt_bench"]["lora"]["carries_signal"] = False
    cards = [tmp_path / "adapter.md", tmp_path / "merged.md"]
    for card in cards:
        card.write_text("# Mine\n")
    add_scores(cards, scores, [])
    adapter, merged = (card.read_text() for card in cards)
    assert "GSM8K" in adapter and "MT-Bench" not in adapter and "MT-Bench" in merged
