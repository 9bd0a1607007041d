"""Several training processes on one machine: torch's launcher starts them, accelerate joins them.

Each process calls the same function with the same arguments; what it computes depends on its rank
only. Adapters are replicated and their gradients averaged (DDP). With `fsdp`, the frozen layers
are divided among the processes and put together one layer at a time.
"""

import ctypes
import os
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

import torch
from accelerate import PartialState
from peft import PeftModel
from torch import distributed
from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
from torch.distributed.fsdp import fully_shard
from torch.distributed.launcher.api import LaunchConfig, elastic_launch

from lorabench.errors import error_of_process
from lorabench.llama import device

T = TypeVar("T")
# of linux/prctl.h
PR_SET_PDEATHSIG = 1


def run_processes(
    function: Callable[..., None], arguments: dict[str, Any], processes: int, threads: int
) -> None:
    """Call `function` in `processes` processes and wait; when one fails the others are ended.

    Args:
        function: of a module or a script, by whose name each process imports it.
        processes: one a GPU; on a machine without, on its CPU.
        threads: of all processes together.

    Raises:
        LorabenchError: a process failed with it; a RuntimeError if it failed otherwise.
    """
    with tempfile.TemporaryDirectory() as folder:
        config = LaunchConfig(
            min_nodes=1,
            max_nodes=1,
            nproc_per_node=processes,
            rdzv_backend="c10d",
            rdzv_endpoint="localhost:0",
            max_restarts=0,
            logs_specs=DefaultLogsSpecs(log_dir=folder),
        )
        try:
            elastic_launch(config, _run_one)(function, arguments, max(1, threads // processes))
        except ChildFailedError as error:
            raise error_of_process(error.get_first_failure()[1].message) from None


def _run_one(function: Callable[..., None], arguments: dict[str, Any], threads: int) -> None:
    """Call `function` as the process that the environment says this is."""
    # a killed job must not leave processes that go on writing
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    torch.set_num_threads(threads)
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    PartialState(cpu=not torch.cuda.is_available())
    function(**arguments)
    distributed.destroy_process_group()


def is_first() -> bool:
    """Return whether this process writes the files."""
    return not distributed.is_initialized() or distributed.get_rank() == 0


def share(items: Sequence[T]) -> Iterator[tuple[T, bool]]:
    """Yield this process's part of `items`, every n-th, each with whether it counts.

    All processes get equally many, since each pass may wait for the others; the ones that fill up
    do not count.
    """
    several = distributed.is_initialized()
    rank, world = (distributed.get_rank(), distributed.get_world_size()) if several else (0, 1)
    for start in range(0, len(items), world):
        index = start + rank
        yield items[min(index, len(items) - 1)], index < len(items)


def over_processes(values: list[float], place: torch.device, how: str = "SUM") -> list[float]:
    """Return, one by one, the sums ("SUM") or the smallest ("MIN") of all processes' values."""
    if not distributed.is_initialized():
        return values
    found = torch.tensor(values, dtype=torch.float64, device=place)
    distributed.all_reduce(found, getattr(distributed.ReduceOp, how))
    return found.tolist()


def divide_frozen_layers(model: PeftModel) -> None:
    """Divide each layer's frozen weights among the processes (FSDP); all others stay whole."""
    mesh = distributed.init_device_mesh(device().type, (distributed.get_world_size(),))
    base: Any = model.get_base_model()
    for layer in base.get_decoder().layers:
        trained = {parameter for parameter in layer.parameters() if parameter.requires_grad}
        fully_shard(layer, mesh=mesh, ignored_params=trained, reshard_after_forward=True)
    # DDP must not copy the parts of the first process to the others
    frozen = [name for name, parameter in model.named_parameters() if not parameter.requires_grad]
    model._ddp_params_and_buffers_to_ignore = frozen  # type: ignore[assignment]
