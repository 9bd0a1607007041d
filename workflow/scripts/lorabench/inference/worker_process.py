"""The parent's side of a worker: start it, ask it, and end it whatever happens."""

import json
import logging
import os
import signal
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lorabench.errors import MeasurementError

# run by name in its own process; named here so that its code counts as this module's
if TYPE_CHECKING:
    import lorabench.inference.worker  # noqa: F401

logger = logging.getLogger(__name__)

SCRIPTS_FOLDER = Path(__file__).parents[2]


class WorkerProcess:
    """A process that holds one variant."""

    def __init__(self, name: str, threads: int) -> None:
        """Start the process; it imports its libraries while the caller goes on.

        Args:
            name: the variant as messages name it.
            threads: CPU threads of its arithmetic.
        """
        self.name = name
        self._messages = tempfile.TemporaryFile(mode="w+", encoding="utf-8", errors="replace")  # noqa: SIM115
        environment = os.environ | {
            "PYTHONPATH": os.pathsep.join(
                filter(None, [str(SCRIPTS_FOLDER), os.environ.get("PYTHONPATH")])
            ),
            "OMP_NUM_THREADS": str(threads),
            "TOKENIZERS_PARALLELISM": "false",
        }
        self.process = subprocess.Popen(
            [sys.executable, "-m", "lorabench.inference.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._messages,
            text=True,
            env=environment,
        )

    def send(self, request: dict[str, Any]) -> None:
        """Send a request without waiting for the reply."""
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(json.dumps(request) + "\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            raise self._ended() from None

    def receive(self) -> Any:
        """Wait for the reply to the oldest request without one.

        Raises:
            MeasurementError: the worker reports an error or has ended.
        """
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise self._ended()
        reply = json.loads(line)
        if "error" in reply:
            logger.error("messages of the process of %s:\n%s", self.name, self._read_messages())
            raise MeasurementError(f"variant {self.name}: {reply['error']}")
        return reply["ok"]

    def ask(self, request: dict[str, Any]) -> Any:
        """Send a request and wait for its reply."""
        self.send(request)
        return self.receive()

    def close(self) -> None:
        """End the process at once, whatever it is doing: it holds nothing worth saving."""
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.kill()
        self.process.wait()
        # a request that it never read
        with suppress(BrokenPipeError):
            self.process.stdin.close()
        self.process.stdout.close()
        self._messages.close()

    def _ended(self) -> MeasurementError:
        status = self.process.wait()
        logger.error("messages of the process of %s:\n%s", self.name, self._read_messages())
        how = (
            f"was stopped by {signal.Signals(-status).name}"
            if status < 0
            else f"ended with exit code {status}"
        )
        hint = " (out of memory?)" if status == -signal.SIGKILL else ""
        return MeasurementError(
            f"variant {self.name}: its process {how}{hint}; nothing was written, its messages are"
            " in the log; free memory where that was the cause and run again"
        )

    def _read_messages(self) -> str:
        self._messages.seek(0)
        return self._messages.read()
