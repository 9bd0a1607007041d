# What a run makes: files of its variants and benchmarks, and the folders of its exports.

# what training and importing write
TRAINED_FILES = (
    "adapter_config.json",
    "adapter_model.safetensors",
    "training_record.json",
    "fingerprint.json",
)
# what others get
ADAPTER_FILES = (
    "adapter_config.json",
    "adapter_model.safetensors",
    "run_config.json",
    "train_metrics.json",
    "README.md",
    "LICENSE",
    "NOTICE",
)
EXPORTED_ITEMS = {benchmark: exported_file(benchmark) for benchmark in BENCHMARKS}
REPORT_FILES = (
    *("report.json", "eval_results.json", "report.md", "report.html"),
    *("perf_results.json", "perf_base.json", "perf_lora.json", "perf_merged.json"),
    *EXPORTED_ITEMS.values(),
)


def adapter_of(wildcards):
    """Return the adapter's fingerprint for the variant that loads the adapter."""
    return (
        f"results/{wildcards.run}/adapter/fingerprint.json" if wildcards.variant == "lora" else []
    )


def merged_of(wildcards):
    """Return the merge report for the variant that loads the merged checkpoint."""
    return (
        f"results/{wildcards.run}/merged/merge_report.json" if wildcards.variant == "merged" else []
    )


def shards(wildcards, rule, suffix):
    """Return the shard files of a benchmark that `rule` makes."""
    count = RUNS[wildcards.run][rule]["shards"]
    folder = {"evaluate_task": "eval", "generate_answers": "answers"}[rule]
    stem = f"results/{wildcards.run}/work/{folder}/{wildcards.variant}/{wildcards.benchmark}"
    return [f"{stem}.{shard}-of-{count}.{suffix}" for shard in range(count)]


def results_of(wildcards, suffix):
    """Return the per-item results that a score is made of; nothing where a judge cannot be asked and never was."""
    if wildcards.benchmark not in JUDGED:
        return shards(wildcards, "evaluate_task", suffix)
    path = f"results/{wildcards.run}/judgments/{wildcards.variant}/{wildcards.benchmark}.{suffix}"
    can_judge = why_not_judged(wildcards.run, wildcards.benchmark) is None
    return (
        [path]
        if can_judge or judged_before(wildcards.run, wildcards.variant, wildcards.benchmark)
        else []
    )


def answers_of(wildcards, suffix):
    """Return the answers that a judged score speaks of, or how they were made."""
    if wildcards.benchmark not in JUDGED:
        return []
    return f"results/{wildcards.run}/answers/{wildcards.variant}/{wildcards.benchmark}.{suffix}"


def length_control_of(wildcards):
    """Return AlpacaEval's regulariser of the length-controlled win rate where the config names it."""
    if wildcards.benchmark != "alpaca_eval":
        return []
    return RUNS[wildcards.run]["score_benchmark"]["length_control_file"] or []


def not_run_reason(wildcards):
    """Return why a judged score stays without judgments, or None."""
    if results_of(wildcards, "jsonl"):
        return None
    return why_not_judged(wildcards.run, wildcards.benchmark)


def scores(run, suffix="json"):
    """Return the score files (or row files) of a run."""
    settings = RUNS[run]["score_benchmark"]
    return [
        f"results/{run}/eval/{variant}/{benchmark}.{suffix}"
        for variant in settings["variants"]
        for benchmark in settings["benchmarks"]
    ]


def answers(run):
    """Return the answers to judged benchmarks of a run."""
    settings = RUNS[run]["score_benchmark"]
    return [
        f"results/{run}/answers/{variant}/{benchmark}.jsonl"
        for variant in settings["variants"]
        for benchmark in settings["benchmarks"]
        if benchmark in JUDGED
    ]


def measurements(run, suffix="json"):
    """Return the inference measurements (or raw token times) of a run."""
    return [
        f"results/{run}/perf/{variant}.{suffix}"
        for variant in RUNS[run]["measure_inference"]["variants"]
    ]


def shipped_licence(wildcards):
    """Return the licence file in the folder that would ship."""
    folder = {"merged": "merged", "lora": "adapter"}[RUNS[wildcards.run]["gate"]["variant"]]
    return f"results/{wildcards.run}/{folder}/LICENSE"


def commit():
    """Return the short hash of the checked-out commit, "uncommitted" outside a repository."""
    answer = subprocess.run(
        ["git", "-C", str(ROOT), "rev-parse", "--short=12", "HEAD"],
        capture_output=True,
        text=True,
        check=False,
    )
    return answer.stdout.strip() or "uncommitted"


ADAPTER_EXPORT = RUNS[MAIN_RUN]["export_adapter"]["folder"] or f"artifacts/lora-{MAIN_RUN}"
REPORT_EXPORT = f"reports/bench/{commit()}"
