"""A workflow of trivial jobs for the tests of the Ray executor: each says in `began/` that it began, and which process
did it; its wildcard says what else it does. And GaitLoom's own worker, noting what it begins."""

import os
import sys
import time
from pathlib import Path
from typing import Any

SNAKEFILE = """
rule all:
    input:
        expand("out/{what}.txt", what=config["jobs"].split()),


rule warm:
    output:
        "out/{what}.txt",
    log:
        "logs/{what}.log",
    resources:
        mem_mb=lambda wildcards, attempt: 300 * attempt,
        ray_warm="ray_toy:Toy hello",
        **config.get("asks", {}),
    shell:
        "python -m ray_toy {wildcards.what} 2> {log}"


rule task:
    output:
        "out/task{n}.txt",
    benchmark:
        "out/task{n}.tsv"
    threads: 2
    resources:
        mem_mb=200,
        gpu="0.5" if config.get("gpu") else 0,
        scanner=1,
        ray_warm="ray_toy:Toy hello",
    shell:
        "python -m ray_toy task{wildcards.n}"


rule plain:
    output:
        "out/plain{n}.txt",
    threads: 2
    resources:
        mem_mb=200,
    shell:
        '''
        (cat /proc/$PPID/comm; echo $OMP_NUM_THREADS $TMPDIR
        false | true || echo pipes may fail) > {output}
        '''


rule placed:
    output:
        "out/placed{n}.txt",
    resources:
        mem_mb=200,
    shell:
        "(cat /proc/$PPID/comm; echo {resources.tmpdir}) > {output}"


ruleorder: task > plain > placed > warm
"""


def do(what: str) -> None:
    """One job: `bad...` fails, `...slow...` waits for the file `go`, `big...` takes 400 MB for good."""
    with Path(f"began/{what}").open("a") as file:
        file.write(f"{os.getpid()}\n")
    print(f"{what} begins", file=sys.stderr)
    if what.startswith("bad"):
        sys.exit(f"{what} cannot be made; correct it")
    if what.startswith("big"):
        GROWN.append(b"x" * (400 << 20))
    while "slow" in what and not Path("go").exists():
        time.sleep(0.05)
    Path(f"out/{what}.txt").write_text(f"{what}\n")


GROWN: list[bytes] = []


class Toy:
    """What a warm worker keeps: it writes down that it was loaded."""

    def __init__(self, word: str):
        with Path(f"loaded.{word}").open("a") as file:
            file.write(f"{os.getpid()}\n")

    def __call__(self, job: dict[str, Any]) -> None:
        os.system(f"echo {job['rule']} >&2")  # a child's writing goes to the log as well
        do(job["wildcards"]["what"])


class Noted:
    """GaitLoom's worker, which writes each job that it begins into the file `begun`: rule, clip, number of its host."""

    def __init__(self, configuration: str):
        from gaitloom.warm import Worker

        self._worker = Worker(configuration)

    def __call__(self, job: dict[str, Any]) -> None:
        clip = "{subject}/{clip}".format(**job["wildcards"])
        with Path("begun").open("a") as file:
            file.write(f"{job['rule']} {clip} {Path('/proc/self/ns/net').stat().st_ino}\n")
        self._worker(job)

    @staticmethod
    def key(job: dict[str, Any]) -> str:
        from gaitloom.warm import Worker

        return Worker.key(job)


if __name__ == "__main__":
    do(sys.argv[1])
