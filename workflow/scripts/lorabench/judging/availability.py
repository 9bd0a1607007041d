"""Say before any work whether a judge can run. Standard library only: this is asked while the job
graph is built."""

from collections.abc import Mapping
from typing import Any

KEY_VARIABLES = {"openai": "OPENAI_API_KEY", "anthropic": "ANTHROPIC_API_KEY"}


def judge_available(judge: Mapping[str, Any], environ: Mapping[str, str]) -> str | None:
    """Return None if the judge of a config section can run, else the reason as one sentence with
    what to do.

    An OpenAI-compatible server at `base_url` may need no key; whether it does is found out by the
    first request.

    Args:
        judge: the `judge` key of a judging section.
        environ: os.environ.
    """
    kind = judge.get("kind")
    if kind == "local":
        return None
    if kind not in KEY_VARIABLES:
        return "no judge is configured: set judge.kind to openai, anthropic or local"
    if not judge.get("model"):
        return f"judge.model is not set: name a model of the {kind} judge"
    variable = KEY_VARIABLES[kind]
    if environ.get(variable, "").strip() or (kind == "openai" and judge.get("base_url")):
        return None
    return (
        f"{variable} is not set: set it and run the same command again, only the judging runs (or"
        " use judge.kind local)"
    )
