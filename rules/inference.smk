rule measure_inference:
    input:
        base=base_model,
        adapter="results/{run}/adapter/fingerprint.json",
        merged="results/{run}/merged/merge_report.json",
        prompts=shipped("samples/performance_prompts.jsonl"),
    output:
        summaries=expand(
            "results/{{run}}/perf/{variant}.json",
            variant=RUNS[MAIN_RUN]["measure_inference"]["variants"],
        ),
        times=expand(
            "results/{{run}}/perf/{variant}.jsonl",
            variant=RUNS[MAIN_RUN]["measure_inference"]["variants"],
        ),
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
    params:
        settings=section("measure_inference"),
        code=code("measure_inference", "inference"),
    message:
        "measure latency, throughput and memory of {wildcards.run}"
    script:
        "../workflow/scripts/measure_inference.py"
