"""The release gate: synthetic runs whose right answer is known."""

import json
import random
import shutil
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from check_gate import check_gate
from declare_gate import declare_gate
from lorabench.documents.item_result import ItemResult
from lorabench.files import read_json, read_jsonl, write_json, write_jsonl
from report.schema_check import faults_of
from report.synthetic_run import (
    held_out,
    logit_difference,
    protocol_of,
    write_inference,
    write_source,
    write_training,
)
from score_benchmark import score_benchmark
from sections import section
from show_gate import show_gate
from write_notices import write_notices

# items, of which the last share is judged; MMLU's count is a part of its 14,042
SIZES = {"gsm8k": 1319, "mmlu": 3000, "mt_bench": 160, "alpaca_eval": 805}
VARIANTS = ("base", "lora", "merged")
Given = dict[str, Any]


def item(benchmark: str, index: int, variant: str, gain: float, flips: float) -> ItemResult:
    """Return an item; a variant differs on the share `flips`, by `gain` on average."""
    draw = random.Random(f"{benchmark}-{index}")
    skill, changes, direction = draw.random(), draw.random() < flips, draw.random()
    changes = changes and variant != "base"
    if benchmark in ("gsm8k", "mmlu"):
        right = skill < 0.6
        if changes:
            right = direction < 0.5 + gain / flips / 2
        score, outcome = float(right), "correct" if right else "incorrect"
    elif benchmark == "mt_bench":
        score = 4 + 4 * skill + (gain / flips + direction - 0.5 if changes else 0)
        outcome = "judged"
    else:
        score = min(1.0, 0.8 * skill + (gain / flips if changes else 0))
        outcome = "judged"
    name = f"{benchmark}-{index}"
    cluster = {"mt_bench": f"question-{index // 2}", "mmlu": f"subject-{index % 57}"}
    return ItemResult(
        index=index,
        id=name,
        cluster=cluster.get(benchmark, name),
        score=score,
        outcome=outcome,
        detail={"category": "all", "turn": index % 2 + 1},
    )


def write_benchmark(
    folder: Path,
    benchmark: str,
    *,
    n: int | None = None,
    gain: float = 0.0,
    flips: float = 0.02,
    signal: bool = True,
    change: Callable[[ItemResult, str], ItemResult] = lambda row, _: row,
) -> None:
    """Write scores and rows of all variants of a benchmark through score_benchmark."""
    for variant in VARIANTS:
        rows = [
            change(item(benchmark, index, variant, gain, flips), variant)
            for index in range(SIZES[benchmark] if n is None else n)
        ]
        work = folder / "work" / variant / f"{benchmark}.jsonl"
        write_jsonl(work, map(asdict, rows))
        write_json(work.with_suffix(".json"), protocol_of(benchmark, signal))
        place = folder / "eval" / variant
        score_benchmark(
            rows=[work],
            protocols=[work.with_suffix(".json")],
            answers_protocol=None,
            length_control_file=None,
            not_run_reason=None,
            benchmark=benchmark,
            variant=variant,
            settings={"confidence": 0.95, "min_judged_share": 0.5},
            rows_output=place / f"{benchmark}.jsonl",
            score_output=place / f"{benchmark}.json",
        )


def write_evidence(folder: Path, benchmarks: Sequence[str] = tuple(SIZES)) -> Given:
    """Write a run that may ship, its margins declared first, and return check_gate's arguments."""
    declare(folder, section("gate"))
    for benchmark in benchmarks:
        write_benchmark(folder, benchmark)
    training = write_training(folder)
    metrics = read_json(training["train_metrics"])
    metrics["likelihood"]["validation"]["conversations"] = held_out(-0.093, 200)
    write_json(training["train_metrics"], metrics)
    counts = {"items": 1000, "by_ngram_words": {"13": {"comparable": 900, "overlapping": []}}}
    write_json(
        folder / "contamination.json",
        {"schema_version": 1, "conversations": 46, "benchmarks": dict.fromkeys(SIZES, counts)},
    )
    for name in ("merged", "adapter"):
        (folder / name).mkdir(exist_ok=True)
        (folder / name / "LICENSE").write_text("Apache License 2.0")
    return {
        "run": "demo",
        "perf": write_inference(folder)[0],
        "merge_report": training["merge_report"],
        "train_metrics": training["train_metrics"],
        "contamination": folder / "contamination.json",
        "declaration": folder / "gate_declaration.json",
        "shipped": folder / "merged",
        "model_source": write_source(folder / "SmolLM2-135M-Instruct" / "source.json"),
        "conversations_source": write_source(folder / "conversations" / "source.json"),
        "settings": section("gate"),
        "document": folder / "gate.json",
        "remark": folder / "gate.md",
    }


def declare(folder: Path, settings: dict[str, Any]) -> None:
    """Declare the margins of a run."""
    declare_gate(
        settings=settings,
        declared_at="2026-11-26T08:00:00+00:00",
        history=folder / "work" / "history.json",
        declaration=folder / "gate_declaration.json",
    )


def check(given: Given, variants: Sequence[str] = VARIANTS) -> dict[str, Any]:
    """Hold a run against its gate; return gate.json, which fits its schema."""
    folder = given["document"].parent
    scores = sorted(path for name in variants for path in (folder / "eval" / name).glob("*.json"))
    check_gate(**given, scores=scores, rows=[path.with_suffix(".jsonl") for path in scores])
    assert faults_of(given["document"], "gate") == []
    return dict(read_json(given["document"]))


def lines(gate: dict[str, Any]) -> dict[str, tuple[str, str]]:
    """Return name -> (verdict, code)."""
    return {line["name"]: (line["verdict"], line["code"]) for line in gate["lines"]}


def edit(path: Path, **changes: Any) -> None:
    """Replace keys of a JSON file."""
    write_json(path, {**read_json(path), **changes})


def change_losses(given: Given, change: float) -> None:
    """Give the held-out losses another change, in nat a token."""
    metrics = read_json(given["train_metrics"])
    metrics["likelihood"]["validation"]["conversations"] = held_out(change, 200)
    write_json(given["train_metrics"], metrics)


def settings_of(given: Given, **changes: Any) -> None:
    """Change the section `gate`."""
    given["settings"] = {**given["settings"], **changes}


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Given:
    """Return the arguments of a run that may ship; tests work on copies of it."""
    return write_evidence(tmp_path_factory.mktemp("good"))


@pytest.fixture
def given(good: Given, tmp_path: Path) -> Given:
    """Return the arguments of a copy of the run that may ship."""
    source, folder = good["document"].parent, tmp_path / "run"
    shutil.copytree(source, folder)

    def moved(value: Any) -> Any:
        if isinstance(value, Path):
            return folder / value.relative_to(source)
        return [moved(part) for part in value] if isinstance(value, list) else value

    return {name: moved(value) for name, value in good.items()}


def test_a_run_whose_every_required_line_passes_may_ship(given: Given) -> None:
    """Equal within the margins, better on its own data, saved as it should be: yes."""
    gate = check(given)
    assert {verdict for verdict, _ in lines(gate).values()} == {"pass"}
    assert (gate["answer"], gate["exit_code"]) == ("yes", 0)
    text, code = show_gate(given["document"])
    assert code == 0 and "ship merged: yes." in text
    assert given["remark"].read_text().startswith("**demo: ship the merged model? Yes.**")


def test_case_12_a_loss_on_every_front_is_a_no(given: Given) -> None:
    """Held-out loss 2.0 -> 2.6, GSM8K down by 18.8 points at n = 16, saved logits off by 7.5."""
    folder = given["document"].parent
    change_losses(given, 0.6)
    write_benchmark(folder, "gsm8k", n=16, gain=-0.188, flips=0.4)
    edit(given["merge_report"], as_saved=logit_difference(7.5))
    gate = check(given)
    assert gate["answer"] == "no"
    assert lines(gate)["held_out_loss"] == ("fail", "shown_otherwise")
    assert lines(gate)["merge_error"] == ("fail", "beyond_limit")
    assert lines(gate)["gsm8k"][0] != "pass"
    assert show_gate(given["document"])[1] == 1


def test_case_28_one_small_benchmark_shows_nothing(tmp_path: Path) -> None:
    """Only 16 items of GSM8K were evaluated: not shown, and how many items it would take."""
    given = write_evidence(tmp_path, ["gsm8k"])
    write_benchmark(tmp_path, "gsm8k", n=16)
    gate = check(given)
    assert (gate["answer"], gate["exit_code"]) == ("not_shown", 3)
    assert lines(gate)["gsm8k"] == ("not_shown", "interval_crosses")
    assert lines(gate)["mmlu"] == ("missing", "not_evaluated")
    settings_of(given, required=["gsm8k"])
    gate = check(given)
    assert gate["answer"] == "not_shown"
    line = next(line for line in gate["lines"] if line["name"] == "gsm8k")
    assert 50 < line["more_units"] < 2000
    assert "more items would settle it" in given["remark"].read_text()


def test_a_higher_loss_on_its_own_data_is_a_no(given: Given) -> None:
    """The interval over conversations is above zero."""
    change_losses(given, 0.05)
    gate = check(given)
    assert gate["answer"] == "no"
    assert lines(gate)["held_out_loss"] == ("fail", "shown_otherwise")


def test_a_loss_change_within_its_noise_is_not_shown(given: Given) -> None:
    """A fall of 0.0005 nat is within the spread of the conversations."""
    change_losses(given, 0.0005)
    gate = check(given)
    assert lines(gate)["held_out_loss"][0] == "not_shown"
    assert gate["answer"] == "not_shown"


def test_losses_without_conversations_are_missing(given: Given) -> None:
    """A record of the two totals only has no interval."""
    metrics = read_json(given["train_metrics"])
    del metrics["likelihood"]["validation"]["conversations"]
    write_json(given["train_metrics"], metrics)
    assert lines(check(given))["held_out_loss"] == ("missing", "no_losses_by_conversation")
    assert lines(check({**given, "train_metrics": None}))["held_out_loss"][0] == "missing"
    assert check(given)["answer"] == "not_shown"


@pytest.mark.parametrize(
    "dropped", [["mmlu"], ["mt_bench", "alpaca_eval"], ["gsm8k", "mmlu", "mt_bench", "alpaca_eval"]]
)
def test_a_dropped_benchmark_is_missing_not_passed(given: Given, dropped: list[str]) -> None:
    """What was not evaluated never helps: one benchmark, the judged ones, all of them."""
    for name in dropped:
        for path in given["document"].parent.glob(f"eval/*/{name}.json*"):
            path.unlink()
    gate = check(given)
    assert gate["answer"] == "not_shown"
    assert {name for name, (verdict, _) in lines(gate).items() if verdict != "pass"} == set(dropped)


def test_no_required_benchmark_is_never_a_yes(given: Given) -> None:
    """A gate that asks for no benchmark lacks one."""
    settings_of(given, required=["held_out_loss", "licences"])
    gate = check(given)
    assert lines(gate)["benchmarks"] == ("missing", "no_benchmark_required")
    assert gate["answer"] == "not_shown"


def test_saved_weights_that_are_off_are_a_no(given: Given) -> None:
    """In float32 the merge is right; what was saved is not."""
    edit(given["merge_report"], as_saved=logit_difference(7.5))
    gate = check(given)
    assert gate["answer"] == "no"
    assert lines(gate)["merge_error"] == ("fail", "beyond_limit")
    assert lines(check({**given, "merge_report": None}))["merge_error"][0] == "missing"


def test_a_contaminated_benchmark_is_a_no(given: Given) -> None:
    """Five per cent of GSM8K share 13 words in a row with the training data."""
    document = read_json(given["contamination"])
    found = [{"id": str(index), "ngrams": 40, "shared": 1} for index in range(50)]
    document["benchmarks"]["gsm8k"] = {
        "items": 1000,
        "by_ngram_words": {"13": {"comparable": 900, "overlapping": found}},
    }
    write_json(given["contamination"], document)
    gate = check(given)
    assert gate["answer"] == "no"
    assert lines(gate)["contamination"] == ("fail", "beyond_limit")
    assert "5 % of GSM8K" in given["remark"].read_text()
    assert lines(check({**given, "contamination": None}))["contamination"][0] == "missing"


def test_a_slow_merged_model_is_a_no(given: Given) -> None:
    """The base's noise is far from the limit, the merged model's whole interval is below it."""
    path = given["document"].parent / "perf" / "merged.json"
    document = read_json(path)
    document["ratios_to_base"]["decode_tokens_per_second"] |= {
        "median": 0.7,
        "interval": [0.68, 0.72],
    }
    write_json(path, document)
    assert lines(check(given))["speed"] == ("fail", "beyond_limit")
    assert lines(check({**given, "perf": []}))["speed"] == ("missing", "not_measured")


def test_a_slow_reading_on_a_noisy_machine_is_not_shown(given: Given) -> None:
    """Where the base against itself falls below the limit, nothing is shown."""
    folder = given["document"].parent / "perf"
    for name, key, value in (
        ("merged", "interval", [0.68, 0.72]),
        ("base", "noise_band", [0.7, 1.43]),
    ):
        document = read_json(folder / f"{name}.json")
        document["ratios_to_base"]["decode_tokens_per_second"][key] = value
        write_json(folder / f"{name}.json", document)
    gate = check(given)
    assert lines(gate)["speed"][0] == "not_shown" and gate["answer"] == "not_shown"


def test_a_random_base_is_never_a_yes(given: Given) -> None:
    """All else passes; the base is the built-in random model."""
    write_source(given["model_source"], kind="built-in")
    gate = check(given)
    assert gate["answer"] == "no"
    assert lines(gate)["base_model"] == ("fail", "random_weights")


def test_a_judge_without_signal_shows_nothing(given: Given) -> None:
    """Scores of the small local judge are missing evidence."""
    for name in ("mt_bench", "alpaca_eval"):
        write_benchmark(given["document"].parent, name, signal=False)
    gate = check(given)
    assert gate["answer"] == "not_shown"
    assert lines(gate)["mt_bench"] == ("missing", "judge_without_signal")


def test_margins_that_change_after_results_stay_visible(given: Given) -> None:
    """The change is counted, with the results that were known; a gate may forbid it."""
    folder = given["document"].parent
    settings_of(given, margins={**given["settings"]["margins"], "gsm8k": 0.3})
    declare(folder, given["settings"])
    gate = check(given)
    assert gate["declaration"]["declarations"] == 2
    assert len(gate["declaration"]["known_results"]) == 12
    assert lines(gate)["declaration"] == ("fail", "declared_after_results")
    assert "after 12 of the results in use were known" in given["remark"].read_text()
    assert gate["answer"] == "yes"
    settings_of(given, required=[*given["settings"]["required"], "declaration"])
    declare(folder, given["settings"])
    assert check(given)["answer"] == "no"


def test_old_margins_and_new_results_count_as_declared_before(given: Given) -> None:
    """Going back to the first margins, or evaluating everything anew, clears the remark."""
    folder, first = given["document"].parent, given["settings"]
    settings_of(given, alpha=0.1)
    declare(folder, given["settings"])
    assert check(given)["declaration"]["known_results"]
    declare(folder, first)
    assert check({**given, "settings": first})["declaration"]["known_results"] == []
    declare(folder, given["settings"])
    for name in SIZES:
        write_benchmark(folder, name, n=SIZES[name] - 2)
    assert check(given)["declaration"]["known_results"] == []


def test_a_benchmark_that_falls_beyond_its_margin_is_a_no(given: Given) -> None:
    """Ten points of GSM8K are lost, at full size."""
    write_benchmark(given["document"].parent, "gsm8k", gain=-0.1, flips=0.2)
    gate = check(given)
    assert gate["answer"] == "no" and lines(gate)["gsm8k"] == ("fail", "shown_otherwise")


def test_the_variant_that_ships_decides(given: Given) -> None:
    """A merged model that lost its skill does not stop the adapter, and the other way round."""
    folder = given["document"].parent
    for path in (folder / "eval" / "merged").glob("gsm8k.jsonl"):
        rows = [{**row, "score": 0.0, "outcome": "incorrect"} for _, row in read_jsonl(path)]
        write_jsonl(path, rows)
    assert check(given)["answer"] == "no"
    limits = {**given["settings"]["limits"], "speed_ratio": 0.5}
    required = [name for name in given["settings"]["required"] if name != "merge_error"]
    settings_of(given, variant="lora", limits=limits, required=required)
    gate = check({**given, "shipped": folder / "adapter"})
    assert gate["answer"] == "yes" and "merge_error" not in lines(gate)


def test_a_variant_that_was_not_evaluated_is_missing(given: Given) -> None:
    """Without the merged model's scores nothing is known of it."""
    gate = check(given, variants=("base", "lora"))
    assert gate["answer"] == "not_shown" and lines(gate)["mmlu"] == ("missing", "not_run")


def test_two_equal_gains_are_no_evidence(given: Given) -> None:
    """Two questions rated 5, 6 and then 6, 7 have no spread; that is not certainty."""

    def rated(row: ItemResult, variant: str) -> ItemResult:
        return replace(row, score=5.0 + row.index % 2 + (variant != "base"))

    write_benchmark(given["document"].parent, "mt_bench", n=4, change=rated)
    gate = check(given)
    assert lines(gate)["mt_bench"][0] == "not_shown" and gate["answer"] == "not_shown"


def test_an_identical_variant_passes_at_full_size_only(given: Given) -> None:
    """Zero differences on 805 preferences pass; on 16 they do not."""
    folder = given["document"].parent
    for n, expected in ((805, "pass"), (16, "not_shown")):
        write_benchmark(folder, "alpaca_eval", n=n, flips=1e-9)
        assert lines(check(given))["alpaca_eval"][0] == expected


def test_a_judge_that_failed_on_many_items_shows_nothing(given: Given) -> None:
    """Every fifth judgment of the variant is missing; the rest may be a selection."""

    def failed(row: ItemResult, variant: str) -> ItemResult:
        gone = variant != "base" and row.index % 5 == 0
        return replace(row, score=None, outcome="judge_failed") if gone else row

    write_benchmark(given["document"].parent, "mt_bench", change=failed)
    assert lines(check(given))["mt_bench"] == ("missing", "items_without_score")


def test_a_base_that_solves_nothing_shows_nothing(given: Given) -> None:
    """Who scores zero cannot lose: no fall is no evidence."""

    def wrong(row: ItemResult, variant: str) -> ItemResult:
        return replace(row, score=0.0, outcome="incorrect")

    write_benchmark(given["document"].parent, "gsm8k", change=wrong)
    assert lines(check(given))["gsm8k"] == ("missing", "base_near_floor")


def test_a_required_gain_must_be_shown(given: Given) -> None:
    """Equal is enough for a margin and not for an improvement."""
    settings_of(given, improvements={**given["settings"]["improvements"], "mmlu": 0.02})
    gate = check(given)
    assert gate["answer"] == "no" and lines(gate)["mmlu"] == ("fail", "shown_otherwise")
    write_benchmark(given["document"].parent, "mmlu", gain=0.1, flips=0.2)
    assert lines(check(given))["mmlu"] == ("pass", "shown")


def test_more_memory_than_allowed_is_a_no(given: Given) -> None:
    """The peak of generating is held against the base's."""
    path = given["document"].parent / "perf" / "merged.json"
    edit(path, memory={"steady_peak_resident_mib": 900.0})
    assert lines(check(given))["memory"] == ("fail", "beyond_limit")


def test_licences_are_known_and_their_duties_met(given: Given) -> None:
    """An unknown licence is missing evidence; a Llama-named base asks for text, notice and name."""
    write_source(given["model_source"], licence=None)
    assert lines(check(given))["licences"] == ("missing", "licence_not_known")
    named = given["model_source"].parents[1] / "Meta-Llama-3-8B-Instruct" / "source.json"
    gate = check({**given, "model_source": write_source(named, "path", origin="/models/base")})
    line = next(line for line in gate["lines"] if line["name"] == "licences")
    assert (gate["answer"], line["detail"]) == ("no", ["notice", "built_with", "name"])
    for text, answer in ((None, "no"), ("The agreement.", "yes")):
        if text:
            (named.parent / "LICENSE").write_text(text)
        write_notices(
            run="demo",
            model=named,
            conversations_source=given["conversations_source"],
            adapter_files=given["document"].parent / "adapter",
            merged_files=given["shipped"],
        )
        assert check({**given, "model_source": named})["answer"] == answer


def test_a_run_without_a_gate_is_not_shown(tmp_path: Path) -> None:
    """show_gate exits with 3 where gate.json is not there yet."""
    text, code = show_gate(tmp_path / "gate.json")
    assert code == 3 and "not there yet" in text


def test_the_declaration_fits_its_schema(given: Given) -> None:
    """Each entry has hash, time, settings and the results that were known."""
    assert faults_of(given["declaration"], "gate_declaration") == []
    assert json.loads(given["declaration"].read_text())["history"][0]["known_results"] == {}
