"""Write the documentation that follows from the code; `--check` only names what is out of date.

config/README.md    every config key: from the classes of its sections and the three config files
config/schema.json  the same for editors
docs/reruns.md      which module makes which rules stale: from the imports
docs/schemas        the JSON Schemas of what stages exchange: from lorabench/documents
README.md           between markers: predictions for GPUs, and the rule graph from Snakemake
"""

import argparse
import json
import re
import subprocess
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
SCRIPTS = ROOT / "workflow" / "scripts"
sys.path.insert(0, str(SCRIPTS))

from generate_schemas import schemas
from lorabench.benchmark_tables import benchmark_file
from lorabench.control.base_model import LLAMA_3_8B
from lorabench.control.benchmarks import ASKED, BENCHMARKS, ROOMS
from lorabench.control.config.faults import options
from lorabench.control.config.sections import Config
from lorabench.control.configuration import ENVIRONMENT_KEYS, JUDGING, load
from lorabench.control.estimate import duration, estimate
from lorabench.control.source_hash import closure
from lorabench.description.gpus import GPUS

BETWEEN = r"(<!-- {0}: made by tools/generate_docs.py -->\n).*?(<!-- end of {0} -->)"
GRAPH = re.compile(BETWEEN.format("rule graph"), re.DOTALL)
TRAINING = re.compile(BETWEEN.format("training on GPUs"), re.DOTALL)


def config_readme() -> str:
    """Return the page on every config key."""
    configs = [load([ROOT / "config" / "config.yaml", *overlay]) for overlay in _overlays()]
    variables = ", ".join(
        f"`{name}` (`{'.'.join(path)}`)" for name, path in ENVIRONMENT_KEYS.items()
    )
    schema = Config.model_json_schema()
    lines = [
        "# Configuration",
        "",
        "Made by `tools/generate_docs.py` from the classes of the sections and the three config"
        " files; run `make fix` after a change.",
        "Editors that know JSON Schema complete and check keys with [schema.json](schema.json).",
        "",
        "`config.yaml` holds the defaults (run `llama3`).",
        "`demo.yaml` and `smoke.yaml` are overlays: give one, or your own file, with"
        " `--configfile`, and it replaces the keys that it names.",
        "Unknown keys, equal keys, values of another type, NaN and infinity are errors.",
        "A section belongs to the rule of its name, and a change in it reruns that rule and what"
        " depends on it ([docs/reruns.md](../docs/reruns.md)).",
        "",
        f"Variables that override a key for one call: {variables}.",
        "Secrets are read from the environment only: `HF_TOKEN`, `OPENAI_API_KEY`,"
        " `ANTHROPIC_API_KEY`, `INFERENCE_API_KEY`.",
        "",
    ]
    for name, section in schema["properties"].items():
        [first, *_] = options(section, schema)
        lines += [f"## {name}", "", _sentence(first.get("description", "")), ""]
        rows = _rows(section, schema, (name,), configs)
        lines += [
            "| key | llama3 | demo | smoke | meaning |",
            "| --- | --- | --- | --- | --- |",
            *rows,
            "",
        ]
    return "\n".join(lines).rstrip() + "\n"


def config_schema() -> str:
    """Return the JSON Schema of a config file for editors; overlays may leave out any key."""
    schema = Config.model_json_schema()
    for node in (schema, *schema["$defs"].values()):
        node.pop("required", None)
    whole = {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}
    return json.dumps(whole, indent=2) + "\n"


def _overlays() -> list[list[Path]]:
    return [[], [ROOT / "config" / "demo.yaml"], [ROOT / "config" / "smoke.yaml"]]


def _rows(
    node: dict[str, Any],
    schema: dict[str, Any],
    path: tuple[str, ...],
    configs: list[dict[str, Any]],
) -> list[str]:
    """Return table rows for a key, or for the keys below it; alternatives share their keys."""
    choices = options(node, schema)
    keys = dict.fromkeys(key for choice in choices for key in choice.get("properties", {}))
    if keys and not (path[0] in JUDGING and path[1:] == ("judge",)):
        return [
            row
            for key in keys
            for row in _rows(_first(choices, key), schema, (*path, key), configs)
        ]
    values = [_value(config, path) for config in configs]
    shown = [values[0], *("" if value == values[0] else value for value in values[1:])]
    name = ".".join(path[1:]) or path[0]
    meaning = _sentence(choices[0].get("description", "")) + _limits(choices)
    meaning = meaning.replace("|", "\\|")
    return [f"| `{name}` | {' | '.join(shown)} | {meaning} |"]


def _first(choices: list[dict[str, Any]], key: str) -> dict[str, Any]:
    """Return the schema of a key in the first alternative that has it."""
    found: dict[str, Any] = next(
        choice["properties"][key] for choice in choices if key in choice.get("properties", {})
    )
    return found


def _sentence(text: str) -> str:
    return " ".join(text.split())


def _value(config: Any, path: tuple[str, ...]) -> str:
    for key in path:
        if not isinstance(config, dict) or key not in config:
            return ""
        config = config[key]
    text = (
        "null"
        if config is None
        else str(config).lower()
        if isinstance(config, bool)
        else str(config)
    )
    return f"`{text}`"


def _limits(choices: list[dict[str, Any]]) -> str:
    """Return the values that a key takes, or their bounds."""
    words = {"minimum": ">=", "maximum": "<=", "exclusiveMinimum": ">", "exclusiveMaximum": "<"}
    for choice in choices:
        items = choice.get("items", {})
        if "enum" in choice:
            return f" One of {', '.join(f'`{value}`' for value in choice['enum'])}."
        if "enum" in items:
            return f" Of {', '.join(f'`{value}`' for value in items['enum'])}."
        bounds = [f"{sign} {choice[word]}" for word, sign in words.items() if word in choice]
        if bounds:
            return f" ({', '.join(bounds)})"
    return ""


def reruns_page() -> str:
    """Return the page that says which rules a change of a module reruns."""
    rules = sorted(path.stem for path in SCRIPTS.glob("*.py") if path.stem in _rule_names())
    users: dict[str, list[str]] = defaultdict(list)
    for rule in rules:
        own = closure(SCRIPTS / f"{rule}.py")
        for path in own:
            users[str(path.relative_to(SCRIPTS))].append(f"`{rule}`")
        for path, benchmarks in benchmark_modules(rule).items():
            if path not in own:
                users[str(path.relative_to(SCRIPTS))].append(reach(rule, benchmarks))
    lines = [
        (ROOT / "docs" / "reruns.head.md").read_text().rstrip(),
        "",
        "| module | reruns |",
        "| --- | --- |",
    ]
    for module, names in sorted(users.items(), key=lambda item: (item[0].count("/"), item[0])):
        shown = f"all {len(rules)} rules" if len(names) == len(rules) else ", ".join(names)
        lines.append(f"| `{module}` | {shown} |")
    return "\n".join(lines) + "\n"


def benchmarks_of(rule: str) -> tuple[str, ...]:
    """Return the benchmarks that a rule works with."""
    return ASKED.get(rule, BENCHMARKS)


def benchmark_modules(rule: str) -> dict[Path, list[str]]:
    """Return the modules that a rule reaches through a benchmark's own one -> these benchmarks."""
    users: dict[Path, list[str]] = defaultdict(list)
    for benchmark in benchmarks_of(rule) if rule in ROOMS else ():
        for path in closure(benchmark_file(ROOMS[rule], benchmark), SCRIPTS):
            users[path].append(benchmark)
    return users


def reach(rule: str, benchmarks: list[str]) -> str:
    """Return a rule's name, with the benchmarks where it works with more than these."""
    if set(benchmarks) == set(benchmarks_of(rule)):
        return f"`{rule}`"
    return f"`{rule}` of {', '.join(benchmarks)}"


def _rule_names() -> set[str]:
    text = "".join(path.read_text() for path in (ROOT / "rules").glob("*.smk"))
    return set(re.findall(r"^\s*rule (\w+):", text, re.MULTILINE))


def readme() -> str:
    """Return README.md with the current predictions and rule graph in their places."""
    words = [
        "--rulegraph",
        "mermaid-js",
        "--configfile",
        "config/demo.yaml",
        "--cores",
        "1",
        "--forceall",
    ]
    command = [sys.executable, "-m", "snakemake", *words]
    graph = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    edges = "\n".join(
        f"    {before} --> {after}" for before, after in sorted(shortest_edges(graph))
    )
    text = (ROOT / "README.md").read_text()
    text = TRAINING.sub(lambda match: f"{match[1]}{training_table()}\n{match[2]}", text)
    return GRAPH.sub(
        lambda match: f"{match[1]}```mermaid\nflowchart LR\n{edges}\n```\n{match[2]}", text
    )


def training_table() -> str:
    """Return what training Llama 3 8B by default is predicted to need on each known GPU."""
    settings = load([ROOT / "config" / "config.yaml"])["train_adapter"]
    titles = [
        "GPU",
        "memory",
        "peak memory",
        "rows of",
        "layers recomputed",
        "3 epochs of oasst1",
        "share of the peak that this rests on",
    ]
    rows = [f"| {' | '.join(titles)} |", f"|{' --- |' * len(titles)}"]
    for name in GPUS:
        found = estimate(settings, LLAMA_3_8B, None, GPUS[name])
        choice = found.choice
        cells = [
            name,
            f"{found.memory_bytes / 1e9:.0f} GB",
            f"{found.peak_memory_bytes / 1e9:.1f} GB" + ("" if choice.fits else ", does not fit"),
            f"{choice.row_tokens:,} tokens",
            f"{choice.recomputed_layers} of {choice.layers}",
            duration(found.seconds),
            found.speed_source,
        ]
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows)


def shortest_edges(graph: str) -> set[tuple[str, str]]:
    """Return the edges of Snakemake's rule graph by name, without targets and implied edges.

    Snakemake numbers and orders rules differently from call to call.
    """
    names = dict(re.findall(r"(id\d+)\[(\w+)\]", graph))
    edges = {
        (names[before], names[after]) for before, after in re.findall(r"(id\d+) --> (id\d+)", graph)
    }
    edges = {edge for edge in edges if edge[1] != "all"}
    following: dict[str, set[str]] = defaultdict(set)
    for before, after in edges:
        following[before].add(after)

    def reached(rule: str) -> set[str]:
        return following[rule].union(*(reached(after) for after in following[rule]))

    beyond = {
        rule: set().union(*(reached(after) for after in following[rule]))
        for rule in list(following)
    }
    return {(before, after) for before, after in edges if after not in beyond[before]}


PAGES = {
    "config/README.md": config_readme,
    "config/schema.json": config_schema,
    "docs/reruns.md": reruns_page,
    "README.md": readme,
}


def main() -> None:
    """Write or compare the pages; exit code 1 where one is out of date."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--check", action="store_true", help="compare only")
    check = parser.parse_args().check
    texts = {name: make() for name, make in PAGES.items()} | schemas()
    stale = []
    for name, text in texts.items():
        path = ROOT / name
        if not path.exists() or path.read_text() != text:
            stale.append(name)
            if not check:
                path.write_text(text)
    unknown = {str(path.relative_to(ROOT)) for path in (ROOT / "docs" / "schemas").iterdir()}
    for name in sorted(unknown - set(texts)):
        stale.append(name)
        if not check:
            (ROOT / name).unlink()
    if check and stale:
        sys.exit(f"out of date: {', '.join(stale)}; run `make fix`")
    print(f"{'in step' if not stale else 'written'}: {', '.join(stale or texts)}")


if __name__ == "__main__":
    main()
