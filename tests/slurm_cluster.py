"""A real Slurm on this machine: munged, slurmctld and one slurmd per node, in a folder of its own.

It has no accounting and no cgroups, so it runs where Debian's packages are and the user is root.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psutil

from tests.launches import wait_for

DAEMONS = ("munged", "slurmctld", "slurmd", "slurmstepd", "sbatch", "squeue", "scontrol", "scancel")
NODES = ("n1", "n2", "n3")

# Where Debian keeps daemons is not on the PATH of everybody.
_PATH = f"{os.environ['PATH']}:/usr/sbin:/usr/local/sbin"

_CONF = """
ClusterName=scaling
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmUser=root
AuthType=auth/munge
# A requeued job waits for as long as a credential lives: two minutes by default.
AuthInfo=socket={folder}/munge.socket,cred_expire=5
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd-%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
MailProg=/bin/true
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SlurmdParameters=config_overrides
SlurmdTimeout=10
KillWait=20
ReturnToService=2
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
NodeName=n1 NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[1]} CPUs=1
NodeName=n2 NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[2]} CPUs=1
NodeName=n3 NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[3]} CPUs=2
PartitionName=main Nodes=n1,n2 Default=YES PriorityTier=1
PartitionName=urgent Nodes=n1,n2 PriorityTier=10
PartitionName=pair Nodes=n3 PriorityTier=1
"""


def reason_to_skip() -> str | None:
    """Why no cluster can be started here; None when one can."""
    missing = [name for name in DAEMONS if name != "slurmstepd" and _which(name) is None]
    if missing:
        return f"no real Slurm here: {', '.join(missing)} not found; `make test-slurm` installs it"
    if os.geteuid() != 0:
        return "a real Slurm is started by root alone"
    return None


class Cluster:
    """The daemons, and what is asked of them.

    Attributes:
        environment: what a process needs to talk to this cluster and no other.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environment = os.environ | {"SLURM_CONF": f"{folder}/slurm.conf", "PATH": _PATH}
        self._daemons: dict[str, subprocess.Popen[bytes]] = {}

    def start(self) -> None:
        ports = _free_ports(1 + len(NODES))
        host = socket.gethostname().partition(".")[0]
        conf = _CONF.format(host=host, ports=ports, folder=self.folder)
        (self.folder / "slurm.conf").write_text(conf)
        (self.folder / "munge.key").write_bytes(os.urandom(128))
        (self.folder / "munge.key").chmod(0o400)
        (self.folder / "state").mkdir()
        names = ("socket", "key-file", "pid-file", "log-file", "seed-file")
        paths = [f"--{n}={self.folder}/munge.{n.removesuffix('-file')}" for n in names]
        self._start("munged", "--foreground", "--force", *paths)
        wait_for(lambda: (self.folder / "munge.socket").exists(), seconds=10)
        self._start("slurmctld", "-D", "-c")
        for node in NODES:
            self.start_node(node)
        wait_for(lambda: self.call("sinfo", "-h", "-o", "%T") == "idle", seconds=30)

    def start_node(self, node: str) -> None:
        self._start("slurmd", "-D", "-N", node, name=node)

    def kill_node(self, node: str) -> None:
        """Kills the daemon of a node; what it started goes on."""
        self._daemons[node].kill()
        self._daemons.pop(node).wait()

    def stop(self) -> None:
        with contextlib.suppress(subprocess.CalledProcessError):
            self.call("scancel", "--user=root", "--signal=KILL", "--full")
        for daemon in reversed(self._daemons.values()):
            daemon.send_signal(signal.SIGTERM)
        for daemon in self._daemons.values():
            try:
                daemon.wait(timeout=10)
            except subprocess.TimeoutExpired:
                daemon.kill()
                daemon.wait()
        for step in psutil.process_iter(["name"]):
            # The step of an orphan waits for the word of a daemon that is gone. The title that it
            # gave itself has overwritten the start of its environment, as psutil reads it.
            with contextlib.suppress(psutil.Error, OSError):
                environment = Path(f"/proc/{step.pid}/environ").read_bytes()
                if step.info["name"] == "slurmstepd" and os.fsencode(self.folder) in environment:
                    step.kill()

    def call(self, *command: str) -> str:
        done = subprocess.run(
            command, env=self.environment, capture_output=True, text=True, check=True
        )
        return done.stdout.strip()

    def _start(self, program: str, *options: str, name: str | None = None) -> None:
        name = name or program
        with (self.folder / f"{name}.out").open("ab") as log:
            self._daemons[name] = subprocess.Popen(
                [_which(program) or program, *options],
                env=self.environment,
                stdout=log,
                stderr=log,
            )


@contextlib.contextmanager
def running_cluster(folder: Path) -> Iterator[Cluster]:
    cluster = Cluster(folder)
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()


def _which(program: str) -> str | None:
    return shutil.which(program, path=_PATH)


def _free_ports(number: int) -> list[int]:
    sockets = [socket.socket() for _ in range(number)]
    for found in sockets:
        found.bind(("127.0.0.1", 0))
    ports = [found.getsockname()[1] for found in sockets]
    for found in sockets:
        found.close()
    return ports
