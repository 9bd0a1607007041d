"""Draw the jobs of a run as an SVG picture, without Graphviz: `snakemake --dag dot` on stdin -> the
file named.

    snakemake all --dag dot --configfile config/demo.yaml | python tools/draw_dag.py results/dag.svg

One box a rule, with its number of jobs and how many of them are still to run; a dashed box has
nothing to do. Rules are in columns, each to the right of everything that it needs; a line
that a longer way implies is left out.
"""

import re
import sys
from collections import Counter
from html import escape
from pathlib import Path

# pixels from box to box
COLUMN, ROW = 200, 64
# of a box, pixels
WIDTH, HEIGHT = 150, 40
MARGIN = 24
STYLE = """\
<style>
  text { font: 12px sans-serif; text-anchor: middle; fill: #1f2933 }
  .note { font-size: 10px; fill: #616e7c }
  rect { fill: #f5f7fa; stroke: #2b6cb0; stroke-width: 1.5 }
  .done { stroke: #9aa5b1; stroke-dasharray: 4 3 }
  path { fill: none; stroke: #9aa5b1; marker-end: url(#tip) }
</style>
<marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">
  <polygon points="0,1 8,4 0,7" fill="#9aa5b1"/>
</marker>
"""


def read_dot(text: str) -> tuple[Counter[str], Counter[str], set[tuple[str, str]]]:
    """Return jobs a rule, jobs still to run a rule, and the (needed rule, rule) pairs of
    Snakemake's dot text."""
    rule_of, to_run = {}, Counter[str]()
    for number, label, style in re.findall(
        r'^\s*(\d+)\[label = "([^"]*)".*style="([^"]*)"', text, flags=re.MULTILINE
    ):
        rule_of[number] = label.split("\\n")[0]
        to_run[rule_of[number]] += "dashed" not in style
    edges = {
        (rule_of[a], rule_of[b])
        for a, b in re.findall(r"^\s*(\d+) -> (\d+)", text, flags=re.MULTILINE)
    }
    return (
        Counter(rule_of.values()),
        to_run,
        {(needed, rule) for needed, rule in edges if needed != rule},
    )


def without_shortcuts(edges: set[tuple[str, str]]) -> set[tuple[str, str]]:
    """Return the edges less those that a longer way says already."""

    def reached(rule: str) -> set[str]:
        below = {target for needed, target in edges if needed == rule}
        return below.union(*(reached(target) for target in below))

    implied = {(needed, rule) for needed, middle in edges for rule in reached(middle)}
    return edges - implied


def place(rules: list[str], edges: set[tuple[str, str]]) -> dict[str, tuple[int, float]]:
    """Return (column, row) of each rule: one column after the last need, at the mean row of its
    needs if free."""
    needs = {rule: [needed for needed, target in edges if target == rule] for rule in rules}
    column: dict[str, int] = {}
    while len(column) < len(rules):
        for rule in rules:
            if rule not in column and all(needed in column for needed in needs[rule]):
                column[rule] = 1 + max((column[needed] for needed in needs[rule]), default=-1)
    row: dict[str, float] = {}
    for number in range(max(column.values(), default=0) + 1):
        here = [rule for rule in rules if column[rule] == number]
        wish = {
            rule: sum(row[needed] for needed in needs[rule]) / max(1, len(needs[rule]))
            for rule in here
        }
        start = sum(wish.values()) / len(here) - (len(here) - 1) / 2
        for position, rule in enumerate(sorted(here, key=lambda rule: (wish[rule], rule))):
            row[rule] = start + position
    return {rule: (column[rule], row[rule] - min(row.values())) for rule in rules}


def svg(text: str) -> str:
    """Return the picture of Snakemake's dot text."""
    jobs, to_run, needs = read_dot(text)
    edges = without_shortcuts(needs)
    spot = place(list(jobs), edges)
    corner = {
        rule: (MARGIN + COLUMN * column, MARGIN + ROW * row) for rule, (column, row) in spot.items()
    }
    parts = []
    for needed, rule in sorted(edges):
        (x1, y1), (x2, y2) = corner[needed], corner[rule]
        x1, y1, y2 = x1 + WIDTH, y1 + HEIGHT / 2, y2 + HEIGHT / 2
        bend = (x2 - x1) / 2
        parts.append(
            f'<path d="M{x1:.0f},{y1:.0f} C{x1 + bend:.0f},{y1:.0f} {x2 - bend:.0f},{y2:.0f}'
            f' {x2:.0f},{y2:.0f}"/>'
        )
    for rule, (x, y) in corner.items():
        done = "" if to_run[rule] else ' class="done"'
        note = f"{jobs[rule]} job{'s' * (jobs[rule] > 1)}, {to_run[rule] or 'none'} to run"
        parts.append(
            f'<rect x="{x:.0f}" y="{y:.0f}" width="{WIDTH}" height="{HEIGHT}" rx="6"{done}/>'
        )
        parts.append(f'<text x="{x + WIDTH / 2:.0f}" y="{y + 17:.0f}">{escape(rule)}</text>')
        parts.append(f'<text class="note" x="{x + WIDTH / 2:.0f}" y="{y + 32:.0f}">{note}</text>')
    width = max(x for x, _ in corner.values()) + WIDTH + MARGIN
    height = max(y for _, y in corner.values()) + HEIGHT + MARGIN
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}"'
        f' width="{width:.0f}">\n'
    )
    return head + STYLE + "\n".join(parts) + "\n</svg>\n"


def main() -> None:
    """Run the command line: stdin -> the file named."""
    text = sys.stdin.read()
    if "digraph" not in text:
        sys.exit("tools/draw_dag.py: no graph on stdin; see Snakemake's message above")
    path = Path(sys.argv[1])
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(svg(text), encoding="utf-8")
    print(f"wrote {path}")


if __name__ == "__main__":
    main()
