"""Compare runs item by item: `make compare A=results/x B=results/y`, or `CONFIG=FILE` of a sweep.

A and B are folders of runs (results/{run}) or of exported reports (reports/bench/{git-sha}). The
variant of B and of each further folder is compared with that of A on the same items, with the
statistics of a run's own comparison. Of a sweep, the variant of each run is compared with the base;
runs that differ in `train_adapter.seed` only show what another seed would say.
Holm's correction is over all comparisons, so that choosing the best of several runs is paid for.
Runs whose protocols or items differ are refused.

Exit code 0 = compared, 2 = cannot be compared.
"""

from collections.abc import Sequence
from pathlib import Path

from lorabench.control.command import ROOT, configured_runs, errors_in_lines, parser_of
from lorabench.errors import ConfigurationError
from lorabench.files import write_text
from lorabench.report.run_comparison import Run, compare_runs, read_run, render_runs, runs_text
from lorabench.report.seed_spread import SeedSpread, runs_of_seeds, seed_spread, seeds_text


def sweep_runs(files: Sequence[Path], variant: str) -> tuple[list[Run], list[SeedSpread]]:
    """Return the runs of a sweep, and the spread over those that differ in their seed only.

    The first is the base as the first run scored it, the others are each run's variant.

    Raises:
        ConfigurationError: the configuration has one run only.
    """
    configs = configured_runs(files)
    if len(configs) < 2:
        raise ConfigurationError(
            "one run is configured; give two folders as A=... B=..., or a configuration with a"
            " sweep as CONFIG=..."
        )
    folders = {name: Path("results") / name for name in configs}
    runs = {name: read_run(folder, variant) for name, folder in folders.items()}
    spreads = [
        seed_spread(
            [runs[name] for name in seeds], [*seeds.values()], [folders[name] for name in seeds]
        )
        for seeds in runs_of_seeds(configs)
    ]
    return [read_run(next(iter(folders.values())), "base"), *runs.values()], spreads


def main() -> None:
    """Parse the command line, print the comparison, and write it as a page where asked."""
    parser = parser_of(__doc__)
    parser.add_argument("folders", nargs="*", type=Path, help="runs or exports, the first is A")
    parser.add_argument("--variant", choices=("base", "lora", "merged"), default="lora")
    parser.add_argument("--page", type=Path, help="write an HTML page, too")
    given = parser.parse_args()
    spreads: list[SeedSpread] = []
    with errors_in_lines():
        if given.folders:
            runs = [read_run(folder, given.variant) for folder in given.folders]
        else:
            runs, spreads = sweep_runs(given.configfile, given.variant)
        contrasts = compare_runs(runs)
        if given.page:
            resources = ROOT / "workflow" / "resources" / "report"
            template, style = (
                (resources / name).read_text(encoding="utf-8")
                for name in ("runs.html.j2", "style.css")
            )
            write_text(given.page, render_runs(template, style, runs, contrasts, spreads))
    print("\n".join([runs_text(runs, contrasts), *map(seeds_text, spreads)]))


if __name__ == "__main__":
    main()
