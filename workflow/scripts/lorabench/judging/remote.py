"""A remote judge: asks over HTTP what the store does not hold, many requests at a time, within the budget."""

import asyncio
import logging
import sys
from dataclasses import dataclass, replace

from tqdm import tqdm

from lorabench.errors import JudgeError
from lorabench.judging.budget import Budget
from lorabench.judging.clients import JudgeClient, Unanswered
from lorabench.judging.exchange import JudgeRequest, Reply
from lorabench.judging.settings import JudgeSettings
from lorabench.judging.store import AnswerStore

logger = logging.getLogger(__name__)

UNANSWERED_SHARE = 0.05  # of the requests may stay unanswered (counted as failures); beyond, the job stops


class RemoteJudge:
    """A judge behind an HTTP interface."""

    def __init__(self, settings: JudgeSettings, store: AnswerStore, first_backoff_seconds: float = 1.0) -> None:
        """Use the interface that `settings` names; answers are kept in `store`."""
        self.kind = settings.kind
        self.model = str(settings.model)
        self._settings = settings
        self._store = store
        self._first_backoff_seconds = first_backoff_seconds

    def ask(self, requests: list[JudgeRequest]) -> list[Reply]:
        """Return one reply for each request; equal requests are asked once, stored answers not at all.

        Raises:
            JudgeError: the judge cannot be used, too many requests stayed unanswered, or the budget ends. Answers that
                arrived are in the store.
        """
        identity = self._settings.identity
        keys = [request.key(identity) for request in requests]
        missing = {key: request for key, request in zip(keys, requests, strict=True) if key not in self._store}
        failed: dict[str, Reply] = {}
        if missing:
            failed = asyncio.run(_Round(self._settings, self._store, self._first_backoff_seconds, missing).run())
        counted: set[str] = set()
        replies = []
        for key in keys:
            reply = failed[key] if key in failed else self._store.answer(key)
            first = key not in counted
            counted.add(key)
            replies.append(replace(reply, cached=not (first and key in missing), usd=reply.usd if first else 0.0))
        return replies


@dataclass
class _Progress:
    unanswered: int = 0
    last_reason: str = ""
    fatal: JudgeError | None = None


class _Round:
    """One round of questions that are not in the store."""

    def __init__(
        self,
        settings: JudgeSettings,
        store: AnswerStore,
        first_backoff_seconds: float,
        requests: dict[str, JudgeRequest],
    ) -> None:
        self._settings = settings
        self._store = store
        self._backoff = first_backoff_seconds
        self._requests = requests
        self._budget = Budget(settings, store.spent_usd)
        self._progress = _Progress()
        self._failed: dict[str, Reply] = {}
        self._allowed = max(1, int(UNANSWERED_SHARE * len(requests)))

    async def run(self) -> dict[str, Reply]:
        """Ask everything; return the replies that are not stored because they are failures."""
        estimate = self._budget.estimate(list(self._requests.values()))
        logger.info("judge %s: estimate of what is left: %s", self._settings.model, estimate)
        self._budget.check(estimate)
        waiting = list(reversed(self._requests.items()))
        bar = tqdm(total=len(waiting), desc="judging", unit="answer", file=sys.stderr, mininterval=1)
        async with JudgeClient(self._settings, self._backoff) as client:
            # The first goes alone: it shows a retired model, a wrong key, refused parameters at the price of one.
            await self._work(client, [waiting.pop()], bar)
            await asyncio.gather(*(self._work(client, waiting, bar) for _ in range(self._settings.concurrency)))
        bar.close()
        if self._progress.fatal:
            raise self._progress.fatal
        if len(self._failed) == len(self._requests) > 1:
            reason = next(iter(self._failed.values())).reason
            raise JudgeError(
                f"judge {self._settings.model}: all {len(self._failed)} requests failed, the first with {reason}"
            )
        return self._failed

    async def _work(self, client: JudgeClient, waiting: list[tuple[str, JudgeRequest]], bar: "tqdm[None]") -> None:
        """Take requests until none is left or a fault ends the round; what is in flight elsewhere is still stored."""
        while waiting and self._progress.fatal is None:
            key, request = waiting.pop()
            try:
                await self._ask(client, key, request)
            except JudgeError as error:
                self._progress.fatal = self._progress.fatal or error
            bar.update()

    async def _ask(self, client: JudgeClient, key: str, request: JudgeRequest) -> None:
        reserved, usd = await self._budget.reserve(request), 0.0
        try:
            reply = await client.complete(request)
            if reply.outcome == "failed":
                self._failed[key] = reply
            else:
                usd = self._budget.cost(request, reply)
                self._store.put(key, self._settings.identity, request, replace(reply, usd=usd))
        except Unanswered as fault:
            self._failed[key] = Reply(outcome="failed", reason=f"no answer: {fault}")
            self._count_unanswered(str(fault))
        finally:
            self._budget.release(reserved, usd)

    def _count_unanswered(self, reason: str) -> None:
        """End the round when too many requests stay unanswered.

        Raises:
            JudgeError: more than the allowed number did.
        """
        self._progress.unanswered += 1
        if self._progress.unanswered > self._allowed or len(self._requests) == self._progress.unanswered:
            raise JudgeError(
                f"judge {self._settings.model}: {self._progress.unanswered} of {len(self._requests)} requests got no "
                f"answer (the last: {reason}); answers so far are kept: run the same command again to ask the others"
            )
