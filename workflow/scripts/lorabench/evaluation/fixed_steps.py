"""Decode steps in a few fixed shapes, so that a GPU can replay them as CUDA graphs.

The number of rows is rounded up to a power of two and the tokens that a row attends to up to a
multiple of `REACH`. Rows that are added take slots that are not in use and write a token there that
nobody reads.
"""

import logging
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from lorabench.captured import Captured

logger = logging.getLogger(__name__)

REACH = 256
# (token ids (rows, 1), own places (rows, 1), reach) -> logits (rows, vocabulary)
Step = Callable[[Tensor, Tensor, int], Tensor]


class FixedSteps:
    """The steps of one generation.

    Args:
        step: the pass; it reads and writes fixed tensors only.
        slots: rows at most.
        capacity: own tokens of a row at most.
        device: of the model.
        captured: replay steps as CUDA graphs; where a step cannot be captured, it is launched from
            Python from then on.
    """

    def __init__(
        self, step: Step, slots: int, capacity: int, device: torch.device, *, captured: bool
    ) -> None:
        self._step = step
        self.slots = slots
        self.capacity = capacity
        self.captured = captured
        self._ids = torch.zeros((slots, 1), dtype=torch.long, device=device)
        self._places = torch.zeros((slots, 1), dtype=torch.long, device=device)
        self._passes: dict[tuple[int, int], Callable[[], None]] = {}
        self._logits: dict[tuple[int, int], Tensor] = {}
        # the graphs run one after the other, so one place for what they compute serves all
        self._pool = torch.cuda.graph_pool_handle() if captured else None

    def __call__(self, tokens: Sequence[int], places: Sequence[int]) -> Tensor:
        """Return the logits (n, vocabulary) of one token for each of the slots 0 to n - 1.

        They are valid until the next call.

        Args:
            tokens: the newest token of each row.
            places: its place among the row's own tokens.
        """
        count = len(tokens)
        shape = rounded(count, max(places) + 1, self.slots, self.capacity)
        added = [0] * (shape[0] - count)
        self._ids[: shape[0], 0] = torch.tensor([*tokens, *added], device=self._ids.device)
        self._places[: shape[0], 0] = torch.tensor([*places, *added], device=self._ids.device)
        self._run(shape)
        return self._logits[shape][:count]

    def _run(self, shape: tuple[int, int]) -> None:
        rows, reach = shape

        def run() -> None:
            self._logits[shape] = self._step(self._ids[:rows], self._places[:rows], reach)

        if shape not in self._passes and self.captured:
            self._passes[shape] = Captured(run, pool=self._pool)
            try:
                self._passes[shape]()
            except torch.cuda.OutOfMemoryError:
                raise
            except RuntimeError as error:
                logger.warning("decode steps are launched from Python: %s", error)
                self.captured = False
                self._passes = {}
            else:
                return
        self._passes.get(shape, run)()


def rounded(rows: int, reach: int, slots: int, capacity: int) -> tuple[int, int]:
    """Return rows and reach rounded up to the shapes that steps have."""
    return (
        min(slots, 1 << (rows - 1).bit_length()),
        min(capacity, -(-reach // REACH) * REACH),
    )
