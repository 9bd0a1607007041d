"""The picture of the DAG holds every rule once, with its jobs, and only the lines that say
something."""

import xml.etree.ElementTree as ElementTree

from draw_dag import read_dot, svg, without_shortcuts

DOT = r"""
digraph snakemake_dag {
	0[label = "all", color = "0.00 0.6 0.85", style="rounded"];
	1[label = "score\nvariant: base", color = "0.1 0.6 0.85", style="rounded"];
	2[label = "score\nvariant: lora", color = "0.1 0.6 0.85", style="rounded,dashed"];
	3[label = "fetch", color = "0.2 0.6 0.85", style="rounded,dashed"];
	1 -> 0
	2 -> 0
	3 -> 1
	3 -> 2
	3 -> 0
}
"""


def test_jobs_are_counted_by_rule() -> None:
    """Jobs of one rule share a box; dashed jobs are up to date."""
    jobs, to_run, _ = read_dot(DOT)
    assert jobs == {"all": 1, "score": 2, "fetch": 1}
    assert dict(to_run) == {"all": 1, "score": 1, "fetch": 0}


def test_implied_lines_are_left_out() -> None:
    """fetch -> all follows from fetch -> score -> all."""
    assert without_shortcuts(read_dot(DOT)[2]) == {("fetch", "score"), ("score", "all")}


def test_the_picture_is_well_formed() -> None:
    """The file is XML with one box a rule, and a box with nothing to do is marked."""
    tree = ElementTree.fromstring(svg(DOT))
    boxes = [element for element in tree.iter() if element.tag.endswith("rect")]
    assert len(boxes) == 3
    assert [box.get("class") for box in boxes] == [None, None, "done"]
