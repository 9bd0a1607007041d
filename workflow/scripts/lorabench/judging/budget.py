"""What judging will cost before it starts, and a limit that is not exceeded while it runs."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from lorabench.errors import JudgeError
from lorabench.judging.exchange import JudgeRequest, Reply
from lorabench.judging.settings import JudgeSettings

# of English text, for the estimate
BYTES_PER_TOKEN = 4
# for the limit: text seldom has more tokens than that
FEWEST_BYTES_PER_TOKEN = 2
# a rating with its explanation
USUAL_JUDGMENT_TOKENS = 400
POLL_SECONDS = 0.05


@dataclass(frozen=True)
class Estimate:
    """The expected size of a list of calls."""

    calls: int
    input_tokens: int
    output_tokens: int
    usd: float

    def __str__(self) -> str:
        """Return the estimate in words."""
        tokens = f"{self.input_tokens:,} input and {self.output_tokens:,} output tokens"
        return f"{self.calls} calls, about {tokens}, {self.usd:.2f} USD"


class Budget:
    """The spending limit over all jobs of a run.

    Before each call its worst case is reserved: what was spent, what is in flight and the new call
    together stay within the limit. A job does not see what another has in flight, so the profiles
    run one remote judging job at a time; otherwise two jobs at once may exceed it by those few
    calls.
    """

    def __init__(self, settings: JudgeSettings, spent_usd: Callable[[], float]) -> None:
        """Watch `spent_usd`, what the run has paid so far."""
        self._input_price = settings.usd_per_million_input_tokens / 1e6
        self._output_price = settings.usd_per_million_output_tokens / 1e6
        self._limit = settings.max_judge_usd
        self._spent_usd = spent_usd
        self._reserved = 0.0
        self._in_flight = 0
        self._dearer = 1.0

    def estimate(self, requests: list[JudgeRequest]) -> Estimate:
        """Return the expected calls, tokens and cost."""
        tokens_in = sum(_bytes(request) // BYTES_PER_TOKEN for request in requests)
        tokens_out = sum(min(_limit(request), USUAL_JUDGMENT_TOKENS) for request in requests)
        return Estimate(len(requests), tokens_in, tokens_out, self._usd(tokens_in, tokens_out))

    def check(self, estimate: Estimate) -> None:
        """Refuse to start what cannot be finished.

        Raises:
            JudgeError: the expected cost exceeds what is left.
        """
        spent = self._spent_usd()
        # so written that not-a-number is refused, too
        if not spent + estimate.usd <= self._limit:
            raise JudgeError(
                f"{estimate.calls} calls are estimated at {estimate.usd:.2f} USD on top of"
                f" {spent:.2f} USD spent, more than judge.max_judge_usd = {self._limit:.2f}: raise"
                " it, or judge fewer items"
            )

    async def reserve(self, request: JudgeRequest) -> float:
        """Set aside and return the worst case of one call; wait if calls in flight may free it."""
        worst = self.worst_case(request)
        while not self._fits(worst):
            if not self._in_flight:
                raise self._stopped()
            await asyncio.sleep(POLL_SECONDS)
        self._reserved += worst
        self._in_flight += 1
        return worst

    def check_reserved(self) -> None:
        """Stop where lost answers leave too little for what is in flight."""
        if not self._fits(0.0):
            raise self._stopped()

    def _fits(self, more: float) -> bool:
        return self._spent_usd() + self._dearer * (self._reserved + more) <= self._limit

    def _stopped(self) -> JudgeError:
        return JudgeError(
            f"stopped before exceeding judge.max_judge_usd = {self._limit:.2f}"
            f" ({self._spent_usd():.2f} USD spent): the answers so far are kept; raise it and run"
            " the same command again to ask only the missing ones"
        )

    def release(self, worst: float, usd: float = 0.0) -> None:
        """Give a reservation back after the answer, which cost `usd`, or the failure.

        An answer dearer than its worst case (a tokenizer or a price unlike the assumed) raises all
        later reservations.
        """
        if worst > 0:
            self._dearer = max(self._dearer, usd / worst)
        self._reserved -= worst
        self._in_flight -= 1

    def worst_case(self, request: JudgeRequest) -> float:
        """Return the highest cost of one call."""
        return self._usd(_bytes(request) // FEWEST_BYTES_PER_TOKEN, _limit(request))

    def cost(self, request: JudgeRequest, reply: Reply) -> float:
        """Return the cost of an answer by its reported tokens, else the worst case."""
        # the server turned the request away
        if reply.sent is None:
            return 0.0
        counts = (reply.input_tokens, reply.output_tokens)
        if reply.input_tokens is None or reply.output_tokens is None or not any(counts):
            return self.worst_case(request)
        return self._usd(reply.input_tokens, reply.output_tokens)

    def _usd(self, tokens_in: int, tokens_out: int) -> float:
        return tokens_in * self._input_price + tokens_out * self._output_price


def _bytes(request: JudgeRequest) -> int:
    return sum(len(message["content"].encode("utf-8")) for message in request.messages)


def _limit(request: JudgeRequest) -> int:
    return int(request.parameters["max_tokens"])
