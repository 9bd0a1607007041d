"""Training by several processes with dynamo's graphs and without the minutes of a C++ compiler."""

from pathlib import Path
from typing import Any

from lorabench.training import compilation
from train_adapter import train_as_one_of_several as train


def train_as_one_of_several(*, log: Path, **arguments: Any) -> None:
    """Train in a process that the job started."""
    compilation.BACKEND = "aot_eager"
    train(log=log, **arguments)
