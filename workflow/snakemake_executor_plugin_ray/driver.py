"""Ray's driver, a process of its own beside Snakemake: a Ray that hangs or falls cannot take Snakemake with it.

Lines of JSON come in (first how to connect, then a job each) and go out (first what the nodes have, then how each job
ended). When the input ends, for whatever reason, so does everything that was begun.
"""

import ctypes
import json
import os
import queue
import shlex
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

from snakemake_executor_plugin_ray import cluster, worker
from snakemake_executor_plugin_ray.pools import Actor, Job, Needs, Pools

LOOK_S = 2  # between looks at which nodes there are, while something waits
TICK_S = 1
THREADS = (  # what Snakemake sets for a shell command
    *("OMP_NUM_THREADS", "GOTO_NUM_THREADS", "OPENBLAS_NUM_THREADS"),
    *("MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS", "NUMEXPR_NUM_THREADS"),
)
LOSSES = 3
DIED = "the Ray worker that ran it died: killed, out of memory, or its host was lost"


class Driver:
    """Between the lines of JSON and Ray."""

    def __init__(self, replies: Any, settings: dict[str, Any]):
        import ray
        from ray import cloudpickle

        cloudpickle.register_pickle_by_value(worker)
        self._ray, self._replies = ray, replies
        self._command = ray.remote(max_retries=0)(worker.command)
        self._warm = ray.remote(max_restarts=0, max_task_retries=0)(worker.Warm)
        self._events: queue.Queue[Any] = queue.Queue()
        self._folder = settings["cwd"]
        kept = ("RAY_", "CUDA_")  # what Ray itself sets for a worker
        self._environment = {name: value for name, value in os.environ.items() if not name.startswith(kept)}
        self._pools = Pools(self, settings["pool"], settings["idle_s"], self._refuse)

    def loop(self) -> None:
        """Take jobs from standard input until it ends."""
        self._pools.nodes = cluster.nodes()
        self._say({"nodes": self._pools.nodes})
        threading.Thread(target=self._read, daemon=True).start()
        looked = time.monotonic()
        while self._take():
            if self._pools.busy and time.monotonic() - looked > LOOK_S:
                self._pools.nodes, looked = cluster.nodes(), time.monotonic()
            self._pools.begin()

    def _take(self) -> bool:
        """Do what has come in, or wait a moment for it; False when the input has ended."""
        wait = True
        while True:
            try:
                event = self._events.get(wait, TICK_S)
            except queue.Empty:
                return True
            if event is None:
                return False
            event()
            wait = False

    def _read(self) -> None:
        for line in sys.stdin:
            job = Job(**json.loads(line))
            self._events.put(lambda job=job: self._pools.add(job))
        self._events.put(None)

    def _say(self, reply: dict[str, Any]) -> None:
        self._replies.write(json.dumps(reply) + "\n")
        self._replies.flush()

    def _refuse(self, job: Job, reason: str) -> None:
        self._say({"id": job.id, "error": reason})

    # What Pools has done here.

    def start_task(self, job: Job) -> None:
        """Submit a job's command."""
        run = job.run
        task = self._command.options(name=run["name"], **_options(job.needs))
        reference = task.remote(run["command"], self._folder, run["log"], self._environment)
        self._watch(reference, job, lambda _: self._pools.finished(job))

    def new_actor(self, job: Job) -> Any:
        """An actor that can do this job."""
        run = job.run
        target, *words = shlex.split(run["warm"])
        warm = self._warm.options(**_options(job.needs))
        environment = {**self._environment, **dict.fromkeys(THREADS, str(run["job"]["threads"]))}
        return warm.remote(target, words, self._folder, run["path"], environment)

    def call(self, actor: Actor) -> None:
        """Have an actor do its job."""
        job = actor.job
        assert job is not None

        def ended(result: dict[str, Any] | None) -> None:
            limit = actor.needs.get("memory", float("inf"))
            self._pools.released(actor, keep=result is not None and result["resident"] <= limit)

        self._watch(actor.handle.run.remote(job.run["job"], job.run["log"]), job, ended)

    def end_actor(self, actor: Actor) -> None:
        """End an actor's process."""
        self._ray.kill(actor.handle)

    def _watch(self, reference: Any, job: Job, ended: Any) -> None:
        """When it ends, with a result or by its worker's death (None), say so."""

        def end(result: dict[str, Any] | None, error: BaseException | None) -> None:
            ended(result)
            if result is not None:
                self._say({"id": job.id, "error": f"exit code {result['code']}" if result["code"] else None})
            elif job.pool and job.lost < LOSSES and not Path(job.run["log"]).exists():
                job.lost += 1  # the actor died before it began
                self._pools.add(job)
            else:
                self._say({"id": job.id, "error": self._reason(error)})

        def done(future: Any) -> None:
            error = future.exception()
            result = None if error else future.result()
            self._events.put(lambda: end(result, error))

        reference.future().add_done_callback(done)

    def _reason(self, error: BaseException | None) -> str:
        raised = self._ray.exceptions
        if isinstance(error, raised.OutOfMemoryError):
            return "Ray ended it, since the memory of its host ran out"
        if isinstance(error, raised.RayTaskError):
            return f"it could not be run: {' '.join(str(error.cause).split())}"  # pyright: ignore
        if isinstance(error, raised.RayActorError | raised.WorkerCrashedError | raised.NodeDiedError):
            why = str(error).strip().splitlines()[-1]
            return f"its worker could not be started: {why}" if "creation task" in str(error) else DIED
        return f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"


def _options(needs: Needs) -> dict[str, Any]:
    own = {k: v for k, v in needs.items() if k not in ("CPU", "GPU", "memory")}
    memory = {"memory": int(needs["memory"])} if "memory" in needs else {}
    return {"num_cpus": needs["CPU"], "num_gpus": needs.get("GPU", 0), "resources": own, **memory}


def end_session(leader: int) -> None:
    """Kill every process of a session but this one: whatever a Ray that was started in it has left."""
    import psutil

    for process in psutil.process_iter():
        try:
            if os.getsid(process.pid) == leader and process.pid != os.getpid():
                process.kill()
        except (psutil.NoSuchProcess, ProcessLookupError, PermissionError):
            continue


def _end_with_parent(by: int) -> None:
    ctypes.CDLL(None).prctl(1, by)  # PR_SET_PDEATHSIG


def main() -> None:
    """Connect as the first line says, and work until standard input ends."""
    replies = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # Ray may print
    settings = json.loads(sys.stdin.readline())
    _end_with_parent(signal.SIGKILL)  # connecting may hang
    try:
        cluster.connect(settings["folder"], settings["address"], settings["interface"], settings["local"])
    except Exception as error:
        replies.write(json.dumps({"error": " ".join(str(error).split())[:400]}) + "\n")
        replies.flush()
        return
    _end_with_parent(0)
    try:
        Driver(replies, settings).loop()
    finally:
        import ray

        ray.shutdown()
        end_session(os.getpid())


if __name__ == "__main__":
    main()
