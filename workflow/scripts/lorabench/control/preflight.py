"""Look, before the first job, for everything that would stop a run later."""

import re
import shutil
import subprocess
from collections.abc import Mapping, Set
from dataclasses import replace
from pathlib import Path
from typing import Any

from lorabench.control.base_model import model_folder
from lorabench.control.check_source import check_source
from lorabench.control.configuration import source
from lorabench.control.context_limits import LENGTHS, find_context_faults
from lorabench.control.estimate import estimate, this_cpu
from lorabench.data.models.checkpoint import check_layers
from lorabench.description.gpus import GPUS, Device, known_gpu
from lorabench.errors import DataError, LorabenchError, PrerequisiteError
from lorabench.evaluation.vllm_support import vllm_version, why_not_in_dtype, why_not_served
from lorabench.files import read_json
from lorabench.judging.availability import secret_faults
from lorabench.safetensors_header import read_header
from lorabench.scoring.regulariser_file import check_regulariser_file
from lorabench.training.adapter.check import check_adapter
from lorabench.training.adapter.folder import CONFIG, WEIGHTS

ASKING = {"evaluate_task", "generate_answers", "measure_inference"}
GPU_RULES = {"train_adapter", "merge_adapter", *ASKING}
GIGABYTE = 10**9


def check(
    runs: dict[str, dict[str, Any]],
    rules: Set[str],
    *,
    vllm: Set[tuple[str, str, str]],
    with_conda: bool,
    local: bool,
    environment: Mapping[str, str],
) -> None:
    """Check what the scheduled rules need.

    Args:
        runs: run name -> config.
        rules: names of the rules that have a job to run.
        vllm: (run, rule, variant) of the jobs whose texts vLLM generates.
        with_conda: Snakemake builds the jobs' environments.
        local: jobs run on this machine, so that its GPU and disk count.

    Raises:
        PrerequisiteError: with every fault found, one a line.
    """
    faults: list[str] = secret_faults(environment)
    for run in runs.values():
        found = find_source_faults(run, rules)
        faults += found
        # a base that is no model is not looked at any further
        if not any(fault.startswith("fetch_model.base") for fault in found):
            faults += find_base_faults(run, rules, local=local)
        if local:
            faults += find_machine_faults(
                run, rules, gpu=gpu_found(), free=shutil.disk_usage(".").free
            )
    if vllm and not with_conda:
        faults += find_missing_vllm()
    for name, rule, variant in sorted(vllm):
        if variant == "lora":
            faults += find_adapter_faults(runs[name], rule)
    if faults:
        raise PrerequisiteError("\n".join(dict.fromkeys(faults)))


def find_base_faults(run: dict[str, Any], rules: Set[str], *, local: bool) -> list[str]:
    """Return one line for each setting that does not go with the base model, if that is here."""
    faults = find_content_faults(run, rules)
    if rules & LENGTHS.keys():
        faults += find_context_faults(run, rules, model_folder(run))
    if run["import_adapter"]["path"] and "import_adapter" in rules:
        faults += check_adapter(Path(run["import_adapter"]["path"]), model_folder(run))
    if local and "train_adapter" in rules:
        faults += find_memory_faults(run, device_here())
    return faults


def find_source_faults(run: dict[str, Any], rules: Set[str]) -> list[str]:
    """Return one line for each model or data source that a scheduled rule would fail to fetch."""
    entries: list[tuple[str, str, Any]] = []
    if "fetch_model" in rules:
        entries += [
            (f"fetch_model.{role}", "model", run["fetch_model"][role])
            for role in run["fetch_model"]
        ]
    if "fetch_conversations" in rules:
        entries.append(("fetch_conversations", "conversations", run["fetch_conversations"]))
    if "fetch_benchmark" in rules:
        names = run["score_benchmark"]["benchmarks"]
        entries += [(f"fetch_benchmark.{n}", n, run["fetch_benchmark"][n]) for n in names]
    return [
        f"{place}: {fault}"
        for place, kind, entry in entries
        if entry is not None
        for fault in check_source(kind, source(entry))
    ]


def find_content_faults(run: dict[str, Any], rules: Set[str]) -> list[str]:
    """Return a line for each file here whose content does not fit the settings.

    That is a base model without the layers that should get an adapter, or a file that is not what a
    score needs.
    """
    faults = []
    if "train_adapter" in rules and (folder := model_folder(run)):
        try:
            check_layers(folder, run["train_adapter"]["target_modules"])
        except DataError as error:
            faults.append(str(error))
    if "score_benchmark" in rules and (file := run["score_benchmark"]["length_control_file"]):
        try:
            check_regulariser_file(Path(file))
        except LorabenchError as error:
            faults.append(f"score_benchmark.length_control_file: {error}")
    return faults


def find_missing_vllm() -> list[str]:
    """Return a line where vLLM is missing from Snakemake's own Python, which runs the jobs then."""
    try:
        vllm_version()
    except PrerequisiteError as error:
        return [str(error)]
    return []


def find_adapter_faults(run: dict[str, Any], rule: str) -> list[str]:
    """Return one line where vLLM would not serve the run's adapter in jobs of `rule`."""
    imported = run["import_adapter"]["path"]
    if imported and check_adapter(Path(imported), None):
        # not whole, or already copied and gone: this check cannot say
        return []
    if imported:
        config = read_json(Path(imported) / CONFIG)
        tensors = list(read_header(Path(imported) / WEIGHTS))
    else:
        trained = run["train_adapter"]
        config = {"r": trained["lora_r"], "use_dora": trained["use_dora"]}
        tensors = [f"model.{module}.lora_A.weight" for module in trained["target_modules"]]
    reasons = (
        why_not_served(config, tensors),
        why_not_in_dtype(run[rule]["dtype"], gpus=int(run["require_gpu"])),
    )
    return [f"run {run['run']!r}, {rule}: {reason}" for reason in reasons if reason]


def find_machine_faults(run: dict[str, Any], rules: Set[str], *, gpu: bool, free: int) -> list[str]:
    """Return one line for each thing that this machine lacks: a GPU, `free` bytes of disk."""
    faults = []
    if run["require_gpu"] and rules & GPU_RULES and not gpu:
        faults.append(
            f"run {run['run']!r} needs a GPU (require_gpu: true) and nvidia-smi shows none: `make"
            " bench-demo` runs the whole pipeline on a CPU, `--profile slurm-gpu` on a cluster"
        )
    needed = disk_needed(run, rules)
    if free < needed:
        faults.append(
            f"run {run['run']!r} needs about {needed / GIGABYTE:.1f} GB of disk and"
            f" {free / GIGABYTE:.1f} GB are free here: free some, or move the project to a larger"
            " disk"
        )
    return faults


def find_memory_faults(run: dict[str, Any], device: Device) -> list[str]:
    """Return one line where the run's training cannot fit into the memory of `device`."""
    folder = model_folder(run)
    settings = run["train_adapter"]
    if folder is None or settings["fsdp"]:
        return []
    found = estimate(settings, read_json(folder / "config.json"), None, device)
    if found.choice.fits:
        return []
    return [
        f"run {run['run']!r}: training needs about {found.peak_memory_bytes / 1e9:.1f} GB,"
        f" {found.device} has {found.memory_bytes / 1e9:.1f} GB; in train_adapter, set"
        f" {' or '.join(found.suggestions)}"
    ]


def device_here() -> Device:
    """Return the first GPU that nvidia-smi lists, else this machine's CPU."""
    if not gpu_found():
        return this_cpu()
    query = ["nvidia-smi", "--query-gpu=name,memory.total", "--format=csv,noheader,nounits"]
    line = subprocess.run(query, capture_output=True, text=True, check=True).stdout.splitlines()[0]
    name, _, mebibytes = line.rpartition(",")
    known = known_gpu(name) or GPUS["A100-80"]
    return replace(known, name=name, memory_bytes=float(mebibytes) * 2**20)


def disk_needed(run: dict[str, Any], rules: Set[str]) -> int:
    """Return the bytes that scheduled rules will write, by the model's name ("8B"), 2 a weight.

    One copy for the downloaded checkpoint, one for the merged one, half a copy for adapter,
    checkpoints and answers.
    """
    weights = weights_by_name(run["fetch_model"]["base"]["name"]) or 0.0
    copies = (
        ("fetch_model" in rules) + ("merge_adapter" in rules) + 0.5 * ("train_adapter" in rules)
    )
    return int(2 * weights * copies)


def weights_by_name(name: str) -> float | None:
    """Return the number of weights that a model's name says ("8B"), else None."""
    size = re.search(r"(\d+(?:\.\d+)?)([BM])\b", name)
    return float(size[1]) * {"B": 1e9, "M": 1e6}[size[2]] if size else None


def gpu_found() -> bool:
    """Return whether nvidia-smi lists a GPU; torch knows, too, but takes seconds to import."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return False
    listing = subprocess.run([program, "-L"], capture_output=True, text=True, check=False)
    return listing.returncode == 0 and "GPU" in listing.stdout
