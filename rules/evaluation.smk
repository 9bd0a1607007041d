rule evaluate_task:
    input:
        source=plan.base_model,
        adapter=plan.adapter_of,
        merged=plan.merged_of,
        data=lambda wildcards: plan.benchmark_source(wildcards.run, wildcards.benchmark),
    output:
        rows="results/{run}/work/eval/{variant}/{benchmark}.{shard}-of-{shards}.jsonl",
        protocol="results/{run}/work/eval/{variant}/{benchmark}.{shard}-of-{shards}.json",
    log:
        "logs/{run}/evaluate_task/{variant}.{benchmark}.{shard}-of-{shards}.log",
    benchmark:
        "results/{run}/benchmarks/evaluate_task/{variant}.{benchmark}.{shard}-of-{shards}.tsv"
    wildcard_constraints:
        benchmark="|".join(TASKS),
    conda:
        parameters.conda_file(parameters.engine_environment("evaluate_task"))
    threads: half_the_cores()
    resources:
        machine_share=50,
        gpu=gpus(),
        slurm_partition=partition(),
        mem_mb=model_memory,
        runtime=240,
    params:
        settings=parameters.benchmark_section("evaluate_task"),
        task_file=lambda wildcards: or_stop(plan.task_file, wildcards),
        code=parameters.code("evaluate_task", parameters.engine_environment("evaluate_task")),
        store=parameters.answer_store("evaluate_task"),
    message:
        "{wildcards.run}: {wildcards.benchmark} on {wildcards.variant}"
    script:
        "../workflow/scripts/evaluate_task.py"


rule generate_answers:
    input:
        source=plan.base_model,
        adapter=plan.adapter_of,
        merged=plan.merged_of,
        data=lambda wildcards: plan.benchmark_source(wildcards.run, wildcards.benchmark),
    output:
        answers="results/{run}/work/answers/{variant}/{benchmark}.{shard}-of-{shards}.jsonl",
        protocol="results/{run}/work/answers/{variant}/{benchmark}.{shard}-of-{shards}.json",
    log:
        "logs/{run}/generate_answers/{variant}.{benchmark}.{shard}-of-{shards}.log",
    benchmark:
        "results/{run}/benchmarks/generate_answers/{variant}.{benchmark}.{shard}-of-{shards}.tsv"
    wildcard_constraints:
        benchmark="|".join(JUDGED),
    conda:
        parameters.conda_file(parameters.engine_environment("generate_answers"))
    threads: half_the_cores()
    resources:
        machine_share=50,
        gpu=gpus(),
        slurm_partition=partition(),
        mem_mb=model_memory,
        runtime=240,
    params:
        settings=parameters.benchmark_section("generate_answers"),
        code=parameters.code("generate_answers", parameters.engine_environment("generate_answers")),
        store=parameters.answer_store("generate_answers"),
    message:
        "{wildcards.run}: answers of {wildcards.variant} to {wildcards.benchmark}"
    script:
        "../workflow/scripts/generate_answers.py"


rule merge_answers:
    input:
        shards=lambda wildcards: plan.shards(wildcards, "generate_answers", "jsonl"),
        protocols=lambda wildcards: plan.shards(wildcards, "generate_answers", "json"),
    output:
        answers="results/{run}/answers/{variant}/{benchmark}.jsonl",
        protocol="results/{run}/answers/{variant}/{benchmark}.json",
    log:
        "logs/{run}/merge_answers/{variant}.{benchmark}.log",
    benchmark:
        "results/{run}/benchmarks/merge_answers/{variant}.{benchmark}.tsv"
    wildcard_constraints:
        benchmark="|".join(JUDGED),
    conda:
        "../envs/evaluation.yaml"
    threads: 1
    resources:
        machine_share=1,
    params:
        settings=parameters.section("generate_answers", "shards"),
        code=parameters.code("merge_answers", "evaluation"),
    message:
        "{wildcards.run}: put the answers of {wildcards.variant} to {wildcards.benchmark} together"
    script:
        "../workflow/scripts/merge_answers.py"
