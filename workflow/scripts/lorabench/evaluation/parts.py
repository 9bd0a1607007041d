"""What a job asks: one shard of several benchmarks, of the variants that share a checkpoint."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lorabench.documents.protocol import Made
from lorabench.evaluation.response_store import ResponseStore, open_shared
from lorabench.evaluation.weights import Weights, dtype_name, library_versions
from lorabench.llama import device


@dataclass(frozen=True, kw_only=True)
class Parts:
    """All parts of a job; the fields are what its rule names."""

    # a variant, or "base-lora"
    variants: str
    # the base model's source.json
    source: Path
    # the adapter's fingerprint.json and the merge report, where a variant needs them
    adapter: Path | None
    merged: Path | None
    # source.json of each benchmark, in the order of the settings
    data: list[Path]
    # folder to fill
    answers: Path
    # the run's folder in the folder of all runs' answers
    store: Path
    shard: int
    shards: int
    # the rule's section, with the keys of each benchmark under `benchmarks`
    settings: dict[str, Any]

    def each(self) -> "Iterator[Part]":
        """Yield the parts, all of one variant before the next."""
        common = {key: value for key, value in self.settings.items() if key != "benchmarks"}
        for variant in self.variants.split("-"):
            weights = Weights(
                variant=variant,
                source=self.source,
                adapter=self.adapter if variant == "lora" else None,
                merged=self.merged if variant == "merged" else None,
            )
            own = zip(self.settings["benchmarks"].items(), self.data, strict=True)
            for (benchmark, keys), source in own:
                settings = common | {"benchmark": keys}
                yield Part(self, weights, benchmark, source.parent, settings)


@dataclass(frozen=True)
class Part:
    """One shard of one benchmark, of one variant."""

    job: Parts
    weights: Weights
    benchmark: str
    # folder of the benchmark's rows
    data: Path
    # the rule's section, with this benchmark's keys under `benchmark`
    settings: dict[str, Any]

    def file(self, suffix: str) -> Path:
        """Return the file for what came back (jsonl), or for how it was made (json)."""
        return self.job.answers / self.weights.variant / f"{self.benchmark}.{suffix}"

    def open_store(self, identity: dict[str, Any]) -> ResponseStore:
        """Return the store of these answers; see `open_shared`."""
        name = f"{self.benchmark}.{self.job.shard}-of-{self.job.shards}"
        return open_shared(self.job.store, self.weights.variant, name, identity)

    def made(self, engine: str, tokens: int, started: float) -> Made:
        """Return how the rows were made, as all jobs record it; `tokens` were computed since
        `started`, in seconds of the performance counter."""
        return {
            "schema_version": 2,
            "benchmark": self.benchmark,
            "dtype": dtype_name(self.settings["dtype"]),
            "engine": engine,
            "device": str(device()),
            "versions": library_versions(engine),
            "model": self.weights.fingerprint(),
            "settings": self.settings,
            "tokens_computed": tokens,
            "seconds": round(time.perf_counter() - started, 3),
        }


@contextmanager
def named(part: Part) -> Iterator[None]:
    """Add the part's name to an error that leaves the block."""
    try:
        yield
    except Exception as error:
        error.add_note(f"{part.benchmark} on {part.weights.variant}")
        raise
