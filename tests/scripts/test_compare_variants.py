"""Comparing variants."""

from pathlib import Path
from typing import Any

import pytest
from scipy.stats import chi2

from compare_variants import compare_variants
from lorabench.errors import DataError
from lorabench.files import read_json, write_json
from lorabench.report.serving import cost_to_serve
from lorabench.scoring.comparison import equivalence_of_shares
from lorabench.scoring.significance import flip_table
from lorabench.scoring.speed_ratios import serving_ratios
from report.synthetic_run import compare_inputs, gsm8k_rows, write_rows, write_source


def compare(folder: Path, **changes: Any) -> dict[str, Any]:
    """Compare a synthetic run and return compare.json."""
    given = compare_inputs(folder, changes.pop("not_run", ()), changes.pop("signal", True))
    compare_variants(**{**given, **changes}, compare=folder / "compare.json")
    return dict(read_json(folder / "compare.json"))


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Return the comparison of a whole run."""
    return compare(tmp_path_factory.mktemp("whole"))


def test_an_adapter_that_solves_more_problems_is_better(whole: dict[str, Any]) -> None:
    """Ten of sixty problems gained, none lost: chi-squared is 10 by McNemar."""
    contrast = whole["benchmarks"]["gsm8k"]["pairs"]["lora_vs_base"]
    assert contrast["flips"]["only_variant"] == 10 and contrast["flips"]["only_reference"] == 0
    assert contrast["p_value"] == pytest.approx(chi2.sf(10, 1))
    assert contrast["verdict_word"] == "better"
    assert 0 < contrast["interval"][0] < contrast["difference"] < contrast["interval"][1]
    assert contrast["scope"] is None


def test_the_verdict_of_mmlu_is_about_its_subjects(whole: dict[str, Any]) -> None:
    """The subjects are fixed: the words say so, and the word itself stays."""
    contrast = whole["benchmarks"]["mmlu"]["pairs"]["lora_vs_base"]
    assert contrast["scope"] == "these subjects"
    assert contrast["verdict"].endswith("about these subjects only")
    assert contrast["verdict"].startswith(contrast["verdict_word"])


def test_holm_is_over_the_comparisons_with_the_base(whole: dict[str, Any]) -> None:
    """Four benchmarks in two contrasts make the family; merged against lora is not in it."""
    family = whole["holm"]
    assert len(family["adjusted"]) == 8
    assert not any(name.endswith("merged_vs_lora") for name in family["p_values"])
    assert all(family["adjusted"][name] >= p for name, p in family["p_values"].items())


def test_merged_and_lora_are_compared_as_equals(whole: dict[str, Any]) -> None:
    """Sixty equal answers do not show equality within one point."""
    contrast = whole["benchmarks"]["gsm8k"]["pairs"]["merged_vs_lora"]
    assert contrast["items_changed"] == 0
    assert not contrast["equivalence"]["equivalent"]
    assert equivalence_of_shares(flip_table([True] * 1000, [True] * 1000), 0.01, 0.95).equivalent
    items = whole["merged_equals_lora"]["items"]
    assert items["gsm8k"]["greedy_texts"] == {"identical": 60, "n": 60}
    assert items["mmlu"]["log_probabilities"]["largest"] == pytest.approx(1e-5)


def test_resampling_units_are_subjects_and_questions(whole: dict[str, Any]) -> None:
    """MMLU is resampled by subject, MT-Bench by question, the others by item."""
    units = {
        name: (pair["bootstrap"]["resampled_unit"], pair["bootstrap"]["units"])
        for name, part in whole["benchmarks"].items()
        if (pair := part["pairs"]["lora_vs_base"])
    }
    assert units["mmlu"] == ("subject", 4)
    assert units["mt_bench"] == ("question", 8)
    assert units["gsm8k"] == ("item", 60)


def test_items_without_a_score_leave_the_pair(whole: dict[str, Any]) -> None:
    """A turn that the base has no rating of leaves its pairs only."""
    pairs = whole["benchmarks"]["mt_bench"]["pairs"]
    assert (pairs["lora_vs_base"]["n"], pairs["lora_vs_base"]["items_dropped"]) == (15, 1)
    assert (pairs["merged_vs_lora"]["n"], pairs["merged_vs_lora"]["items_dropped"]) == (16, 0)


def test_speed_is_a_paired_ratio_with_the_noise_of_the_base(whole: dict[str, Any]) -> None:
    """1.6 times the time a token decodes at 1 / 1.6 of the base's speed."""
    decode = whole["serving"]["decode_tokens_per_second"]
    assert decode["ratio_to_base"]["lora"]["ratio"] == pytest.approx(1 / 1.6, rel=0.02)
    assert decode["ratio_to_base"]["lora"]["verdict"] == "slower"
    assert decode["ratio_to_base"]["merged"]["verdict"] == "no difference detectable"
    assert decode["noise_band"][0] <= 1 <= decode["noise_band"][1]
    answer = whole["answers"]["cost_to_serve"]
    assert answer["answer"] == "nothing, if merged"
    assert answer["headline"].endswith("keep it apart where one base serves many.")
    base, lora = ("; ".join(item["parts"]) for item in answer["reasons"][:2])
    assert "tokens/s [" in base and "at least 4 users within 2000/100 ms (relaxed)" in base
    assert "1 user within 200/100 ms (strict)" in base and "$" in base
    assert "0.6" in lora and "times the base's: slower" in lora


def test_a_launch_bound_speed_is_no_headline(tmp_path: Path) -> None:
    """Where Python's launches bound the step, the ratio is labelled and the answer is not known."""
    measured = [read_json(path) for path in compare_inputs(tmp_path)["perf"]]
    for document in measured:
        document["single_stream"] |= {"launch_bound": True, "gpu_idle_share": 0.6}
    serving = serving_ratios(measured)
    answer = cost_to_serve(serving, {}, measured)
    assert answer["answer"] == "not known" and "Measure a server" in answer["headline"]
    said = "; ".join(answer["reasons"][0]["parts"])
    assert "GPU idle for 60% of a step" in said and "launched from Python" in said
    served = next(part["load"] for part in measured if part["variant"] == "lora")
    served["server"] = served["own"]
    answer = cost_to_serve(serving, {}, measured)
    assert "on the measured server" in answer["reasons"][-1]["text"]
    assert answer["headline"].startswith("Unmerged, the adapter costs")


def test_a_judge_without_signal_decides_nothing(tmp_path: Path) -> None:
    """Scores of the local judge get no verdict and are outside the family."""
    result = compare(tmp_path, signal=False)
    assert result["benchmarks"]["mt_bench"]["pairs"]["lora_vs_base"]["verdict_word"] == "no verdict"
    assert len(result["holm"]["adjusted"]) == 4
    assert result["answers"]["may_ship"]["answer"] == "not shown"
    assert result["answers"]["adapter_helps"]["answer"] == "yes"


def test_what_did_not_run_is_said_with_its_reason(tmp_path: Path) -> None:
    """Missing judgments and measurements leave reasons, not zeros."""
    result = compare(tmp_path, not_run=["mt_bench"], perf=[], train_metrics=None)
    assert result["benchmarks"]["mt_bench"]["pairs"] == {}
    texts = [item["text"] for item in result["answers"]["adapter_helps"]["reasons"]]
    assert "MT-Bench: not run, no judge is configured" in texts
    assert result["serving"] is None and result["validation"] is None
    assert result["answers"]["cost_to_serve"]["answer"] == "not measured"


def test_shipping_is_the_gates_answer_with_the_licences_duties(tmp_path: Path) -> None:
    """compare.json repeats gate.json's answer; Llama 3's licence comes with its duties."""
    llama = write_source(tmp_path / "llama.json", licence="llama3")
    shipping = compare(tmp_path / "run", model_source=llama)["answers"]["may_ship"]
    gate = read_json(tmp_path / "run" / "gate.json")
    assert (gate["answer"], shipping["answer"]) == ("not_shown", "not shown")
    texts = [item["text"] for item in shipping["reasons"]]
    assert any("Built with Meta Llama 3" in text for text in texts)
    assert any(text.startswith("contamination: not measured") for text in texts)


def test_the_loss_decides_by_its_interval(tmp_path: Path) -> None:
    """A fall of the loss beyond its interval is one; a record without conversations shows none."""
    given = compare_inputs(tmp_path)
    compare_variants(**given, compare=tmp_path / "compare.json")
    shown = read_json(tmp_path / "compare.json")["validation"]
    assert shown["word"] == "lower" and shown["interval"][0] < -0.093 < shown["interval"][1] < 0
    metrics = read_json(given["train_metrics"])
    del metrics["likelihood"]["validation"]["conversations"]
    write_json(given["train_metrics"], metrics)
    compare_variants(**given, compare=tmp_path / "compare.json")
    bare = read_json(tmp_path / "compare.json")["validation"]
    assert (bare["word"], bare["interval"]) == ("not shown: no interval", None)


def test_variants_on_different_items_are_refused(tmp_path: Path) -> None:
    """Rows that do not pair stop the rule."""
    given = compare_inputs(tmp_path)
    write_rows(given["rows"][0], gsm8k_rows("base", 50))
    with pytest.raises(DataError, match="different items: 10 unpaired"):
        compare_variants(**given, compare=tmp_path / "compare.json")
