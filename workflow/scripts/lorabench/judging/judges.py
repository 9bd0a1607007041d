"""Open the judge that the config names."""

from pathlib import Path

from lorabench.judging.exchange import Judge
from lorabench.judging.settings import JudgeSettings
from lorabench.judging.store import AnswerStore


def open_judge(settings: JudgeSettings, store: AnswerStore, model_source: Path | None) -> Judge:
    """Return the local judge in the folder of `model_source`, or a remote one.

    Only the chosen judge's libraries are loaded: torch for a local one, the provider's client for a
    remote one.
    """
    if settings.kind == "local":
        from lorabench.judging.local import LocalJudge

        if model_source is None:
            raise ValueError("a local judge needs the source.json of its model")
        return LocalJudge(model_source, settings, store)
    from lorabench.judging.remote import RemoteJudge

    return RemoteJudge(settings, store)
