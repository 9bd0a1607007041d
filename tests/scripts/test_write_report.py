"""Writing the report."""

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from lorabench.files import read_json, write_json
from lorabench.report.document import QUESTIONS
from report.synthetic_run import ROWS, report_inputs, write_source
from write_report import write_report

NO_SIGNAL = "decides nothing"
VOID = {"meta", "br", "img", "link", "hr", "input"}


class Page(HTMLParser):
    """Collects tags with addresses and checks that elements close in order."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.addresses: list[str] = []
        self.ids: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note addresses and ids."""
        self.addresses += [
            value or "" for name, value in attrs if name in ("src", "href", "xlink:href", "action")
        ]
        self.ids += [value or "" for name, value in attrs if name == "id"]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        """Check the nesting."""
        assert self.open.pop() == tag, (tag, self.getpos())

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note addresses and ids of an element without content."""
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()


def write(folder: Path, root: Path, **changes: Any) -> dict[str, Path]:
    """Write the report of a synthetic run and return its files."""
    given = report_inputs(folder, root, changes.pop("not_run", ()), changes.pop("signal", True))
    write_report(**{**given, **changes})
    return {name: given[name] for name in ("markdown", "document", "page", "figures")}


def of_llama_3(folder: Path, root: Path) -> dict[str, Any]:
    """Write a whole run of the model with published values; return write_report's arguments."""
    source = folder / "Meta-Llama-3-8B-Instruct" / "source.json"
    return {**report_inputs(folder, root), "model_source": write_source(source, licence="llama3")}


def document_of(given: dict[str, Any]) -> dict[str, Any]:
    """Write the report and return its document."""
    write_report(**given)
    return dict(read_json(given["document"]))


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory, root: Path) -> dict[str, Path]:
    """Return the files of a report whose judge carries no signal."""
    return write(tmp_path_factory.mktemp("local"), root, signal=False)


def test_the_page_needs_no_other_file(local: dict[str, Path]) -> None:
    """No address leads out of the page, no script runs, and every id occurs once."""
    page = Page()
    page.feed(local["page"].read_text(encoding="utf-8"))
    assert page.open == []
    outside = {address.partition("#")[0] for address in page.addresses}
    assert outside == {"", "items.html"}
    assert len(page.ids) == len(set(page.ids))
    text = local["page"].read_text(encoding="utf-8")
    assert "<script" not in text and "@import" not in text and "url(http" not in text


def test_every_internal_address_has_its_place(local: dict[str, Path]) -> None:
    """Links and references inside figures point at ids that exist."""
    text = local["page"].read_text(encoding="utf-8")
    page = Page()
    page.feed(text)
    inside = {address for address in page.addresses if address.startswith("#")}
    used = {address[1:] for address in inside} | set(re.findall(r"url\(#([^)]+)\)", text))
    assert used <= set(page.ids)


def test_the_three_questions_come_first(local: dict[str, Path]) -> None:
    """Both forms open with the questions, answered in words."""
    for form in ("markdown", "page"):
        text = local[form].read_text(encoding="utf-8")
        parts = ("Did the adapter help?", "What does it cost to serve?", "May I ship it?")
        places = [text.index(part) for part in parts]
        assert places == sorted(places)
        assert places[-1] < text.index("Paired differences")


def test_scores_of_the_local_judge_are_labelled_wherever_they_stand(local: dict[str, Path]) -> None:
    """Each table row, heading and figure title says that the judge has no signal."""
    text = local["markdown"].read_text(encoding="utf-8")
    for title in ("MT-Bench", "AlpacaEval"):
        assert f"### {title} (judge {NO_SIGNAL})" in text
        rows = [line for line in text.splitlines() if line.startswith(f"| {title},")]
        assert rows and all(NO_SIGNAL in line for line in rows)
    for figure in ("scores", "differences"):
        svg = (local["figures"] / f"{figure}.svg").read_text(encoding="utf-8")
        assert svg.count(NO_SIGNAL) >= 2


def test_the_document_says_what_the_page_shows(local: dict[str, Path]) -> None:
    """report.json holds answers, scores, contrasts, limits and sources."""
    report = read_json(local["document"])
    assert [answer["key"] for answer in report["answers"]] == list(QUESTIONS)
    assert [part["benchmark"] for part in report["benchmarks"]] == list(ROWS)
    assert any("1,319" in limit for limit in report["limits"])
    assert report["training"]["validation"]["adapter_nll"] == 1.676


def test_the_same_inputs_give_the_same_bytes(
    local: dict[str, Path], tmp_path: Path, root: Path
) -> None:
    """Nothing in the report depends on time or on the folder."""
    again = write(tmp_path, root, signal=False)
    for form in ("markdown", "document", "page"):
        assert again[form].read_bytes() == local[form].read_bytes()
    for figure in sorted(local["figures"].iterdir()):
        assert (again["figures"] / figure.name).read_bytes() == figure.read_bytes()


def test_what_did_not_run_is_shown_as_not_run(tmp_path: Path, root: Path) -> None:
    """Without judge, measurement and training the report says why."""
    records = ("train_metrics", "run_config", "merge_report", "data_summary", "contamination")
    bare = dict.fromkeys(records)
    files = write(tmp_path, root, not_run=["mt_bench", "alpaca_eval"], times=[], perf=[], **bare)
    for form in ("markdown", "page"):
        text = files[form].read_text(encoding="utf-8")
        assert text.count("no judge is configured") >= 4
        assert "there is no record of a training" in text
    drawn = sorted(path.stem for path in files["figures"].glob("*.svg"))
    assert drawn == ["differences", "scores"]


def test_energy_of_a_resumed_training_says_what_it_covers(tmp_path: Path, root: Path) -> None:
    """An energy that misses the steps before the resume is not shown as that of the training."""
    given = report_inputs(tmp_path, root)
    metrics = read_json(given["train_metrics"])
    for step in (None, 7):
        write_json(given["train_metrics"], metrics | {"resumed_at_step": step})
        write_report(**given)
        for form in ("markdown", "page"):
            text = given[form].read_text(encoding="utf-8")
            assert "0.250 kWh" in text
            assert "41% of the bfloat16 peak of H100. The GPU had no work in 5% of" in text
            assert ("the steps after 7 only" in text) == (step == 7)


def test_published_values_are_shown_for_llama_3_only(tmp_path: Path, root: Path) -> None:
    """A run on a part of the items marks every published value as not comparable, and says why."""
    given = of_llama_3(tmp_path, root)
    report = document_of(given)
    text = given["markdown"].read_text(encoding="utf-8")
    assert "79.6 %" in text and "this run scored 60 of the benchmark's 1,319 items" in text
    values = [value for part in report["benchmarks"] for value in part["published"]]
    assert not any(value["comparable"] for value in values)


def test_published_values_compare_with_their_own_task_only(tmp_path: Path, root: Path) -> None:
    """MMLU scored by the texts of the choices compares with no published value."""
    given = of_llama_3(tmp_path, root)
    for path in given["scores"]:
        score = read_json(path)
        if score["benchmark"] == "mmlu":
            detail = {**score["protocol_detail"], "task": "mmlu_continuation"}
            write_json(path, {**score, "n": 14042, "protocol_detail": detail})
    parts = {part["benchmark"]: part for part in document_of(given)["benchmarks"]}
    [value] = parts["mmlu"]["published"]
    assert not value["comparable"]
    assert value["why"] == "this run scored the task mmlu_continuation, another protocol"


@pytest.mark.parametrize(
    ("origin", "shown"),
    [
        ("OpenAssistant/oasst1@fdf72ae0827c", True),
        ("/data/oasst1", True),
        ("timdettmers/openassistant-guanaco@831dabac2283", True),
        ("HuggingFaceH4/no_robots@e6f9a4ac5c08", False),
        ("lorabench", False),
    ],
)
def test_instructions_from_the_training_datas_source_are_told_apart(
    tmp_path: Path, root: Path, origin: str, shown: bool
) -> None:
    """AlpacaEval is shown with and without OpenAssistant's share, if trained on that."""
    given = report_inputs(tmp_path, root)
    given["conversations_source"] = write_source(tmp_path / "trained_on.json", origin=origin)
    start = "AlpacaEval: 8 of 24 instructions come from OpenAss"
    limit = [text for text in document_of(given)["limits"] if text.startswith(start)]
    row = "| without the instructions that come from OpenAssistant, as the training data does | 50"
    text = given["markdown"].read_text(encoding="utf-8")
    assert (row in text, len(limit)) == (shown, int(shown))
    assert ("OpenAssistant, as the training" in text) == shown
    if shown:
        files = [path for path in given["scores"] if path.stem == "alpaca_eval"]
        scores = {path.parent.name: read_json(path) for path in files}
        for variant, title in (("base", "base"), ("lora", "base + adapter")):
            without = 100 * scores[variant]["secondary"]["without_oasst_instructions"]["score"]
            whole = 100 * scores[variant]["score"]
            assert f"{title} {without:.1f} % ({whole:.1f} % with them)" in limit[0]
        assert limit[0] in text


def change_details(files: list[Path], **changes: str) -> None:
    """Change details of all rows."""
    for path in files:
        rows = [json.loads(line) for line in path.read_text().splitlines()]
        for row in rows:
            row["detail"].update(changes)
        path.write_text("\n".join(map(json.dumps, rows)))


def test_answers_are_escaped_and_hidden_characters_are_shown(tmp_path: Path, root: Path) -> None:
    """Markup, scripts, controls, half characters and marks that turn text stay text."""
    given = report_inputs(tmp_path, root)
    hostile = "</details><script>alert(1)</script>\x00\x1b[31m\ud800\u202e&amp;"
    change_details(given["rows"][:1], response=hostile)
    write_report(**given)
    for name in ("page", "items_page"):
        text = given[name].read_text(encoding="utf-8")
        page = Page()
        page.feed(text)
        assert page.open == []
        assert "<script" not in text and "&lt;script&gt;" in text
        assert "⟨U+0000⟩⟨U+001B⟩[31m⟨U+D800⟩⟨U+202E⟩&amp;amp;" in text


@pytest.mark.slow
def test_the_page_stays_small_however_long_the_answers_are(tmp_path: Path, root: Path) -> None:
    """Long answers make the page show fewer of them; the second file has every item."""
    given = report_inputs(tmp_path, root)
    # each of the characters takes five when it is escaped
    change_details(given["rows"], response="&" * 20_000, judgment="<" * 20_000)
    write_report(**given)
    assert given["page"].stat().st_size < 3_000_000
    everything = given["items_page"].read_text(encoding="utf-8")
    of_base = [path for path in given["rows"] if path.parent.name == "base"]
    count = sum(len(path.read_text().splitlines()) for path in of_base)
    assert everything.count('<details class="item">') == count


def test_no_folder_of_this_machine_is_named(tmp_path: Path, root: Path) -> None:
    """A model or adapter that was given by its path is named by the last part of it."""
    given = report_inputs(tmp_path, root)
    origin, source = str(tmp_path / "somewhere" / "my-model"), tmp_path / "my-model" / "source.json"
    given["model_source"] = write_source(source, "path", None, origin)
    remarks = [f"The adapter of {origin} brought another tokenizer."]
    write_json(given["run_config"], {**read_json(given["run_config"]), "remarks": remarks})
    write_report(**given)
    for name in ("markdown", "document", "page", "items_page"):
        text = given[name].read_text(encoding="utf-8")
        assert str(tmp_path) not in text and str(root) not in text
        assert name == "items_page" or "…/my-model" in text


def test_a_base_far_from_its_published_score_is_warned_of(tmp_path: Path, root: Path) -> None:
    """More than 3 standard errors from a value of the same protocol is said on the first screen."""
    given = of_llama_3(tmp_path, root)
    for score, off in ((0.30, True), (0.757, False)):
        path = next(path for path in given["scores"] if path.match("base/gsm8k.json"))
        changes = {"score": score, "standard_error": 0.0126, "n": 1319}
        write_json(path, {**read_json(path), **changes})
        report = document_of(given)
        warned = [text for text in report["notices"] if text.startswith("GSM8K: our base scores")]
        assert bool(warned) == off
        values = next(part["published"] for part in report["benchmarks"])
        assert [value["value"] for value in values if value["off"]] == ["75.7 %"] * off


def test_a_score_that_is_fixed_by_construction_is_not_drawn(local: dict[str, Path]) -> None:
    """AlpacaEval's base is compared with itself: the table says so and the figure leaves it out."""
    report = read_json(local["document"])
    fixed = {part["benchmark"]: list(part["by_construction"]) for part in report["benchmarks"]}
    assert fixed == {"gsm8k": [], "mmlu": [], "mt_bench": [], "alpaca_eval": ["base"]}
    panel = (local["figures"] / "scores.svg").read_text(encoding="utf-8").split("AlpacaEval")[0]
    assert panel.rindex(">base + adapter<") > panel.rindex(">base<")


def test_tables_have_captions_and_scopes(local: dict[str, Path]) -> None:
    """Every table says what it shows, and every header cell what it is the header of."""
    text = local["page"].read_text(encoding="utf-8")
    assert text.count("<table") == text.count("<caption>")
    assert re.findall(r"<th(?![^>]* scope=)[ >][^>]*", text) == []


def test_foreign_and_older_records_do_not_end_the_report(tmp_path: Path, root: Path) -> None:
    """An imported adapter's metrics without likelihood, and a summary without remarks."""
    given = report_inputs(tmp_path, root)
    write_json(given["train_metrics"], {"status": "ok", "from": "elsewhere", "power": 300})
    summary = read_json(given["data_summary"])
    summary.pop("remarks", None)
    write_json(given["data_summary"], summary)
    write_report(**given)
    assert read_json(given["document"])["training"]["status"] == "not_run"
