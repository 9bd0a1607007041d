"""Fetch a benchmark: a source of the config -> resources/benchmarks/{benchmark}/{source}/, rows and
source.json.

    gsm8k        train.jsonl, test.jsonl
    mmlu         dev.jsonl, test.jsonl
    mt_bench     question.jsonl, reference.jsonl, judge_prompts.jsonl
    alpaca_eval  instructions.jsonl, judge_prompt.txt

The judge's prompts come from the source itself where it has them, else from the source that
`judge_prompt` names.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from lorabench.data.benchmarks import alpaca_eval, gsm8k, mmlu, mt_bench
from lorabench.data.sources.download import locate
from lorabench.data.sources.source import (
    Source,
    WheelSource,
    parse_source,
    staging_folder,
    write_record,
)
from lorabench.data.tables import Row
from lorabench.errors import ConfigurationError
from lorabench.files import write_jsonl, write_text
from lorabench.job import run_job

READERS: dict[str, Callable[[Path], dict[str, list[Row]]]] = {
    "gsm8k": gsm8k.read_gsm8k,
    "mmlu": mmlu.read_mmlu,
    "mt_bench": mt_bench.read_mt_bench,
    "alpaca_eval": alpaca_eval.read_alpaca_eval,
}
HUB_FILES = {
    "gsm8k": gsm8k.HUB_FILES,
    "mmlu": mmlu.HUB_FILES,
    "mt_bench": mt_bench.HUB_FILES,
    "alpaca_eval": alpaca_eval.HUB_FILES,
}
PROMPT_FILES = {"mt_bench": mt_bench.JUDGE_PROMPTS, "alpaca_eval": alpaca_eval.JUDGE_PROMPT}


def fetch_benchmark(
    *, benchmark: str, samples: Sequence[Path], source: Path, settings: dict[str, Any]
) -> None:
    """Publish the rows of one benchmark beside `source` (source.json).

    Args:
        benchmark: gsm8k, mmlu, mt_bench or alpaca_eval.
        samples: the project's own files of this benchmark, the built-in source.
        source: source.json to write.
        settings: the source of the config, with `judge_prompt` as a source of its own where it has
            one.
    """
    origin = parse_source({key: value for key, value in settings.items() if key != "judge_prompt"})
    with staging_folder(source) as staging:
        with TemporaryDirectory(dir=staging) as temporary:
            scratch, wheels = Path(temporary), []
            built_in = link_samples(benchmark, samples, scratch / "samples")
            path, licence = locate(
                origin, built_in=built_in, hub_files=HUB_FILES[benchmark], scratch=scratch
            )
            rows = {
                name: write_jsonl(staging / name, table)
                for name, table in READERS[benchmark](path).items()
            }
            if benchmark in PROMPT_FILES:
                prompt, prompt_origin = locate_prompt(
                    benchmark, path, settings.get("judge_prompt"), scratch
                )
                write_prompt(benchmark, prompt, staging)
                wheels = [prompt_origin] if isinstance(prompt_origin, WheelSource) else []
        write_record(origin, staging, rows=rows, licence=licence, wheels=wheels)


def link_samples(benchmark: str, samples: Sequence[Path], folder: Path) -> Path:
    """Link the samples into `folder` under the names of the public schema (gsm8k_test.jsonl ->
    test.jsonl)."""
    folder.mkdir()
    for sample in samples:
        (folder / sample.name.removeprefix(f"{benchmark}_")).symlink_to(sample.absolute())
    return folder


def locate_prompt(
    benchmark: str, path: Path, settings: dict[str, Any] | None, scratch: Path
) -> tuple[Path, Source | None]:
    """Return the file of the judge's prompts, and its own source where it is not part of the
    benchmark's.

    Raises:
        ConfigurationError: the benchmark's source has none and `judge_prompt` is not set.
    """
    folder = path if path.is_dir() else path.parent
    file = folder / PROMPT_FILES[benchmark]
    if file.is_file():
        return file, None
    if settings is None:
        raise ConfigurationError(
            f"{folder}: no {file.name}; put it there or set"
            f" fetch_benchmark.{benchmark}.judge_prompt to a source of it"
        )
    origin = parse_source(settings)
    found, _ = locate(origin, built_in=file, hub_files=(file.name,), scratch=scratch)
    return (found / file.name if found.is_dir() else found), origin


def write_prompt(benchmark: str, prompt: Path, staging: Path) -> None:
    """Write the checked prompt file of the benchmark's judge to `staging`."""
    target = staging / PROMPT_FILES[benchmark]
    if benchmark == "mt_bench":
        write_jsonl(target, mt_bench.read_judge_prompts(prompt))
    else:
        write_text(target, alpaca_eval.read_judge_prompt(prompt))


if __name__ == "__main__":
    run_job(snakemake, fetch_benchmark, unused=("local",))
