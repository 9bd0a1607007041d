"""Check a configuration without running anything: `make validate CONFIG=config/demo.yaml`.

Reads the config files as Snakemake does, checks every key, and looks at
each model and data source that the config names. Prints the runs that it describes. Exit code 2
where something is wrong.
"""

import argparse
import os
import sys
from pathlib import Path

from lorabench.control.configuration import load, resolve
from lorabench.control.preflight import find_source_faults
from lorabench.errors import LorabenchError

ROOT = Path(__file__).resolve().parents[2]
FETCHING = {"fetch_model", "fetch_conversations", "fetch_benchmark"}


def validate_config(overlays: list[Path]) -> list[str]:
    """Return one line a run of the config: its name and what it trains on and evaluates.

    Raises:
        LorabenchError: with every fault found, one a line.
    """
    files = [ROOT / "config" / "config.yaml", *overlays]
    runs = resolve(load(files), files, os.environ)
    faults = [fault for run in runs.values() for fault in find_source_faults(run, FETCHING)]
    if faults:
        raise LorabenchError("\n".join(dict.fromkeys(faults)))
    return [
        f"{name}: {run['fetch_model']['base']['name']}, conversations"
        f" {run['fetch_conversations']['kind']}, {', '.join(run['score_benchmark']['benchmarks'])}"
        f" on {', '.join(run['score_benchmark']['variants'])}"
        for name, run in runs.items()
    ]


def main() -> None:
    """Parse the command line, print the runs or the faults."""
    parser = argparse.ArgumentParser(description=validate_config.__doc__)
    parser.add_argument(
        "--configfile", nargs="*", type=Path, default=[], help="overlays on config/config.yaml"
    )
    try:
        print("\n".join(validate_config(parser.parse_args().configfile)))
    except LorabenchError as error:
        print(f"lorabench: {error}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
