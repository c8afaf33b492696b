"""Jobs of one node, clip after clip, in a process that stays: what the Ray executor calls in place of a command.

The node that comes out is the one that `gaitloom derive` makes; only Python's start and the model's loading are spared.
"""

import shlex
from functools import cache
from pathlib import Path
from typing import Any

from gaitloom import config, weights
from gaitloom.clips import NodeKey
from gaitloom.config import modality_of
from gaitloom.errors import GaitloomError
from gaitloom.plan import Plan
from gaitloom.progress import say
from gaitloom.provenance import digest


class Worker:
    """Does the jobs of the rules of nodes, and of `index` and `preview`, by one configuration."""

    def __init__(self, configuration: str):
        self._config = Path(configuration)
        self._plan: tuple[Any, Plan] | None = None
        self._loaded: dict[str, Any] = {}

    def __call__(self, job: dict[str, Any]) -> None:
        """Do a job that Snakemake describes; its one sentence goes to standard error.

        Raises:
            SystemExit: it failed, as the command does.
        """
        try:
            self._do(job)
        except Exception as error:
            self._loaded.clear()  # it may have stopped in mid-clip
            ours = isinstance(error, GaitloomError)
            say(f"error: {error if ours else f'{type(error).__name__}: {error}; this should not happen.'}")
            raise SystemExit(1) from None

    def _do(self, job: dict[str, Any]) -> None:
        clip = f"{job['wildcards']['subject']}/{job['wildcards']['clip']}"
        match job["rule"]:
            case "index":
                from gaitloom.index import index_clip

                index_clip(self.plan, clip)
            case "preview":
                from gaitloom.preview import render

                render(self.plan, clip)
            case _:
                from gaitloom.derive import derive

                node, recipe = job["params"]["node"], job["params"]["recipe"]
                derive(self.plan, NodeKey.parse(f"{clip}/{node}"), recipe, self._loaded)

    @property
    def plan(self) -> Plan:
        """The plan, read again where the resolved sheet has changed: its configuration never does."""
        if self._plan:
            seen, plan = self._plan
            if seen == _stamp(plan.config):
                return plan
        stamp = _stamp(config.load(self._config))
        self._plan = stamp, Plan.read(self._config)
        return self._plan[1]

    @staticmethod
    def key(job: dict[str, Any]) -> str:
        """What jobs must have in common to share a worker: the model part of their recipes, and the device."""
        _, configuration = shlex.split(job["resources"]["ray_warm"])
        return _model(configuration, job["rule"])


def _stamp(settings: config.Config) -> tuple[int, ...]:
    """Of what else than the configuration a plan is read from: sheet and withdrawals."""
    files = settings.results / "clips.tsv", settings.clips.withdrawn
    stats = [f.stat() for f in files if f.is_file()]
    return tuple(n for stat in stats for n in (stat.st_mtime_ns, stat.st_size))


@cache
def _model(configuration: str, rule: str) -> str:
    settings = config.load(Path(configuration))
    if rule not in settings.nodes:
        return "no model"
    chosen = settings.nodes[rule]
    return digest(
        {
            "backend": [modality_of(rule), chosen.backend],
            "options": weights.recorded(settings.backend_options_of(rule)),
            "weights": [w.sha256 for w in settings.weights_of(rule)],
            "device": str(settings.device_of(rule)),
        }
    )
