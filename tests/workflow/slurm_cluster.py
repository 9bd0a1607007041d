"""A SLURM cluster of one node, without systemd and accounting, for a test."""

import os
import platform
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "scontrol")
# where the step that Snakemake starts in a job looks: it does not get SLURM_CONF
SYSTEM_CONFIG = Path("/etc/slurm/slurm.conf")
CONFIG = """\
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
SlurmdUser=root
SlurmctldPort=36817
SlurmdPort=36818
CommunicationParameters=NoInAddrAny,NoCtldInAddrAny
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CredType=cred/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
MpiDefault=none
SwitchType=switch/none
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
ReturnToService=2
MinJobAge=300
GresTypes=gpu
SlurmdParameters=config_overrides
NodeName=node1 NodeHostname={host} NodeAddr=127.0.0.1 CPUs=16 RealMemory=64000 State=UNKNOWN
PartitionName=cpu Nodes=node1 Default=YES State=UP
PartitionName=gpu Nodes=node1 State=UP
"""


def why_not_here() -> str | None:
    """Return why no cluster can be started on this machine, None where one can."""
    missing = [program for program in PROGRAMS if shutil.which(program) is None]
    if missing:
        return f"needs {', '.join(missing)} (Debian: munge slurmctld slurmd slurm-client)"
    if os.geteuid() != 0:
        return "needs root, to start SLURM's daemons"
    if os.path.lexists(SYSTEM_CONFIG):
        return f"{SYSTEM_CONFIG} exists: this machine has a cluster already"
    return None


@contextmanager
def one_node_cluster(folder: Path) -> Iterator[None]:
    """Start the cluster below `folder`, and stop its daemons at the end."""
    for name in ("state", "spool"):
        (folder / name).mkdir(parents=True)
    key = folder / "munge.key"
    key.write_bytes(os.urandom(1024))
    key.chmod(0o400)
    config = folder / "slurm.conf"
    config.write_text(CONFIG.format(host=platform.node().partition(".")[0], folder=folder))
    SYSTEM_CONFIG.parent.mkdir(parents=True, exist_ok=True)
    SYSTEM_CONFIG.symlink_to(config)
    socket = f"--socket={folder}/munge.socket"
    munged = [
        f"--key-file={key}",
        f"--pid-file={folder}/munged.pid",
        f"--log-file={folder}/munged.log",
        f"--seed-file={folder}/munge.seed",
        "--force",
    ]
    try:
        subprocess.run(["munged", socket, *munged], check=True)
        subprocess.run(["slurmctld"], check=True)
        subprocess.run(["slurmd", "-N", "node1"], check=True)
        wait_until(lambda: "idle" in said("sinfo", "-h", "-o", "%T"), "the node is idle")
        yield
    finally:
        said("scancel", "--user=root")
        for name in ("slurmd", "slurmctld", "munged"):
            file = folder / f"{name}.pid"
            if file.exists():
                said("kill", file.read_text().strip())
        SYSTEM_CONFIG.unlink()


def said(*command: str) -> str:
    """Return what a command prints."""
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout


def wait_until(true: Callable[[], bool], what: str) -> None:
    """Ask again until something is true; a minute is the sign of a fault."""
    for _ in range(300):
        if true():
            return
        time.sleep(0.2)
    raise AssertionError(f"not within a minute: {what}")
