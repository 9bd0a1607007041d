"""Say before any work whether a judge can run; asked while the job graph is built."""

import re
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

KEY_VARIABLES = {"openai": "OPENAI_API_KEY", "anthropic": "ANTHROPIC_API_KEY"}
SECRETS = ("HF_TOKEN", *KEY_VARIABLES.values(), "INFERENCE_API_KEY")


def judge_available(judge: Mapping[str, Any], environ: Mapping[str, str]) -> str | None:
    """Return why the judge of a config section cannot run and what to do, else None.

    An OpenAI-compatible server at `base_url` may need no key; whether it does is found out by the
    first request.

    Args:
        judge: the `judge` key of a judging section.
    """
    kind = judge.get("kind")
    if kind == "local":
        return None
    if kind not in KEY_VARIABLES:
        return "no judge is configured: set judge.kind to openai, anthropic or local"
    if not judge.get("model"):
        return f"judge.model is not set: name a model of the {kind} judge"
    variable = KEY_VARIABLES[kind]
    faults = secret_faults(environ, [variable])
    if fault := base_url_fault(judge.get("base_url")) or next(iter(faults), None):
        return fault
    if environ.get(variable, "").strip() or (kind == "openai" and judge.get("base_url")):
        return None
    return (
        f"{variable} is not set: set it and run the same command again, only the judging runs (or"
        " use judge.kind local, whose scores count only with judge.carries_signal true)"
    )


def secret_faults(environ: Mapping[str, str], names: Sequence[str] = SECRETS) -> list[str]:
    """Return a line for each secret that no header can hold, without its value."""
    return [
        f"{name} holds a line break or another character that no key has (its value is not shown):"
        " set it again without that character"
        for name in names
        if re.search(r"[^\x20-\x7e]", environ.get(name, ""))
    ]


def base_url_fault(url: str | None) -> str | None:
    """Return what is wrong with a `judge.base_url` as one sentence, None for a plain address.

    Results and reports name the address, so it may hold nothing secret; the sentence does not
    repeat it.
    """
    if not url:
        return None
    expected = "expected an address such as http://localhost:8000/v1"
    if not isinstance(url, str) or re.search(r"[^\x21-\x7e]|\\", url):
        return f"judge.base_url holds a space, a line break or an odd character: {expected}"
    try:
        parts = urlsplit(url)
        whole = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        whole = False
    if not whole:
        return f"judge.base_url is no http or https address: {expected}"
    if "@" in parts.netloc:
        return (
            "judge.base_url holds a user name or password, which results and reports would show:"
            " put the key into the environment (OPENAI_API_KEY, ANTHROPIC_API_KEY)"
        )
    if "?" in url or "#" in url:
        return f"judge.base_url holds a query or fragment (? or #), which is not sent: {expected}"
    return None
