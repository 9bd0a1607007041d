rule judge_mt_bench:
    input:
        answers="results/{run}/answers/{variant}/{benchmark}.jsonl",
        benchmark=lambda wildcards: benchmark_source(wildcards.run, wildcards.benchmark),
        references=lambda wildcards: RUNS[wildcards.run]["judge_mt_bench"]["references"] or [],
        model=judge_model,
    output:
        rows="results/{run}/judgments/{variant}/{benchmark}.jsonl",
        protocol="results/{run}/judgments/{variant}/{benchmark}.json",
    log:
        "logs/{run}/judge/{variant}.{benchmark}.log",
    benchmark:
        "results/{run}/benchmarks/judge/{variant}.{benchmark}.tsv"
    wildcard_constraints:
        run=judgeable_runs("mt_bench"),
        benchmark="mt_bench",
    conda:
        "../envs/judging.yaml"
    threads: half_the_cores()
    resources:
        machine_share=50,
        gpu=lambda wildcards: gpus() if judge_model(wildcards) else 0,
        remote_judge=lambda wildcards: 0 if judge_model(wildcards) else 1,
    params:
        settings=section("judge_mt_bench"),
        code=code("judge_mt_bench", "judging"),
        store="results/{run}/work/judge",
        min_judged_share=lambda wildcards: RUNS[wildcards.run]["score_benchmark"][
            "min_judged_share"
        ],
    message:
        "{wildcards.run}: judge {wildcards.benchmark} answers of {wildcards.variant}"
    script:
        "../workflow/scripts/judge_mt_bench.py"


rule judge_alpaca_eval:
    input:
        answers="results/{run}/answers/{variant}/{benchmark}.jsonl",
        reference_answers=lambda wildcards: (
            f"results/{wildcards.run}/answers/base/{wildcards.benchmark}.jsonl"
            if RUNS[wildcards.run]["judge_alpaca_eval"]["reference"] == "base"
            else []
        ),
        benchmark=lambda wildcards: benchmark_source(wildcards.run, wildcards.benchmark),
        model=judge_model,
    output:
        rows="results/{run}/judgments/{variant}/{benchmark}.jsonl",
        protocol="results/{run}/judgments/{variant}/{benchmark}.json",
    log:
        "logs/{run}/judge/{variant}.{benchmark}.log",
    benchmark:
        "results/{run}/benchmarks/judge/{variant}.{benchmark}.tsv"
    wildcard_constraints:
        run=judgeable_runs("alpaca_eval"),
        benchmark="alpaca_eval",
    conda:
        "../envs/judging.yaml"
    threads: half_the_cores()
    resources:
        machine_share=50,
        gpu=lambda wildcards: gpus() if judge_model(wildcards) else 0,
        remote_judge=lambda wildcards: 0 if judge_model(wildcards) else 1,
    params:
        settings=section("judge_alpaca_eval"),
        code=code("judge_alpaca_eval", "judging"),
        store="results/{run}/work/judge",
        min_judged_share=lambda wildcards: RUNS[wildcards.run]["score_benchmark"][
            "min_judged_share"
        ],
    message:
        "{wildcards.run}: judge {wildcards.benchmark} answers of {wildcards.variant}"
    script:
        "../workflow/scripts/judge_alpaca_eval.py"
