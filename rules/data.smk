rule fetch_model:
    input:
        samples=plan.shipped("samples/oasst_trees.jsonl"),
        local=lambda wildcards: checkpoint_inputs(plan.models()[wildcards.model]),
    output:
        source="resources/models/{model}/source.json",
    log:
        "logs/fetch_model/{model}.log",
    benchmark:
        "logs/benchmarks/fetch_model/{model}.tsv"
    conda:
        "../envs/data.yaml"
    threads: half_the_cores()
    resources:
        machine_share=50,
    params:
        settings=lambda wildcards: plan.models()[wildcards.model],
        code=parameters.code("fetch_model", "data"),
        layers=parameters.trained_layers,
    message:
        "fetch model {wildcards.model}"
    script:
        "../workflow/scripts/fetch_model.py"


rule fetch_conversations:
    input:
        samples=plan.shipped("samples/oasst_trees.jsonl"),
        local=lambda wildcards: or_stop(
            local_files, plan.labelled("conversations")[wildcards.label]
        ),
    output:
        source="resources/conversations/{label}/source.json",
        messages="resources/conversations/{label}/messages.jsonl",
    log:
        "logs/fetch_conversations/{label}.log",
    benchmark:
        "logs/benchmarks/fetch_conversations/{label}.tsv"
    conda:
        "../envs/data.yaml"
    threads: 1
    resources:
        machine_share=10,
    params:
        settings=lambda wildcards: plan.labelled("conversations")[wildcards.label],
        code=parameters.code("fetch_conversations", "data"),
    message:
        "fetch conversations {wildcards.label}"
    script:
        "../workflow/scripts/fetch_conversations.py"


rule fetch_benchmark:
    input:
        samples=lambda wildcards: plan.benchmark_samples(wildcards.benchmark),
        local=lambda wildcards: or_stop(
            local_files, plan.labelled(wildcards.benchmark)[wildcards.label]
        ),
    output:
        source="resources/benchmarks/{benchmark}/{label}/source.json",
    log:
        "logs/fetch_benchmark/{benchmark}.{label}.log",
    benchmark:
        "logs/benchmarks/fetch_benchmark/{benchmark}.{label}.tsv"
    conda:
        "../envs/data.yaml"
    threads: 1
    resources:
        machine_share=10,
    params:
        settings=lambda wildcards: plan.labelled(wildcards.benchmark)[wildcards.label],
        code=parameters.code("fetch_benchmark", "data"),
    message:
        "fetch benchmark {wildcards.benchmark} {wildcards.label}"
    script:
        "../workflow/scripts/fetch_benchmark.py"


rule prepare_conversations:
    input:
        messages=lambda wildcards: plan.conversations(wildcards, "messages.jsonl"),
    output:
        train="results/{run}/data/train.jsonl",
        validation="results/{run}/data/validation.jsonl",
        audit="results/{run}/data/audit.jsonl",
        summary="results/{run}/data/summary.json",
    log:
        "logs/{run}/prepare_conversations.log",
    benchmark:
        "results/{run}/benchmarks/prepare_conversations.tsv"
    conda:
        "../envs/data.yaml"
    threads: 1
    resources:
        machine_share=10,
    params:
        settings=parameters.section("prepare_conversations"),
        code=parameters.code("prepare_conversations", "data"),
    message:
        "prepare conversations of {wildcards.run}"
    script:
        "../workflow/scripts/prepare_conversations.py"


rule check_contamination:
    input:
        train="results/{run}/data/train.jsonl",
        benchmarks=lambda wildcards: plan.benchmark_sources(wildcards.run),
    output:
        contamination="results/{run}/data/contamination.json",
    log:
        "logs/{run}/check_contamination.log",
    benchmark:
        "results/{run}/benchmarks/check_contamination.tsv"
    conda:
        "../envs/data.yaml"
    threads: 1
    resources:
        machine_share=10,
    params:
        settings=parameters.section("check_contamination"),
        code=parameters.code("check_contamination", "data"),
    message:
        "compare training data of {wildcards.run} with benchmark items"
    script:
        "../workflow/scripts/check_contamination.py"
