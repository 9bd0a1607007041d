"""Scores against published figures and by hand."""

import json
from pathlib import Path
from typing import Any

import pytest

from lorabench.documents.item_result import ItemResult
from lorabench.errors import ConfigurationError, DataError
from lorabench.scoring.benchmark import scored_benchmark
from lorabench.scoring.benchmarks.mmlu import GROUP_SUBJECTS, SUBJECT_GROUP, group_of
from lorabench.scoring.scores import score_items
from report.synthetic_run import gsm8k_rows, mmlu_rows


def test_real_judgments_give_the_published_mt_bench_score(shared_data: Path) -> None:
    """GPT-4's judgments of Meta-Llama-3-8B-Instruct average 7.77; turn 1 8.275, turn 2 7.263."""
    path = shared_data / "mt_bench" / "judgments_gpt-4_single.jsonl"
    judgments = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    ours = [row for row in judgments if row["model"].endswith("-Normal")]
    last = {(row["question_id"], row["turn"]): row for row in ours}
    rows = [
        ItemResult(
            index=index,
            id=f"{question}-{turn}",
            cluster=str(question),
            score=row["score"] if row["score"] > 0 else None,
            outcome="judged" if row["score"] > 0 else "judge_unparsed",
            detail={"category": "all", "turn": turn},
        )
        for index, ((question, turn), row) in enumerate(sorted(last.items()))
    ]
    score = score_items(scored_benchmark("mt_bench"), rows, 0.95)
    assert score["n"] == 160
    assert score["score"] == pytest.approx(7.77, abs=0.005)
    assert score["breakdown"]["turn 1"]["score"] == pytest.approx(8.275)
    assert score["breakdown"]["turn 2"]["score"] == pytest.approx(7.2625)
    # by question; by turn it would be 0.19
    assert score["standard_error"] == pytest.approx(0.31, abs=0.02)


def test_real_annotations_give_the_published_win_rate(annotations: list[dict[str, Any]]) -> None:
    """vicuna-13b-v1.5: 6.72 %, with the sample's standard error."""
    rows = [
        ItemResult(
            index=index,
            id=f"alpaca-{index}",
            cluster=f"alpaca-{index}",
            score=row["preference"] - 1,
            outcome="judged",
            detail={"category": row["dataset"]},
        )
        for index, row in enumerate(annotations)
    ]
    score = score_items(scored_benchmark("alpaca_eval"), rows, 0.95)
    assert 100 * score["score"] == pytest.approx(6.722, abs=1e-3)
    assert score["secondary"]["without_oasst_instructions"]["n"] == 805 - 188
    values = [row.score or 0.0 for row in rows]
    mean = sum(values) / 805
    sample_error = (sum((value - mean) ** 2 for value in values) / 804 / 805) ** 0.5
    assert score["standard_error"] == pytest.approx(sample_error)


def test_every_mmlu_subject_has_one_group() -> None:
    """57 subjects in four groups; an unknown subject counts as other."""
    assert len(SUBJECT_GROUP) == 57 == sum(map(len, GROUP_SUBJECTS.values()))
    assert group_of("anatomy") == "stem"
    assert group_of("pottery") == "other"


def test_groups_are_those_of_the_harness() -> None:
    """Each subject's group is the one in lm-evaluation-harness' task files."""
    lm_eval = pytest.importorskip("lm_eval")
    folder = Path(lm_eval.__file__).parent / "tasks" / "mmlu" / "default"
    for subject, group in SUBJECT_GROUP.items():
        task = (folder / f"mmlu_{subject}.yaml").read_text(encoding="utf-8")
        assert f"mmlu_{group}_tasks" in task


def test_guessing_is_recognised() -> None:
    """A score whose interval includes a quarter is not above chance; GSM8K has no chance level."""
    assert score_items(scored_benchmark("mmlu"), mmlu_rows("base"), 0.95)["above_chance"] is False
    assert score_items(scored_benchmark("mmlu"), mmlu_rows("lora"), 0.95)["above_chance"] is True
    assert score_items(scored_benchmark("gsm8k"), gsm8k_rows("base"), 0.95)["chance"] is None


def test_a_score_needs_items_and_a_known_benchmark() -> None:
    """Nothing to average is an error that counts the failures."""
    row = gsm8k_rows("base", 1)[0]
    failed = ItemResult(**{**row.__dict__, "score": None, "outcome": "judge_failed"})
    with pytest.raises(DataError, match="1 judge_failed"):
        score_items(scored_benchmark("mt_bench"), [failed], 0.95)
    with pytest.raises(ConfigurationError, match="expected one of alpaca_eval, gsm8k"):
        score_items(scored_benchmark("arc"), [row], 0.95)
