"""The tiny checkpoint as base and with an adapter, and small benchmark folders."""

import csv
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from lm_eval.api.task import ConfigurableTask
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from lorabench.control.benchmarks import read_task_file
from lorabench.evaluation.benchmark import task_benchmark
from lorabench.evaluation.harness_tasks import build_tasks
from lorabench.files import read_jsonl, sha256_file, write_json, write_jsonl
from lorabench.llama import load_base, load_tokenizer


@pytest.fixture(scope="session")
def base(tiny_model: Path) -> PreTrainedModel:
    """Return the tiny model in float32."""
    return load_base(tiny_model, torch.float32).eval()


@pytest.fixture(scope="session")
def adapted(tiny_model: Path) -> PeftModel:
    """Return the tiny model in float32 with an unmerged adapter that changes its answers."""
    torch.manual_seed(0)
    config = LoraConfig(
        r=4, lora_alpha=8, target_modules=["q_proj", "v_proj", "up_proj"], task_type="CAUSAL_LM"
    )
    model = get_peft_model(load_base(tiny_model, torch.float32), config)
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.3)
    return model.eval()


@pytest.fixture(scope="session")
def tokenizer(tiny_model: Path) -> PreTrainedTokenizerBase:
    """Return the tiny model's tokenizer."""
    return load_tokenizer(tiny_model)


@pytest.fixture
def source(tiny_model: Path, tmp_path: Path) -> Path:
    """Return the source.json of a copy of the tiny model."""
    folder = tmp_path / "model"
    shutil.copytree(tiny_model, folder)
    write_json(
        folder / "source.json",
        {"sha256": {"model.safetensors": sha256_file(folder / "model.safetensors")}},
    )
    return folder / "source.json"


@pytest.fixture(scope="session")
def gsm8k_data(samples: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of canonical GSM8K rows: all sample shots, 10 test items."""
    folder = tmp_path_factory.mktemp("gsm8k")
    for split in ("train", "test"):
        rows = [row for _, row in read_jsonl(samples / f"gsm8k_{split}.jsonl")][:10]
        write_jsonl(
            folder / f"{split}.jsonl",
            ({"id": f"gsm8k-{split}-{i}", **row} for i, row in enumerate(rows)),
        )
    return folder


@pytest.fixture(scope="session")
def mmlu_data(samples: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of canonical MMLU rows: two subjects of the samples, 5 test items each."""
    folder = tmp_path_factory.mktemp("mmlu")
    subjects = sorted(
        path.name.removesuffix("_test.csv") for path in (samples / "mmlu").glob("*_test.csv")
    )[:2]
    for split in ("dev", "test"):
        rows = []
        for subject in subjects:
            with (samples / "mmlu" / f"{subject}_{split}.csv").open(
                encoding="utf-8", newline=""
            ) as file:
                rows += [
                    _mmlu_row(subject, split, i, row)
                    for i, row in enumerate(csv.DictReader(file))
                    if i < 5
                ]
        write_jsonl(folder / f"{split}.jsonl", rows)
    return folder


def built_tasks(
    folder: Path, data: Path, benchmark: str, settings: dict[str, Any]
) -> dict[str, ConfigurableTask]:
    """Return a benchmark's tasks on the rows in `data`; `folder` holds the project's task files."""
    table = task_benchmark(benchmark)
    task_file = read_task_file(folder, settings)
    return build_tasks(table.tasks(task_file, data, table.settings(**settings)))


def _mmlu_row(subject: str, split: str, number: int, row: dict[str, str]) -> dict[str, object]:
    choices = [row[f"choice{choice}"] for choice in range(4)]
    return {
        "id": f"{subject}-{split}-{number}",
        "subject": subject,
        "question": row["question"],
        "choices": choices,
        "answer": int(row["answer"]),
    }
