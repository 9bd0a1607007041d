"""docs/add-a-benchmark.md, carried out: its blocks make a benchmark in five places and it runs."""

import json
import re
import shutil
from pathlib import Path

import pytest

from checkout import ROOT, Checkout
from lorabench.files import read_json, read_jsonl

pytestmark = pytest.mark.slow

GUIDE = (ROOT / "docs" / "add-a-benchmark.md").read_text(encoding="utf-8")
# a place, what to do with a line that is there (nothing: the file is new), and the text
BLOCK = re.compile(
    r"^`([^`\n]+)`(?:, (below|in place of) `(\w+:)`)?:\n\n```\w+\n(.*?)```$", re.M | re.S
)
STEPS = BLOCK.findall(GUIDE)


def carry_out(folder: Path) -> set[str]:
    """Write the guide's blocks to the places that it names; return these places."""
    for name, how, line, text in STEPS:
        path = folder / name
        if not how:
            assert not path.exists()
            path.parent.mkdir(exist_ok=True)
            path.write_text(text, encoding="utf-8")
            continue
        before = path.read_text(encoding="utf-8")
        pattern = rf"^ *{line}\n" if how == "below" else rf"^ *{line}.*\n"
        found = re.findall(pattern, before, re.M)
        assert len(found) == 1, (name, line)
        path.write_text(
            before.replace(found[0], found[0] + text if how == "below" else text), encoding="utf-8"
        )
    return {name for name, *_ in STEPS}


@pytest.fixture(scope="module")
def extended(finished: Checkout, tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    """Return a copy of the finished smoke run to which the guide's benchmark is added."""
    folder = tmp_path_factory.mktemp("extended") / "lorabench"
    shutil.copytree(finished.folder, folder, symlinks=True)
    places = carry_out(folder)
    # the two files of items are in one folder
    assert len({Path(name).parent if "samples" in name else name for name in places}) == 5
    return Checkout(folder)


def test_a_new_benchmark_makes_no_judged_one_stale(extended: Checkout) -> None:
    """Only jobs with the new benchmark are scheduled, and what shows all benchmarks together."""
    assert extended.scheduled() == {
        "fetch_benchmark": 1,
        "check_contamination": 1,
        "evaluate_task": 2,
        # of the other tasks, too, whose rows the same jobs take from the store
        "score_benchmark": 9,
        # its contamination line reads all benchmarks
        "check_gate": 1,
        "compare_variants": 1,
        "write_report": 1,
        "export_report": 1,
    }


def test_the_guide_ends_with_a_score_and_a_row_of_the_report(extended: Checkout) -> None:
    """The benchmark is asked, scored, compared, reported and published as the others are."""
    answer = extended.snakemake()
    assert answer.returncode == 0, answer.stderr[-6000:]
    made = [
        read_json(file)
        for file in (extended.folder / "results/smoke/work/evaluate_task").rglob("*.json")
    ]
    assert {one["benchmark"] for one in made if one["tokens_computed"]} == {"capitals"}
    results = extended.folder / "results" / "smoke"
    for variant in ("base", "lora", "merged"):
        score = json.loads((results / "eval" / variant / "capitals.json").read_text())
        assert (score["status"], score["n"], score["metric"]) == ("ok", 4, "exact_match")
        assert "task capitals, 2-shot, greedy, at most 8 new tokens" in score["protocol"]
        rows = [row for _, row in read_jsonl(results / "eval" / variant / "capitals.jsonl")]
        assert [row["detail"]["answer"] for row in rows] == ["Paris", "Nairobi", "Lima", "Oslo"]
    report = (results / "report" / "report.md").read_text()
    assert "| Capitals, exact match |" in report
    compared = json.loads((results / "compare.json").read_text())["benchmarks"]["capitals"]
    assert compared["pairs"]["lora_vs_base"]["flips"] is not None
    contamination = json.loads((results / "data" / "contamination.json").read_text())
    assert contamination["benchmarks"]["capitals"]["items"] == 4
    [published] = (extended.folder / "reports" / "bench").glob("*/capitals_results.json")
    assert len(json.loads(published.read_text())["variants"]["base"]["items"]) == 4
