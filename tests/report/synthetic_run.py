"""Make the stage outputs of a run by code."""

import random
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from check_gate import check_gate
from compare_variants import compare_variants
from declare_gate import declare_gate
from export_report import export_report
from lorabench.control.benchmarks import JUDGED, TASKS, exported_file
from lorabench.documents.item_result import ItemResult
from lorabench.documents.load_request import LoadRequest
from lorabench.documents.token_times import TokenTimes
from lorabench.files import write_json, write_jsonl, write_text
from lorabench.scoring.inference_summary import ratios_to_base, summarise
from lorabench.scoring.load_summary import summarise_load
from lorabench.scoring.serving_cost import single_stream, stream_memory, users_and_cost
from score_benchmark import score_benchmark
from sections import section

VARIANTS = ("base", "lora", "merged")
SUBJECTS = ("anatomy", "global_facts", "formal_logic", "sociology")
CATEGORIES = ("writing", "math")
SKILL = {"base": 0.4, "lora": 0.6, "merged": 0.6}


def gsm8k_rows(variant: str, n: int = 60) -> list[ItemResult]:
    """Return word problems that a variant solves with its skill; lora and merged answer alike."""
    rows = []
    for index in range(n):
        name = f"gsm8k-test-{index}"
        right = random.Random(f"gsm8k-{index}").random() < SKILL[variant]
        filters = {"strict_match": right, "flexible_extract": right}
        detail = {**filters, "truncated": False, "response": f"It is {right}."}
        rows.append(_row(index, name, name, float(right), detail))
    return rows


def mmlu_rows(variant: str, n: int = 80) -> list[ItemResult]:
    """Return four-choice questions of four subjects in turn."""
    rows = []
    for index in range(n):
        subject = SUBJECTS[index % 4]
        right = random.Random(f"mmlu-{index}").random() < SKILL[variant] - 0.05
        noise = 1e-5 if variant == "merged" else 0.0
        logs = [-1.0 + noise, -2.0, -2.5, -3.0]
        detail = {"subject": subject, "log_probabilities": logs, "truncated": False}
        rows.append(_row(index, f"{subject}-test-{index}", subject, float(right), detail))
    return rows


def mt_bench_rows(variant: str, questions: int = 8) -> list[ItemResult]:
    """Return two rated turns a question; one rating of the base could not be read."""
    rows = []
    for index in range(2 * questions):
        question, turn = str(81 + index // 2), index % 2 + 1
        score = 4.0 + random.Random(f"{variant[0]}-{index}").random()
        detail = {"category": CATEGORIES[index // 2 % 2], "turn": turn, "judgment": "[[5]]"}
        row = _row(index, f"{question}-{turn}", question, score, detail)
        if variant == "base" and index == 3:
            row = replace(row, score=None, outcome="judge_unparsed")
        rows.append(row)
    return rows


def alpaca_eval_rows(variant: str, n: int = 24) -> list[ItemResult]:
    """Return preferences against the base's own answers, 0.5 for the base itself."""
    rows = []
    for index in range(n):
        score = 0.5 if variant == "base" else 0.3 + 0.5 * random.Random(f"alpaca-{index}").random()
        dataset = "oasst" if index % 3 == 0 else "koala"
        lengths = {"output_characters": 100 + index, "reference_characters": 110}
        detail = {"category": dataset, **lengths}
        rows.append(_row(index, f"alpaca-{index}", f"alpaca-{index}", score, detail))
    return rows


ROWS = {
    "gsm8k": gsm8k_rows,
    "mmlu": mmlu_rows,
    "mt_bench": mt_bench_rows,
    "alpaca_eval": alpaca_eval_rows,
}


def _row(index: int, name: str, cluster: str, score: float, detail: dict[str, Any]) -> ItemResult:
    outcome = ("correct" if score else "incorrect") if score in (0, 1) else "judged"
    return ItemResult(
        index=index, id=name, cluster=cluster, score=score, outcome=outcome, detail=detail
    )


def write_rows(path: Path, rows: Sequence[ItemResult]) -> Path:
    """Write item rows as JSON Lines and return the path."""
    write_jsonl(path, map(asdict, rows))
    return path


def protocol_of(benchmark: str, signal: bool = True) -> dict[str, Any]:
    """Return how the rows of a benchmark were made."""
    document = {"schema_version": 2, "benchmark": benchmark}
    if benchmark in ("gsm8k", "mmlu"):
        own = {"task": benchmark, "answer_filter": "strict-match", "max_new_tokens": 512}
        made = {"dtype": "float32", "engine": "transformers", "versions": {"lm_eval": "0.4.13"}}
        settings = {"apply_chat_template": False, "benchmark": own}
        return {**document, "task": benchmark, "few_shot": 5, **made, "settings": settings}
    judge = {"kind": "openai" if signal else "local", "model": "some-judge", "temperature": 0.0}
    counts = {"questions": 8, "turns": 16, "corrected_references": False, "parameters_dropped": []}
    pairs = {"reference": "base", "both_orders": True} if benchmark == "alpaca_eval" else {}
    return {**document, "signal": signal, "judge": judge, **counts, **pairs}


def answers_protocol_of(benchmark: str) -> dict[str, Any]:
    """Return how the answers to a judged benchmark were made."""
    made = {"dtype": "float32", "engine": "transformers", "versions": {}}
    settings = {"seed": 42, "benchmark": {"max_new_tokens": 96, "limit": None}}
    sampled = {"settings": settings, "top_k": 50, "top_p": 1.0, "turns_truncated": 3}
    return {"schema_version": 2, "benchmark": benchmark, **made, **sampled}


def write_scores(
    folder: Path, not_run: Sequence[str] = (), signal: bool = True
) -> tuple[list[Path], list[Path]]:
    """Write score files and rows of all variants; return their paths."""
    scores, rows = [], []
    for variant in VARIANTS:
        for benchmark in ROWS:
            skip = benchmark in not_run
            score = folder / "eval" / variant / f"{benchmark}.json"
            protocol = folder / "work" / variant / f"{benchmark}.json"
            joined, shard = score.with_suffix(".jsonl"), protocol.with_suffix(".jsonl")
            write_json(protocol, protocol_of(benchmark, signal))
            write_rows(shard, ROWS[benchmark](variant))
            score_benchmark(
                rows=[] if skip else [shard],
                protocols=[] if skip else [protocol],
                answers_protocol=None,
                length_control_file=None,
                not_run_reason="no judge is configured" if skip else None,
                benchmark=benchmark,
                variant=variant,
                settings={"confidence": 0.95, "min_judged_share": 0.9},
                rows_output=joined,
                score_output=score,
            )
            scores.append(score)
            rows.append(joined)
    return scores, rows


def token_times(
    variant: str, slowdown: float, repeats: int = 3, prompts: int = 5
) -> list[TokenTimes]:
    """Return times `slowdown` times slower than 20 ms a token, with 2 % noise."""
    rows = []
    for repeat in range(repeats):
        for prompt in range(prompts):
            noise = random.Random(f"{variant}-{repeat}-{prompt}")
            gaps = [20 * slowdown * (1 + 0.02 * noise.gauss(0, 1)) for _ in range(15)]
            first = 100 * slowdown * (1 + 0.02 * noise.gauss(0, 1))
            rows.append(
                TokenTimes(
                    variant=variant,
                    repeat=repeat,
                    order=0,
                    prompt_id=f"prompt-{prompt}",
                    category="summarisation",
                    prompt_tokens=64,
                    prompt_sha256=f"{prompt:064x}",
                    new_tokens=16,
                    time_to_first_token_ms=first,
                    inter_token_latencies_ms=gaps,
                    end_to_end_ms=first + sum(gaps),
                )
            )
    return rows


def serving_part(variant: str, rows: list[TokenTimes], slowdown: float) -> dict[str, Any]:
    """Return bounds, memory and load of a perf file; the second of two levels is too slow."""
    sizes = {"weight_bytes": 500_000_000, "kv_bytes_per_token": 20_000, "tokens_held": 100.0}
    step = {"captured": False, "not_captured": None, **sizes, "gpu_idle_share": None}
    requests = [
        LoadRequest(
            engine="own",
            variant=arm,
            repeat=repeat,
            concurrency=users,
            number=number,
            prompt_id="prompt-0",
            status="ok",
            reason=None,
            output_tokens=11,
            tokens_from="decoder",
            sent_ms=0.0,
            time_to_first_token_ms=100.0 * users * factor,
            end_to_end_ms=(100.0 * users + 200.0) * factor + number,
        )
        for arm, factor in {"base": 1.0, "base_again": 1.01, variant: slowdown}.items()
        for repeat in range(2)
        for users in (1, 4)
        for number in range(users)
    ]
    limits = [
        {"name": "relaxed", "time_to_first_token_ms": 2000, "time_per_output_token_ms": 100},
        {"name": "strict", "time_to_first_token_ms": 200, "time_per_output_token_ms": 100},
    ]
    levels = summarise_load(requests, "own", variant, "base_again", limits)
    own = {"levels": levels, "limits": users_and_cost(levels, limits, 3.6), "skipped": []}
    return {
        "single_stream": single_stream(rows, step, 1e10, gpu=False),
        "memory_per_stream": stream_memory(step, {}, 500.0, 200),
        "load": {"own": own, "server": None},
    }


def write_inference(folder: Path) -> tuple[list[Path], list[Path]]:
    """Write perf files of all variants; the base's rows hold the control too."""
    perf, times = [], []
    base, again = token_times("base", 1.0), token_times("base_again", 1.0)
    for variant, slowdown in (("base", 1.0), ("lora", 1.6), ("merged", 1.0)):
        rows, resident = token_times(variant, slowdown), 700.0 + 40 * slowdown
        control = again if variant == "base" else []
        document = {
            "schema_version": 1,
            "variant": variant,
            "status": "ok",
            "reason": None,
            "metrics": summarise(rows),
            "ratios_to_base": ratios_to_base(base, again, control or rows),
            "memory": {"steady_peak_resident_mib": resident},
            **serving_part(variant, rows, slowdown),
        }
        perf.append(folder / "perf" / f"{variant}.json")
        times.append(folder / "perf" / f"{variant}.jsonl")
        write_json(perf[-1], document)
        write_jsonl(times[-1], map(asdict, rows + control))
    return perf, times


def write_training(folder: Path) -> dict[str, Path]:
    """Write what training and merging leave; return the paths by name."""
    likelihood: dict[str, Any] = {
        key: {"nll_per_token": nll, "perplexity": 2.718**nll, "label_tokens": 700}
        for key, nll in (("base", 1.769), ("adapter", 1.676))
    }
    steps = [
        {"step": step, "loss": 2.0 - 0.02 * step, "learning_rate": 2e-4, "seconds": 1.0}
        for step in range(1, 21)
    ]
    utilisation = {"peak_name": "H100", "precision": "bfloat16", "share": 0.41}
    idle = {"sentence": "The GPU had no work in 5% of the time."}
    totals = {"steps": 20, "epochs": 3, "tokens": 9000, "label_tokens": 7000}
    speed = {"tokens_per_second": 300.0, "utilisation": utilisation, "gpu_idle": idle}
    validation = {**likelihood, "conversations": held_out(-0.093, n=60)}
    metrics = {
        "status": "ok",
        "likelihood": {"validation": validation, "train": likelihood},
        "totals": {**totals, "trainable_parameters": 4884480, **speed},
        "power": {"status": "ok", "energy_kwh": 0.25, "mean_watts": 310.0, "peak_watts": 402.0},
        "steps": steps,
    }
    lost = {"dropped": {"no_ranked_reply": 2}, "cut": {"conversations": 1, "messages": 1}}
    counts = {**lost, "languages": {"en": 30, "de": 8}, "turns": 90, "characters": 50000}
    splits = {
        split: {"trees": n + 2, "kept": n, **counts}
        for split, n in (("train", 46), ("validation", 10))
    }
    logits = {"float32": logit_difference(1.3e-4), "as_saved": logit_difference(0.9)}
    limits = {"dtype": "bfloat16", "prompts": 8, "max_logit_difference": 0.5}
    documents: dict[str, Any] = {
        "train_metrics": metrics,
        "run_config": {"run": "demo", "model": {"name": "SmolLM2-135M-Instruct"}, "settings": {}},
        "merge_report": {**limits, **logits},
        "data_summary": {"trees": 60, "splits": splits, "remarks": []},
    }
    for name, document in documents.items():
        write_json(folder / f"{name}.json", {"schema_version": 1, **document})
    return {name: folder / f"{name}.json" for name in documents}


def held_out(change: float, n: int = 14, spread: float = 0.05) -> list[dict[str, Any]]:
    """Return n conversations whose losses change by about `change` nat a token."""
    rows = []
    for index in range(n):
        # in pairs of equal size, so that the mean is `change`
        noise = random.Random(f"held-out-{index // 2}").gauss(0, spread) * (-1) ** index
        sums = {"base_nll_sum": 50 * 1.769, "adapter_nll_sum": 50 * (1.769 + change + noise)}
        rows.append({"id": f"conversation-{index}", "label_tokens": 50, **sums})
    return rows


def logit_difference(largest: float) -> dict[str, float]:
    """Return one comparison of a merge report."""
    return {
        "max_abs_logit_difference": largest,
        "mean_abs_logit_difference": largest / 50,
        "greedy_agreement": 0.998,
        "positions": 1024,
    }


def write_contamination(path: Path, overlapping: int) -> Path:
    """Write contamination.json with that many overlapping items of GSM8K and return its path."""
    found = [{"id": f"gsm8k-test-{n}", "ngrams": 40, "shared": 1} for n in range(overlapping)]
    comparable = {"8": 60, "13": 58}
    lengths = {n: {"comparable": c, "overlapping": found} for n, c in comparable.items()}
    benchmarks = {"gsm8k": {"items": 60, "by_ngram_words": lengths}}
    write_json(path, {"schema_version": 1, "conversations": 46, "benchmarks": benchmarks})
    return path


def write_source(
    path: Path,
    kind: str = "hub",
    licence: str | None = "apache-2.0",
    origin: str = "someone/something@0123",
) -> Path:
    """Write a source.json and return its path."""
    record = {"schema_version": 1, "kind": kind, "origin": origin, "revision": "0123"}
    content = {"sha256": {"data.jsonl": "0" * 64}, "rows": {"data.jsonl": 10}, "licence": licence}
    write_json(path, record | content)
    return path


def gate_inputs(
    folder: Path, not_run: Sequence[str] = (), signal: bool = True, **changes: Any
) -> dict[str, Any]:
    """Write a whole run and return the arguments of check_gate, less `changes`."""
    settings = changes.get("settings") or section("gate")
    declaration = folder / "gate_declaration.json"
    declare_gate(
        settings=settings,
        declared_at="2026-11-26T08:00:00+00:00",
        history=folder / "work" / "history.json",
        declaration=declaration,
    )
    scores, rows = write_scores(folder, not_run, signal)
    perf, _ = write_inference(folder)
    training = write_training(folder)
    shipped = folder / "merged"
    shipped.mkdir(exist_ok=True)
    (shipped / "LICENSE").write_text("Apache License 2.0")
    given = {
        "run": "demo",
        "scores": scores,
        "rows": rows,
        "perf": perf,
        "merge_report": training["merge_report"],
        "train_metrics": training["train_metrics"],
        "contamination": None,
        "declaration": declaration,
        "shipped": shipped,
        "model_source": write_source(folder / "SmolLM2-135M-Instruct" / "source.json"),
        "conversations_source": write_source(folder / "conversations" / "source.json"),
        "settings": settings,
        "document": folder / "gate.json",
        "remark": folder / "gate.md",
    }
    return {**given, **changes}


def compare_inputs(
    folder: Path, not_run: Sequence[str] = (), signal: bool = True
) -> dict[str, Any]:
    """Write a whole run and return the arguments of compare_variants, but for its output."""
    given = gate_inputs(folder, not_run, signal)
    check_gate(**given)
    names = ("scores", "rows", "perf", "merge_report", "train_metrics")
    return {
        **{name: given[name] for name in names},
        "gate": given["document"],
        "model_source": given["model_source"],
        "conversations_source": given["conversations_source"],
        "settings": section("compare_variants", resamples=200, seed=0),
    }


def report_inputs(
    folder: Path, root: Path, not_run: Sequence[str] = (), signal: bool = True
) -> dict[str, Any]:
    """Write a whole run and return the arguments of write_report."""
    given = compare_inputs(folder, not_run, signal)
    compare_variants(**given, compare=folder / "compare.json")
    names = ("train_metrics", "run_config", "merge_report", "data_summary")
    records = {name: folder / f"{name}.json" for name in names}
    resources = root / "workflow" / "resources" / "report"
    benchmarks = [
        write_source(folder / name / "built-in" / "source.json", "built-in") for name in ROWS
    ]
    return {
        "run": "demo",
        "scores": given["scores"],
        "rows": given["rows"],
        "answers": [],
        "compare": folder / "compare.json",
        "gate": given["gate"],
        "perf": given["perf"],
        "times": [path.with_suffix(".jsonl") for path in given["perf"]],
        **records,
        "contamination": None,
        "model_source": given["model_source"],
        "conversations_source": given["conversations_source"],
        "benchmark_sources": benchmarks,
        "markdown_template": resources / "report.md.j2",
        "html_template": resources / "report.html.j2",
        "items_template": resources / "items.html.j2",
        "style": resources / "style.css",
        "markdown": folder / "report" / "report.md",
        "document": folder / "report" / "report.json",
        "page": folder / "report" / "report.html",
        "items_page": folder / "report" / "items.html",
        "figures": folder / "report" / "figures",
        "durations": str(folder / "benchmarks"),
    }


def export(given: dict[str, Any], folder: Path, answers: Sequence[Path] = ()) -> None:
    """Export the run whose report was written with the arguments `given`."""
    names = ["run", "scores", "rows", "perf", "compare", "markdown", "document", "page"]
    names += ["items_page", "figures", "benchmark_sources"]
    cards = [folder.parent / name / "README.md" for name in ("adapter", "merged")]
    for card in cards:
        write_text(card, f"---\nlicense: mit\n---\n\n# some-{card.parent.name}\n")
    export_report(
        **{name: given[name] for name in names},
        answers=answers,
        cards=cards,
        folder=folder,
        items_of_tasks={name: exported_file(name) for name in TASKS},
        outputs_of_judged={name: exported_file(name) for name in JUDGED},
    )
