"""Which job runs where, and when, on a cluster that is only told of: no Ray."""

from typing import Any

import pytest
from snakemake_executor_plugin_ray import pools
from snakemake_executor_plugin_ray.pools import Actor, Job, Pools

MB = 1 << 20


class Cluster:
    """What `Pools` would have Ray do, written down."""

    def __init__(self, *nodes: dict[str, float], limit: int | None = None, idle_s: float = 60):
        self.did: list[str] = []
        self.refused: dict[str, str] = {}
        self.calls: dict[str, Actor] = {}
        self.pools = Pools(self, limit, idle_s, lambda job, reason: self.refused.update({job.id: reason}))
        self.pools.nodes = list(nodes)

    def start_task(self, job: Job) -> None:
        self.did.append(f"task {job.id}")

    def new_actor(self, job: Job) -> Any:
        self.did.append(f"new {job.pool}")

    def call(self, actor: Actor) -> None:
        assert actor.job
        self.did.append(f"call {actor.job.id}")
        self.calls[actor.job.id] = actor

    def end_actor(self, actor: Actor) -> None:
        self.did.append(f"end {actor.pool}")

    def send(self, *jobs: str, cpu: float = 1, **more: float) -> None:
        """Jobs `a1`, `a2` of pool a ..., tasks `-1`, `-2` ...; then what can begin does."""
        for name in jobs:
            self.pools.add(Job(name, None if name[0] == "-" else name[0], {"CPU": cpu, **more}, {}))
        self.pools.begin()

    def end(self, job: str, keep: bool = True) -> None:
        """A job has ended; `keep` its actor."""
        if job in self.calls:
            self.pools.released(self.calls.pop(job), keep)
        else:
            self.pools.finished(Job(job, None, {}, {}))
        self.pools.begin()

    def since(self, mark: int) -> list[str]:
        """What was done after so many things."""
        return self.did[mark:]


def test_actors_are_used_again_and_as_many_as_there_is_room_for() -> None:
    cluster = Cluster({"CPU": 2}, {"CPU": 1})
    cluster.send("a1", "a2", "a3", "a4", "a5")
    assert cluster.did == ["new a", "call a1", "new a", "call a2", "new a", "call a3"]
    cluster.end("a2")
    cluster.end("a1")
    assert cluster.since(6) == ["call a4", "call a5"]


def test_a_pool_has_a_limit() -> None:
    cluster = Cluster({"CPU": 4}, limit=1)
    cluster.send("a1", "a2", "b1")
    assert cluster.did == ["new a", "call a1", "new b", "call b1"]


def test_an_idle_actor_makes_room_and_a_busy_one_does_not() -> None:
    cluster = Cluster({"CPU": 1})
    cluster.send("a1", "b1", "-1")
    assert cluster.did == ["new a", "call a1"]
    cluster.end("a1")
    assert cluster.since(2) == ["end a", "new b", "call b1"]
    cluster.end("b1")
    assert cluster.since(5) == ["end b", "task -1"]


def test_warm_goes_first_until_something_has_waited_too_long(monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = Cluster({"CPU": 2})
    cluster.send("a1", "a2")
    cluster.send("-1", cpu=2)
    cluster.send("a3", "a4", "a5", "a6")
    cluster.end("a1")
    assert cluster.since(4) == ["call a3"]
    monkeypatch.setattr(pools, "PATIENCE_S", -1)
    cluster.end("a2")
    assert cluster.since(5) == [], "the cluster drains for it"
    cluster.end("a3")
    assert cluster.since(5) == ["end a", "end a", "task -1"]


def test_an_actor_serves_jobs_that_need_no_more_than_it_was_given() -> None:
    cluster = Cluster({"CPU": 1, "memory": 900 * MB})
    cluster.send("a1", memory=500 * MB)
    cluster.end("a1")
    cluster.send("a2", memory=300 * MB)
    cluster.end("a2")
    cluster.send("a3", memory=800 * MB)
    assert cluster.did == ["new a", "call a1", "call a2", "end a", "new a", "call a3"]


def test_what_no_node_has_is_refused_and_holds_up_nothing() -> None:
    """Two cores on two nodes are no two cores; also once a node is lost."""
    cluster = Cluster({"CPU": 1, "memory": 900 * MB}, {"CPU": 1, "GPU": 1})
    cluster.send("a1", cpu=2)
    cluster.send("b1", GPU=0.5)
    assert cluster.refused == {"a1": "no node of the Ray cluster has 2 CPU"}
    cluster.end("b1", keep=False)
    assert cluster.did == ["new b", "call b1", "end b"]
    del cluster.pools.nodes[1]
    cluster.send("b2", GPU=0.5, memory=100 * MB)
    assert cluster.refused["b2"] == "no node of the Ray cluster has 1 CPU, 0.5 GPU, 100 MB of memory"


def test_idle_actors_are_ended_after_a_while() -> None:
    cluster = Cluster({"CPU": 2}, idle_s=-1)
    cluster.send("a1", "a2")
    cluster.end("a1")
    assert cluster.since(4) == ["end a"]
