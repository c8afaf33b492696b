"""The executor: what of Snakemake's jobs goes to Ray, and how."""

import hashlib
import importlib
import importlib.util
import re
import time
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

from snakemake.common.tbdstring import TBDString
from snakemake.shell import shell
from snakemake_interface_common.exceptions import WorkflowError
from snakemake_interface_executor_plugins.executors.base import SubmittedJobInfo
from snakemake_interface_executor_plugins.executors.remote import RemoteExecutor
from snakemake_interface_executor_plugins.settings import DeploymentMethod

from snakemake_executor_plugin_ray.client import Ray
from snakemake_executor_plugin_ray.driver import THREADS
from snakemake_executor_plugin_ray.pools import EPSILON, Needs, described

WARM = "ray_warm"  # the resource that names the class
LOOK_S = 0.2  # between looks at which jobs have ended
LONGEST = 100_000  # characters of a command; a program's argument has 128 KiB
TMPDIR = 'export TMPDIR="${TMPDIR:-/tmp}"; export TMP="$TMPDIR" TEMPDIR="$TMPDIR" TEMP="$TMPDIR"'  # as Snakemake does
UNKNOWN = str(TBDString())  # such as {resources.tmpdir}: known only to Snakemake on the job's host
SYSTEM_TMPDIR = "system_tmpdir"  # Snakemake's default for the resource
CODE_S = 2  # for which the source of a warm class is taken for unchanged


class Executor(RemoteExecutor):
    """Runs jobs on Ray."""

    workflow: Any  # more of Snakemake's own than the interface promises: `async_run`, `workflow_settings`

    def __post_init__(self) -> None:
        self.next_seconds_between_status_checks = LOOK_S
        self._settings = self.workflow.executor_settings
        self._codes: dict[str, tuple[float, str]] = {}
        self._ended: dict[str, str | None] = {}
        self._ray = Ray(self._settings, self._ended)
        where = f"at {self._settings.address}" if self._settings.address else "of this machine, for this run"
        has = "; ".join(
            described({k: v for k, v in n.items() if k in ("CPU", "GPU", "memory")}) for n in self._ray.nodes
        )
        self.logger.info(f"Ray {where}: {has}.")
        try:
            self._check()
        except BaseException:
            self._ray.close()
            raise

    def _check(self) -> None:
        """Refuse before the first job what the cluster can never give.

        Raises:
            WorkflowError: a job, or a pool of the size that was asked for, does not fit.
        """
        for job in {job.rule.name: job for job in self.dag.needrun_jobs() if not job.is_local}.values():
            needs = self._needs(job)
            holding = sum(_times(needs, node) for node in self._ray.nodes)
            if not holding:
                raise WorkflowError(
                    f"The jobs of rule {job.rule.name} ask for {described(needs)}, and no node of the Ray cluster has "
                    "that; ask for less by --set-threads or --set-resources, or join a larger one."
                )
            if warm := self._warm(job):
                _class(warm, job.rule.name)
            if warm and self._settings.pool and holding < self._settings.pool:
                raise WorkflowError(
                    f"A pool of {self._settings.pool} actors for rule {job.rule.name} is larger than the Ray cluster, "
                    f"which has room for {holding}; lower --ray-pool."
                )

    def run_job(self, job: Any) -> None:
        """Send a job, to a warm actor where it can be done there."""
        if not self._ray.alive:
            self._ray.close()
            self._ray = Ray(self._settings, self._ended)
        name = f"{job.name}.{job.jobid}.{job.attempt}"
        log = self._log(job)
        pool = None
        if warm := self._warm(job):
            self.workflow.async_run(job.prepare())
            run, pool = self._call(job, warm)
            log = Path(job.log[0]).absolute() if job.log else log
            log.unlink(missing_ok=True)  # where there is none, the job has not begun
        elif command := self._shell(job):
            self.workflow.async_run(job.prepare())
            run = {"command": command, "name": name}
        else:
            run = {"command": self.format_job_exec(job), "name": name}
        needs = self._needs(job)
        self.report_job_submission(SubmittedJobInfo(job, external_jobid=name, aux={"log": log, "warm": bool(warm)}))
        self.logger.info(f"Job {job.jobid} goes to Ray, {f'to an actor of pool {pool}' if pool else 'as a task'}.")
        self._ray.send({"id": name, "pool": pool, "needs": needs, "run": {**run, "log": str(log)}})

    def _log(self, job: Any) -> Path:
        """The file for what a job writes, if not to its own log."""
        folder = Path(self._settings.logdir).absolute()
        if job.is_group():
            return folder / f"group_{job.name}" / f"{job.jobid}.log"
        which = "_".join(re.sub(r"[^\w.-]", "_", str(w)) for w in job.wildcards_dict.values())
        return folder / job.rule.name / f"{which or job.jobid}.log"

    def _needs(self, job: Any) -> Needs:
        """What Ray reserves: cores, GPUs and memory, and what the cluster knows by the resource's own name."""
        asked = job.resources
        needs: Needs = {"CPU": job.threads}
        if gpus := float(asked.get("gpu") or 0):
            needs["GPU"] = gpus * self._settings.gpu_share
        if isinstance(memory := asked.get("mem_mb"), int):
            largest = max(node.get("memory", 0) for node in self._ray.nodes)
            # A further attempt asks for more; where there is no more, it is given what there is.
            needs["memory"] = min(memory << 20, largest) if job.attempt > 1 else memory << 20
        for name in {name for node in self._ray.nodes for name in node}.intersection(asked.keys()):
            needs[name] = float(asked[name])
        return needs

    def _warm(self, job: Any) -> str | None:
        """The class that does a job, where one does."""
        return None if self._wants_snakemake(job) else job.resources.get(WARM) or None

    def _shell(self, job: Any) -> str | None:
        """A job's shell command with what Snakemake sets around it, where that is all that the job needs."""
        bash = Path(shell.get_executable() or "").name == "bash"
        if self._wants_snakemake(job) or not job.rule.shellcmd or not bash or job.resources.get("shell_exec"):
            return None
        threads = [f"export {name}={job.threads}" for name in THREADS]
        command = f"{shell._get_process_prefix()}{job.shellcmd} {shell._process_suffix}"
        if len(command) > LONGEST or UNKNOWN in command:
            return None
        return "\n".join([*threads, TMPDIR, command])

    def _wants_snakemake(self, job: Any) -> bool:
        """Whether a job asks for what only Snakemake gives it, started once more on the worker."""
        if job.is_group():
            return True
        deployed = self.workflow.deployment_settings.deployment_method
        return bool(
            job.benchmark
            or job.is_shadow
            or job.is_run
            or job.is_pipe
            or job.is_service
            or (DeploymentMethod.CONDA in deployed and job.conda_env)
            or (DeploymentMethod.APPTAINER in deployed and job.container_img)
            or (DeploymentMethod.ENV_MODULES in deployed and job.env_modules)
            or (self.workflow.workflow_settings.cache is not None and job.rule.cache)
            or ("tmpdir" in job.rule.resources and job.rule.resources["tmpdir"].raw != SYSTEM_TMPDIR)
            or any(file.is_storage for file in (*job.input, *job.output, *job.log))
        )

    def _call(self, job: Any, warm: str) -> tuple[dict[str, Any], str]:
        """What an actor is sent, and the name of its pool: the class, its key for this job, its code, its machine."""
        plain = {
            "rule": job.rule.name,
            "input": [str(f) for f in job.input],
            "output": [str(f) for f in job.output],
            "log": [str(f) for f in job.log],
            "params": {k: _plain(v) for k, v in job.params.items()},
            "wildcards": dict(job.wildcards_dict),
            "resources": {k: v for k, v in job.resources.items() if isinstance(v, int | str)},
            "threads": job.threads,
            "attempt": job.attempt,
        }
        called = _class(warm, job.rule.name)
        key = called.key(plain) if hasattr(called, "key") else job.rule.name
        needs = self._needs(job)
        needs.pop("memory", None)  # an actor with more does as well
        folder, code = self._code(called.__module__.split(".")[0])
        run = {"warm": warm, "path": folder, "job": plain}
        return run, hashlib.sha256(repr((warm, key, code, sorted(needs.items()))).encode()).hexdigest()[:16]

    def _code(self, package: str) -> tuple[str, str]:
        """Where a package lies, and the digest of its source: actors that loaded another are not called any more."""
        spec = importlib.util.find_spec(package)
        assert spec and spec.origin
        file = Path(spec.origin)
        root = file.parent if file.name == "__init__.py" else file
        seen, code = self._codes.get(package, (0.0, ""))
        if not code or time.monotonic() - seen > CODE_S:
            digest = hashlib.sha256()
            for source in sorted(root.rglob("*.py")) if root.is_dir() else [root]:
                digest.update(source.read_bytes())
            code = digest.hexdigest()
            self._codes[package] = (time.monotonic(), code)
        return str(root.parent), code

    async def check_active_jobs(  # pyright: ignore[reportIncompatibleMethodOverride]: an async generator, as it is used
        self, active_jobs: list[SubmittedJobInfo]
    ) -> AsyncGenerator[SubmittedJobInfo, None]:
        """Report those that have ended."""
        for job in active_jobs:
            if job.external_jobid not in self._ended:
                yield job
                continue
            error = self._ended.pop(job.external_jobid)
            aux = job.aux or {}
            log: Path = aux["log"]
            if error is None:
                if not aux["warm"]:
                    log.unlink(missing_ok=True)
                self.report_job_success(job)
            else:
                said = _end_of(*(Path(f) for f in getattr(job.job, "log", ())), log)
                self.report_job_error(job, msg=f"Ray: {error}{said and f': {said}'}. ", aux_logs=[str(log)])

    def cancel_jobs(self, active_jobs: list[SubmittedJobInfo]) -> None:
        """End every job: they end with the driver."""
        self._ray.close()

    def shutdown(self) -> None:
        """End what was started for this run."""
        super().shutdown()
        self._ray.close()


def _class(warm: str, rule: str) -> Any:
    """The class that `package.module:Class words` names.

    Raises:
        WorkflowError: there is none.
    """
    try:
        module, name = warm.split()[0].split(":")
        return getattr(importlib.import_module(module), name)
    except (ValueError, ImportError, AttributeError) as error:
        raise WorkflowError(
            f"{WARM} of rule {rule} is '{warm}', which names no class ({error}); write package.module:Class."
        ) from None


def _times(needs: Needs, node: Needs) -> int:
    """How often that fits into a node."""
    return int(min(((node.get(name, 0) + EPSILON) // amount for name, amount in needs.items() if amount), default=1e6))


def _plain(value: Any) -> Any:
    return value if isinstance(value, int | float | str | bool | None) else str(value)


def _end_of(*logs: Path, characters: int = 600) -> str:
    """The end of the first log that says anything, in one line."""
    for log in logs:
        if log.is_file() and (text := " ".join(log.read_text(errors="replace").split())):
            return text[-characters:].rstrip(".")
    return ""
