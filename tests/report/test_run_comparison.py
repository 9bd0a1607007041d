"""Two runs or exports, compared item by item."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lorabench.control.configuration import load, resolve
from lorabench.errors import DataError
from lorabench.report.run_comparison import compare_runs, read_run, render_runs, runs_text
from lorabench.report.seed_spread import runs_of_seeds, seed_spread, seeds_text
from report.synthetic_run import export, report_inputs
from write_report import write_report


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, root: Path) -> Path:
    """Return the folder of a synthetic run with its report and its export."""
    folder = tmp_path_factory.mktemp("run")
    given = report_inputs(folder, root)
    write_report(**given)
    export(given, folder / "bench")
    return folder


def test_two_runs_are_paired_by_item(run: Path) -> None:
    """The adapter against the base gives what the run's own comparison says."""
    runs = [read_run(run, "base"), read_run(run, "lora")]
    contrasts: Any = compare_runs(runs)
    own = json.loads((run / "compare.json").read_text())["benchmarks"]
    for name in ("gsm8k", "mmlu", "mt_bench"):
        expected = own[name]["pairs"]["lora_vs_base"]
        assert contrasts[0][name]["difference"] == expected["difference"]
        assert contrasts[0][name]["interval"] == pytest.approx(expected["interval"])
    text = runs_text(runs, contrasts)
    assert "B against A, paired by item:" in text and "held-out loss 1.676 nat" in text


def test_an_export_compares_with_its_run(run: Path) -> None:
    """An export has the items of its run: no difference."""
    contrasts: Any = compare_runs([read_run(run, "lora"), read_run(run / "bench", "lora")])
    assert {"gsm8k", "mmlu"} <= set(contrasts[0])
    assert {contrast["items_changed"] for contrast in contrasts[0].values()} == {0}
    assert read_run(run / "bench", "lora").name == f"{run.name}/bench, lora"


def test_several_runs_pay_for_the_choice(run: Path) -> None:
    """Holm's correction is over the comparisons of all runs."""
    base, lora = read_run(run, "base"), read_run(run, "lora")
    once: Any = compare_runs([base, lora])[0]["gsm8k"]
    thrice: Any = compare_runs([base, lora, lora, lora])[0]["gsm8k"]
    assert thrice["p_value_holm"] >= once["p_value_holm"]


def test_other_protocols_items_and_folders_are_refused(run: Path, tmp_path: Path) -> None:
    """One line says what differs."""
    one, two = read_run(run, "lora"), read_run(run, "lora")
    two.scores["gsm8k"]["protocol"] = one.scores["gsm8k"]["protocol"].replace("5-shot", "8-shot")
    with pytest.raises(DataError, match=r"gsm8k: .* different protocols .*5-shot.*8-shot"):
        compare_runs([one, two])
    two = read_run(run, "lora")
    two.rows["mmlu"].pop()
    with pytest.raises(DataError, match=r"mmlu: .*different items: 1 unpaired"):
        compare_runs([one, two])
    two = read_run(run, "lora")
    two.opponents["alpaca_eval"] = "the answers of another base"
    with pytest.raises(DataError, match=r"alpaca_eval: .*different bases"):
        compare_runs([one, two])
    with pytest.raises(DataError, match="neither a run"):
        read_run(tmp_path, "lora")
    with pytest.raises(DataError, match="at least two"):
        compare_runs([one])


def test_the_page_of_runs_has_every_run_and_verdict(run: Path, root: Path) -> None:
    """Base and adapter are rows; each comparison says what it shows."""
    runs = [read_run(run, "base"), read_run(run, "lora")]
    resources = root / "workflow" / "resources" / "report"
    template, style = (
        (resources / name).read_text(encoding="utf-8") for name in ("runs.html.j2", "style.css")
    )
    contrasts = compare_runs(runs)
    page = render_runs(template, style, runs, contrasts)
    assert f"{run.name}, base" in page and f"{run.name}, lora" in page and str(run) not in page
    assert page.count("<tr>") == 2 + len(runs) + len(contrasts[0])
    assert page.count("<caption>") == page.count("<table")


def test_runs_that_differ_in_the_seed_only_show_its_spread(run: Path, root: Path) -> None:
    """Mean, standard deviation and extremes of every figure, and whether the gates agree."""
    config = load([root / "config" / "config.yaml"])
    config["sweep"] = {
        "seed": {"train_adapter": {"seed": 1}},
        "slow": {"train_adapter": {"learning_rate": 1e-5}},
    }
    configs = resolve(config, [], {})
    assert runs_of_seeds(configs) == [{"llama3": 42, "llama3-seed": 1}]
    runs = [read_run(run, "lora"), read_run(run, "base")]
    spread = seed_spread(runs, [42, 1], [run, run])
    assert spread.rows[0][0] == "AlpacaEval" and len(spread.rows) == 5
    assert spread.rows[-1] == ("held-out loss", "1.722 nat", "0.066 nat", "1.676 nat", "1.769 nat")
    assert "2 seeds of one recipe" in seeds_text(spread) and "the seeds agree" in spread.verdict
    assert "do not agree" in replace(spread, gates=["yes", "no"]).verdict
    resources = root / "workflow" / "resources" / "report"
    template = (resources / "runs.html.j2").read_text(encoding="utf-8")
    page = render_runs(template, "", runs, compare_runs(runs), [spread])
    assert "2 seeds of one recipe" in page and "0.066 nat" in page
