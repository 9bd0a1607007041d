"""A SLURM cluster of one node, without systemd, with accounting or without, for a test."""

import os
import platform
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "scontrol")
ACCOUNTING = ("slurmdbd", "mariadbd", "mariadb-install-db")
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
{accounting}
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
NO_ACCOUNTS = "AccountingStorageType=accounting_storage/none"
ACCOUNTS = """\
AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost=127.0.0.1
AccountingStoragePort=36819
AccountingStoragePass={folder}/munge.socket
AccountingStorageEnforce=associations"""
DATABASE = """\
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
DbdHost=localhost
DbdAddr=127.0.0.1
DbdPort=36819
SlurmUser=root
PidFile={folder}/slurmdbd.pid
LogFile={folder}/slurmdbd.log
StorageType=accounting_storage/mysql
StorageHost=localhost
StorageUser=root
StorageLoc=slurm_accounts
"""


def why_not_here(accounting: bool = False) -> str | None:
    """Return why no cluster can be started on this machine, None where one can."""
    programs = PROGRAMS + ACCOUNTING * accounting
    missing = [program for program in programs if shutil.which(program) is None]
    if missing:
        packages = "munge slurmctld slurmd slurm-client" + " slurmdbd mariadb-server" * accounting
        return f"needs {', '.join(missing)} (Debian: {packages})"
    if os.geteuid() != 0:
        return "needs root, to start SLURM's daemons"
    if os.path.lexists(SYSTEM_CONFIG):
        return f"{SYSTEM_CONFIG} exists: this machine has a cluster already"
    return None


@contextmanager
def one_node_cluster(folder: Path, accounting: bool = False) -> Iterator[None]:
    """Start the cluster below `folder`, and stop its daemons at the end.

    With `accounting`, jobs need the account `lab`, as on most clusters.
    """
    for name in ("state", "spool"):
        (folder / name).mkdir(parents=True)
    key = folder / "munge.key"
    key.write_bytes(os.urandom(1024))
    key.chmod(0o400)
    config = folder / "slurm.conf"
    accounts = ACCOUNTS.format(folder=folder) if accounting else NO_ACCOUNTS
    host = platform.node().partition(".")[0]
    config.write_text(CONFIG.format(host=host, folder=folder, accounting=accounts))
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
        if accounting:
            start_accounts(folder)
        subprocess.run(["slurmctld"], check=True)
        subprocess.run(["slurmd", "-N", "node1"], check=True)
        wait_until(lambda: "idle" in said("sinfo", "-h", "-o", "%T"), "the node is idle")
        yield
    finally:
        said("scancel", "--user=root")
        for name in ("slurmd", "slurmctld", "slurmdbd", "mariadb", "munged"):
            file = folder / f"{name}.pid"
            if file.exists():
                said("kill", file.read_text().strip())
        SYSTEM_CONFIG.unlink()


def start_accounts(folder: Path) -> None:
    """Start a database and slurmdbd on it, with the account `lab` for root."""
    data, socket = folder / "database", folder / "mariadb.sock"
    common = ["--no-defaults", "--user=root", f"--datadir={data}"]
    login = "--auth-root-authentication-method=socket"
    subprocess.run(
        ["mariadb-install-db", *common, login, "--skip-test-db"], check=True, capture_output=True
    )
    files = [f"--socket={socket}", f"--pid-file={folder}/mariadb.pid", "--skip-networking"]
    with (folder / "mariadb.log").open("w") as log:
        subprocess.Popen(["mariadbd", *common, *files], stdout=log, stderr=log)
    wait_until(socket.exists, "the database answers")
    database = folder / "slurmdbd.conf"
    database.write_text(DATABASE.format(folder=folder))
    database.chmod(0o600)
    # its own file is looked for next to SLURM's; its library has no other setting for the socket
    places = {"SLURM_CONF": str(folder / "slurm.conf"), "MYSQL_UNIX_PORT": str(socket)}
    subprocess.run(["slurmdbd"], check=True, env={**os.environ, **places})
    add = ("sacctmgr", "-i", "add")
    wait_until(lambda: "test" in said(*add, "cluster", "test"), "accounts are kept")
    said(*add, "account", "lab", "Description=lab", "Organization=lab")
    said(*add, "user", "root", "Account=lab")


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
