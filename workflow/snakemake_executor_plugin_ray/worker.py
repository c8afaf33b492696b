"""What runs on Ray's workers: a job's command, or calls to an object that stays. Sent by value: they need no plugin."""

import os
import sys
from pathlib import Path
from typing import Any

# Runs "$1" in a process group of its own and ends the group as soon as the pipe $0 closes: when the worker dies.
GUARD = """
{ trap '' TERM; read -r _ <&$0; kill -TERM -- -$$; sleep 2; kill -KILL -- -$$; } &
bash -c "$1"; code=$?
kill -KILL $! 2>/dev/null; exit $code
"""


def command(shell: str, folder: str, log: str, environment: dict[str, str]) -> dict[str, Any]:
    """Run a job's command in `folder`, what it writes going to the file `log`; its exit code."""
    import subprocess

    Path(log).parent.mkdir(parents=True, exist_ok=True)
    given = {name: value for name, value in os.environ.items() if name.startswith(("RAY_", "CUDA_"))}
    read, write = os.pipe()
    try:
        with Path(log).open("w") as file:
            guarded = ["bash", "-c", GUARD, str(read), shell]
            job = subprocess.Popen(
                guarded,
                stdout=file,
                stderr=file,
                cwd=folder,
                env={**environment, **given},
                pass_fds=[read],
                process_group=0,
            )
            return {"code": job.wait()}
    finally:
        os.close(write)
        os.close(read)


class Warm:
    """An actor: `Class(*words)`, made at the first job and called with each; `path` is where its package lies.

    A call is given the job as a dictionary of plain values: rule, input, output, params, wildcards, threads, resources,
    log, attempt. What it writes goes to the rule's log. It fails by an exception, or as a program does, by
    `SystemExit` with a code other than 0. A static method `key(job) -> str`, where the class has one, says which jobs
    can share an actor; those of one rule, by default.
    """

    def __init__(self, target: str, words: list[str], folder: str, path: str, environment: dict[str, str]):
        import io

        os.chdir(folder)
        os.environ.update(environment)
        if path not in sys.path:
            sys.path.insert(0, path)
        self._target, self._words, self._called = target, words, None
        # Packages keep the stream they find: so it must be one that follows file descriptor 2 for good.
        sys.stdout, sys.stderr = (
            io.TextIOWrapper(io.FileIO(n, "w", closefd=False), line_buffering=True, write_through=True) for n in (1, 2)
        )

    def run(self, job: dict[str, Any], log: str) -> dict[str, Any]:
        """The exit code of one job, and the worker's resident memory after it (bytes)."""
        import contextlib

        Path(log).parent.mkdir(parents=True, exist_ok=True)
        with contextlib.ExitStack() as undo, Path(log).open("w") as file:
            for number in (1, 2):
                kept = os.dup(number)
                undo.callback(os.close, kept)
                undo.callback(os.dup2, kept, number)
                os.dup2(file.fileno(), number)
            code = self._call(job)
            sys.stdout.flush()
            sys.stderr.flush()
        resident = int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
        return {"code": code, "resident": resident}

    def _call(self, job: dict[str, Any]) -> int:
        import importlib
        import traceback

        try:
            if self._called is None:
                module, name = self._target.split(":")
                self._called = getattr(importlib.import_module(module), name)(*self._words)
            self._called(job)
        except SystemExit as end:
            if isinstance(end.code, str):
                print(end.code, file=sys.stderr)
            return end.code if isinstance(end.code, int) else int(end.code is not None)
        except Exception:
            traceback.print_exc()
            return 1
        return 0
