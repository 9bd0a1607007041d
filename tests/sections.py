"""The sections of config/config.yaml: the one place of defaults, for tests as for runs."""

from pathlib import Path
from typing import Any

from lorabench.control.configuration import load

CONFIG = Path(__file__).resolve().parents[1] / "config" / "config.yaml"


def section(name: str, **changes: Any) -> dict[str, Any]:
    """Return a section with the values that a test changes."""
    return {**load([CONFIG])[name], **changes}


def measure_section(**changes: Any) -> dict[str, Any]:
    """Return what the job of `measure_inference` is given of its section."""
    chosen = section("measure_inference", **changes)
    # only the summary reads these
    return {key: chosen[key] for key in chosen if key not in ("limits", "usd_per_gpu_hour")}
