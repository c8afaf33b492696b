"""Which job runs where: ordinary tasks, and pools of warm actors that share the cluster with them. No Ray in here.

A job is begun as soon as the cluster has room for it, so that none of Ray's workers is held by one that waits. Jobs
with the same `pool` share actors; an actor has one job at a time and keeps what it has loaded. An actor that is idle is
ended when something else needs its room, or after a while.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

PATIENCE_S = 30  # after which what waits goes before what is warm
EPSILON = 1e-6

Needs = dict[str, float]  # by the names of Ray's resources: CPU, GPU, memory (bytes) ...


@dataclass
class Job:
    """A job as the executor sends it: its `pool` (None: a task), what it needs, and what is to be run."""

    id: str
    pool: str | None
    needs: Needs
    run: dict[str, Any]
    since: float = field(default_factory=time.monotonic)
    lost: int = 0  # actors that died before they began it


@dataclass(eq=False)
class Actor:
    """A worker of a pool; `handle` is Ray's."""

    pool: str
    needs: Needs
    handle: Any
    job: Job | None = None
    idle_since: float = field(default_factory=time.monotonic)


def fits(needs: Needs, free: Needs) -> bool:
    """Whether there is as much."""
    return all(amount <= free.get(name, 0) + EPSILON for name, amount in needs.items())


class Pools:
    """The jobs that wait and run. `start_task(job)`, `new_actor(job)`, `call(actor)` and `end_actor(actor)` do it."""

    def __init__(self, does: Any, limit: int | None, idle_s: float, refuse: Callable[[Job, str], None]):
        self.nodes: list[Needs] = []
        self._does, self._limit, self._idle_s, self._refuse = does, limit, idle_s, refuse
        self._waiting: list[Job] = []
        self._tasks: dict[str, Job] = {}
        self._actors: list[Actor] = []

    @property
    def busy(self) -> bool:
        """Whether anything waits: then the cluster is worth another look."""
        return bool(self._waiting)

    def add(self, job: Job) -> None:
        """A job to be begun when there is room."""
        self._waiting.append(job)

    def finished(self, job: Job) -> None:
        """A task has ended."""
        self._tasks.pop(job.id, None)

    def released(self, actor: Actor, keep: bool) -> None:
        """An actor's job has ended; `keep` it for the next."""
        actor.job, actor.idle_since = None, time.monotonic()
        if not keep:
            self._end(actor)

    def begin(self) -> None:
        """Begin what can be begun."""
        self._refuse_impossible()
        for actor in [a for a in self._actors if not a.job and time.monotonic() - a.idle_since > self._idle_s]:
            self._end(actor)
        if (
            self._waiting
            and time.monotonic() - self._waiting[0].since > PATIENCE_S
            and not self._begun(self._waiting[0])
        ):
            return  # let the cluster drain until the one that waited longest has room
        self._waiting = [job for job in self._waiting if not self._taken(job)]
        left: list[Job] = []
        full: set[tuple[Any, ...]] = set()  # one job of a kind that has no room tells of the others
        for job in self._waiting:
            kind = (job.pool, *sorted(job.needs.items()))
            if kind in full or not self._begun(job):
                full.add(kind)
                left.append(job)
        self._waiting = left

    def _taken(self, job: Job) -> bool:
        """Whether the job has begun, now or before, on an actor that was there."""
        if job.id in self._tasks or any(a.job is job for a in self._actors):
            return True
        for actor in self._actors if job.pool else ():
            if actor.pool == job.pool and not actor.job and fits(job.needs, actor.needs):
                actor.job = job
                self._does.call(actor)
                return True
        return False

    def _begun(self, job: Job) -> bool:
        if self._taken(job):
            return True
        pool = [a for a in self._actors if a.pool == job.pool]
        if job.pool and self._limit is not None and len(pool) >= self._limit:
            small = [a for a in pool if not a.job]
            if not small:
                return False
            self._end(small[0])
        if not self._room(job.needs):
            return False
        if job.pool is None:
            self._tasks[job.id] = job
            self._does.start_task(job)
        else:
            self._actors.append(actor := Actor(job.pool, job.needs, self._does.new_actor(job), job))
            self._does.call(actor)
        return True

    def _room(self, needs: Needs) -> bool:
        """Whether there is room, if need be after ending idle actors, the one that is idle longest first."""
        idle = sorted((a for a in self._actors if not a.job), key=lambda a: a.idle_since)
        if not fits(needs, self._free(idle)):
            return False
        while not fits(needs, self._free()):
            self._end(idle.pop(0))
        return True

    def _free(self, without: list[Actor] | None = None) -> Needs:
        free: Needs = {}
        for node in self.nodes:
            for name, amount in node.items():
                free[name] = free.get(name, 0) + amount
        for held in [*self._tasks.values(), *(a for a in self._actors if a not in (without or ()))]:
            for name, amount in held.needs.items():
                free[name] = free.get(name, 0) - amount
        return free

    def _end(self, actor: Actor) -> None:
        self._actors.remove(actor)
        self._does.end_actor(actor)

    def _refuse_impossible(self) -> None:
        possible = []
        for job in self._waiting:
            if any(fits(job.needs, node) for node in self.nodes):
                possible.append(job)
            else:
                self._refuse(job, f"no node of the Ray cluster has {described(job.needs)}")
        self._waiting = possible


def described(needs: Needs) -> str:
    """`2 CPU, 1 GPU, 4000 MB of memory`."""
    return ", ".join(
        f"{amount / 2**20:.0f} MB of memory" if name == "memory" else f"{amount:g} {name}"
        for name, amount in needs.items()
        if amount
    )
