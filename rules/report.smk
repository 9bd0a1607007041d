rule score_benchmark:
    input:
        results=plan.made_by_jobs,
        answers=lambda wildcards: plan.answers_of(wildcards, "jsonl"),
        answers_protocol=lambda wildcards: plan.answers_of(wildcards, "json"),
        length_control_file=plan.length_control_of,
    output:
        rows_output="results/{run}/eval/{variant}/{benchmark}.jsonl",
        score_output="results/{run}/eval/{variant}/{benchmark}.json",
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
        settings=parameters.section("score_benchmark", "confidence", "min_judged_share"),
        code=parameters.code("score_benchmark", "report"),
        rows=lambda wildcards: plan.results_of(wildcards, "jsonl"),
        protocols=lambda wildcards: plan.results_of(wildcards, "json"),
        not_run_reason=plan.not_run_reason,
    message:
        "{wildcards.run}: score {wildcards.benchmark} of {wildcards.variant}"
    script:
        "../workflow/scripts/score_benchmark.py"


# The first job: nothing but the gate waits for it, so that margins retrain nothing.
rule declare_gate:
    output:
        declaration="results/{run}/gate_declaration.json",
    log:
        "logs/{run}/declare_gate.log",
    benchmark:
        "results/{run}/benchmarks/declare_gate.tsv"
    priority: 100
    conda:
        "../envs/report.yaml"
    threads: 1
    resources:
        machine_share=10,
    params:
        settings=parameters.section("gate"),
        code=parameters.code("declare_gate", "report"),
        history="results/{run}/work/declare_gate/history.json",
    message:
        "record the margins of {wildcards.run}"
    script:
        "../workflow/scripts/declare_gate.py"


rule write_notices:
    input:
        model=plan.base_model,
        conversations_source=lambda wildcards: plan.conversations(wildcards, "source.json"),
        adapter="results/{run}/adapter/fingerprint.json",
        merge_report="results/{run}/merged/merge_report.json",
    output:
        adapter_files=[f"results/{{run}}/adapter/{name}" for name in ("LICENSE", "NOTICE")],
        merged_files=[
            f"results/{{run}}/merged/{name}" for name in ("LICENSE", "NOTICE", "README.md")
        ],
    log:
        "logs/{run}/write_notices.log",
    benchmark:
        "results/{run}/benchmarks/write_notices.tsv"
    conda:
        "../envs/report.yaml"
    threads: 1
    resources:
        machine_share=10,
    params:
        settings={},
        code=parameters.code("write_notices", "report"),
    message:
        "write the licence files of {wildcards.run}"
    script:
        "../workflow/scripts/write_notices.py"


rule check_gate:
    input:
        scores=lambda wildcards: plan.scores(wildcards.run),
        rows=lambda wildcards: plan.scores(wildcards.run, "jsonl"),
        perf=lambda wildcards: plan.measurements(wildcards.run),
        merge_report="results/{run}/merged/merge_report.json",
        train_metrics="results/{run}/adapter/train_metrics.json",
        contamination="results/{run}/data/contamination.json",
        declaration="results/{run}/gate_declaration.json",
        card="results/{run}/adapter/README.md",
        shipped=plan.shipped_licence,
        model_source=plan.base_model,
        conversations_source=lambda wildcards: plan.conversations(wildcards, "source.json"),
    output:
        document="results/{run}/gate.json",
        remark="results/{run}/gate.md",
    log:
        "logs/{run}/check_gate.log",
    benchmark:
        "results/{run}/benchmarks/check_gate.tsv"
    conda:
        "../envs/report.yaml"
    threads: 1
    resources:
        machine_share=10,
    params:
        settings=parameters.section("gate"),
        code=parameters.code("check_gate", "report"),
    message:
        "hold {wildcards.run} against its margins"
    script:
        "../workflow/scripts/check_gate.py"


rule compare_variants:
    input:
        scores=lambda wildcards: plan.scores(wildcards.run),
        rows=lambda wildcards: plan.scores(wildcards.run, "jsonl"),
        perf=lambda wildcards: plan.measurements(wildcards.run),
        merge_report="results/{run}/merged/merge_report.json",
        train_metrics="results/{run}/adapter/train_metrics.json",
        gate="results/{run}/gate.json",
        model_source=plan.base_model,
        conversations_source=lambda wildcards: plan.conversations(wildcards, "source.json"),
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
        settings=parameters.section("compare_variants"),
        code=parameters.code("compare_variants", "report"),
    message:
        "compare the variants of {wildcards.run}"
    script:
        "../workflow/scripts/compare_variants.py"


rule write_report:
    input:
        scores=lambda wildcards: plan.scores(wildcards.run),
        rows=lambda wildcards: plan.scores(wildcards.run, "jsonl"),
        answers=lambda wildcards: plan.answers(wildcards.run),
        compare="results/{run}/compare.json",
        gate="results/{run}/gate.json",
        perf=lambda wildcards: plan.measurements(wildcards.run),
        times=lambda wildcards: plan.measurements(wildcards.run, "jsonl"),
        train_metrics="results/{run}/adapter/train_metrics.json",
        run_config="results/{run}/adapter/run_config.json",
        merge_report="results/{run}/merged/merge_report.json",
        data_summary="results/{run}/data/summary.json",
        contamination="results/{run}/data/contamination.json",
        model_source=plan.base_model,
        conversations_source=lambda wildcards: plan.conversations(wildcards, "source.json"),
        benchmark_sources=lambda wildcards: plan.benchmark_sources(wildcards.run),
        markdown_template=plan.shipped("report/report.md.j2"),
        html_template=plan.shipped("report/report.html.j2"),
        items_template=plan.shipped("report/items.html.j2"),
        style=plan.shipped("report/style.css"),
    output:
        markdown="results/{run}/report/report.md",
        document="results/{run}/report/report.json",
        page=report(
            "results/{run}/report/report.html",
            caption="../workflow/report/report.rst",
            category="Report",
            labels={"run": "{run}"},
        ),
        items_page="results/{run}/report/items.html",
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
        code=parameters.code("write_report", "report"),
        durations="results/{run}/benchmarks",
    message:
        "write the report of {wildcards.run}"
    script:
        "../workflow/scripts/write_report.py"


rule export_adapter:
    input:
        files=[f"results/{MAIN_RUN}/adapter/{name}" for name in ADAPTER_FILES],
        model=plan.base_model_of(MAIN_RUN),
    output:
        folder=[
            f"{ADAPTER_EXPORT}/{name}"
            for name in (*ADAPTER_FILES, "tokenizer.json", "tokenizer_config.json")
        ],
    log:
        f"logs/{MAIN_RUN}/export_adapter.log",
    benchmark:
        f"results/{MAIN_RUN}/benchmarks/export_adapter.tsv"
    conda:
        "../envs/report.yaml"
    threads: 1
    resources:
        machine_share=10,
    params:
        settings={"run": MAIN_RUN},
        code=parameters.code("export_adapter", "report"),
    message:
        f"export the adapter of {MAIN_RUN}"
    script:
        "../workflow/scripts/export_adapter.py"


# The cards get their scores here, after evaluation: what was exported by training alone has none.
rule export_report:
    input:
        cards=[f"{ADAPTER_EXPORT}/README.md", f"results/{MAIN_RUN}/merged/README.md"],
        benchmark_sources=plan.benchmark_sources(MAIN_RUN),
        scores=plan.scores(MAIN_RUN),
        rows=plan.scores(MAIN_RUN, "jsonl"),
        answers=plan.answers(MAIN_RUN),
        perf=plan.measurements(MAIN_RUN),
        compare=f"results/{MAIN_RUN}/compare.json",
        markdown=f"results/{MAIN_RUN}/report/report.md",
        document=f"results/{MAIN_RUN}/report/report.json",
        page=f"results/{MAIN_RUN}/report/report.html",
        items_page=f"results/{MAIN_RUN}/report/items.html",
        figures=f"results/{MAIN_RUN}/report/figures",
    output:
        folder=[f"{REPORT_EXPORT}/{name}" for name in REPORT_FILES],
        exported_figures=directory(f"{REPORT_EXPORT}/figures"),
    log:
        f"logs/{MAIN_RUN}/export_report.log",
    benchmark:
        f"results/{MAIN_RUN}/benchmarks/export_report.tsv"
    conda:
        "../envs/report.yaml"
    threads: 1
    resources:
        machine_share=10,
    params:
        settings={"run": MAIN_RUN},
        code=parameters.code("export_report", "report"),
        run=MAIN_RUN,
        items_of_tasks={name: EXPORTED_ITEMS[name] for name in TASKS},
        outputs_of_judged={name: EXPORTED_ITEMS[name] for name in JUDGED},
    message:
        f"export the report of {MAIN_RUN}"
    script:
        "../workflow/scripts/export_report.py"
