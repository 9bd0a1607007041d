"""Measure all arms at the same levels of load, in turn; our own decoder and a server alike."""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lorabench.documents.load_request import LoadRequest
from lorabench.inference.server_client import Reply, ServerClient
from lorabench.inference.settings import InferenceSettings, LoadSettings, PerformancePrompt
from lorabench.inference.turns import arms_of, turns
from lorabench.inference.worker_process import WorkerProcess

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Level:
    """What one arm did at one level of load."""

    # fields of LoadRequest without engine, variant, repeat, concurrency and prompt_id
    requests: list[dict[str, Any]]
    # why nothing was measured
    skipped: str | None = None


# an arm at a level: (requests in flight, requests in all) -> what it did
Serve = Callable[[int, int], Level]


class LoadSession:
    """Collects the requests of all arms and levels."""

    def __init__(self, settings: LoadSettings, prompts: Sequence[PerformancePrompt]) -> None:
        self.settings = settings
        self.prompts = prompts
        self.rows: list[LoadRequest] = []
        # engine, variant, concurrency and reason of levels that were not measured
        self.skipped: list[dict[str, Any]] = []

    def run(
        self, engine: str, arms: Mapping[str, Serve], repeats: Sequence[int] | None = None
    ) -> None:
        """Measure every level with every arm, in turn, up to the level that is too much for it.

        Args:
            engine: "own" or "server".
            arms: variant or control -> what serves it.
            repeats: numbers of the repeats to measure; None = all.
        """
        ended: set[str] = set()
        number = 0
        for repeat in range(self.settings.repeats) if repeats is None else repeats:
            for concurrency in self.settings.concurrency:
                for arm in turns(list(arms), number):
                    if arm not in ended and not self._level(
                        engine, arm, arms[arm], repeat, concurrency
                    ):
                        ended.add(arm)
                number += 1

    def _level(self, engine: str, arm: str, serve: Serve, repeat: int, concurrency: int) -> bool:
        """Measure one level; return whether anything was answered."""
        level = serve(concurrency, concurrency * self.settings.requests_per_user)
        self.rows += [
            LoadRequest(
                engine=engine,
                variant=arm,
                repeat=repeat,
                concurrency=concurrency,
                prompt_id=self.prompts[request["number"] % len(self.prompts)].id,
                **request,
            )
            for request in level.requests
        ]
        failed = [one["reason"] for one in level.requests if one["status"] == "failed"]
        answered = len(level.requests) - len(failed)
        reason = level.skipped or (failed[0] if failed and not answered else None)
        if reason:
            logger.warning("%s, %d at a time: not measured, %s", arm, concurrency, reason)
            self.skipped.append(
                {"engine": engine, "variant": arm, "concurrency": concurrency, "reason": reason}
            )
        return answered > 0


def own_arm(worker: WorkerProcess, new_tokens: int) -> Serve:
    """Return a loaded worker as an arm."""

    def serve(concurrency: int, requests: int) -> Level:
        wanted = {"concurrency": concurrency, "requests": requests, "new_tokens": new_tokens}
        reply = worker.ask({"load": wanted})
        rows = [
            {
                "status": "ok",
                "reason": None,
                "tokens_from": "decoder",
                "number": one["number"],
                "output_tokens": one["tokens"],
                "sent_ms": one["sent_ms"],
                "time_to_first_token_ms": one["time_to_first_token_ms"],
                "end_to_end_ms": one["end_to_end_ms"],
            }
            for one in reply["served"]
        ]
        return Level(requests=rows, skipped=reply["skipped"])

    return serve


def server_arm(
    client: ServerClient, prompts: Sequence[PerformancePrompt], new_tokens: int
) -> Serve:
    """Return a served endpoint as an arm."""

    def serve(concurrency: int, requests: int) -> Level:
        replies = client.load(
            prompts, concurrency=concurrency, requests=requests, new_tokens=new_tokens
        )
        return Level(requests=[_row(reply) for reply in replies])

    return serve


def measure_servers(
    session: LoadSession, settings: InferenceSettings, prompts: Sequence[PerformancePrompt]
) -> dict[str, dict[str, Any]]:
    """Measure the endpoints, the base's twice; return what each variant's is."""
    served = [variant for variant in settings.variants if variant in settings.servers]
    clients = {
        arm: ServerClient(
            settings.servers[arm if arm in served else "base"], settings.server.timeout_seconds
        )
        for arm in arms_of(served)
    }
    if clients and settings.load.concurrency:
        new_tokens = settings.load.new_tokens
        arms = {arm: server_arm(client, prompts, new_tokens) for arm, client in clients.items()}
        session.run("server", arms)
    return {
        arm: {**vars(clients[arm].server), "lengths_fixed": clients[arm].lengths_fixed}
        for arm in served
    }


def _row(reply: Reply) -> dict[str, Any]:
    return {"status": "ok" if reply.reason is None else "failed", **vars(reply)}
