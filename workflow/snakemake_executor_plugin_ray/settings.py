"""What can be set, on the command line (`--ray-...`) or in a profile (`ray-...:`)."""

from dataclasses import dataclass, field
from typing import Optional

from snakemake_interface_executor_plugins.settings import ExecutorSettingsBase


def _help(text: str) -> dict[str, object]:
    return {"help": text, "env_var": False, "required": False}


@dataclass
class ExecutorSettings(ExecutorSettingsBase):
    """Which Ray runs the jobs, and how warm actors are kept."""

    # Optional, since Snakemake's parser of settings does not know `str | None`.
    address: Optional[str] = field(  # noqa: UP045
        default=None,
        metadata=_help("host:port of a running Ray's head. Without it, a Ray of this machine is started for this run."),
    )
    token_file: Optional[str] = field(  # noqa: UP045
        default=None,
        metadata=_help("File with the token of the Ray at --ray-address; RAY_AUTH_TOKEN_PATH where it is not given."),
    )
    interface: Optional[str] = field(  # noqa: UP045
        default=None,
        metadata=_help("IP address of this machine that Ray is to use. A Ray that is started here uses 127.0.0.1."),
    )
    dashboard: bool = field(
        default=False, metadata=_help("Start the dashboard of a Ray that is started here, on 127.0.0.1.")
    )
    cpus: Optional[int] = field(  # noqa: UP045
        default=None, metadata=_help("Cores of a Ray that is started here; all of this machine's by default.")
    )
    gpus: Optional[int] = field(  # noqa: UP045
        default=None, metadata=_help("GPUs of a Ray that is started here; those that Ray finds by default.")
    )
    object_store_mb: int = field(
        default=100, metadata=_help("Object store of a Ray that is started here; jobs exchange files, not objects.")
    )
    pool: Optional[int] = field(  # noqa: UP045
        default=None, metadata=_help("Most actors of one pool (one model); as many as the cluster holds by default.")
    )
    idle_s: float = field(default=60.0, metadata=_help("Seconds after which an actor that has nothing to do is ended."))
    gpu_share: float = field(
        default=1.0, metadata=_help("Share of a GPU that a job is given for each one it asks for: 0.5 puts two on one.")
    )
    connect_s: float = field(default=60.0, metadata=_help("Seconds that Ray is given to answer."))
    logdir: str = field(
        default=".snakemake/ray_logs",
        metadata=_help("Folder for what failed jobs wrote that have no log of their own."),
    )
