"""Real worker processes on the tiny model: complete rows, nothing left on failure."""

import json
import logging
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM

from lorabench.documents.load_request import LoadRequest
from lorabench.documents.token_times import TokenTimes
from lorabench.errors import MeasurementError
from lorabench.files import read_json, read_jsonl, write_jsonl
from lorabench.inference import measurement
from lorabench.inference.turns import CONTROL
from measure_inference import measure_inference
from sections import measure_section
from summarise_inference import summarise_inference

pytestmark = pytest.mark.slow

VARIANTS = ["base", "lora", "merged"]
SETTINGS = measure_section(
    dtype="float32",
    prompts=2,
    new_tokens=6,
    repeats=2,
    load={"concurrency": [1, 2], "requests_per_user": 2, "new_tokens": 3, "repeats": 2},
)
LIMITS = [
    {"name": "slow", "time_to_first_token_ms": 6e4, "time_per_output_token_ms": 6e4},
    {"name": "instant", "time_to_first_token_ms": 1e-6, "time_per_output_token_ms": 1e-6},
]
WAIT_SECONDS = 120


@pytest.fixture(scope="module")
def checkpoints(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Return folders of the tiny model, a random adapter and a model of the same shape."""
    folder = tmp_path_factory.mktemp("variants")
    model = get_peft_model(
        AutoModelForCausalLM.from_pretrained(tiny_model),
        LoraConfig(r=4, target_modules=["q_proj", "down_proj"]),
    )
    model.save_pretrained(str(folder / "adapter"))
    shutil.copytree(tiny_model, folder / "merged")
    return {"base": tiny_model, "adapter": folder / "adapter", "merged": folder / "merged"}


def run(checkpoints: Any, out: Path, samples: Path, **changes: Any) -> None:
    """Run the script's function with output files in `out`."""
    settings = SETTINGS | changes
    measure_inference(
        **checkpoints,
        prompts=samples / "performance_prompts.jsonl",
        **raw(out),
        settings=settings,
        threads=1,
    )
    summarise_inference(
        **raw(out),
        summaries={variant: out / f"{variant}.json" for variant in VARIANTS},
        settings={"limits": LIMITS, "usd_per_gpu_hour": 3.6},
    )


def raw(out: Path) -> Any:
    """Return the paths of the raw figures in a folder."""
    return {
        "times": {variant: out / f"{variant}.jsonl" for variant in VARIANTS},
        "load": out / "raw" / "load.jsonl",
        "conditions": out / "raw" / "conditions.json",
    }


@pytest.fixture(scope="module")
def measured(
    checkpoints: dict[str, Path], samples: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """Return the output folder of one run."""
    out = tmp_path_factory.mktemp("perf")
    run(checkpoints, out, samples)
    return out


def rows_of(folder: Path, variant: str) -> list[TokenTimes]:
    """Return the raw rows of a variant's file."""
    return [TokenTimes(**row) for _, row in read_jsonl(folder / f"{variant}.jsonl")]


def test_rows_are_complete(measured: Path) -> None:
    """Each variant and the A/A control has each prompt in each repeat once, with all tokens."""
    arms = {variant: rows_of(measured, variant) for variant in VARIANTS}
    assert {row.variant for row in arms["base"]} == {"base", "base_again"}
    arms["base_again"] = [row for row in arms["base"] if row.variant == "base_again"]
    arms["base"] = [row for row in arms["base"] if row.variant == "base"]
    for variant, rows in arms.items():
        assert {row.variant for row in rows} == {variant}
        assert len({(row.repeat, row.prompt_id) for row in rows}) == len(rows) == 4
        assert all(row.new_tokens == 6 and len(row.inter_token_latencies_ms) == 5 for row in rows)


def test_variants_take_turns_on_the_same_prompts(measured: Path) -> None:
    """Token ids are equal for all, and each turn gives each arm another place."""
    rows = [row for variant in VARIANTS for row in rows_of(measured, variant)]
    assert len({(row.prompt_id, row.prompt_sha256, row.prompt_tokens) for row in rows}) == 2
    for repeat in range(2):
        for prompt in {row.prompt_id for row in rows}:
            turn = [row.order for row in rows if (row.repeat, row.prompt_id) == (repeat, prompt)]
            assert sorted(turn) == [0, 1, 2, 3]


def test_figures_can_be_recomputed_from_the_rows(measured: Path) -> None:
    """Percentiles and paired ratios of the summary follow from the raw file."""
    base, lora = (
        [row for row in rows_of(measured, arm) if row.variant == arm] for arm in ("base", "lora")
    )
    figures = read_json(measured / "lora.json")
    gaps = [gap for row in lora for gap in row.inter_token_latencies_ms]
    pooled = figures["metrics"]["inter_token_latency_ms"]
    assert pooled["p95"] == pytest.approx(np.percentile(gaps, 95))
    assert (pooled["n"], figures["metrics"]["time_to_first_token_ms"]["n"]) == (len(gaps), 4)
    of_base = {(row.repeat, row.prompt_id): row.end_to_end_ms for row in base}
    ratios = [row.end_to_end_ms / of_base[row.repeat, row.prompt_id] for row in lora]
    assert figures["ratios_to_base"]["end_to_end_ms"]["median"] == pytest.approx(np.median(ratios))


def test_summary_says_how_and_on_what_it_was_measured(measured: Path) -> None:
    """Variants differ in parameters only by the adapter."""
    base, lora, merged = (read_json(measured / f"{variant}.json") for variant in VARIANTS)
    for figures in (base, lora, merged):
        assert (figures["schema_version"], figures["status"], figures["threads"]) == (1, "ok", 1)
        assert (figures["n_prompts"], figures["repeats"], figures["new_tokens"]) == (2, 2, 6)
        assert figures["requires_grad"] == [True]
        assert set(figures["by_category"]) == {"code_generation", "mathematical_reasoning"}
        memory = figures["memory"]
        assert memory["load_peak_resident_mib"] >= memory["resident_before_load_mib"] > 0
        assert figures["environment"]["cpu_cores_allowed"] >= 1
        assert "greedy" in figures["protocol"]
        json.dumps(figures, allow_nan=False)
    assert base["parameters"] == merged["parameters"] < lora["parameters"]


def test_variants_that_are_not_wanted_are_reported_so(
    checkpoints: dict[str, Path], samples: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the memory they run one after another; one left out is not_run."""
    monkeypatch.setattr(measurement, "HEADROOM", 1e12)
    run(checkpoints, tmp_path, samples, variants=["base"], prompts=1, repeats=1)
    assert read_json(tmp_path / "lora.json")["status"] == "not_run"
    assert rows_of(tmp_path, "lora") == []
    assert read_json(tmp_path / "base.json")["environment"]["resident"] == "one after another"
    assert sorted(row.variant for row in rows_of(tmp_path, "base")) == ["base", "base_again"]


def test_merged_that_is_slower_than_its_base_is_called_a_fault(
    measured: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """They compute the same, so a difference beyond noise is a warning."""
    shutil.copytree(measured, tmp_path, dirs_exist_ok=True)
    rows = [row for row in rows_of(measured, "base") if row.variant == "base"]
    slow = [replace(row, variant="merged", end_to_end_ms=9 * row.end_to_end_ms) for row in rows]
    again = [replace(row, variant=CONTROL) for row in rows]
    write_jsonl(tmp_path / "base.jsonl", map(asdict, [*rows, *again]))
    write_jsonl(tmp_path / "merged.jsonl", map(asdict, slow))
    with caplog.at_level(logging.WARNING):
        summarise_inference(
            **raw(tmp_path),
            summaries={"merged": tmp_path / "merged.json"},
            settings={"limits": [], "usd_per_gpu_hour": None},
        )
    figures = read_json(tmp_path / "merged.json")
    assert figures["ratios_to_base"]["decode_tokens_per_second"]["beyond_noise"]
    assert "distrust this run" in caplog.text


def test_load_is_measured_at_every_level(measured: Path) -> None:
    """All arms answer the same requests; limits that anybody keeps pass, impossible ones do not."""
    requests = [LoadRequest(**row) for _, row in read_jsonl(raw(measured)["load"])]
    assert Counter((row.variant, row.concurrency) for row in requests) == {
        (arm, users): 2 * 2 * users for arm in (*VARIANTS, CONTROL) for users in (1, 2)
    }
    assert {(row.status, row.output_tokens, row.engine) for row in requests} == {("ok", 3, "own")}
    lora = read_json(measured / "lora.json")
    assert lora["load"]["server"] is None
    own = lora["load"]["own"]
    assert [level["concurrency"] for level in own["levels"]] == [1, 2]
    slow, instant = own["limits"]
    assert (slow["users"], slow["at_least"], instant["users"]) == (2, True, 0)
    level = own["levels"][1]
    assert slow["usd_per_million_tokens"] == pytest.approx(
        1e6 * 3.6 / 3600 / level["output_tokens_per_second"]
    )
    assert level["ratio_to_base"]["noise_band"][0] <= 1 <= level["ratio_to_base"]["noise_band"][1]


def test_one_user_s_speed_is_a_share_of_the_memory_s(measured: Path) -> None:
    """The share follows from bytes, speed and the copy; a CPU is never launch-bound."""
    one = read_json(measured / "base.json")["single_stream"]
    assert one["bandwidth_share"] == pytest.approx(
        one["tokens_per_second"]
        * one["bytes_read_per_token"]
        / one["copy_bandwidth_bytes_per_second"]
    )
    assert (one["captured"], one["gpu_idle_share"], one["launch_bound"]) == (False, None, False)


def workers_of(process: psutil.Process) -> list[psutil.Process]:
    """Return the worker processes that `process` has started."""
    found = []
    for child in process.children(recursive=True):
        if "lorabench.inference.worker" in child.cmdline():
            found.append(child)
    return found


def wait_for(condition: Callable[[], Any]) -> Any:
    """Return the first true value of `condition`, at most `WAIT_SECONDS` from now."""
    end = time.monotonic() + WAIT_SECONDS
    while not (value := condition()):
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.05)
    return value


def test_killed_worker_ends_the_run_cleanly(
    checkpoints: dict[str, Path], samples: Path, tmp_path: Path
) -> None:
    """One line says which process was killed; no process and no file is left."""

    def kill_one() -> None:
        workers = wait_for(lambda: len(found := workers_of(psutil.Process())) == 2 and found)
        workers[1].kill()

    killer = threading.Thread(target=kill_one)
    killer.start()
    with pytest.raises(MeasurementError, match="its process was stopped by SIGKILL") as error:
        run(checkpoints, tmp_path, samples, variants=["base"], repeats=200)
    killer.join()
    assert "\n" not in str(error.value)
    assert workers_of(psutil.Process()) == []
    assert list(tmp_path.iterdir()) == []


def test_checkpoint_that_cannot_be_loaded_is_named(
    checkpoints: dict[str, Path], samples: Path, tmp_path: Path
) -> None:
    """The error names the variant in one line; nothing is written."""
    (tmp_path / "empty").mkdir()
    out = tmp_path / "perf"
    with pytest.raises(MeasurementError, match="variant merged: ") as error:
        run(checkpoints | {"merged": tmp_path / "empty"}, out, samples, variants=["merged"])
    assert "\n" not in str(error.value)
    assert not out.exists()


def test_workers_end_with_their_parent(checkpoints: dict[str, Path]) -> None:
    """A parent that is killed without a chance to clean up leaves no worker behind."""
    scripts = Path(measurement.__file__).parents[2]
    request = {name: str(folder) for name, folder in checkpoints.items()} | {
        "variant": "base",
        "dtype": "float32",
        "threads": 1,
        "prompts": ["Hello"],
        "new_tokens": 4000,
        "most_new_tokens": 4000,
    }
    code = (
        "from lorabench.inference.worker_process import WorkerProcess\n"
        "worker = WorkerProcess('base', 1)\n"
        f"worker.ask({request!r})\n"
        "print('loaded', flush=True)\n"
        "worker.ask({'generate': {'prompt': 0, 'new_tokens': 4000}})\n"
    )
    environment = os.environ | {"PYTHONPATH": str(scripts)}
    parent = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, env=environment
    )
    assert parent.stdout is not None and parent.stdout.readline() == "loaded\n"
    (worker,) = workers_of(psutil.Process(parent.pid))
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    parent.stdout.close()
    wait_for(lambda: not worker.is_running() or worker.status() == psutil.STATUS_ZOMBIE)
