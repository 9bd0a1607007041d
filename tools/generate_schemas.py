"""Make docs/schemas from the types of the documents that stages exchange.

A dataclass is closed; a TypedDict may hold more keys than it names. The text below a key becomes
its description.
"""

import ast
import inspect
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

from pydantic import TypeAdapter
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from typing_extensions import get_original_bases, is_typeddict

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "workflow" / "scripts"))

from lorabench.control.benchmarks import JUDGED, TASKS, exported_file
from lorabench.documents import (
    answer,
    comparison,
    contamination,
    conversation,
    exports,
    fingerprint,
    gate,
    inference_conditions,
    item_result,
    judging_protocol,
    load_request,
    merge_report,
    performance,
    protocol,
    report,
    run_config,
    score,
    source,
    summary,
    token_times,
    train_metrics,
    training_record,
)

BENCH = "reports/bench/{git-sha}"
MADE = "How rows, answers or judgments were made: the .json with each .jsonl"
AnyProtocol = protocol.TaskProtocol | protocol.AnswersProtocol | judging_protocol.JudgingProtocol
# schema -> type, and the title or the module whose docstring says it
DOCUMENTS: dict[str, tuple[Any, str | ModuleType]] = {
    "answer": (answer.Answer, answer),
    "compare": (comparison.Comparison, comparison),
    "contamination": (contamination.Contamination, contamination),
    "conversation": (conversation.Conversation, conversation),
    "eval_results": (exports.EvalResults, f"All scores and comparisons: {BENCH}/eval_results.json"),
    "fingerprint": (fingerprint.Fingerprint, fingerprint),
    "gate": (gate.GateDocument, "The release gate: results/{run}/gate.json"),
    "gate_declaration": (
        gate.GateDeclaration,
        "Every declaration of a run's margins: results/{run}/gate_declaration.json",
    ),
    "inference_conditions": (inference_conditions.InferenceConditions, inference_conditions),
    "item_result": (item_result.ItemResult, item_result),
    "load_request": (load_request.LoadRequest, load_request),
    "merge_report": (merge_report.MergeReport, merge_report),
    "perf": (performance.Performance, performance),
    "perf_results": (exports.PerfResults, f"Inference of all variants: {BENCH}/perf_results.json"),
    "perf_variant": (
        exports.PerfVariant,
        f"Inference of one variant: {BENCH}/perf_{{variant}}.json",
    ),
    "protocol": (AnyProtocol, MADE),
    "report": (report.Report, report),
    "run_config": (run_config.RunConfig, run_config),
    "score": (score.Score, score),
    "source": (source.SourceRecord, source),
    "summary": (summary.DataSummary, summary),
    "token_times": (token_times.TokenTimes, token_times),
    "train_metrics": (train_metrics.TrainMetrics, train_metrics),
    "training_record": (
        training_record.Record,
        "The raw record of a training: results/{run}/adapter/training_record.json",
    ),
}


class Strict(GenerateJsonSchema):
    """Dataclasses are closed and written with all fields; names of fields are no titles."""

    def dataclass_schema(self, schema: Any) -> JsonSchemaValue:
        """Return the schema of a dataclass."""
        return super().dataclass_schema(schema) | {"additionalProperties": False}

    def field_is_required(self, field: Any, total: bool) -> bool:
        """Return whether a file always has a field."""
        return field["type"] == "dataclass-field" or super().field_is_required(field, total)

    def default_schema(self, schema: Any) -> JsonSchemaValue:
        """Return the schema of a field with a default, which a file has in any case."""
        return self.generate_inner(schema["schema"])

    def field_title_should_be_set(self, schema: Any) -> bool:
        """Return that no field has a title."""
        return False


def schemas() -> dict[str, str]:
    """Return file below the project -> text, of every published schema."""
    made = {name: schema(name, kind, text) for name, (kind, text) in DOCUMENTS.items()}
    for names, kind, what in (
        (TASKS, exports.ItemResults, "item"),
        (JUDGED, exports.AnswerOutputs, "answer"),
    ):
        for benchmark in names:
            file = exported_file(benchmark)
            title = f"Every {what} of {benchmark}: {BENCH}/{file}"
            one = schema(Path(file).stem, kind, title)
            one["$defs"][kind.__name__]["properties"]["benchmark"] = {"const": benchmark}
            made[Path(file).stem] = one
    return {
        f"docs/schemas/{name}.json": json.dumps(one, indent=2, ensure_ascii=False) + "\n"
        for name, one in sorted(made.items())
    }


def schema(name: str, kind: Any, text: str | ModuleType) -> dict[str, Any]:
    """Return the schema of a document.

    Args:
        text: the title, or the module whose docstring begins with it.
    """
    title = text if isinstance(text, str) else _first_sentence(text)
    adapter: TypeAdapter[Any] = TypeAdapter(kind)
    found, defined = TypeAdapter.json_schemas(
        [(name, "serialization", adapter)], schema_generator=Strict
    )
    definitions = defined["$defs"]
    for class_name, definition in definitions.items():
        del definition["title"]
        definition["description"] = _one_line(definition["description"])
        for key, meaning in _meanings(CLASSES[class_name]):
            # what is next to a reference says more than what it refers to
            definition["properties"][key]["description"] = meaning
    whole = {**found[name, "serialization"], "$defs": definitions}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"{name}.json",
        "title": title,
        **_plain(whole, definitions),
    }


def _plain(node: Any, definitions: dict[str, Any]) -> Any:
    """Return a part of a schema with plainer alternatives.

    Types become one list. Documents that `status` separates become if and else, so that the fault
    itself is named.
    """
    if isinstance(node, list):
        return [_plain(one, definitions) for one in node]
    if not isinstance(node, dict):
        return node
    node = {key: _plain(one, definitions) for key, one in node.items()}
    choices = node.get("anyOf", [])
    if choices and all(set(choice) == {"type"} for choice in choices):
        node["type"] = [choice["type"] for choice in choices]
        del node["anyOf"]
    elif len(choices) == 2 and all("$ref" in choice for choice in choices):
        for one, other in (choices, choices[::-1]):
            status = definitions[Path(one["$ref"]).name]["properties"].get("status", {})
            if "const" in status:
                test = {
                    "properties": {"status": {"const": status["const"]}},
                    "required": ["status"],
                }
                node |= {"if": test, "then": one, "else": other}
                del node["anyOf"]
                break
    return node


def _first_sentence(module: ModuleType) -> str:
    return _one_line((module.__doc__ or "").split("\n\n")[0]).removesuffix(".")


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _classes() -> dict[str, type]:
    """Return the classes of all documents by name."""
    prefix = "lorabench.documents."
    modules = [module for name, module in sys.modules.items() if name.startswith(prefix)]
    return {
        kind.__name__: kind
        for module in modules
        for kind in vars(module).values()
        if isinstance(kind, type) and kind.__module__ == module.__name__
    }


def _meanings(kind: type) -> Iterator[tuple[str, str]]:
    """Yield key -> the text below it, of a class and those that it is made of."""
    for base in get_original_bases(kind) if is_typeddict(kind) else kind.__bases__:
        if base.__name__ in CLASSES:
            yield from _meanings(base)
    [made] = ast.parse(inspect.getsource(kind)).body
    assert isinstance(made, ast.ClassDef)
    for node, following in zip(made.body, made.body[1:], strict=False):
        if (
            isinstance(node, ast.AnnAssign)
            and isinstance(node.target, ast.Name)
            and isinstance(following, ast.Expr)
            and isinstance(following.value, ast.Constant)
        ):
            yield node.target.id, _one_line(str(following.value.value))


CLASSES = _classes()
