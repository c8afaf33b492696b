"""Before a run on Slurm: refuse in one sentence what would otherwise fail in every job."""

import shutil
import subprocess
from typing import Any

from gaitloom.errors import GaitloomError


def check(workflow: Any) -> None:
    """Refuse a run on a Slurm that is not there, or that lacks a partition or the GPUs that the jobs ask for.

    Raises:
        WorkflowError: it cannot work; the sentence says why.
    """
    from snakemake.exceptions import WorkflowError

    if workflow.executor_plugin.cli_prefix != "slurm":
        return
    jobs = {job.rule.name: job for job in workflow.dag.needrun_jobs() if not job.is_local}
    asked = [job.resources for job in jobs.values()]  # one job of each rule tells
    partitions = {p for r in asked for p in str(r.get("slurm_partition") or "").split(",") if p}
    try:
        _check(partitions, any(r.get("gpu") for r in asked))
    except GaitloomError as error:
        raise WorkflowError(str(error)) from None


def _check(partitions: set[str], gpu: bool) -> None:
    if not shutil.which("sbatch"):
        raise GaitloomError("There is no sbatch on the PATH; run on a login node of the cluster, or load its module.")
    listed = subprocess.run(["sinfo", "--noheader", "--format", "%R %G"], capture_output=True, text=True, check=False)
    if listed.returncode:
        raise GaitloomError(f"Slurm does not answer ({' '.join(listed.stderr.split())}); ask its administrators.")
    rows = [line.split(maxsplit=1) for line in listed.stdout.splitlines()]
    there = dict.fromkeys(partition for partition, _ in rows)
    for partition in sorted(partitions - set(there)):
        raise GaitloomError(f"Slurm has no partition '{partition}'; choose one of: {', '.join(there)}.")
    if gpu and not any("gpu" in devices for _, devices in rows):
        raise GaitloomError("A GPU is asked for, and no node of this Slurm has one; set `device: cpu`.")
