rule train_adapter:
    input:
        model=plan.base_model,
        train="results/{run}/data/train.jsonl",
        validation="results/{run}/data/validation.jsonl",
        summary="results/{run}/data/summary.json",
    output:
        adapter=expand("results/{{run}}/adapter/{file}", file=TRAINED_FILES),
    log:
        "logs/{run}/train_adapter.log",
    benchmark:
        "results/{run}/benchmarks/train_adapter.tsv"
    wildcard_constraints:
        run=plan.training_runs(),
    conda:
        "../envs/training.yaml"
    threads: all_cores()
    resources:
        machine_share=100,
        gpu=training_gpus(),
        slurm_partition=partition(),
        mem_mb=model_memory,
        runtime=720,
        attempt=lambda wildcards, attempt: attempt,
    params:
        settings=parameters.section("train_adapter"),
        free_settings=parameters.free_settings("train_adapter"),
        code=parameters.code("train_adapter", "training"),
        work="results/{run}/work/train_adapter",
        tracking="logs/tracking",
    message:
        "train the adapter of {wildcards.run}"
    script:
        "../workflow/scripts/train_adapter.py"


rule import_adapter:
    input:
        model=plan.base_model,
        local=lambda wildcards: folder_inputs(plan.imported(wildcards.run)),
    output:
        adapter=expand("results/{{run}}/adapter/{file}", file=TRAINED_FILES),
    log:
        "logs/{run}/import_adapter.log",
    benchmark:
        "results/{run}/benchmarks/import_adapter.tsv"
    wildcard_constraints:
        run=plan.importing_runs(),
    conda:
        "../envs/training.yaml"
    threads: 1
    resources:
        machine_share=10,
    params:
        settings=parameters.section("import_adapter"),
        code=parameters.code("import_adapter", "training"),
    message:
        "import the adapter of {wildcards.run}"
    script:
        "../workflow/scripts/import_adapter.py"


rule describe_adapter:
    input:
        record="results/{run}/adapter/training_record.json",
        conversations_source=lambda wildcards: plan.conversations(wildcards, "source.json"),
    output:
        metrics="results/{run}/adapter/train_metrics.json",
        config="results/{run}/adapter/run_config.json",
        card="results/{run}/adapter/README.md",
    log:
        "logs/{run}/describe_adapter.log",
    benchmark:
        "results/{run}/benchmarks/describe_adapter.tsv"
    conda:
        "../envs/report.yaml"
    threads: 1
    resources:
        machine_share=10,
    params:
        settings={},
        code=parameters.code("describe_adapter", "report"),
    message:
        "describe the adapter of {wildcards.run}"
    script:
        "../workflow/scripts/describe_adapter.py"


rule merge_adapter:
    input:
        model=plan.base_model,
        adapter="results/{run}/adapter/fingerprint.json",
        conversations="results/{run}/data/validation.jsonl",
    output:
        report="results/{run}/merged/merge_report.json",
    log:
        "logs/{run}/merge_adapter.log",
    benchmark:
        "results/{run}/benchmarks/merge_adapter.tsv"
    conda:
        "../envs/training.yaml"
    threads: half_the_cores()
    resources:
        machine_share=50,
        gpu=gpus(),
        slurm_partition=partition(),
        mem_mb=model_memory,
        runtime=lambda wildcards, attempt: 60 * attempt,
    params:
        settings=parameters.section("merge_adapter"),
        code=parameters.code("merge_adapter", "training"),
    message:
        "merge the adapter of {wildcards.run} into its base"
    script:
        "../workflow/scripts/merge_adapter.py"
