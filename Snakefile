from snakemake.utils import min_version

min_version("9.27")


include: "rules/start.smk"


configfile: "config/config.yaml"


include: "rules/common.smk"
include: "rules/data.smk"
include: "rules/training.smk"
include: "rules/evaluation.smk"
include: "rules/judging.smk"
include: "rules/inference.smk"
include: "rules/report.smk"


onstart:
    check_before_start()


onerror:
    say_why_last(log)


rule all:
    default_target: True
    input:
        expand("results/{run}/report/report.html", run=RUNS),
        f"{ADAPTER_EXPORT}/adapter_model.safetensors",
        f"{REPORT_EXPORT}/report.json",


rule train:
    input:
        expand("results/{run}/gate_declaration.json", run=RUNS),
        expand("results/{run}/adapter/train_metrics.json", run=RUNS),
        expand("results/{run}/merged/merge_report.json", run=RUNS),
        f"{ADAPTER_EXPORT}/adapter_model.safetensors",


rule evaluate:
    input:
        expand("results/{run}/gate_declaration.json", run=RUNS),
        [path for run in RUNS for path in plan.scores(run)],


rule perf:
    input:
        [path for run in RUNS for path in plan.measurements(run)],


rule report:
    input:
        expand("results/{run}/report/report.html", run=RUNS),


rule gate:
    input:
        expand("results/{run}/gate.json", run=RUNS),
