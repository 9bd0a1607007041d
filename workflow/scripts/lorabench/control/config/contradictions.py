"""Values that are right each by itself and wrong together, or wrong in this working folder."""

from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from lorabench.control.config.faults import Fault
from lorabench.data.sources.source import KINDS
from lorabench.scoring.settings import HELD_OUT, GateSettings

# of gsm8k_cot, which the harness carries
FIXED_EXAMPLES = 8
# folders of the working folder that no export may write to
OURS = (
    "results",
    "resources",
    "logs",
    "config",
    "rules",
    "workflow",
    "tests",
    "docs",
    ".snakemake",
)


def find_contradictions(run: Mapping[str, Any]) -> Iterator[Fault]:
    """Yield what is wrong with a whole run whose keys are each what they should be."""
    yield from _training(run["train_adapter"])
    yield from _examples(run["evaluate_task"])
    yield from _gate(run["gate"])
    for section in ("judge_mt_bench", "judge_alpaca_eval"):
        judge = run[section]["judge"]
        if judge["kind"] in ("openai", "anthropic") and judge["model"] is None:
            yield (
                (section, "judge", "model"),
                f"expected the name of a model, found null; a judge of kind {judge['kind']!r} is"
                " asked by name",
            )
    for path, entry in sources(run):
        if entry["kind"] == "path":
            yield from _existing((*path, "path"), entry["path"], around=True)
    yield from _existing(("import_adapter", "path"), run["import_adapter"]["path"], around=True)
    yield from _export(run["export_adapter"]["folder"])
    references = run["judge_mt_bench"]["references"]
    yield from _existing(("judge_mt_bench", "references"), references, file=True)
    control = run["score_benchmark"]["length_control_file"]
    yield from _existing(("score_benchmark", "length_control_file"), control, file=True)


def sources(run: Mapping[str, Any]) -> Iterator[tuple[tuple[str, ...], Mapping[str, Any]]]:
    """Yield key path and entry of every source that the run fetches."""
    for role, model in run["fetch_model"].items():
        if model is not None:
            yield ("fetch_model", role), model
    if run["import_adapter"]["path"] is None or run["score_benchmark"]["benchmarks"]:
        yield ("fetch_conversations",), run["fetch_conversations"]
    for benchmark in run["score_benchmark"]["benchmarks"]:
        entry = run["fetch_benchmark"][benchmark]
        yield ("fetch_benchmark", benchmark), entry
        prompt = entry.get("judge_prompt")
        if isinstance(prompt, Mapping) and prompt.get("kind") in KINDS:
            yield ("fetch_benchmark", benchmark, "judge_prompt"), prompt


def _training(section: Mapping[str, Any]) -> Iterator[Fault]:
    if section["fsdp"] and section["use_4bit"] is True:
        yield (
            ("train_adapter", "fsdp"),
            "true divides weights among GPUs, which packed 4-bit weights do not allow; set"
            " use_4bit: false, or fsdp: false (each GPU then holds the whole 4-bit base)",
        )
    for key in ("early_stopping_patience", "keep_best"):
        if section[key] and not section["evaluations_per_epoch"]:
            yield (
                ("train_adapter", key),
                "compares evaluations, and evaluations_per_epoch is 0; set it to 1, or"
                f" {key}: {'null' if key == 'early_stopping_patience' else 'false'}",
            )


def _examples(section: Mapping[str, Any]) -> Iterator[Fault]:
    """Yield a number of examples, or a subject, that the harness does not have."""
    gsm8k, mmlu = section["gsm8k"], section["mmlu"]
    if gsm8k["task"] == "gsm8k_cot" and (gsm8k["few_shot"] or 0) > FIXED_EXAMPLES:
        yield (
            ("evaluate_task", "gsm8k", "few_shot"),
            f"expected at most {FIXED_EXAMPLES}, the fixed examples of gsm8k_cot, found"
            f" {gsm8k['few_shot']}",
        )
    harness = find_spec("lm_eval")
    if harness is None or not mmlu["subjects"]:
        return
    tasks = Path(str(harness.origin)).parent / "tasks" / "mmlu" / "default"
    for name in mmlu["subjects"]:
        if f"mmlu_{name}.yaml" not in {file.name for file in tasks.iterdir()}:
            yield ("evaluate_task", "mmlu", "subjects"), f"{name!r} is no subject of MMLU"


def _gate(section: Mapping[str, Any]) -> Iterator[Fault]:
    for key in ("margins", "improvements"):
        for name, bound in section[key].items():
            if bound is None or bound <= 1 or name == HELD_OUT:
                continue
            # where it is needed only: its modules take a second to load
            from lorabench.scoring.benchmark import SHARE, scored_benchmark

            if scored_benchmark(name).unit == SHARE:
                yield ("gate", key, name), f"expected a share, at most 1, found {bound}"
    for name in GateSettings.parse_section(section, "gate").unbounded():
        yield (
            ("gate", "required"),
            f"{name!r} has no bound; set it in margins, improvements or limits, or take it out",
        )


def _export(folder: str | None) -> Iterator[Fault]:
    """Yield why an adapter cannot be exported into `folder`: other files are there, or will be."""
    if folder is None:
        return
    here, found = Path.cwd(), Path(folder).resolve()
    if found in (here, *here.parents):
        message = f"found {folder!r}, which holds the working folder {here} with its own files"
    elif inside := next((name for name in OURS if found.is_relative_to(here / name)), None):
        message = f"found {folder!r}, which is in {inside}/, where the pipeline keeps its own files"
    else:
        return
    yield ("export_adapter", "folder"), f"expected a folder for the adapter, {message}"


def _existing(
    path: tuple[str, ...], value: str | None, *, around: bool = False, file: bool = False
) -> Iterator[Fault]:
    """Yield why `value` is no file or folder to read.

    With `around`, also where it holds the working folder, whose every file would count as an input;
    with `file`, also where it is no file.
    """
    if value is None:
        return
    found = Path(value)
    try:
        exists = found.exists()
        resolved = found.resolve()
    except (OSError, RuntimeError) as error:
        yield path, f"expected a file or folder, found {value!r}: {error}"
        return
    if not exists:
        message = f"expected a file or folder, found {value!r}, which does not exist"
        yield path, message + _seen(value)
    elif file and not found.is_file():
        yield path, f"expected a file, found {value!r}, which is none"
    elif around and resolved in (Path.cwd(), *Path.cwd().parents):
        yield (
            path,
            f"expected a separate folder, found {value!r}, which contains the working folder"
            f" {Path.cwd()}",
        )


def _seen(value: str) -> str:
    if value.startswith("~"):
        return "; write the home folder out, '~' is not replaced"
    return "" if Path(value).is_absolute() else f" (seen from {Path.cwd()})"
