"""Check the files of a run against the published schemas."""

import json
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator
from referencing import Registry, Resource

FOLDER = Path(__file__).resolve().parents[2] / "docs" / "schemas"
SCHEMAS: dict[str, Any] = {
    path.stem: json.loads(path.read_text(encoding="utf-8")) for path in FOLDER.glob("*.json")
}
REGISTRY: Any = Registry().with_resources(
    [(f"{name}.json", Resource.from_contents(schema)) for name, schema in SCHEMAS.items()]
)
RUN_FILES = {  # pattern below results/{run} -> schema
    "data/train.jsonl": "conversation",
    "data/validation.jsonl": "conversation",
    "data/summary.json": "summary",
    "data/contamination.json": "contamination",
    "adapter/training_record.json": "training_record",
    "adapter/train_metrics.json": "train_metrics",
    "adapter/run_config.json": "run_config",
    "adapter/fingerprint.json": "fingerprint",
    "merged/merge_report.json": "merge_report",
    "work/*/*/*/*/*.json": "protocol",
    "answers/*/*.json": "protocol",
    "answers/*/*.jsonl": "answer",
    "judgments/*/*.json": "protocol",
    "judgments/*/*.jsonl": "item_result",
    "eval/*/*.json": "score",
    "eval/*/*.jsonl": "item_result",
    "perf/*.json": "perf",
    "perf/*.jsonl": "token_times",
    "perf/raw/load.jsonl": "load_request",
    "perf/raw/conditions.json": "inference_conditions",
    "gate.json": "gate",
    "gate_declaration.json": "gate_declaration",
    "compare.json": "compare",
    "report/report.json": "report",
}
EXPORT_FILES = {  # file in reports/bench/{git-sha} -> schema
    "eval_results.json": "eval_results",
    "gsm8k_results.json": "gsm8k_results",
    "mmlu_results.json": "mmlu_results",
    "mtbench_outputs.json": "mtbench_outputs",
    "alpaca_outputs.json": "alpaca_outputs",
    "perf_results.json": "perf_results",
    "perf_base.json": "perf_variant",
    "perf_lora.json": "perf_variant",
    "perf_merged.json": "perf_variant",
    "report.json": "report",
}


def faults_of(path: Path, schema: str) -> list[str]:
    """Return what is wrong with a JSON file, or with the lines of a JSON Lines file."""
    text = path.read_text(encoding="utf-8")
    lines = text.splitlines() if path.suffix == ".jsonl" else [text]
    documents = map(json.loads, lines)
    validator = Draft202012Validator(SCHEMAS[schema], registry=REGISTRY)
    return [
        f"{path}:{number} {error.json_path}: {error.message[:200]}"
        for number, document in enumerate(documents, start=1)
        for error in validator.iter_errors(document)
    ]


def faults_below(folder: Path, files: dict[str, str]) -> list[str]:
    """Return the faults of all files below `folder`; a pattern without a file is one too."""
    faults = []
    for pattern, schema in files.items():
        paths = sorted(folder.glob(pattern))
        faults += [fault for path in paths for fault in faults_of(path, schema)]
        faults += [] if paths else [f"{pattern}: no file"]
    return faults
