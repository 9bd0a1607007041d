# The project's verbs. Each prints the command that it runs; the same command can be typed once .venv is there.
#
#   LORA_SMOKE=1           run a *-llama3 target with config/smoke.yaml: tiny model, CPU, minutes
#   CONFIG=FILE            run a *-llama3 target, report, dag, doctor, validate or accept with this overlay
#   LORA_OUTPUT_DIR=PATH   where the adapter is exported       (read by the Snakefile from the environment,
#   ADAPTER_PATH=PATH      evaluate this one, do not train      where make puts what its command line sets)
#   BATCH_SIZE=N           conversations a forward pass in training
#   PROFILE=NAME           local or slurm-gpu
#   TORCH=cpu|cuda         build of torch in .venv; default: cuda where nvidia-smi lists a GPU
#   PYTHON=PATH            interpreter that .venv is built on

PROFILE ?= local
TARGET ?= all
ifeq ($(LORA_SMOKE),1)
CONFIG ?= config/smoke.yaml
endif

quote = '$(subst ','\'',$(1))'
overlay = $(if $(CONFIG),--configfile $(call quote,$(CONFIG)))
bin := .venv/bin
venv := .venv/.installed
snakemake := $(bin)/snakemake
progress := --logger lorabench

export PATH := $(CURDIR)/.venv/bin:$(PATH)
export PYTHONNOUSERSITE := 1
export PYTHONHASHSEED := 0
# shown as the command that goes on after a failure
export LORABENCH_COMMAND := $(strip make $(MAKECMDGOALS) $(MAKEOVERRIDES))

.DEFAULT_GOAL := help
.PHONY: help bench-demo bench-smoke bench-gpu lora-smoke bench-llama3 lora-train-llama3 eval-llama3 perf-llama3 report gate \
	compare plan dag doctor validate lint test fix lock accept clean

help: ## list the targets
	@sed -n 's/^\([a-z0-9-]*\):[^#]*## \(.*\)/  \1|\2/p' Makefile | while IFS='|' read -r target text; do \
		printf '  %-20s %s\n' "$$target" "$$text"; done
	@sed -n 's/^#   /  /p' Makefile

# The target comes first: --configfile and --logger take every word that follows them.
bench-demo: $(venv) ## the whole pipeline on a real 135M model, CPU, about 6 minutes
	$(snakemake) all --profile $(PROFILE) --configfile config/demo.yaml $(progress)

bench-smoke: $(venv) ## the whole pipeline on a tiny random model, CPU, about 2 minutes
	$(snakemake) all --profile $(PROFILE) --configfile config/smoke.yaml $(progress)

bench-gpu: $(venv) ## what one GPU reaches of this project's targets: random 8B weights, about an hour
	$(bin)/python benchmarks/gpu_table.py

lora-smoke: $(venv) ## only train the tiny model's adapter
	$(snakemake) train --profile $(PROFILE) --configfile config/smoke.yaml $(progress)

bench-llama3: $(venv) ## the whole pipeline on Llama 3 8B: a GPU, HF_TOKEN, hours
	$(snakemake) all --profile $(PROFILE) $(overlay) $(progress)

lora-train-llama3: $(venv) ## only train the Llama 3 adapter
	$(snakemake) train --profile $(PROFILE) $(overlay) $(progress)

eval-llama3: $(venv) ## evaluate base, adapter and merged model; train first if there is no adapter yet
	$(snakemake) evaluate --profile $(PROFILE) $(overlay) $(progress)

perf-llama3: $(venv) ## measure speed and memory of the three variants
	$(snakemake) perf --profile $(PROFILE) $(overlay) $(progress)

report: $(venv) ## write the report from what has been run
	$(snakemake) report --profile $(PROFILE) $(overlay)

gate: $(venv) ## may it ship? hold the run against its margins; 0 = yes (make itself ends with 2 for no and not shown)
	$(snakemake) gate --profile $(PROFILE) $(overlay)
	$(bin)/python workflow/scripts/show_gate.py $(overlay)

compare: $(venv) ## runs or exports paired by item: A=results/x B=results/y, or CONFIG=FILE for a sweep; PAGE=FILE for HTML
	$(bin)/python workflow/scripts/compare_runs.py $(if $(A),$(call quote,$(A))) $(if $(B),$(call quote,$(B))) \
		$(if $(PAGE),--page $(call quote,$(PAGE))) $(overlay)

plan: $(venv) ## before a run: what each benchmark can show at its size, how long it takes, what the judge costs
	$(bin)/python workflow/scripts/plan.py $(overlay)

dag: $(venv) ## draw the rules of a run: results/dag.mmd, for GitHub or any viewer of Mermaid
	@mkdir -p results
	$(snakemake) all --rulegraph mermaid-js --profile $(PROFILE) $(overlay) >results/dag.mmd

doctor: $(venv) ## say what this machine has and lacks for a run
	$(bin)/python workflow/scripts/doctor.py $(overlay)

validate: $(venv) ## check a configuration, run nothing
	$(bin)/python workflow/scripts/validate_config.py $(overlay)

lint: $(venv) ## ruff, mypy, snakefmt, snakemake --lint, codespell, generated files
	$(bin)/ruff check .
	$(bin)/ruff format --check .
	$(bin)/mypy
	$(bin)/snakefmt --check Snakefile rules workflow/Snakefile
	$(snakemake) --lint --configfile config/smoke.yaml
	$(bin)/codespell
	$(bin)/python tools/sync_envs.py --check

# Two workers, each on half of the cores: one process leaves most cores idle, more need more memory.
test: $(venv) ## every test, the smoke pipeline among them
	$(bin)/pytest -n 2 --dist loadfile --no-loadscope-reorder

fix: $(venv) ## format the code and write the generated files anew
	$(bin)/ruff check --fix .
	$(bin)/ruff format .
	$(bin)/snakefmt Snakefile rules workflow/Snakefile
	$(bin)/python tools/sync_envs.py
	$(bin)/python tools/generate_docs.py

lock: $(venv) ## resolve pyproject.toml anew into requirements/ and envs/
	$(bin)/python tools/sync_envs.py --lock

accept: $(venv) ## declare results up to date without running: TARGET=train CONFIG=...; your claim, not a check
	$(snakemake) $(TARGET) --touch --profile $(PROFILE) $(overlay)

clean: ## remove caches and the smoke and demo runs; keeps .venv, downloads and other runs
	rm -rf results/smoke results/demo build .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -not -path './.venv/*' -prune -exec rm -rf {} +

$(venv): requirements/lock.txt requirements/torch-cpu.txt requirements/torch-cuda.txt requirements/uv.txt \
		pyproject.toml tools/make_venv.sh
	@PYTHON=$(call quote,$(PYTHON)) TORCH=$(call quote,$(TORCH)) sh tools/make_venv.sh
	@touch $@
