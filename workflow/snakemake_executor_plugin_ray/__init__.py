"""Snakemake executor plugin for Ray: each job is a Ray task; jobs that name a Python class are calls to a warm actor.

    snakemake --executor ray --jobs 100                                   a Ray of this machine alone, for this run
    snakemake --executor ray --jobs 100 --ray-address 10.0.0.1:6379 --ray-token-file token

A rule's `threads`, `mem_mb` and `gpu` (a fraction, too), and every resource that the Ray cluster knows by the same
name, are what Ray reserves for its job. A rule with the resource `ray_warm="package.module:Class words"` is not run by
its own process: an actor makes `Class(*words)` once and calls it with every such job, so what it loads stays loaded
(`worker.Warm` says how). docs/ray.md has the rest.
"""

from snakemake_interface_executor_plugins.settings import CommonSettings

from snakemake_executor_plugin_ray.executor import Executor
from snakemake_executor_plugin_ray.settings import ExecutorSettings

__all__ = ["Executor", "ExecutorSettings", "common_settings"]

common_settings = CommonSettings(
    non_local_exec=True,
    implies_no_shared_fs=False,
    job_deploy_sources=False,
    pass_default_storage_provider_args=True,
    pass_default_resources_args=True,
    pass_envvar_declarations_to_cmd=True,
    auto_deploy_default_storage_provider=False,
)
