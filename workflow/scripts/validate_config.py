"""Check a configuration without running anything: `make validate CONFIG=config/demo.yaml`.

Reads the config files as Snakemake does, checks every key, and looks at
each model and data source that the config names. Prints the runs that it describes. Exit code 2
where something is wrong.
"""

from pathlib import Path

from lorabench.control.command import configured_runs, errors_in_lines, parser_of
from lorabench.control.preflight import find_source_faults
from lorabench.errors import LorabenchError

FETCHING = {"fetch_model", "fetch_conversations", "fetch_benchmark"}


def validate_config(overlays: list[Path]) -> list[str]:
    """Return one line a run of the config: its name and what it trains on and evaluates.

    Raises:
        LorabenchError: with every fault found, one a line.
    """
    runs = configured_runs(overlays)
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
    overlays = parser_of(__doc__).parse_args().configfile
    with errors_in_lines():
        print("\n".join(validate_config(overlays)))


if __name__ == "__main__":
    main()
