rule measure_inference:
    input:
        base=plan.base_model,
        adapter="results/{run}/adapter/fingerprint.json",
        merged="results/{run}/merged/merge_report.json",
        prompts=plan.shipped("samples/performance_prompts.jsonl"),
    output:
        times=expand(
            "results/{{run}}/perf/{variant}.jsonl",
            variant=RUNS[MAIN_RUN]["measure_inference"]["variants"],
        ),
        load="results/{run}/perf/raw/load.jsonl",
        conditions="results/{run}/perf/raw/conditions.json",
    log:
        "logs/{run}/measure_inference.log",
    benchmark:
        "results/{run}/benchmarks/measure_inference.tsv"
    conda:
        "../envs/inference.yaml"
    threads: all_cores()
    resources:
        machine_share=100,
        gpu=gpus(),
        slurm_partition=partition(),
        mem_mb=model_memory,
        runtime=lambda wildcards, attempt: 120 * attempt,
    params:
        settings=parameters.section("measure_inference", *TIMED_SETTINGS),
        code=parameters.code("measure_inference", "inference"),
    message:
        "measure latency, throughput and memory of {wildcards.run}"
    script:
        "../workflow/scripts/measure_inference.py"


rule summarise_inference:
    input:
        times=rules.measure_inference.output.times,
        load=rules.measure_inference.output.load,
        conditions=rules.measure_inference.output.conditions,
    output:
        summaries=expand(
            "results/{{run}}/perf/{variant}.json",
            variant=RUNS[MAIN_RUN]["measure_inference"]["variants"],
        ),
    log:
        "logs/{run}/summarise_inference.log",
    benchmark:
        "results/{run}/benchmarks/summarise_inference.tsv"
    conda:
        "../envs/inference.yaml"
    threads: 1
    resources:
        machine_share=10,
    params:
        settings=parameters.section("measure_inference", "usd_per_gpu_hour", "limits"),
        code=parameters.code("summarise_inference", "inference"),
    message:
        "summarise the measured inference of {wildcards.run}"
    script:
        "../workflow/scripts/summarise_inference.py"
