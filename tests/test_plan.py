"""What rules ask the plan: files of runs, what jobs get, which runs train and which import."""

import re
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from lorabench.control.config.files import merge
from lorabench.control.configuration import load, resolve
from lorabench.control.parameters import ANSWERING, Parameters
from lorabench.control.plan import Plan
from lorabench.control.source_hash import closure
from lorabench.control.sources import any_of, ordered
from lorabench.files import sha256_file, write_json

ROOT = Path(__file__).resolve().parents[1]
FILES = [ROOT / "config" / "config.yaml", ROOT / "config" / "smoke.yaml"]


def plan_of(overlay: Mapping[str, Any], **environment: str) -> Plan:
    """Return the plan of the smoke config with an overlay."""
    return Plan(resolve(merge(load(FILES), dict(overlay)), FILES, {}), ROOT, environment)


def job(variant: str = "lora", benchmark: str = "gsm8k") -> Any:
    """Return the wildcards of a rule with one file a variant and benchmark."""
    return SimpleNamespace(run="smoke", variant=variant, benchmark=benchmark)


def asking(variants: str = "base-lora", engine: str = "transformers") -> Any:
    """Return the wildcards of a job that answers."""
    return SimpleNamespace(run="smoke", variants=variants, engine=engine)


def test_an_entry_of_a_sweep_that_imports_does_not_train(tmp_path: Path) -> None:
    """The patterns of the two rules have each run once."""
    sweep = {"a.b": {"import_adapter": {"path": str(tmp_path)}}}
    plan = plan_of({"sweep": sweep})
    assert (plan.main, plan.training_runs()) == ("smoke", "smoke")
    assert plan.importing_runs() == r"smoke\-a\.b"
    assert plan_of({}).importing_runs() == "(?!)"
    assert any_of(["x.y"]) == r"x\.y"


def test_variants_depend_on_their_own_weights() -> None:
    """The base on neither adapter nor merged checkpoint."""
    plan = plan_of({})
    for variants in ("lora", "base-lora"):
        assert plan.adapter_of(asking(variants)) == "results/smoke/adapter/fingerprint.json"
    assert plan.merged_of(asking("merged")) == "results/smoke/merged/merge_report.json"
    assert plan.adapter_of(asking("base")) == plan.merged_of(asking("base-lora")) == []
    assert plan.base_model(job()) == "resources/models/tiny-random-llama/source.json"


def test_files_follow_variants_benchmarks_and_shards() -> None:
    """Scores of all variants and benchmarks; answers only of judged ones; as many shards as set."""
    plan = plan_of(
        {
            "score_benchmark": {"variants": ["base", "lora"], "benchmarks": ["gsm8k", "mt_bench"]},
            "evaluate_task": {"shards": 2},
        }
    )
    assert plan.scores("smoke") == [
        f"results/smoke/eval/{variant}/{benchmark}.json"
        for variant in ("base", "lora")
        for benchmark in ("gsm8k", "mt_bench")
    ]
    assert [Path(path).name for path in plan.answers("smoke")] == ["mt_bench.jsonl"] * 2
    assert plan.results_of(job(), "jsonl") == [
        f"results/smoke/work/evaluate_task/transformers/base-lora.{shard}-of-2/lora/gsm8k.jsonl"
        for shard in (0, 1)
    ]
    assert len(plan.benchmark_sources("smoke")) == 2


def test_base_and_adapter_share_a_job_where_both_are_scored() -> None:
    """The merged checkpoint has a job for itself, and so has each variant with vLLM."""
    scored = {"score_benchmark": {"variants": ["lora", "merged"]}}
    vllm = {"generate_answers": {"engine": "vllm"}}
    for overlay, benchmark, expected in (
        ({}, "gsm8k", ["base-lora", "base-lora", "merged"]),
        (scored, "gsm8k", ["base", "lora", "merged"]),
        (vllm, "mt_bench", ["base", "lora", "merged"]),
    ):
        plan = plan_of(overlay)
        folders = [plan.shards(job(variant, benchmark)) for variant in ("base", "lora", "merged")]
        assert [Path(folder).name.partition(".")[0] for (folder,) in folders] == expected
    assert plan.asked("generate_answers", asking(engine="vllm")) == ["alpaca_eval", "mt_bench"]
    assert plan.asked("generate_answers", asking()) == []


def test_a_judge_without_a_key_judges_what_it_judged_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a key there is a reason in place of results, unless these answers were judged."""
    monkeypatch.chdir(tmp_path)
    judge = {"judge": {"kind": "openai", "model": "m"}}
    plan, asked = plan_of(judge), job(benchmark="mt_bench")
    assert plan.results_of(asked, "jsonl") == []
    assert "OPENAI_API_KEY" in (plan.not_run_reason(asked) or "")
    assert plan.judgeable_runs("mt_bench") == "(?!)"
    with_key = plan_of(judge, OPENAI_API_KEY="k")
    assert with_key.results_of(asked, "jsonl") and with_key.not_run_reason(asked) is None
    answers = Path("results/smoke/answers/lora/mt_bench.jsonl")
    answers.parent.mkdir(parents=True)
    answers.write_text("{}\n")
    made = {"judge": {"kind": "openai", "model": "m"}, "answers_sha256": sha256_file(answers)}
    write_json(Path("results/smoke/judgments/lora/mt_bench.json"), made)
    assert plan.results_of(asked, "jsonl")
    answers.write_text("other\n")
    assert plan.results_of(asked, "jsonl") == []


def test_only_a_local_judge_has_a_model() -> None:
    """Its own where the config names one, else the base."""
    assert plan_of({"judge": {"kind": "openai"}}).judge_model("mt_bench")(job()) == []
    own = {"fetch_model": {"judge": {"name": "j", "kind": "built-in"}}}
    assert plan_of(own).judge_model("mt_bench")(job()) == "resources/models/j/source.json"


def test_jobs_are_told_their_keys_only() -> None:
    """Sorted, without keys that change no result, without other benchmarks' keys."""
    plan = plan_of({})
    parameters = Parameters(plan)
    settings = parameters.section("train_adapter")(job())
    assert list(settings) == sorted(settings) and "save_minutes" not in settings
    free = parameters.free_settings("train_adapter")(job(), None)
    assert set(free) == {"save_minutes", "tracker"}
    own = parameters.asked_section("evaluate_task")(asking())
    assert list(own["benchmarks"]) == ["gsm8k", "mmlu"] and own["benchmarks"]["gsm8k"]["limit"] == 4
    assert not {"mmlu", "gsm8k", "shards"} & set(own)
    assert ordered({"b": {"d": 1, "c": 2}, "a": 3}) == {"a": 3, "b": {"c": 2, "d": 1}}


def test_stored_answers_are_those_of_the_code_that_answers() -> None:
    """All modules of the list are there, and each rule has those that its script reaches."""
    parameters = Parameters(plan_of({}))
    assert all((parameters.scripts / name).is_file() for name in ANSWERING)
    reached = set()
    for rule in ("evaluate_task", "generate_answers"):
        reached |= closure(parameters.scripts / f"{rule}.py")
        assert re.fullmatch(
            r"resources/answers/[0-9a-f]{16}/\{run\}", parameters.answer_store(rule)
        )
    assert {parameters.scripts / name for name in ANSWERING} <= reached
    assert parameters.answer_store("evaluate_task") != parameters.answer_store("generate_answers")


def test_texts_of_vllm_are_made_in_its_environment() -> None:
    """Environment, code hash and the check before a run follow the engine."""
    overlay = {"evaluate_task": {"gsm8k": {"engine": "vllm"}}}
    parameters = Parameters(plan_of(overlay))
    environment = parameters.engine_environment
    gsm8k, mmlu = asking("lora", "vllm"), asking()
    assert (environment(gsm8k), environment(mmlu)) == ("vllm", "evaluation")
    assert parameters.conda_file(environment)(gsm8k).endswith("envs/vllm.yaml")
    assert list(parameters.asked_section("evaluate_task")(gsm8k)["benchmarks"]) == ["gsm8k"]
    code = parameters.code("evaluate_task", environment)
    assert callable(code) and code(gsm8k) != code(mmlu)
    rule = SimpleNamespace(name="evaluate_task")
    jobs = [SimpleNamespace(rule=rule, wildcards=wildcards) for wildcards in (gsm8k, mmlu)]
    assert parameters.vllm_jobs(jobs) == {("smoke", "evaluate_task", "lora")}
