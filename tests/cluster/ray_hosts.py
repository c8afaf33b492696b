"""Rays for the tests: a head on loopback that others started, and hosts in network namespaces joined by veth."""

import os
import secrets
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import psutil
from project import ROOT

BRIDGE, NETWORK, PORT = "rt-bridge", "10.77.0", 6379
RAY = [str(Path(sys.executable).with_name("ray"))]

HEAD = """
import sys
from snakemake_executor_plugin_ray import cluster
import ray
local = dict(num_cpus=2, object_store_memory=80 << 20, include_dashboard=False, resources={"scanner": 1})
cluster.connect(sys.argv[1], None, None, local)
print(ray.get_runtime_context().gcs_address, flush=True)
sys.stdin.read()
"""


def missing() -> str:
    """Why hosts cannot be made here; empty where they can."""
    if os.geteuid() or not shutil.which("ip"):
        return "network namespaces need root and `ip`"
    probe = f"rt-probe-{os.getpid()}"  # every worker of the tests asks
    made = subprocess.run(["ip", "netns", "add", probe], capture_output=True, check=False)
    subprocess.run(["ip", "netns", "del", probe], capture_output=True, check=False)
    return "" if made.returncode == 0 else "network namespaces cannot be made here"


class Head:
    """A Ray on loopback."""

    def __enter__(self) -> "Head":
        self.folder = Path(tempfile.mkdtemp(prefix="rt-head-", dir="/tmp"))
        self.token = self.folder / "token"
        self.token.write_text(secrets.token_hex(32))
        path = f"{ROOT / 'workflow'}:{os.environ.get('PYTHONPATH', '')}"
        secured = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(self.token), "PYTHONPATH": path}
        self._process = subprocess.Popen(
            [sys.executable, "-c", HEAD, str(self.folder)],
            env={**os.environ, **secured, "RAY_USAGE_STATS_ENABLED": "0"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        assert self._process.stdout
        self.address = self._process.stdout.readline().strip()
        return self

    def alive(self) -> bool:
        """Whether it still runs."""
        return self._process.poll() is None

    def processes(self) -> list[psutil.Process]:
        """Its processes."""
        return psutil.Process(self._process.pid).children(recursive=True)

    def __exit__(self, *_: Any) -> None:
        left = self.processes()
        self._process.kill()  # ended orderly, it would wait for what a test has killed
        self._process.communicate()
        for process in psutil.wait_procs(left, timeout=0)[1]:
            process.kill()
        shutil.rmtree(self.folder, ignore_errors=True)


class Hosts:
    """A Ray over hosts 1 to `count`, the head on the first; each has one core. `folder` must have a short path."""

    def __init__(self, folder: Path, count: int):
        self._folder, self._count = folder, count
        self.token, self.address = folder / "hosts-token", f"{NETWORK}.1:{PORT}"

    def __enter__(self) -> "Hosts":
        self.token.write_text(secrets.token_hex(32))
        try:
            self._network()
            for host in range(1, self._count + 1):
                head = (
                    ["--head", f"--port={PORT}", "--include-dashboard=false"]
                    if host == 1
                    else [f"--address={self.address}"]
                )
                folder = [f"--temp-dir={self._folder}/h"] if host == 1 else []
                start = [*self.on(host), *RAY, "start", *head, *folder, f"--node-ip-address={NETWORK}.{host}"]
                limits = ["--num-cpus=1", f"--object-store-memory={80 << 20}", "--disable-usage-stats"]
                done = subprocess.run(
                    [*start, *limits], env=self._environment(), capture_output=True, text=True, check=False
                )
                assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
        except BaseException:
            self.__exit__()
            raise
        return self

    def _environment(self) -> dict[str, str]:
        sooner = {f"RAY_health_check_{k}": v for k, v in (("period_ms", "1000"), ("failure_threshold", "3"))}
        return {**os.environ, "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(self.token), **sooner}

    def _network(self) -> None:
        _ip("link", "add", BRIDGE, "type", "bridge")
        _ip("addr", "add", f"{NETWORK}.254/24", "dev", BRIDGE)
        _ip("link", "set", BRIDGE, "up")
        for host in range(1, self._count + 1):
            name = f"rt-host{host}"
            _ip("netns", "add", name)
            _ip("link", "add", f"rt-veth{host}", "type", "veth", "peer", "name", "eth0", "netns", name)
            _ip("link", "set", f"rt-veth{host}", "master", BRIDGE, "up")
            _ip("-n", name, "addr", "add", f"{NETWORK}.{host}/24", "dev", "eth0")
            _ip("-n", name, "link", "set", "eth0", "up")
            _ip("-n", name, "link", "set", "lo", "up")

    @staticmethod
    def on(host: int) -> list[str]:
        """The beginning of a command line that runs on a host."""
        return ["ip", "netns", "exec", f"rt-host{host}"]

    @staticmethod
    def number(host: int) -> int:
        """What a process finds at /proc/self/ns/net, as the file's inode, if it runs on a host."""
        return Path(f"/run/netns/rt-host{host}").stat().st_ino

    @staticmethod
    def kill(host: int) -> None:
        """End a host as a power cut does."""
        for pid in _ip("netns", "pids", f"rt-host{host}").split():
            try:
                psutil.Process(int(pid)).kill()
            except psutil.NoSuchProcess:
                continue

    def __exit__(self, *_: Any) -> None:
        for host in range(1, self._count + 1):
            if f"rt-host{host}" in _ip("netns", "list"):
                self.kill(host)
                _ip("netns", "del", f"rt-host{host}")
        subprocess.run(["ip", "link", "del", BRIDGE], check=False, capture_output=True)


def _ip(*args: str) -> str:
    return subprocess.run(["ip", *args], check=True, capture_output=True, text=True).stdout
