"""Snakemake's side of the driver: start it, send it jobs, hear how they ended, end it."""

import fcntl
import json
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

from snakemake_interface_common.exceptions import WorkflowError

from snakemake_executor_plugin_ray import cluster
from snakemake_executor_plugin_ray.driver import end_session
from snakemake_executor_plugin_ray.pools import Needs
from snakemake_executor_plugin_ray.settings import ExecutorSettings

PREFIX = "snakemake-ray-"
LOST = "Ray was lost: its head or its driver has ended"
ORDERLY_S = 15  # that the driver is given to end what it began
LONGEST = 40  # characters of the folder for temporary files: Ray's sockets lie deep in it, and have 107


class Ray:
    """A Ray that was started or joined, through the driver's process.

    `nodes` is what its nodes had at the start. An error, or None, for each job that has ended is put into `ended`.

    Raises:
        WorkflowError: it cannot be started or joined; the sentence says why.
    """

    def __init__(self, settings: ExecutorSettings, ended: dict[str, str | None]):
        self._folder, self._held = _private_folder()
        self._ended = ended
        self.nodes: list[Needs] = []
        self.alive = True
        self._sent: set[str] = set()
        try:
            token = self._token(settings)
        except WorkflowError:
            self._discard()
            raise
        self._log = self._folder / "driver.log"
        environment = cluster.environment(token)
        environment["PYTHONPATH"] = os.pathsep.join(
            p for p in (str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH")) if p
        )
        with self._log.open("w") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "snakemake_executor_plugin_ray.driver"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env=environment,
                text=True,
                start_new_session=True,  # Ctrl-C is Snakemake's affair
            )
        try:
            self._write(_connection(settings, self._folder))
            self.nodes = self._connected(settings)["nodes"]
        except BaseException:
            self.close()
            raise

    def _token(self, settings: ExecutorSettings) -> Path | None:
        given = settings.token_file or (settings.address and os.environ.get("RAY_AUTH_TOKEN_PATH"))
        if given:
            path = Path(given).expanduser().absolute()
            if not path.is_file():
                raise WorkflowError(f"There is no file with Ray's token at {path}; name it by --ray-token-file.")
            return path
        if settings.address:
            if os.environ.get("RAY_AUTH_MODE") == "disabled":
                return None
            raise WorkflowError(
                f"The Ray at {settings.address} wants a token: name its file by --ray-token-file; if it really wants "
                "none, set RAY_AUTH_MODE=disabled."
            )
        path = self._folder / "token"
        path.touch(0o600)
        path.write_text(secrets.token_hex(32))
        return path

    def _connected(self, settings: ExecutorSettings) -> dict[str, Any]:
        """The driver's first line.

        Raises:
            WorkflowError: there is none in time, or it is an error.
        """
        where = f"Ray at {settings.address}" if settings.address else "a Ray of this machine"
        first: list[str] = []
        reader = threading.Thread(target=self._read, args=(first,), daemon=True)
        reader.start()
        end = time.monotonic() + settings.connect_s
        while not first:
            written = self._log.read_text(errors="replace")
            if "InvalidAuthToken" in written or "Unauthenticated" in written:
                raise WorkflowError(
                    f"{where[0].upper()}{where[1:]} does not accept the token; name its own by --ray-token-file."
                )
            if not reader.is_alive() and not first:
                said = written.strip().splitlines()[-1:] or ["it said nothing"]
                raise WorkflowError(f"The driver for {where} ended before it had connected ({said[0][:300]}).")
            if time.monotonic() > end:
                raise WorkflowError(
                    f"{where[0].upper()}{where[1:]} does not answer after {settings.connect_s:g} s; check the address, "
                    "or give it longer by --ray-connect-s."
                )
            time.sleep(0.05)
        reply = json.loads(first[0])
        if "error" in reply:
            raise WorkflowError(f"{where[0].upper()}{where[1:]} cannot be used: {reply['error'].rstrip('.')}.")
        return reply

    def send(self, job: dict[str, Any]) -> None:
        """Have a job run: the fields of `pools.Job`."""
        self._sent.add(job["id"])
        self._write(job)

    def _write(self, line: dict[str, Any]) -> None:
        assert self._process.stdin
        with suppress(BrokenPipeError):  # then the driver has ended, and the reader says so of every job
            self._process.stdin.write(json.dumps(line) + "\n")
            self._process.stdin.flush()
        if not self.alive:
            self._lost()

    def _read(self, first: list[str]) -> None:
        """Runs in a thread of its own."""
        assert self._process.stdout
        for line in self._process.stdout:
            if not first:
                first.append(line)
                continue
            reply = json.loads(line)
            self._sent.discard(reply["id"])
            self._ended[reply["id"]] = reply["error"]
        self.alive = False
        self._lost()

    def _lost(self) -> None:
        for job in list(self._sent):
            self._ended.setdefault(job, LOST)

    def close(self) -> None:
        """End it, with everything that runs on it for this run; only a Ray that was joined goes on."""
        if self._process.returncode is None:  # not reaped: its session has ended before its number is free
            with suppress(BrokenPipeError):
                self._process.stdin.close()  # pyright: ignore[reportOptionalMemberAccess]
            if self.nodes:  # else it may hang in connecting
                _wait_unreaped(self._process.pid, ORDERLY_S)
            end_session(self._process.pid)
            self._process.wait()
        self._discard()

    def _discard(self) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)
        self._held.close()


def _connection(settings: ExecutorSettings, folder: Path) -> dict[str, Any]:
    local = {
        "num_cpus": settings.cpus or len(os.sched_getaffinity(0)),
        "num_gpus": settings.gpus,
        "object_store_memory": settings.object_store_mb << 20,
        "include_dashboard": settings.dashboard,
        "dashboard_host": cluster.LOOPBACK,
    }
    return {
        "folder": str(folder),
        "cwd": str(Path.cwd()),
        "address": settings.address,
        "interface": settings.interface,
        "local": {k: v for k, v in local.items() if v is not None},
        "pool": settings.pool,
        "idle_s": settings.idle_s,
    }


def _wait_unreaped(pid: int, seconds: float) -> None:
    end = time.monotonic() + seconds
    while not os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) and time.monotonic() < end:
        time.sleep(0.05)


def _private_folder() -> tuple[Path, IO[str]]:
    """A folder that only this user can read, for the token and Ray's own files, with a lock that tells that it is in
    use. Those of runs that were killed are removed."""
    base = Path(tempfile.gettempdir())
    base = base if len(str(base)) <= LONGEST else Path("/tmp")
    for left in base.glob(f"{PREFIX}*"):
        with suppress(OSError), (left / "lock").open() as lock:  # OSError: another user's, or in use
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(left, ignore_errors=True)
    folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=base))
    held = (folder / "lock").open("w")
    fcntl.flock(held, fcntl.LOCK_EX)
    return folder, held
