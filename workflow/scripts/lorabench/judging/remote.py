"""A remote judge: asks over HTTP what the store does not hold, within the budget."""

import asyncio
import sys
from dataclasses import dataclass, field, replace

from tqdm import tqdm

from lorabench.errors import JudgeError
from lorabench.judging.budget import Budget
from lorabench.judging.clients import JUDGING, JudgeClient, Patience, Unanswered
from lorabench.judging.exchange import JudgeRequest, Reply
from lorabench.judging.settings import JudgeSettings
from lorabench.judging.store import AnswerStore
from lorabench.judging.wire import Refusals

# Of the questions may stay unanswered (counted as failures); beyond, the job stops.
UNANSWERED_SHARE = 0.05


class RemoteJudge:
    """A judge behind an HTTP interface."""

    def __init__(
        self, settings: JudgeSettings, store: AnswerStore, patience: Patience = JUDGING
    ) -> None:
        """Use the interface that `settings` names; answers are kept in `store`."""
        self.kind: str = settings.kind
        self.model = str(settings.model)
        self.estimated_usd = 0.0
        self._settings = settings
        self._store = store
        self._patience = patience
        self._refusals = Refusals()

    def ask(self, requests: list[JudgeRequest]) -> list[Reply]:
        """Return one reply for each request; equal ones are asked once, stored ones never.

        Raises:
            JudgeError: the judge cannot be used, too many requests stayed unanswered, or the budget
                ends. Answers that arrived are in the store.
        """
        identity = self._settings.identity
        keys = [request.key(identity) for request in requests]
        missing = {
            key: request
            for key, request in zip(keys, requests, strict=True)
            if key not in self._store
        }
        failed = self._ask_missing(missing, len(set(keys))) if missing else {}
        counted: set[str] = set()
        replies = []
        for key in keys:
            reply = failed[key] if key in failed else self._store.answer(key)
            first = key not in counted
            counted.add(key)
            usd = reply.usd if first else 0.0
            replies.append(replace(reply, cached=not (first and key in missing), usd=usd))
        return replies

    def _ask_missing(self, missing: dict[str, JudgeRequest], total: int) -> dict[str, Reply]:
        """Show the estimate, check it, ask; return the failures.

        Args:
            total: the number of questions, those in the store included.
        """
        budget = Budget(self._settings, self._store.spent_usd)
        estimate = budget.estimate(list(missing.values()))
        tqdm.write(
            f"judge {self.model}: {estimate}, limit {self._settings.max_judge_usd:.2f} USD",
            file=sys.stderr,
        )
        budget.check(estimate)
        self.estimated_usd += estimate.usd
        return asyncio.run(self._round(budget, missing, total))

    async def _round(
        self, budget: Budget, missing: dict[str, JudgeRequest], total: int
    ) -> dict[str, Reply]:
        """Ask what is missing; return the failures, and remember refused parameters."""

        def book_lost(request: JudgeRequest, reason: str) -> None:
            usd = budget.worst_case(request)
            self._store.put_lost(self._settings.identity, request, usd, reason)
            budget.check_reserved()

        async with JudgeClient(self._settings, self._patience, self._refusals, book_lost) as client:
            try:
                round_ = _Round(self._settings, self._store, budget, client, missing, total)
                return await round_.run()
            finally:
                self._refusals = client.refusals


@dataclass
class _Round:
    """One round of questions that are not in the store."""

    settings: JudgeSettings
    store: AnswerStore
    budget: Budget
    client: JudgeClient
    requests: dict[str, JudgeRequest]
    total: int
    waiting: list[tuple[str, JudgeRequest]] = field(init=False)
    failed: dict[str, Reply] = field(default_factory=dict)
    fatal: JudgeError | None = None
    unanswered: int = 0

    async def run(self) -> dict[str, Reply]:
        """Ask everything; return the replies that are not stored because they are failures.

        Raises:
            JudgeError: the round was ended by a fault that concerns all requests.
        """
        self.waiting = list(reversed(self.requests.items()))
        count, workers = len(self.requests), range(self.settings.concurrency)
        with tqdm(
            total=count, desc="judging", unit="answer", file=sys.stderr, mininterval=1
        ) as bar:
            # The first request is sent before the others: it shows a retired model, a wrong key or
            # refused parameters at the price of one.
            await self._work(bar, at_most=1)
            await asyncio.gather(*(self._work(bar, count) for _ in workers))
        if self.fatal:
            raise self.fatal
        if len(self.failed) == self.total > 1:
            reason = next(iter(self.failed.values())).reason
            raise JudgeError(
                f"judge {self.settings.model}: all {len(self.failed)} requests failed, the first"
                f" with {reason}"
            )
        return self.failed

    async def _work(self, bar: "tqdm[None]", at_most: int) -> None:
        """Take requests until no more are waiting or a fault ends the round."""
        while self.waiting and at_most > 0 and self.fatal is None:
            at_most -= 1
            try:
                await self._ask(*self.waiting.pop())
            except JudgeError as error:
                self.fatal = self.fatal or error
            bar.update()

    async def _ask(self, key: str, request: JudgeRequest) -> None:
        reserved, usd = await self.budget.reserve(request), 0.0
        try:
            reply = await self.client.complete(request)
            if reply.outcome == "failed":
                self.failed[key] = reply
            else:
                usd = self.budget.cost(request, reply)
                self.store.put(key, self.settings.identity, request, replace(reply, usd=usd))
        except Unanswered as fault:
            self.failed[key] = Reply(outcome="failed", reason=f"no answer: {fault}")
            self._count_unanswered(str(fault))
        finally:
            self.budget.release(reserved, usd)

    def _count_unanswered(self, reason: str) -> None:
        """End the round when too many requests stay unanswered."""
        self.unanswered += 1
        total = self.total
        if self.unanswered > max(1, int(UNANSWERED_SHARE * total)) or self.unanswered == total:
            raise JudgeError(
                f"judge {self.settings.model}: {self.unanswered} of {total} requests got no"
                f" answer (the last: {reason}); answers so far are kept: run the same command again"
                " to ask the others"
            )
