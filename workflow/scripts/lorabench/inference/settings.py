"""What to measure: the config section and the performance prompts."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field

from lorabench.errors import DataError
from lorabench.files import read_jsonl
from lorabench.section import MOST, Distinct, Dtype, Few, Section, Text, Variant


class LoadSettings(Section):
    """Many users at once, each of whom sends the next request when the last one is answered."""

    concurrency: Distinct[Annotated[int, Field(ge=1, le=10_000)]]
    """Users, one level of load each, as far as memory goes; empty = no load is measured."""
    requests_per_user: Annotated[int, Field(ge=1, le=1000)]
    """Requests of a level, for each user."""
    new_tokens: int = Field(ge=2, le=MOST)
    """Tokens of every answer."""
    repeats: Annotated[int, Field(ge=1, le=1000)]
    """Rounds over all levels and variants."""


def _address(text: str) -> str:
    parts = urlsplit(text)
    # raises ValueError where it is no port
    _ = parts.port
    if "@" in parts.netloc:
        raise ValueError(
            "an address must not hold a user name or password; a key is read from the variable"
            " INFERENCE_API_KEY"
        )
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query:
        raise ValueError(f"expected an address such as http://localhost:8000/v1, found {text!r}")
    return text


class Server(Section):
    """The endpoint at which a variant is served."""

    base_url: Annotated[Text, AfterValidator(_address)]
    """Address up to /chat/completions, without user name or password."""
    model: Text
    """The model as the server names it; of an adapter, vLLM's name for it."""


class ServerSettings(Section):
    """OpenAI-compatible endpoints to measure at the same levels of load.

    A key is read from INFERENCE_API_KEY.
    """

    base: Server | None
    """Where the base is served: `base_url` and `model`; null = not measured."""
    lora: Server | None
    """Where base + adapter is served; vLLM serves both at one address under two model names."""
    merged: Server | None
    """Where the merged model is served."""
    timeout_seconds: float = Field(gt=0, le=86_400)
    """Of a request."""


class InferenceSettings(Section):
    """Latency, throughput and memory, all variants interleaved in one job."""

    variants: Distinct[Variant] = Field(min_length=1)
    """Variants to measure."""
    dtype: Dtype
    """Of the model."""
    prompts: int = Field(ge=1, le=20)
    """First n of the 20 performance prompts."""
    new_tokens: int = Field(ge=2, le=MOST)
    """Tokens generated for every prompt; the end of turn is suppressed."""
    repeats: Annotated[int, Field(ge=1, le=1000)]
    """Recorded rounds over all prompts and variants."""
    warmup: Few
    """Rounds before that are not recorded."""
    load: LoadSettings
    """Many users at once."""
    server: ServerSettings
    """Where variants are served by another program."""

    @property
    def servers(self) -> dict[str, Server]:
        """Variant -> where it is served; empty = no server is measured."""
        found = {"base": self.server.base, "lora": self.server.lora, "merged": self.server.merged}
        return {variant: server for variant, server in found.items() if server is not None}


@dataclass(frozen=True, kw_only=True)
class PerformancePrompt:
    """One prompt whose generation is timed."""

    id: str
    category: str
    text: str


def parse_settings(section: dict[str, Any]) -> InferenceSettings:
    """Turn the config section into settings.

    Raises:
        ConfigurationError: a key is unknown or missing, or a value is not what the key takes.
    """
    return InferenceSettings.parse_section(section, "measure_inference")


def read_prompts(path: Path, count: int) -> list[PerformancePrompt]:
    """Return the first `count` prompts of a JSON Lines file of {id, category, prompt}.

    Raises:
        DataError: a field is missing or not text, or the file has fewer prompts.
    """
    prompts: list[PerformancePrompt] = []
    for number, row in read_jsonl(path):
        for field in ("id", "category", "prompt"):
            if not isinstance(row.get(field), str):
                raise DataError(
                    f"{path}:{number}: field {field!r}: expected text, found {row.get(field)!r}"
                )
        prompts.append(
            PerformancePrompt(id=row["id"], category=row["category"], text=row["prompt"])
        )
    if len(prompts) < count:
        raise DataError(
            f"{path}: {count} prompts wanted (measure_inference.prompts), the file has"
            f" {len(prompts)}"
        )
    return prompts[:count]
