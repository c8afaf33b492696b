# What every rule shares: the plan, and how rules ask it. The plan scans the input folders in the main process only;
# jobs read the sheet that it resolved.
import sys
from pathlib import Path

sys.path.insert(0, str(Path(workflow.basedir) / "workflow"))

from gaitloom.reconcile import begin

PLAN = begin(config, workflow)


pathvars:
    results=PLAN.config.results.as_posix(),


GAITLOOM = f"PYTHONPATH={workflow.basedir}/workflow {sys.executable} -m gaitloom"
DERIVE = (
    f"{GAITLOOM} derive {{wildcards.subject}}/{{wildcards.clip}}/{{wildcards.node}}"
    f" --recipe {{params.recipe}} --config {PLAN.path} 2> {{log}}"
)


wildcard_constraints:
    subject=r"[\w.-]+",
    clip=r"[\w.-]+",
    node=r"\w+",


def nodes(modality):
    """Regular expression of the configured nodes of one modality."""
    return "|".join(PLAN.nodes_of(modality)) or "$^"


def source(wildcards):
    """The clip's video. Its content is in the recipe, so its time stamp means nothing."""
    return ancient(PLAN.accepted[f"{wildcards.subject}/{wildcards.clip}"].video)


def reads(wildcards):
    """The nodes that this one reads. Their recipes are in its own, so their time stamps mean nothing."""
    folder = f"{PLAN.config.results.as_posix()}/store.zarr/{wildcards.subject}/{wildcards.clip}"
    return [ancient(f"{folder}/{n}") for n in PLAN.reads[wildcards.node].values()]


def recipe(wildcards):
    """The digest of the node's recipe: the one truth about what is up to date."""
    return PLAN.digests[f"{wildcards.subject}/{wildcards.clip}"][wildcards.node]
