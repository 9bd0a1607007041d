"""Compare two runs, two exports or more, item by item: `make compare A=results/x B=results/y`.

A and B are folders of runs (results/{run}) or of exported reports (reports/bench/{git-sha}). The
variant of B and of each further folder is compared with that of A on the same items, with the
statistics of a run's own comparison; Holm's correction is over all comparisons, so that choosing
the best of several runs is paid for. Runs whose protocols or items differ are refused.

Exit code 0 = compared, 2 = cannot be compared.
"""

import argparse
import sys
from pathlib import Path

from lorabench.errors import LorabenchError
from lorabench.report.run_comparison import compare_runs, read_run, runs_text


def main() -> None:
    """Parse the command line and print the comparison."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folders", nargs="+", type=Path, help="runs or exports, the first is A")
    parser.add_argument("--variant", choices=("base", "lora", "merged"), default="lora")
    given = parser.parse_args()
    try:
        runs = [read_run(folder, given.variant) for folder in given.folders]
        print(runs_text(runs, compare_runs(runs)))
    except LorabenchError as error:
        print(f"lorabench: {error}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
