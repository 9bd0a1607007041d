# Before everything else: this tree's package, and config files that can be read.
import atexit
import os
import shutil
import signal
import sys
import time
from pathlib import Path

ROOT = Path(str(workflow.current_basedir)).resolve().parent
SCRIPTS = ROOT / "workflow" / "scripts"
sys.path.insert(0, str(SCRIPTS))

# Snakemake may have imported its plugins, and with them the package, from an installed copy.
for name in [name for name in sys.modules if name.partition(".")[0] == "lorabench"]:
    del sys.modules[name]

from lorabench.control.config.files import read_config
from lorabench.control.last_words import FULL_DISK, as_failed, closing_lines, typed_command


def stop(error):
    """End Snakemake with the message and no traceback: exit code 2, wrong usage or configuration."""
    for line in str(error).splitlines():
        print(f"lorabench: {line}", file=sys.stderr)
    sys.exit(2)


def config_files():
    """Return the config files in the order in which Snakemake reads them: what wins comes last."""
    files = [Path("config/config.yaml"), *map(Path, workflow.overwrite_configfiles)]
    return [Path(os.path.relpath(file)) for file in files if os.path.lexists(file)]


# Snakemake's own reader takes the last of two equal keys, and shows a traceback for a folder.
if faults := read_config(config_files()).faults:
    stop("\n".join(faults))


# Snakemake's own words for these are pages of traceback.
if workflow.is_main_process:
    for place in map(Path, (".", ".snakemake", "results", "resources", "logs")):
        if os.path.lexists(place) and not (place.is_dir() and os.access(place, os.W_OK | os.X_OK)):
            stop(
                f"{place.absolute()}: expected a folder that may be written to; change its permissions, mount it for"
                " writing, or move it away"
            )
    if shutil.disk_usage(".").free < FULL_DISK:
        stop(f"{Path.cwd()}: its disk is full; free some space, then start again")


SIGNALS = []
BEGIN = time.time()


def note_interrupt(number, frame):
    """Remember that the run was interrupted, and interrupt it."""
    SIGNALS.append(number)
    raise KeyboardInterrupt


def say_why_last(logfile):
    """Print why the run did not finish, after everything that Snakemake itself says."""
    if not workflow.is_main_process:
        return
    scheduler = workflow.scheduler
    lines = closing_lines(
        as_failed(scheduler.failed, BEGIN, None if workflow.local_exec else Path("logs/slurm")),
        interrupted=bool(SIGNALS or scheduler._user_kill),
        command=typed_command(sys.argv, os.environ),
        # a list, empty where Snakemake could not open one
        logfile=next(map(str, logfile), os.devnull),
    )
    atexit.register(print, "\n".join(lines), file=sys.stderr, flush=True)
