"""A pass over fixed tensors, captured as a CUDA graph at its first call and replayed from then on.

Launched kernel by kernel from Python, a decode step of a large model takes a GPU two to three times
as long as its kernels run.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

# passes before a capture: libraries choose their kernels and allocate their workspaces
PASSES_BEFORE_CAPTURE = 3


class Captured:
    """A captured pass.

    Args:
        run: the pass; it may read and write only tensors that live as long as this object.
        state: tensors that a pass changes and the next one reads; the passes before the capture
            leave them as they were.
        pool: of memory that several graphs share which run one after the other; see
            `torch.cuda.graph_pool_handle`.
    """

    def __init__(
        self, run: Callable[[], None], state: Sequence[Tensor] = (), pool: Any = None
    ) -> None:
        self._run = run
        self._state = state
        self._pool = pool
        self._graph: torch.cuda.CUDAGraph | None = None

    @torch.inference_mode()
    def __call__(self) -> None:
        """Do the pass once.

        Raises:
            RuntimeError: the pass does something that cannot be captured.
        """
        if self._graph is None:
            self._graph = self._capture()
        self._graph.replay()

    def _capture(self) -> torch.cuda.CUDAGraph:
        aside = torch.cuda.Stream()
        aside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(aside):
            rehearse(self._run, self._state)
        torch.cuda.current_stream().wait_stream(aside)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, pool=self._pool):
            self._run()
        return graph


def rehearse(run: Callable[[], None], state: Sequence[Tensor]) -> None:
    """Do a pass a few times, then put `state` back as it was.

    Keys and values that this leaves behind are written anew before any pass sees them.
    """
    before = [tensor.clone() for tensor in state]
    for _ in range(PASSES_BEFORE_CAPTURE):
        run()
    for tensor, value in zip(state, before, strict=True):
        tensor.copy_(value)
