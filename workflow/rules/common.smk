# What all rules share: the plan, and how they ask it. The plan scans the input folders in the main process only;
# jobs read the sheet that it resolved. Every node has a rule of its own name, and so do log folder and profile key.
import sys
from pathlib import Path
from shlex import quote

sys.path.insert(0, str(Path(workflow.basedir) / "workflow"))

from gaitloom import cluster
from gaitloom.reconcile import begin

PLAN = begin(config, workflow)


pathvars:
    results=PLAN.config.results.as_posix(),


# Under --sdm conda a rule's own Python is on the PATH; else it is the one that runs Snakemake.
PYTHON = "python" if workflow.deployment_settings.deployment_method else sys.executable
GAITLOOM = (
    f"PYTHONPATH={quote(f'{workflow.basedir}/workflow')} {quote(PYTHON)} -m gaitloom"
)
CONFIG = f"--config {quote(str(PLAN.path))}"
DERIVE = (
    f"{GAITLOOM} derive {{wildcards.subject}}/{{wildcards.clip}}/{{params.node}}"
    f" --recipe {{params.recipe}} {CONFIG} 2> {{log:q}}"
)

# What the Ray executor calls in place of the command, in a process that keeps the models; others take no notice.
WARM = f"gaitloom.warm:Worker {quote(str(PLAN.path))}"


wildcard_constraints:
    subject=r"[\w.-]+",
    clip=r"[\w.-]+",


def source(wildcards):
    """The clip's video. Every node decodes it; its content is in their recipes, so its time stamp means nothing."""
    return ancient(PLAN.accepted[f"{wildcards.subject}/{wildcards.clip}"].video)


def reads(node):
    """The nodes that this one reads. Not ancient: Snakemake would carry a change no further than one rule at a time.
    It compares the small zarr.json by content, so their time stamps mean nothing either.
    """
    return [
        f"<results>/store.zarr/{{subject}}/{{clip}}/{name}/zarr.json"
        for name in PLAN.reads[node].values()
    ]


def environment(node):
    """The conda file of the environment that the node's backend needs; used under --sdm conda alone."""
    return f"{workflow.basedir}/envs/{PLAN.environment_of(node)}.yaml"


def recipe(node):
    """The digest of the node's recipe for a clip: the one truth about what is up to date."""
    return lambda wildcards: PLAN.digests_of(f"{wildcards.subject}/{wildcards.clip}")[
        node
    ]


def cores(node):
    """Cores: one more beside a GPU, for decoding."""
    return PLAN.needs[node].threads + PLAN.on_gpu(node)


def needs(node):
    """Memory from the clip's picture size and time from its length, more at each attempt; and a GPU where the node's
    device is one. A profile's set-resources has the last word, by the node's name.
    """

    def memory(wildcards, attempt):
        return PLAN.memory_of(f"{wildcards.subject}/{wildcards.clip}", node, attempt)

    def minutes(wildcards, attempt):
        return PLAN.minutes_of(f"{wildcards.subject}/{wildcards.clip}", node, attempt)

    gpu = {"gpu": 1} if PLAN.on_gpu(node) else {}
    return {"mem_mb": memory, "runtime": minutes, "ray_warm": WARM, **gpu}


onstart:
    cluster.check(workflow)
