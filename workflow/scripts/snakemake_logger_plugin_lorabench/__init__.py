"""Progress view for Snakemake (`--logger lorabench`).

    [ 7/38  1:12] start  demo: gsm8k on base
    [ 8/38  1:45] done   demo: gsm8k on base (0:33) | data 6/6 · training 2/2 · evaluation 1/12 ·
    judging 0/6 · ...

On a terminal a last line says what runs now, with the newest progress bar of the jobs; elsewhere
such a line follows every minute. What jobs write to stderr goes to logs/jobs.log. A job that fails
is named with its log; the cause ends the run's output (`lorabench.control.last_words`). Warnings,
and errors before the first job, pass through in Snakemake's own words.
"""

import logging
import os
import re
import sys
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

from snakemake_interface_logger_plugins.base import LogHandlerBase
from snakemake_interface_logger_plugins.common import LogEvent

from lorabench.control.config.files import check_overlays

STAGES = {
    "data": (
        "fetch_model",
        "fetch_conversations",
        "fetch_benchmark",
        "prepare_conversations",
        "check_contamination",
    ),
    "training": ("train_adapter", "import_adapter", "describe_adapter", "merge_adapter"),
    "evaluation": ("evaluate_task", "generate_answers", "merge_answers"),
    "judging": ("judge_mt_bench", "judge_alpaca_eval"),
    "inference": ("measure_inference", "summarise_inference"),
    "report": (
        "declare_gate",
        "score_benchmark",
        "write_notices",
        "check_gate",
        "compare_variants",
        "write_report",
        "export_adapter",
        "export_report",
    ),
}
STAGE_OF = {rule: stage for stage, rules in STAGES.items() for rule in rules}
JOBS_LOG = Path("logs/jobs.log")
SECONDS_BETWEEN_LINES = 60.0
# the drawn part of a progress bar
BAR = re.compile(r"\|[^|]*\| ?")
# The SLURM plugin's search for an account that the profile does not name: it works without.
ACCOUNT_NOISE = re.compile("SLURM account given|No account was given|Unable to guess SLURM")


class LogHandler(LogHandlerBase):
    """Snakemake's logger plugin: turns job events into progress lines on stderr."""

    # it replaces Snakemake's terminal output; Snakemake's own log file, filter and format stay
    writes_to_stream = True
    writes_to_file = False
    has_filter = False
    has_formatter = False
    needs_rulegraph = False

    def __post_init__(self) -> None:
        """Start with nothing known; the totals come with the first run information."""
        self.begin = time.monotonic()
        # stage -> jobs to run
        self.totals: Counter[str] = Counter()
        # stage -> jobs done
        self.finished: Counter[str] = Counter()
        # job id -> (rule, message)
        self.names: dict[int, tuple[str, str]] = {}
        # job id -> start, seconds of the monotonic clock
        self.started: dict[int, float] = {}
        self.writing = threading.Lock()
        if not self.common_settings.dryrun:
            self.take_stderr()
            threading.Thread(target=self.show_running, daemon=True).start()

    def take_stderr(self) -> None:
        """Keep the terminal for this process; other writers to stderr go to `JOBS_LOG`."""
        JOBS_LOG.parent.mkdir(exist_ok=True)
        sys.stderr = os.fdopen(os.dup(2), "w", buffering=1)
        # a second call, refused or not, leaves what the first one's jobs said
        with JOBS_LOG.open("ab") as file:
            self.log_begin = file.tell()
            os.dup2(file.fileno(), 2)

    def emit(self, record: logging.LogRecord) -> None:
        """Print one record, or remember what it says."""
        event = getattr(record, "event", None)
        fields: dict[str, Any] = record.__dict__
        if event == LogEvent.JOB_ERROR:
            self.fail(fields)
        elif event in (LogEvent.GROUP_ERROR, LogEvent.ERROR) or (
            event is None and record.levelno >= logging.WARNING
        ):
            self.pass_on(record)
        elif event == LogEvent.RUN_INFO:
            self.count_jobs(fields.get("stats", {}))
        elif event == LogEvent.JOB_INFO:
            rule = fields["rule_name"]
            self.names[fields["jobid"]] = (rule, fields.get("rule_msg") or rule)
            self.start(fields["jobid"])
        elif event == LogEvent.JOB_FINISHED:
            self.finish(fields["job_id"])
        elif event is None and "othing to be done" in record.getMessage():
            self.print("Nothing to be done: every result is up to date.")

    def fail(self, fields: dict[str, Any]) -> None:
        """Print that a job failed; what it said itself is in its log."""
        _, message = self.names.get(fields["jobid"], ("", fields["rule_name"]))
        seconds = clock(time.monotonic() - self.started.pop(fields["jobid"], time.monotonic()))
        logs = " ".join(map(str, fields.get("log") or [])) or JOBS_LOG
        self.print(f"{self.head()} failed {message} ({seconds}) | log: {logs}")
        # words of the cluster, such as a refused submission, which the job's own log does not have
        if said := str(fields.get("rule_msg") or ""):
            self.print(said.splitlines()[0])
            os.write(2, f"{said}\n".encode(errors="replace"))

    def pass_on(self, record: logging.LogRecord) -> None:
        """Print a warning or an error; once jobs run, errors go to their log."""
        text = self.format(record)
        if ACCOUNT_NOISE.search(text):
            return
        if record.levelno >= logging.ERROR and self.names:
            os.write(2, f"{text}\n".encode(errors="replace"))
        else:
            self.print(text)

    def count_jobs(self, stats: dict[str, Any]) -> None:
        """Take the number of jobs a rule, which Snakemake gives once at the start."""
        if not self.totals:
            self.totals.update({STAGE_OF[rule]: 0 for rule in stats if rule in STAGE_OF})
            for rule, count in stats.items():
                if rule in STAGE_OF:
                    self.totals[STAGE_OF[rule]] += int(count)

    def start(self, job: int) -> None:
        """Print that a job starts; targets such as `all` run nothing and are not shown."""
        rule, message = self.names[job]
        if rule in STAGE_OF:
            self.started[job] = time.monotonic()
            self.print(f"{self.head()} start  {message}")

    def finish(self, job: int) -> None:
        """Print that a job ended, and how far every stage is."""
        rule, message = self.names.get(job, ("", ""))
        if rule in STAGE_OF and job in self.started:
            self.finished[STAGE_OF[rule]] += 1
            seconds = clock(time.monotonic() - self.started.pop(job))
            stages = " · ".join(
                f"{stage} {self.finished[stage]}/{self.totals[stage]}"
                for stage in STAGES
                if self.totals[stage]
            )
            self.print(f"{self.head()} done   {message} ({seconds}) | {stages}")

    def head(self) -> str:
        """Return "[jobs done/jobs in all  time since the start]"."""
        total = self.totals.total()
        return (
            f"[{self.finished.total():>{len(str(total))}}/{total}"
            f" {clock(time.monotonic() - self.begin):>6}]"
        )

    def print(self, text: str) -> None:
        """Write one line to stderr, as Snakemake does, over the line of running jobs."""
        with self.writing:
            print(f"\r\x1b[K{text}" if sys.stderr.isatty() else text, file=sys.stderr, flush=True)

    def show_running(self) -> None:
        """Rewrite the terminal's last line every second; elsewhere print a line every minute."""
        terminal = sys.stderr.isatty()
        while True:
            time.sleep(1 if terminal else SECONDS_BETWEEN_LINES)
            text = self.running(0.0 if terminal else SECONDS_BETWEEN_LINES)
            if text and terminal:
                width = os.get_terminal_size(sys.stderr.fileno()).columns - 1
                with self.writing:
                    print(f"\r\x1b[K{text[:width]}", end="", file=sys.stderr, flush=True)
            elif text:
                self.print(text)

    def running(self, at_least: float) -> str | None:
        """Return the jobs that have run for `at_least` seconds and the newest bar's numbers."""
        now = time.monotonic()
        jobs = ", ".join(
            f"{self.names[job][1]} ({clock(now - begin)})"
            for job, begin in [*self.started.items()]
            if now - begin >= at_least
        )
        bar = last_bytes(400, self.log_begin).replace("\r", "\n").strip().rsplit("\n", 1)[-1]
        return f"{self.head()} now    {jobs} | {BAR.sub(' ', bar)}" if jobs else None


def last_bytes(count: int, begin: int) -> str:
    """Return the end of `JOBS_LOG` as text, nothing from before byte `begin`."""
    with JOBS_LOG.open("rb") as file:
        file.seek(max(begin, JOBS_LOG.stat().st_size - count))
        return file.read().decode(errors="replace").strip()


def clock(seconds: float) -> str:
    """Return minutes:seconds, hours before them where there are any."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def use_a_cache_that_can_be_written() -> None:
    """Move the cache folder into the project where HOME is missing or read-only."""
    try:
        cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        cache.mkdir(parents=True, exist_ok=True)
        usable = os.access(cache, os.W_OK)
    except (OSError, RuntimeError):
        usable = False
    if not usable:
        os.environ["XDG_CACHE_HOME"] = str(Path(".snakemake/cache").absolute())


# Snakemake imports its plugins before it reads the config files of its command line, and ends with
# a traceback where one of them is a folder or not UTF-8.
if "snakemake.cli" in sys.modules:
    use_a_cache_that_can_be_written()
    check_overlays()
