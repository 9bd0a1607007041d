"""Assemble report.json: everything that the report says; templates only lay it out."""

from collections.abc import Mapping, Sequence
from typing import Any, cast

from lorabench.description.utilisation import speed_sentences
from lorabench.documents.comparison import Comparison, Contrast, Question
from lorabench.documents.contamination import Contamination
from lorabench.documents.gate import GateDocument
from lorabench.documents.merge_report import MergeReport
from lorabench.documents.performance import Performance
from lorabench.documents.report import (
    AnsweredQuestion,
    BenchmarkReport,
    ItemChanges,
    Report,
    TrainingReport,
    VariantScore,
)
from lorabench.documents.run_config import RunConfig
from lorabench.documents.score import Score, Scored
from lorabench.documents.source import SourceRecord
from lorabench.documents.summary import DataSummary
from lorabench.documents.train_metrics import TrainMetrics
from lorabench.report.ai_act import ai_act_text
from lorabench.report.gate_text import gate_table
from lorabench.report.part_tables import WITHOUT_OASST, part_tables
from lorabench.report.plain_text import without_paths
from lorabench.report.published import published_values, warnings
from lorabench.report.records import (
    from_open_assistant,
    overlapping_items,
    remarks,
    validation_losses,
)
from lorabench.report.run_facts import run_facts
from lorabench.report.wording import VARIANT_TITLES, contrast_text, equality_text, score_text
from lorabench.scoring.benchmark import scored_benchmark
from lorabench.scoring.held_out import recorded_training

QUESTIONS: dict[Question, str] = {
    "adapter_helps": "Did the adapter help?",
    "cost_to_serve": "What does it cost to serve?",
    "may_ship": "May I ship it?",
}
NO_SIGNAL_NOTE = (
    "The answers were judged by a model that is too small to tell good answers from bad. Its scores"
    " only show that the step works: they say nothing about quality and decide nothing here."
)


def assemble_report(
    *,
    run: str,
    model: str,
    scores: Sequence[Score],
    compare: Comparison,
    train_metrics: TrainMetrics | None,
    run_config: RunConfig | None,
    merge_report: MergeReport | None,
    data_summary: DataSummary | None,
    perf: Sequence[Performance],
    sources: Mapping[str, SourceRecord],
    contamination: Contamination | None,
    gate: GateDocument,
    changes: Mapping[str, ItemChanges],
    seconds: Mapping[str, float],
) -> Report:
    """Return the content of report.json; it names no folder of this machine.

    Args:
        sources: "model", "conversations" and benchmark names -> source.json.
        changes: benchmark -> which items changed, by group.
    """
    trained = recorded_training(train_metrics)
    oasst = from_open_assistant(sources["conversations"])
    by_name: dict[str, list[Score]] = {}
    for score in scores:
        by_name.setdefault(score["benchmark"], []).append(score)
    benchmarks = [
        _benchmark(name, found, compare, model, oasst, changes.get(name))
        for name, found in by_name.items()
    ]
    no_signal = [part["title"] for part in benchmarks if not part["carries_signal"]]
    answers: list[AnsweredQuestion] = [
        {"question": question, "key": key, **compare["answers"][key]}
        for key, question in QUESTIONS.items()
    ]
    notices = [f"{' and '.join(no_signal)}: {NO_SIGNAL_NOTE}"] if no_signal else []
    for part in benchmarks:
        notices += warnings(part["title"], part["published"], part["unit"])
    operations = trained["totals"].get("floating_point_operations") if trained else None
    report: Report = {
        "schema_version": 2,
        "run": run,
        "model": model,
        "facts": run_facts(run_config, trained, gate.declaration.declared_at, seconds),
        "confidence": compare["confidence"],
        "answers": answers,
        "gate": gate_table(gate),
        "notices": notices,
        "benchmarks": benchmarks,
        "family_of_tests": compare["holm"],
        "merged_equals_lora": compare["merged_equals_lora"],
        "training": _training(train_metrics, run_config, compare["confidence"]),
        "merge": merge_report,
        "inference": {
            "serving": compare["serving"],
            "peak_memory_bytes": compare["peak_memory_bytes"],
            "conditions": {document["variant"]: document for document in perf},
        },
        "data": data_summary,
        "contamination": overlapping_items(contamination),
        "limits": (
            remarks(data_summary, train_metrics, run_config)
            + (_shared_origin(benchmarks) if oasst else [])
            + _limits(benchmarks, compare, sources["model"])
            + ([ai_act_text(model, operations)] if operations else [])
        ),
        "provenance": {"sources": dict(sources), "run_config": run_config},
    }
    return cast(Report, without_paths(report))


def _benchmark(
    name: str,
    scores: Sequence[Score],
    compare: Comparison,
    model: str,
    oasst: bool,
    changes: ItemChanges | None,
) -> BenchmarkReport:
    table = scored_benchmark(name)
    done = [score for score in scores if score["status"] == "ok"]
    first, ran = (done or scores)[0], done[0] if done else None
    compared = compare["benchmarks"].get(name)
    pairs = compared["pairs"] if compared else {}
    return {
        "benchmark": name,
        "title": table.title,
        "status": "ok" if ran else "not_run",
        "reason": first["reason"],
        "metric": first["metric"],
        "unit": first["unit"],
        "chance": ran["chance"] if ran else None,
        "carries_signal": all(score["carries_signal"] for score in done),
        "protocol": ran["protocol"] if ran else None,
        "protocol_detail": ran["protocol_detail"] if ran else None,
        "variants": {
            score["variant"]: cast(
                VariantScore, {key: score.get(key) for key in VariantScore.__annotations__}
            )
            for score in scores
        },
        "tables": part_tables(table, {score["variant"]: score for score in done}, oasst),
        "contrasts": [_contrast(key, contrast, first["unit"]) for key, contrast in pairs.items()],
        "published": published_values(name, model, done),
        "by_construction": _by_construction(done),
        "changes": changes,
    }


def _by_construction(done: Sequence[Scored]) -> dict[str, str]:
    """Return variant -> why its score is no measurement: answers compared with themselves."""
    found = next((score["protocol_detail"].get("reference") for score in done), None)
    reference = str(found)
    if reference not in {score["variant"] for score in done}:
        return {}
    return {reference: f"by construction: the judge compares with the answers of {reference}"}


def _contrast(key: str, contrast: Contrast, unit: str) -> dict[str, Any]:
    variant, _, reference = key.partition("_vs_")
    describe = equality_text if reference == "lora" else contrast_text
    text = describe(contrast, unit) if contrast["status"] == "ok" else contrast["reason"]
    return {"variant": variant, "reference": reference, **contrast, "text": text}


def _training(
    train_metrics: TrainMetrics | None, run_config: RunConfig | None, confidence: float
) -> TrainingReport:
    """Return what the report says of the training, without the single steps."""
    trained = recorded_training(train_metrics)
    if trained is None:
        found: Mapping[str, Any] = train_metrics or {}
        reason = found.get("reason", "there is no record of a training")
        missing = dict.fromkeys(("likelihood", "validation", "totals"))
        return cast(TrainingReport, {"status": "not_run", "reason": reason, **missing})
    config: Mapping[str, Any] = run_config or {}
    return {
        "status": "ok",
        "reason": None,
        "likelihood": trained["likelihood"],
        "validation": validation_losses(trained, confidence),
        "totals": trained["totals"],
        "resumed_at_step": trained.get("resumed_at_step"),
        "phase_seconds": trained.get("phase_seconds"),
        "peak_memory": trained.get("peak_memory"),
        "power": trained.get("power"),
        "data": trained.get("data"),
        "speed": speed_sentences(trained["totals"], config),
        "settings": config.get("settings"),
        "resolved": config.get("resolved"),
    }


def _shared_origin(benchmarks: Sequence[BenchmarkReport]) -> list[str]:
    """Return AlpacaEval's win rates without the instructions that come from OpenAssistant."""
    limits = []
    for part in benchmarks:
        both = {
            VARIANT_TITLES[name]: (score, further[WITHOUT_OASST])
            for name, score in part["variants"].items()
            if WITHOUT_OASST in (further := score["secondary"] or {})
        }
        unit = part["unit"]
        rates = [
            f"{title} {score_text(without['score'], unit)} ({score_text(whole['score'], unit)} with"
            " them)"
            for title, (whole, without) in both.items()
        ]
        if both:
            whole, without = next(iter(both.values()))
            limits.append(
                f"{part['title']}: {whole['n'] - without['n']:,} of {whole['n']:,} instructions"
                " come from OpenAssistant, as the training conversations do; win rate without"
                f" them: {', '.join(rates)}."
            )
    return limits


def _limits(
    benchmarks: Sequence[BenchmarkReport], compare: Comparison, model_source: SourceRecord
) -> list[str]:
    """Return the sentences that keep a reader from reading too much into the numbers."""
    limits = []
    if model_source["kind"] == "built-in":
        limits.append(
            "The base model has random weights: every score is chance and no comparison means"
            " anything."
        )
    for part in benchmarks:
        items = max((score["n"] or 0 for score in part["variants"].values()), default=0)
        full = scored_benchmark(part["benchmark"]).items
        if part["status"] == "ok" and items < full:
            limits.append(
                f"{part['title']}: {items:,} items were scored; published scores are over {full:,}."
            )
        answers = (part["protocol_detail"] or {}).get("answers") or {}
        # the same for all variants
        if shorter := answers.get("turns_with_less_room"):
            limits.append(
                f"{part['title']}: {shorter} second turns had less room in the model's context than"
                " max_new_tokens."
            )
        variants = part["variants"].items()
        if guessing := [name for name, score in variants if score["above_chance"] is False]:
            limits.append(
                f"{part['title']}: the interval of {', '.join(guessing)} includes guessing"
                f" ({part['chance']:.0%}); the format may be beyond a model of this size."
            )
        if part["status"] == "ok" and all(
            score["score"] == 0 for score in part["variants"].values() if score["n"]
        ):
            limits.append(
                f"{part['title']}: no variant scored anything; a scale that reads zero shows no"
                " difference."
            )
    limits += [
        "One training run with one seed: how much the adapter varies from seed to seed was not"
        " measured.",
        "Intervals cover the choice of items (and of repeats, for speed), nothing else.",
    ]
    if compare["serving"] is not None:
        limits.append(
            "Speed: our own decoder on this machine, which batches what users send but is no"
            " server; ratios from one run."
        )
    return limits
