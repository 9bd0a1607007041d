"""Wrong input stops before any job: one line a fault, exit code 2."""

import json
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
import yaml

from checkout import Checkout, copy_repository

pytestmark = pytest.mark.slow


def stopped(checkout: Checkout, overlay: dict, *configs: str, **options: object) -> str:
    """Run with an overlay that is wrong; return what was printed after checking how it stopped."""
    path = checkout.folder / "wrong.yaml"
    path.write_text(yaml.safe_dump(overlay))
    answer = checkout.snakemake("--configfile", *configs, "wrong.yaml", configfile=None, **options)  # type: ignore[arg-type]
    assert answer.returncode == 2, answer.stdout + answer.stderr
    assert "Traceback" not in answer.stderr
    assert not (checkout.folder / "results").exists()
    return answer.stderr


@pytest.mark.parametrize(
    "overlay, line",
    [
        (
            {"train_adapter": {"lora_rank": 8}},
            "train_adapter.lora_rank: unknown key; did you mean 'lora_r'?",
        ),
        ({"evaluat_task": {}}, "evaluat_task: unknown key; did you mean 'evaluate_task'?"),
    ],
)
def test_a_wrong_config_names_key_place_and_nearest_key(
    checkout: Checkout, overlay: dict, line: str
) -> None:
    """Misspelt and mistyped keys are named with file and line."""
    text = stopped(checkout, overlay, "config/smoke.yaml")
    assert line in text
    assert "wrong.yaml:" in text


def test_the_default_config_asks_for_gpu_and_token_at_once(checkout: Checkout) -> None:
    """Without GPU and HF_TOKEN both are missing, both are named, with what to do."""
    text = stopped(checkout, {"run": "llama3"})
    assert "make bench-demo" in text
    assert "HF_TOKEN" in text and "meta-llama/Meta-Llama-3-8B-Instruct" in text


def test_a_data_file_with_a_wrong_schema_is_named_with_line_and_field(
    checkout: Checkout, tmp_path: Path
) -> None:
    """A row without its answer is found before the run."""
    rows = [
        {"question": "1 + 1?", "answer": "#### 2"},
        {"question": "2 + 2?", "solution": "#### 4"},
    ]
    for name in ("train.jsonl", "test.jsonl"):
        (tmp_path / name).write_text("".join(json.dumps(row) + "\n" for row in rows))
    text = stopped(
        checkout,
        {"fetch_benchmark": {"gsm8k": {"kind": "path", "path": str(tmp_path)}}},
        "config/smoke.yaml",
    )
    assert ".jsonl:2" in text and "answer" in text


def test_an_adapter_that_does_not_fit_is_refused(checkout: Checkout, tmp_path: Path) -> None:
    """An adapter folder without weights stops the run; its path may hold spaces and quotes."""
    folder = tmp_path / 'it\'s an "adapter"'
    folder.mkdir()
    (folder / "adapter_config.json").write_text("{}")
    text = stopped(
        checkout, {"run": "smoke"}, "config/smoke.yaml", environment={"ADAPTER_PATH": str(folder)}
    )
    assert str(folder) in text


@pytest.mark.skipif("vllm" in packages_distributions(), reason="vLLM is installed")
@pytest.mark.parametrize(
    "overlay",
    [{"generate_answers": {"engine": "vllm"}}, {"evaluate_task": {"gsm8k": {"engine": "vllm"}}}],
)
def test_a_missing_vllm_is_named_before_training(checkout: Checkout, overlay: dict) -> None:
    """One line says how to get it; a dry run goes on."""
    text = stopped(checkout, {"run": "smoke", **overlay}, "config/smoke.yaml")
    [line] = [line for line in text.splitlines() if "vLLM" in line]
    assert line.startswith("lorabench: ") and "--sdm conda" in line
    words = ("--configfile", "config/smoke.yaml", "wrong.yaml")
    assert checkout.scheduled(*words, configfile=None)["train_adapter"] == 1


def test_a_missing_vllm_stops_no_jobs_that_do_without(tmp_path: Path) -> None:
    """MMLU stays on our passes where only GSM8K's answers are vLLM's."""
    copy = copy_repository(tmp_path / "lorabench")
    (copy.folder / "vllm.yaml").write_text(
        yaml.safe_dump({"evaluate_task": {"gsm8k": {"engine": "vllm"}}})
    )
    target = "results/smoke/work/evaluate_task/transformers/base.0-of-1"
    answer = copy.snakemake(
        target, "--configfile", "config/smoke.yaml", "vllm.yaml", configfile=None
    )
    assert answer.returncode == 0, answer.stderr


def test_a_missing_judge_key_stops_nothing(finished: Checkout) -> None:
    """The judged scores are asked for again and nothing else."""
    judge = {"judge": {"kind": "openai", "model": "some-model"}}
    path = finished.folder / "no_key.yaml"
    path.write_text(yaml.safe_dump({"run": "smoke", "judge_mt_bench": judge}))
    words = ("--configfile", "config/smoke.yaml", "no_key.yaml")
    assert "judge_mt_bench" not in finished.scheduled(*words, configfile=None)
    with_key = finished.scheduled(*words, configfile=None, environment={"OPENAI_API_KEY": "x"})
    assert with_key == {
        "judge_mt_bench": 3,
        "score_benchmark": 3,
        "check_gate": 1,
        "compare_variants": 1,
        "write_report": 1,
        "export_report": 1,
    }


def test_a_place_that_cannot_be_written_stops_before_snakemake(checkout: Checkout) -> None:
    """A file where a folder belongs, and a link to a disk that is not mounted."""
    for name in ("resources", "logs"):
        place = checkout.folder / name
        place.touch() if name == "resources" else place.symlink_to("/nowhere/logs")
        text = stopped(checkout, {"run": "smoke"}, "config/smoke.yaml")
        assert f"{place}: expected a folder that may be written to" in text
        place.unlink()
