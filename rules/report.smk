rule score_benchmark:
    input:
        rows=lambda wildcards: results_of(wildcards, "jsonl"),
        protocols=lambda wildcards: results_of(wildcards, "json"),
        answers=answers_of,
    output:
        rows="results/{run}/eval/{variant}/{benchmark}.jsonl",
        score="results/{run}/eval/{variant}/{benchmark}.json",
    log:
        "logs/{run}/score_benchmark/{variant}.{benchmark}.log",
    benchmark:
        "results/{run}/benchmarks/score_benchmark/{variant}.{benchmark}.tsv"
    conda:
        "../envs/report.yaml"
    threads: 1
    resources:
        machine_share=10,
    params:
        settings=section("score_benchmark", "confidence"),
        code=code("score_benchmark", "report"),
        not_run_reason=not_run_reason,
    message:
        "{wildcards.run}: score {wildcards.benchmark} of {wildcards.variant}"
    script:
        "../workflow/scripts/score_benchmark.py"


rule compare_variants:
    input:
        scores=lambda wildcards: scores(wildcards.run),
        rows=lambda wildcards: scores(wildcards.run, "jsonl"),
        perf=lambda wildcards: measurements(wildcards.run),
        times=lambda wildcards: measurements(wildcards.run, "jsonl"),
        merge_report="results/{run}/merged/merge_report.json",
        train_metrics="results/{run}/adapter/train_metrics.json",
        contamination="results/{run}/data/contamination.json",
        model_source=base_model,
        conversations_source=lambda wildcards: conversations(wildcards, "source.json"),
    output:
        compare="results/{run}/compare.json",
    log:
        "logs/{run}/compare_variants.log",
    benchmark:
        "results/{run}/benchmarks/compare_variants.tsv"
    conda:
        "../envs/report.yaml"
    threads: 1
    resources:
        machine_share=10,
    params:
        settings=section("compare_variants"),
        code=code("compare_variants", "report"),
    message:
        "compare the variants of {wildcards.run}"
    script:
        "../workflow/scripts/compare_variants.py"


rule write_report:
    input:
        scores=lambda wildcards: scores(wildcards.run),
        compare="results/{run}/compare.json",
        perf=lambda wildcards: measurements(wildcards.run),
        times=lambda wildcards: measurements(wildcards.run, "jsonl"),
        train_metrics="results/{run}/adapter/train_metrics.json",
        run_config="results/{run}/adapter/run_config.json",
        merge_report="results/{run}/merged/merge_report.json",
        data_summary="results/{run}/data/summary.json",
        contamination="results/{run}/data/contamination.json",
        model_source=base_model,
        conversations_source=lambda wildcards: conversations(wildcards, "source.json"),
        benchmark_sources=lambda wildcards: benchmark_sources(wildcards.run),
        markdown_template=shipped("report/report.md.jinja"),
        html_template=shipped("report/report.html.jinja"),
        style=shipped("report/style.css"),
    output:
        markdown="results/{run}/report/report.md",
        document="results/{run}/report/report.json",
        page=report(
            "results/{run}/report/report.html",
            caption="../workflow/report/report.rst",
            category="Report",
            labels={"run": "{run}"},
        ),
        figures=directory("results/{run}/report/figures"),
    log:
        "logs/{run}/write_report.log",
    benchmark:
        "results/{run}/benchmarks/write_report.tsv"
    conda:
        "../envs/report.yaml"
    threads: 1
    resources:
        machine_share=10,
    params:
        settings={},
        code=code("write_report", "report"),
    message:
        "write the report of {wildcards.run}"
    script:
        "../workflow/scripts/write_report.py"
