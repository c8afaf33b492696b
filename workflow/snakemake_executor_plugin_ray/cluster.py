"""The Ray that runs the jobs: started for this run, or joined. Called in the driver's process alone."""

import os
from pathlib import Path
from typing import Any

LOOPBACK = "127.0.0.1"


def environment(token: Path | None) -> dict[str, str]:
    """What must stand in the environment before Ray is imported: the token decides who may use it."""
    secured = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(token)} if token else {"RAY_AUTH_MODE": "disabled"}
    return {
        **os.environ,
        **secured,
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
        "RAY_gcs_rpc_server_reconnect_timeout_s": "10",  # without a head for so long, the driver ends
    }


def connect(folder: str, address: str | None, interface: str | None, local: dict[str, Any]) -> None:
    """Start a Ray of this machine in `folder` (`local`: what it has), or join the one at `address`."""
    import ray
    from ray._private import services

    if (address or interface or LOOPBACK).startswith(LOOPBACK):
        # Ray replaces the loopback address by this machine's own and would then listen on all interfaces.
        services.get_node_ip_address = lambda *_, **__: LOOPBACK
    where = {"_node_ip_address": interface or (None if address else LOOPBACK)}
    where = {k: v for k, v in where.items() if v}
    quiet = {"log_to_driver": False, "configure_logging": False, "namespace": "snakemake"}
    if address:
        ray.init(address=address, **where, **quiet)
    else:
        ray.init(address="local", _temp_dir=folder, **where, **quiet, **local)


def nodes() -> list[dict[str, float]]:
    """What each living node of the cluster has, by the names of Ray's resources."""
    import ray

    return [node["Resources"] for node in ray.nodes() if node["Alive"]]
