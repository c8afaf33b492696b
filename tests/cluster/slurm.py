"""A real Slurm on one machine: munge, MariaDB, slurmdbd, slurmctld and four slurmd (two with a fake GPU), on loopback.

    python tests/cluster/slurm.py install       Debian's packages, as root; nothing where they are there already
    python tests/cluster/slurm.py up FOLDER     start; prints the folder to put first on the PATH
    python tests/cluster/slurm.py down FOLDER   stop exactly what `up` started

No systemd, and nothing outside FOLDER is written: ports are free ones, and Slurm's commands are called through small
scripts in FOLDER/bin that name the configuration (the executor plugin removes `SLURM_CONF` from its jobs' environment).
"""

import json
import os
import shutil
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import psutil

PACKAGES = ("slurm-wlm", "slurmdbd", "slurm-wlm-mysql-plugin", "mariadb-server", "munge")
DAEMONS = ("munged", "mariadbd", "mysql_install_db", "slurmdbd", "slurmctld", "slurmd")
COMMANDS = ("sacct", "sacctmgr", "sbatch", "scancel", "scontrol", "sinfo", "squeue", "srun", "sshare")
NODES = ("n1", "n2", "n3", "n4")
GPU_NODES = NODES[2:]
CPUS, MEMORY_MB = 8, 16000  # of a node, as Slurm is told; a machine with less runs them all the same
DEAD_AFTER_S = 15  # without an answer a node counts as down
PATH = f"{os.environ['PATH']}:/usr/sbin:/sbin"

SLURM_CONF = """
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CredType=cred/munge
CommunicationParameters=NoInAddrAny,NoCtldInAddrAny
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool/%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.%n.pid
SlurmctldLogFile={folder}/log/slurmctld.log
SlurmdLogFile={folder}/log/slurmd.%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=1
JobAcctGatherParams=OverMemoryKill
AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost=127.0.0.1
AccountingStoragePort={ports[1]}
AccountingStoragePass={folder}/munge.socket
AccountingStorageTRES=gres/gpu
AccountingStoreFlags=job_comment
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SchedulerType=sched/backfill
SchedulerParameters=sched_interval=2,bf_interval=2,batch_sched_delay=1
SlurmdParameters=config_overrides
SlurmdTimeout={dead_after}
ReturnToService=2
KillWait=3
MinJobAge=300
JobRequeue=1
GresTypes=gpu
DefMemPerCPU=200
PartitionName=cpu Nodes={nodes} Default=YES MaxTime=INFINITE DefaultTime=60 State=UP
PartitionName=gpu Nodes={gpu_nodes} MaxTime=INFINITE DefaultTime=60 State=UP
"""
SLURMDBD_CONF = """
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
DbdHost={host}
DbdAddr=127.0.0.1
DbdPort={ports[1]}
CommunicationParameters=NoInAddrAny
SlurmUser=root
PidFile={folder}/slurmdbd.pid
LogFile={folder}/log/slurmdbd.log
StorageType=accounting_storage/mysql
StorageHost=localhost
StorageUser=root
StorageLoc=slurm_acct
"""


def missing() -> str:
    """Why no Slurm can be started here; empty where one can."""
    if os.geteuid():
        return "starting a Slurm needs root"
    absent = [p for p in (*DAEMONS, *COMMANDS) if not shutil.which(p, path=PATH)]
    return f"not installed: {', '.join(absent)} (as root: python tests/cluster/slurm.py install)" if absent else ""


def install() -> None:
    """Install Debian's packages without starting their services."""
    if not missing():
        return
    if os.geteuid() or not shutil.which("apt-get"):
        sys.exit("Slurm is installed by root, with apt-get.")
    policy = Path("/usr/sbin/policy-rc.d")  # asked by Debian's packages whether to start their services
    ours = not policy.exists()
    quiet = {"env": {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}, "stdout": subprocess.DEVNULL}
    try:
        if ours:
            policy.write_text("#!/bin/sh\nexit 101\n")
            policy.chmod(0o755)
        subprocess.run(["apt-get", "update", "-qq"], check=False, **quiet)
        done = subprocess.run(
            ["apt-get", "install", "-yqq", "--no-install-recommends", *PACKAGES], check=False, **quiet
        )
    finally:
        if ours:
            policy.unlink(missing_ok=True)
    if done.returncode:
        sys.exit(f"apt-get could not install {' '.join(PACKAGES)}.")


class Slurm:
    """One cluster in one folder."""

    def __init__(self, folder: Path):
        self.folder, self.bin = folder, folder / "bin"
        self._pids = folder / "processes.json"  # name -> [pid, when it began]

    def start(self) -> "Slurm":
        """Start every daemon; returns when all nodes are idle."""
        if reason := missing():
            sys.exit(f"{reason}.")
        for name in ("bin", "etc", "log", "spool", "state", "db"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        self.folder.chmod(0o755)
        self._configure()
        key = self.folder / "munge.key"
        key.write_bytes(os.urandom(1024))
        key.chmod(0o400)
        named = [f"--{k}-file={self.folder}/munge.{k}" for k in ("key", "pid", "log", "seed")]
        self._spawn("munged", "--foreground", "--force", f"--socket={self.folder}/munge.socket", *named)
        self._database()
        self._spawn(
            "slurmdbd", "-D", SLURM_CONF=f"{self.folder}/etc/slurm.conf", MYSQL_UNIX_PORT=f"{self.folder}/db.sock"
        )
        _wait("slurmdbd", lambda: not self.run("sacctmgr", "-n", "show", "cluster", check=False).returncode)
        for what in ("cluster test", "account lab", "user root account=lab"):
            self.run("sacctmgr", "-i", "add", *what.split())
        self._spawn("slurmctld", "-D", "-i", "-f", f"{self.folder}/etc/slurm.conf")
        for node in NODES:
            self.start_node(node)
        _wait("idle nodes", lambda: self.states().count("idle") == len(NODES))
        return self

    def stop(self) -> None:
        """End what was started and is still the same process, the last first, and wait for it."""
        started = json.loads(self._pids.read_text()) if self._pids.is_file() else {}
        for node in NODES:
            self._end(self._job_processes(node))
        for name in reversed(started):
            self._end(self._alive(*started[name]))
        self._pids.unlink(missing_ok=True)

    def start_node(self, node: str) -> None:
        """Start a node's slurmd."""
        self._spawn(f"slurmd-{node}", "-D", "-N", node, "-f", f"{self.folder}/etc/slurm.conf")

    def kill_node(self, node: str) -> None:
        """End a node as a power cut does: its slurmd and every process of its jobs, by SIGKILL."""
        started = json.loads(self._pids.read_text())
        for process in [*self._alive(*started[f"slurmd-{node}"]), *self._job_processes(node)]:
            with suppress(psutil.NoSuchProcess):
                process.kill()

    def run(self, command: str, *args: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run one of Slurm's commands on this cluster."""
        return subprocess.run([str(self.bin / command), *args], capture_output=True, text=True, check=check)

    def states(self) -> list[str]:
        """What each node is: idle, mixed, down, draining ..."""
        return self.run("sinfo", "-h", "-N", "-p", "cpu", "-o", "%T", check=False).stdout.split()

    def running(self) -> list[tuple[str, str, str]]:
        """(job, node, comment) of each running job."""
        rows = self.run("squeue", "-h", "-t", "RUNNING", "-o", "%i|%N|%k").stdout.splitlines()
        return [(job, node, comment) for job, node, comment in (r.split("|", 2) for r in rows)]

    def accounts(self, *columns: str) -> list[dict[str, str]]:
        """What accounting knows of every job, by column."""
        listed = self.run("sacct", "-a", "-X", "-n", "-P", "-S", "now-1day", "-o", ",".join(columns)).stdout
        return [dict(zip(columns, row.split("|"), strict=True)) for row in listed.splitlines()]

    def _configure(self) -> None:
        with ExitStack() as held:  # held together, so that no two are the same
            sockets = [held.enter_context(socket.socket()) for _ in range(2 + len(NODES))]
            for each in sockets:
                each.bind(("127.0.0.1", 0))
            ports = [s.getsockname()[1] for s in sockets]
        facts = {"folder": self.folder, "host": socket.gethostname().split(".")[0], "ports": ports}
        lists = {"nodes": ",".join(NODES), "gpu_nodes": ",".join(GPU_NODES), "dead_after": DEAD_AFTER_S}
        conf, gres = [], []
        for node, port in zip(NODES, ports[2:], strict=True):
            gpu = " Gres=gpu:fake:1" if node in GPU_NODES else ""
            address = f"NodeHostname={facts['host']} NodeAddr=127.0.0.1 Port={port}"
            conf.append(f"NodeName={node} {address} CPUs={CPUS} RealMemory={MEMORY_MB} State=UNKNOWN{gpu}\n")
            if gpu:
                device = self.folder / f"nvidia-{node}"
                with suppress(PermissionError):  # a container without devices: jobs then see no CUDA_VISIBLE_DEVICES
                    os.mknod(device, stat.S_IFCHR | 0o600, os.makedev(195, 200 + len(gres)))
                device.touch()
                gres.append(f"NodeName={node} Name=gpu Type=fake File={device}\n")
        etc = self.folder / "etc"
        (etc / "slurm.conf").write_text("".join(conf) + SLURM_CONF.format(**facts, **lists))
        (etc / "gres.conf").write_text("".join(gres))
        (etc / "slurmdbd.conf").write_text(SLURMDBD_CONF.format(**facts))
        (etc / "slurmdbd.conf").chmod(0o600)
        for command in COMMANDS:
            script = self.bin / command
            program = shutil.which(command, path=PATH)
            script.write_text(f'#!/bin/sh\nSLURM_CONF={etc}/slurm.conf exec {program} "$@"\n')
            script.chmod(0o755)

    def _database(self) -> None:
        data, sock, scratch = (self.folder / name for name in ("db", "db.sock", "db.tmp"))
        scratch.mkdir(exist_ok=True)  # a server that begins clears away what others have in a folder that they share
        own = ["--no-defaults", "--user=root", f"--datadir={data}", f"--tmpdir={scratch}"]
        make = [*own, "--auth-root-authentication-method=normal"]
        with (self.folder / "log/mysql_install_db.log").open("w") as log:
            subprocess.run(
                [str(shutil.which("mysql_install_db", path=PATH)), *make, "--skip-test-db"],
                stdout=log,
                stderr=log,
                check=True,
            )
        lean = ["--skip-networking", "--innodb-buffer-pool-size=64M", "--innodb-flush-log-at-trx-commit=2"]
        patient = "--innodb-lock-wait-timeout=900"
        self._spawn("mariadbd", *own, f"--socket={sock}", *lean, patient)
        _wait("MariaDB", sock.exists)

    def _spawn(self, name: str, *args: str, **environment: str) -> None:
        with (self.folder / f"log/{name}.out").open("a") as log:
            process = subprocess.Popen(
                [str(shutil.which(name.split("-")[0], path=PATH)), *args],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, "PATH": PATH, **environment},
                start_new_session=True,
            )
        started = json.loads(self._pids.read_text()) if self._pids.is_file() else {}
        started[name] = [process.pid, psutil.Process(process.pid).create_time()]
        self._pids.write_text(json.dumps(started))

    def _job_processes(self, node: str) -> list[psutil.Process]:
        """The processes of a node's jobs, known by their environment, and the daemons above them."""

        def found() -> Iterator[psutil.Process]:
            for process in psutil.process_iter(["environ"]):
                environment = process.info["environ"] or {}
                if environment.get("SLURMD_NODENAME") == node and str(self.bin) in environment.get("PATH", ""):
                    yield process
                    with suppress(psutil.NoSuchProcess):
                        yield from (p for p in process.parents() if p.name().startswith("slurmstepd"))

        return list(dict.fromkeys(found()))

    @staticmethod
    def _alive(pid: int, began: float) -> list[psutil.Process]:
        with suppress(psutil.NoSuchProcess):
            process = psutil.Process(pid)
            return [process] if process.create_time() == began else []
        return []

    @staticmethod
    def _end(processes: list[psutil.Process]) -> None:
        for process in processes:
            with suppress(psutil.NoSuchProcess):
                process.terminate()
        for process in psutil.wait_procs(processes, timeout=20)[1]:
            process.kill()


def _wait(what: str, ready: Callable[[], bool], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not ready():
        if time.monotonic() > end:
            sys.exit(f"Slurm did not start: no {what} after {seconds:.0f} s; its logs are in FOLDER/log.")
        time.sleep(0.1)


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["install"]:
            install()
        case ["up", folder]:
            print(Slurm(Path(folder).resolve()).start().bin)
        case ["down", folder]:
            Slurm(Path(folder).resolve()).stop()
        case _:
            sys.exit(__doc__)
