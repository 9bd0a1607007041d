"""Print the gate of each run and exit with its answer: `make gate CONFIG=config/demo.yaml`.

Exit code 0 = yes, 1 = no, 3 = the evidence does not decide (also where a run has no gate.json yet);
of several runs the worst counts: no before not shown before yes.
"""

import sys
from pathlib import Path

from lorabench.control.command import configured_runs, errors_in_lines, parser_of
from lorabench.documents.gate import gate_of
from lorabench.files import read_json
from lorabench.report.gate_text import text_table
from lorabench.scoring.gate import EXIT_CODES


def show_gate(path: Path) -> tuple[str, int]:
    """Return the text and the exit code of one run's gate.json."""
    if not path.is_file():
        return f"{path}: not there yet; `make gate` makes it", EXIT_CODES["not_shown"]
    document = gate_of(read_json(path))
    return text_table(document), document.exit_code


def main() -> None:
    """Parse the command line, print every run's gate, exit with the worst answer."""
    overlays = parser_of(__doc__).parse_args().configfile
    with errors_in_lines():
        runs = configured_runs(overlays)
        shown = [show_gate(Path("results") / run / "gate.json") for run in runs]
    print("\n\n".join(text for text, _ in shown))
    codes = {code for _, code in shown}
    sys.exit(next(code for code in (1, 3, 0) if code in codes))


if __name__ == "__main__":
    main()
