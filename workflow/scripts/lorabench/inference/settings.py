"""What to measure: the config section and the performance prompts."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from lorabench.errors import ConfigurationError, DataError
from lorabench.files import read_jsonl


@dataclass(frozen=True, kw_only=True)
class LoadSettings:
    """The part `load` of the config section."""

    # requests in flight, one level each; empty = no load is measured
    concurrency: list[int]
    # of a level, for each request in flight
    requests_per_user: int
    new_tokens: int
    repeats: int


@dataclass(frozen=True, kw_only=True)
class Server:
    """The endpoint at which a variant is served."""

    # up to and without /chat/completions
    base_url: str
    # as the server names it; of an adapter, vLLM's name for it
    model: str


@dataclass(frozen=True, kw_only=True)
class InferenceSettings:
    """The config section `measure_inference`, without what only the summary needs."""

    variants: list[str]
    dtype: str
    # first n of the file
    prompts: int
    # at least 2: one gap between tokens
    new_tokens: int
    repeats: int
    # rounds over all prompts that are not recorded
    warmup: int
    load: LoadSettings
    # variant -> where it is served; empty = no server is measured
    servers: dict[str, Server]
    server_timeout_seconds: float


@dataclass(frozen=True, kw_only=True)
class PerformancePrompt:
    """One prompt whose generation is timed."""

    id: str
    category: str
    text: str


def parse_settings(section: dict[str, Any]) -> InferenceSettings:
    """Turn the config section into settings.

    Raises:
        ConfigurationError: a key is unknown or missing, a value is too small, or an address holds a
            user name or password.
    """
    given = dict(section)
    load, server = given.pop("load", None), dict(given.pop("server", None) or {})
    timeout = server.pop("timeout_seconds", 0)
    try:
        settings = InferenceSettings(
            **given,
            load=LoadSettings(**(load or {})),
            servers={name: Server(**value) for name, value in server.items() if value},
            server_timeout_seconds=timeout,
        )
    except TypeError as error:
        raise ConfigurationError(
            f"measure_inference: {str(error).partition('__init__() ')[2]}"
        ) from None
    _check_sizes(settings)
    for name, one in settings.servers.items():
        _check_address(name, one.base_url)
    return settings


def _check_sizes(settings: InferenceSettings) -> None:
    smallest = {"prompts": 1, "new_tokens": 2, "repeats": 1, "warmup": 0}
    values: list[tuple[str, int, int]] = [
        (key, getattr(settings, key), least) for key, least in smallest.items()
    ]
    load = settings.load
    values += [
        (f"load.{key}", getattr(load, key), smallest[key]) for key in ("new_tokens", "repeats")
    ]
    values += [("load.requests_per_user", load.requests_per_user, 1)]
    values += [("load.concurrency", number, 1) for number in load.concurrency]
    for key, value, least in values:
        if value < least:
            raise ConfigurationError(
                f"measure_inference.{key}: expected at least {least}, found {value}"
            )


def _check_address(variant: str, address: str) -> None:
    parts = urlsplit(address)
    place = f"measure_inference.server.{variant}.base_url"
    if "@" in parts.netloc:
        raise ConfigurationError(
            f"{place}: an address must not hold a user name or password; a key is read from the"
            " variable INFERENCE_API_KEY"
        )
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ConfigurationError(
            f"{place}: expected an address such as http://localhost:8000/v1, found {address!r}"
        )


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
