rule evaluate_task:
    input:
        source=plan.base_model,
        adapter=plan.adapter_of,
        merged=plan.merged_of,
        data=plan.benchmarks_of("evaluate_task"),
    output:
        answers=directory(
            "results/{run}/work/evaluate_task/{engine}/{variants}.{shard}-of-{shards}"
        ),
    log:
        "logs/{run}/evaluate_task/{engine}.{variants}.{shard}-of-{shards}.log",
    benchmark:
        "results/{run}/benchmarks/evaluate_task/{engine}.{variants}.{shard}-of-{shards}.tsv"
    conda:
        parameters.conda_file(parameters.engine_environment)
    threads: half_the_cores()
    resources:
        machine_share=50,
        gpu=gpus(),
        slurm_partition=partition(),
        mem_mb=model_memory,
        runtime=240,
    params:
        settings=parameters.asked_section("evaluate_task"),
        task_files=lambda wildcards: or_stop(plan.task_files, wildcards),
        benchmarks=lambda wildcards: ", ".join(plan.asked("evaluate_task", wildcards)),
        code=parameters.code("evaluate_task", parameters.engine_environment),
        store=parameters.answer_store("evaluate_task"),
    message:
        "{wildcards.run}: {params.benchmarks} on {wildcards.variants}"
    script:
        "../workflow/scripts/evaluate_task.py"


rule generate_answers:
    input:
        source=plan.base_model,
        adapter=plan.adapter_of,
        merged=plan.merged_of,
        data=plan.benchmarks_of("generate_answers"),
    output:
        answers=directory(
            "results/{run}/work/generate_answers/{engine}/{variants}.{shard}-of-{shards}"
        ),
    log:
        "logs/{run}/generate_answers/{engine}.{variants}.{shard}-of-{shards}.log",
    benchmark:
        "results/{run}/benchmarks/generate_answers/{engine}.{variants}.{shard}-of-{shards}.tsv"
    conda:
        parameters.conda_file(parameters.engine_environment)
    threads: half_the_cores()
    resources:
        machine_share=50,
        gpu=gpus(),
        slurm_partition=partition(),
        mem_mb=model_memory,
        runtime=240,
    params:
        settings=parameters.asked_section("generate_answers"),
        benchmarks=lambda wildcards: ", ".join(plan.asked("generate_answers", wildcards)),
        code=parameters.code("generate_answers", parameters.engine_environment),
        store=parameters.answer_store("generate_answers"),
    message:
        "{wildcards.run}: answers of {wildcards.variants} to {params.benchmarks}"
    script:
        "../workflow/scripts/generate_answers.py"


rule merge_answers:
    input:
        folders=plan.shards,
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
        shards=lambda wildcards: plan.shard_files(wildcards, "jsonl"),
        protocols=lambda wildcards: plan.shard_files(wildcards, "json"),
        settings=parameters.section("generate_answers", "shards"),
        code=parameters.code("merge_answers", "evaluation"),
    message:
        "{wildcards.run}: put the answers of {wildcards.variant} to {wildcards.benchmark} together"
    script:
        "../workflow/scripts/merge_answers.py"
