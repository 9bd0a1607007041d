"""Time all variants on one machine: one process each, one of them generating at a time.

What drifts (clocks, temperature, neighbours) hits every variant alike, because the variants take
turns prompt by prompt in an order that rotates and reverses. The base runs a second time in its own
process, as any variant does: what that A/A control shows is noise, and no smaller difference is
real.
"""

import logging
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tqdm import tqdm

from lorabench.documents.load_request import LoadRequest
from lorabench.documents.token_times import TokenTimes
from lorabench.errors import MeasurementError
from lorabench.inference.load_levels import LoadSession, Serve, measure_servers, own_arm
from lorabench.inference.machine_state import available_memory_mib, gpu_state, load_average
from lorabench.inference.settings import InferenceSettings, PerformancePrompt
from lorabench.inference.turns import CONTROL, arms_of, turns
from lorabench.inference.worker_process import WorkerProcess

logger = logging.getLogger(__name__)

# every prompt length is met before it counts; the steps after the first few are all alike
WARMUP_TOKENS = 4
# memory of a further worker, as a multiple of the first one's after loading
HEADROOM = 1.2
# of a process, in addition to what torch reserves; an upper estimate
CUDA_CONTEXT_MIB = 1024
SAME_FOR_ALL = (
    "prompt_sha256",
    "requires_grad",
    "dtype",
    "device",
    "gpu_uuid",
    "attention",
    "threads",
    "captured",
)


@dataclass(frozen=True, kw_only=True)
class Checkpoints:
    """Folders of the variants."""

    base: Path
    adapter: Path | None
    merged: Path | None


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """Raw times of all variants and the control, and the conditions they were taken under."""

    rows: list[TokenTimes]
    # by variant: what its worker reported after loading
    loaded: dict[str, dict[str, Any]]
    # by variant: what its worker reported at the end
    memory: dict[str, dict[str, float | None]]
    # by variant: what its worker reported of its decode step
    step: dict[str, dict[str, Any]]
    # bytes a second that a large copy reads and writes; None where nothing ran
    copy_bandwidth: float | None
    load: list[LoadRequest]
    load_skipped: list[dict[str, Any]]
    # by variant: the endpoint that was measured
    servers: dict[str, dict[str, Any]]
    # "together", or "one after another" where memory does not hold all variants
    resident: str
    # before and after
    load_average: list[float]
    # state before and after; None on a CPU
    gpu: list[dict[str, Any] | None]


def fits(first: dict[str, Any], further: int) -> bool:
    """Return whether memory holds `further` workers like the loaded `first`."""
    if first["gpu_free_mib"] is not None:
        each = first["memory"]["steady_peak_gpu_reserved_mib"] + CUDA_CONTEXT_MIB
        free = first["gpu_free_mib"]
    else:
        # files are mapped lazily
        loaded = first["memory"]["resident_before_load_mib"] + first["parameters_mib"]
        each, free = (
            max(loaded, first["memory"]["load_peak_resident_mib"] or 0.0),
            available_memory_mib(),
        )
    return bool(further * HEADROOM * each <= free)


def measure(
    settings: InferenceSettings,
    prompts: Sequence[PerformancePrompt],
    checkpoints: Checkpoints,
    threads: int,
) -> Measurement:
    """Measure every variant of the settings and, where the base is one of them, the base again.

    Raises:
        MeasurementError: a worker fails or ends, or the variants did not run under the same
            conditions.
    """
    session = _Session(settings, prompts, checkpoints, threads)
    load_before = load_average()
    with session.workers(session.arms[:1]) as workers:
        gpu_before = session.gpu_state(workers)
        together = fits(session.loaded[session.arms[0]], len(session.arms) - 1)
        if together:
            with session.workers(session.arms[1:]) as others:
                session.take_turns(workers | others)
    if not together:
        logger.warning(
            "memory does not hold %d models at once: they run one after another", len(session.arms)
        )
        session.one_after_another()
    session.progress.close()
    servers = measure_servers(session.load, settings, prompts)
    logger.info(
        "%d generations, models resident %s",
        len(session.rows),
        "together" if together else "in turn",
    )
    return Measurement(
        rows=session.rows,
        loaded=session.loaded,
        memory=session.memory,
        step=session.step,
        copy_bandwidth=session.copy_bandwidth,
        load=session.load.rows,
        load_skipped=session.load.skipped,
        servers=servers,
        resident="together" if together else "one after another",
        load_average=[load_before, load_average()],
        gpu=[gpu_before, session.gpu_after],
    )


class _Session:
    """One run over all arms: the variants and the control."""

    def __init__(
        self,
        settings: InferenceSettings,
        prompts: Sequence[PerformancePrompt],
        checkpoints: Checkpoints,
        threads: int,
    ) -> None:
        self.settings, self.prompts, self.checkpoints, self.threads = (
            settings,
            prompts,
            checkpoints,
            threads,
        )
        self.arms = arms_of(settings.variants)
        self.loaded: dict[str, dict[str, Any]] = {}
        self.memory: dict[str, dict[str, float | None]] = {}
        self.step: dict[str, dict[str, Any]] = {}
        self.copy_bandwidth: float | None = None
        self.load = LoadSession(settings.load, prompts)
        self.rows: list[TokenTimes] = []
        self.gpu_after: dict[str, Any] | None = None
        total = settings.repeats * len(prompts) * len(self.arms)
        self.progress = tqdm(total=total, desc="generations", file=sys.stderr, mininterval=1)

    @contextmanager
    def workers(self, arms: Sequence[str]) -> Iterator[dict[str, WorkerProcess]]:
        """Start a worker for each arm, all at once, and end them when the block does."""
        with ExitStack() as stack:
            workers = {
                arm: stack.enter_context(closing(WorkerProcess(arm, self.threads))) for arm in arms
            }
            for arm, worker in workers.items():
                worker.send(self._load_request(arm))
            for arm, worker in workers.items():
                self.loaded[arm] = worker.receive()
                self._check_conditions(arm)
            yield workers

    def _load_request(self, arm: str) -> dict[str, Any]:
        return {
            **{
                name: None if folder is None else str(folder)
                for name, folder in vars(self.checkpoints).items()
            },
            "variant": "base" if arm == CONTROL else arm,
            "dtype": self.settings.dtype,
            "threads": self.threads,
            "prompts": [prompt.text for prompt in self.prompts],
            "new_tokens": self.settings.new_tokens,
            "most_new_tokens": max(self.settings.new_tokens, self.settings.load.new_tokens),
        }

    def _check_conditions(self, arm: str) -> None:
        first, this = self.loaded[self.arms[0]], self.loaded[arm]
        for name in SAME_FOR_ALL:
            if this[name] != first[name]:
                raise MeasurementError(
                    f"variant {arm} has {name} {this[name]} but {self.arms[0]} has {first[name]}: "
                    "their speeds cannot be compared; make the checkpoints alike and run again"
                )

    def take_turns(self, workers: dict[str, WorkerProcess]) -> None:
        """Warm up, then let the arms generate in turn, prompt by prompt."""
        for worker in workers.values():
            self._warm_up(worker)
        for repeat in range(self.settings.repeats):
            for position in range(len(self.prompts)):
                for order, arm in enumerate(
                    turns(self.arms, repeat * len(self.prompts) + position)
                ):
                    self._time(arm, workers[arm], repeat, order, position)
        self._finish(workers)
        self.load.run("own", self._load_arms(workers))

    def one_after_another(self) -> None:
        """Load, warm up, time and end one worker after the other, each once a repeat."""
        for repeat in range(self.settings.repeats):
            for order, arm in enumerate(turns(self.arms, repeat)):
                with self.workers([arm]) as workers:
                    self._warm_up(workers[arm])
                    for position in range(len(self.prompts)):
                        self._time(arm, workers[arm], repeat, order, position)
                    self._finish(workers)
                    if repeat < self.settings.load.repeats:
                        self.load.run("own", self._load_arms(workers), [repeat])

    def gpu_state(self, workers: dict[str, WorkerProcess]) -> dict[str, Any] | None:
        """Return the state of the GPU that the workers use."""
        uuid = self.loaded[next(iter(workers))]["gpu_uuid"]
        return gpu_state(uuid, {worker.process.pid for worker in workers.values()})

    def _warm_up(self, worker: WorkerProcess) -> None:
        for _ in range(self.settings.warmup):
            for position in range(len(self.prompts)):
                worker.ask({"generate": {"prompt": position, "new_tokens": WARMUP_TOKENS}})

    def _time(
        self, arm: str, worker: WorkerProcess, repeat: int, order: int, position: int
    ) -> None:
        prompt, loaded = self.prompts[position], self.loaded[arm]
        reply = worker.ask(
            {"generate": {"prompt": position, "new_tokens": self.settings.new_tokens}}
        )
        self.rows.append(
            TokenTimes(
                variant=arm,
                repeat=repeat,
                order=order,
                prompt_id=prompt.id,
                category=prompt.category,
                prompt_tokens=loaded["prompt_tokens"][position],
                prompt_sha256=loaded["prompt_sha256"][position],
                new_tokens=len(reply["tokens"]),
                time_to_first_token_ms=reply["time_to_first_token_ms"],
                inter_token_latencies_ms=reply["inter_token_latencies_ms"],
                end_to_end_ms=reply["end_to_end_ms"],
            )
        )
        self.progress.update()

    def _load_arms(self, workers: dict[str, WorkerProcess]) -> dict[str, Serve]:
        new_tokens = self.settings.load.new_tokens
        return {arm: own_arm(worker, new_tokens) for arm, worker in workers.items()}

    def _finish(self, workers: dict[str, WorkerProcess]) -> None:
        self.memory |= {arm: worker.ask({"memory": None}) for arm, worker in workers.items()}
        self.gpu_after = self.gpu_state(workers)
        # after the memory is read, because these need memory, too
        self.step |= {arm: worker.ask({"step": None}) for arm, worker in workers.items()}
        if self.copy_bandwidth is None:
            self.copy_bandwidth = next(iter(workers.values())).ask({"bandwidth": None})
