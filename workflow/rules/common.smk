# What all rules share: the plan, and how they ask it. The plan scans the input folders in the main process only;
# jobs read the sheet that it resolved. Every node has a rule of its own name, and so do log folder and profile key.
import gc
import sys
from functools import cache
from os.path import exists
from pathlib import Path
from shlex import quote

sys.path.insert(0, str(Path(workflow.basedir) / "workflow"))

from gaitloom import cluster
from gaitloom.clips import NodeKey
from gaitloom.reconcile import begin

# Snakemake's graph is millions of objects that live to its end; to look for garbage among them again and again takes
# an eighth of the time.
gc.set_threshold(100_000, 50, 100)

PLAN = begin(config, workflow)
RELEASE = PLAN.config.release


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
    It compares the small zarr.json by content, so their time stamps mean nothing either. A node that is kept, and
    cannot be made, depends on no file: Snakemake would delete it whenever one of them is made again.
    """
    return [
        f"<results>/store.zarr/{{subject}}/{{clip}}/{name}/zarr.json"
        for name in PLAN.reads[node].values()
        if node not in PLAN.kept
    ]


def sibling(node):
    """The node of another clip that a clip's node reads, where there is one. Should that clip be another batch's, this
    node of it is made now, with what it is made from.
    """

    def there(wildcards):
        other = PLAN.sibling(f"{wildcards.subject}/{wildcards.clip}", node)
        return [f"<results>/store.zarr/{other}/zarr.json"] if other else []

    return there if PLAN.siblings and node not in PLAN.kept else []


def ends(nodes):
    """Those of these nodes that no other of them is made from: when they are there, so are all. To name all would cost
    Snakemake time and memory for each.
    """
    below = {r for n in nodes if n not in PLAN.kept for r in PLAN.reads[n].values()}
    return [n for n in nodes if n not in below]


def of_clip(nodes):
    """Those of these nodes that a clip has. Only where some clip lacks some, each is asked: patterns are quicker."""

    def there(wildcards):
        path = f"{wildcards.subject}/{wildcards.clip}"
        has = PLAN.nodes_of_clip(path)
        last = ends([n for n in nodes if n in has])
        return [f"<results>/store.zarr/{path}/{n}/zarr.json" for n in last]

    every = "<results>/store.zarr/{{subject}}/{{clip}}/{node}/zarr.json"
    return there if PLAN.some_withheld else expand(every, node=ends(nodes))


@cache
def batch():
    """The clips of this run, and whether its report follows: under `--batch all=i/n` some of them, and with the last.

    Snakemake would divide the files of `all` by the alphabet: that tears clips apart, has the report on all of them in
    the first batch, and refuses the last one once a clip has failed. So it is told of no batch.
    """
    chosen, clips = workflow.dag_settings.batch, list(PLAN.accepted)
    if not chosen or chosen.rulename != "all":
        return clips, True
    workflow.dag_settings.batch = None
    return chosen.get_batch(clips), chosen.is_final


def lost(paths):
    """What of these clips is gone. Snakemake does not miss a file below one that is there, the report or a clip's index,
    so these are targets of their own; others it reaches by itself.
    """
    results = PLAN.config.results.as_posix()
    reported = exists(f"{results}/.reported")
    for path in paths:
        index = f"store.zarr/{path}/zarr.json"
        files = [index, f"preview/{path}.jpg"] if reported else []
        if exists(f"{results}/{index}"):
            nodes = PLAN.nodes_of_clip(path)
            files += [f"store.zarr/{path}/{node}/zarr.json" for node in nodes]
        yield from (f"<results>/{f}" for f in files if not exists(f"{results}/{f}"))


def environment(node):
    """The conda file of the environment that the node's backend needs; used under --sdm conda alone."""
    return f"{workflow.basedir}/envs/{PLAN.environment_of(node)}.yaml"


def recipe(node):
    """The digest of the node's recipe for a clip: the one truth about what is up to date."""
    return lambda wildcards: PLAN.digest(
        NodeKey(wildcards.subject, wildcards.clip, node)
    )


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


def part_of(tier, wildcards):
    """Digest of a clip's part, and the nodes that it needs."""
    return PLAN.parts(tier)[f"{wildcards.subject}/{wildcards.clip}"]


def part_reads(tier):
    """The nodes that a clip's part is made from."""
    return lambda wildcards: [
        f"<results>/store.zarr/{wildcards.subject}/{wildcards.clip}/{node}/zarr.json"
        for node in part_of(tier, wildcards)[1]
    ]


# What follows imports pandas, for which jobs that need it not should not wait.


def splits_digest():
    """Digest of what the splits are made from."""
    from gaitloom import split_files

    return split_files.planned(PLAN)


@cache
def cases(population):
    """The clips of a population of the technical validation, and what is known of them."""
    from gaitloom.technical_validation.cases import Cases

    return Cases.of(PLAN, population)


def tried(population, nodes):
    """The files of these nodes, of all clips of a population that have them."""
    return [
        f"<results>/store.zarr/{path}/{node}/zarr.json"
        for path, held in cases(population).nodes.items()
        for node in nodes
        if node in held
    ]


def trials(population):
    """The trials of a population: every target that it knows, from every input that it has."""
    return [
        f"<results>/technical_validation/{population}/{target}.{node}.tsv"
        for target, node in cases(population).trials()
    ]


def pages():
    """The pages of the technical validation, one a population."""
    from gaitloom.technical_validation.cases import populations

    return [
        f"<results>/technical_validation/{population}/TECHNICAL_VALIDATION.md"
        for population in populations(PLAN)
    ]


def trial_gpus():
    """GPUs of a trial from pictures, where the run's device is one."""
    chosen = PLAN.config.technical_validation
    gpu = chosen is not None and PLAN.config.device != "cpu"
    return {"gpu": chosen.video.gpus} if gpu else {}


def trial_threads():
    """Cores of a trial from pictures."""
    chosen = PLAN.config.technical_validation
    return chosen.video.threads if chosen else 1


def found_before(tier):
    """What a release holds beside its parts, where the configuration asks for it."""
    splits = ["<results>/splits/.made"] if PLAN.config.splits else []
    page = f"<results>/technical_validation/{tier}/TECHNICAL_VALIDATION.md"
    return [*splits, *([page] if PLAN.config.technical_validation else [])]


def finished(wildcards):
    """What stands at the end of every clip of this batch. The job itself takes what there is, of all of them."""
    clips = batch()[0] if workflow.is_main_process else []
    files = "<results>/store.zarr/{path}/zarr.json", "<results>/preview/{path}.jpg"
    return expand(files, path=clips)


onstart:
    cluster.check(workflow)
    # What this batch makes is not in a report that is there; the last batch writes another.
    if not batch()[1]:
        (PLAN.config.results / ".reported").unlink(missing_ok=True)
