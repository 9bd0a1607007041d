rule judge_mt_bench:
    input:
        answers="results/{run}/answers/{variant}/mt_bench.jsonl",
        benchmark=lambda wildcards: plan.benchmark_source(wildcards.run, "mt_bench"),
        references=lambda wildcards: RUNS[wildcards.run]["judge_mt_bench"]["references"] or [],
        model=plan.judge_model("mt_bench"),
    output:
        rows="results/{run}/judgments/{variant}/mt_bench.jsonl",
        protocol="results/{run}/judgments/{variant}/mt_bench.json",
    log:
        "logs/{run}/judge/{variant}.mt_bench.log",
    benchmark:
        "results/{run}/benchmarks/judge/{variant}.mt_bench.tsv"
    wildcard_constraints:
        run=plan.judgeable_runs("mt_bench"),
    conda:
        "../envs/judging.yaml"
    threads: half_the_cores()
    resources:
        machine_share=50,
        gpu=lambda wildcards: gpus() if plan.judge_model("mt_bench")(wildcards) else 0,
        slurm_partition=lambda wildcards: (
            partition() if plan.judge_model("mt_bench")(wildcards) else None
        ),
        mem_mb=model_memory,
        runtime=240,
        remote_judge=lambda wildcards: 0 if plan.judge_model("mt_bench")(wildcards) else 1,
    params:
        settings=parameters.section("judge_mt_bench"),
        code=parameters.code("judge_mt_bench", "judging"),
        store="resources/judgments",
        min_judged_share=lambda wildcards: RUNS[wildcards.run]["score_benchmark"][
            "min_judged_share"
        ],
        writer="{run}/mt_bench-{variant}",
    message:
        "{wildcards.run}: judge mt_bench answers of {wildcards.variant}"
    script:
        "../workflow/scripts/judge_mt_bench.py"


rule judge_alpaca_eval:
    input:
        answers="results/{run}/answers/{variant}/alpaca_eval.jsonl",
        reference_answers=lambda wildcards: (
            f"results/{wildcards.run}/answers/base/alpaca_eval.jsonl"
            if RUNS[wildcards.run]["judge_alpaca_eval"]["reference"] == "base"
            else []
        ),
        benchmark=lambda wildcards: plan.benchmark_source(wildcards.run, "alpaca_eval"),
        model=plan.judge_model("alpaca_eval"),
    output:
        rows="results/{run}/judgments/{variant}/alpaca_eval.jsonl",
        protocol="results/{run}/judgments/{variant}/alpaca_eval.json",
    log:
        "logs/{run}/judge/{variant}.alpaca_eval.log",
    benchmark:
        "results/{run}/benchmarks/judge/{variant}.alpaca_eval.tsv"
    wildcard_constraints:
        run=plan.judgeable_runs("alpaca_eval"),
    conda:
        "../envs/judging.yaml"
    threads: half_the_cores()
    resources:
        machine_share=50,
        gpu=lambda wildcards: gpus() if plan.judge_model("alpaca_eval")(wildcards) else 0,
        slurm_partition=lambda wildcards: (
            partition() if plan.judge_model("alpaca_eval")(wildcards) else None
        ),
        mem_mb=model_memory,
        runtime=240,
        remote_judge=lambda wildcards: 0 if plan.judge_model("alpaca_eval")(wildcards) else 1,
    params:
        settings=parameters.section("judge_alpaca_eval"),
        code=parameters.code("judge_alpaca_eval", "judging"),
        store="resources/judgments",
        min_judged_share=lambda wildcards: RUNS[wildcards.run]["score_benchmark"][
            "min_judged_share"
        ],
        writer="{run}/alpaca_eval-{variant}",
    message:
        "{wildcards.run}: judge alpaca_eval answers of {wildcards.variant}"
    script:
        "../workflow/scripts/judge_alpaca_eval.py"
