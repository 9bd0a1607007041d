"""Print the gate of each run and exit with its answer: `make gate CONFIG=config/demo.yaml`.

Exit code 0 = yes, 1 = no, 3 = the evidence does not decide (also where a run has no gate.json yet);
of several runs the worst counts: no before not shown before yes.
"""

import argparse
import os
import sys
from pathlib import Path

from lorabench.control.configuration import load, resolve
from lorabench.documents.gate import gate_of
from lorabench.errors import LorabenchError
from lorabench.files import read_json
from lorabench.report.gate_text import text_table
from lorabench.scoring.gate import EXIT_CODES

ROOT = Path(__file__).resolve().parents[2]


def show_gate(path: Path) -> tuple[str, int]:
    """Return the text and the exit code of one run's gate.json."""
    if not path.is_file():
        return f"{path}: not there yet; `make gate` makes it", EXIT_CODES["not_shown"]
    document = gate_of(read_json(path))
    return text_table(document), document.exit_code


def main() -> None:
    """Parse the command line, print every run's gate, exit with the worst answer."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "--configfile", nargs="*", type=Path, default=[], help="overlays on config/config.yaml"
    )
    files = [ROOT / "config" / "config.yaml", *parser.parse_args().configfile]
    try:
        runs = resolve(load(files), files, os.environ)
        shown = [show_gate(Path("results") / run / "gate.json") for run in runs]
    except LorabenchError as error:
        print(f"lorabench: {error}", file=sys.stderr)
        sys.exit(2)
    print("\n\n".join(text for text, _ in shown))
    codes = {code for _, code in shown}
    sys.exit(next(code for code in (1, 3, 0) if code in codes))


if __name__ == "__main__":
    main()
