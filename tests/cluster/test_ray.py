"""Runs on real Rays through `snakemake --profile profiles/ray`: one of this machine, one that is joined, and one over
three hosts in network namespaces."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
import ray_hosts
import ray_toy
import rebuild
import slurm
from gaitloom import config
from gaitloom.clips import NodeKey
from gaitloom.derive import derive
from gaitloom.plan import Plan
from project import ROOT, Project
from walker import Walk

pytestmark = [pytest.mark.cluster]

HERE = Path(__file__).parent
SMALL = [
    "--profile",
    str(ROOT / "profiles/ray"),
    "--ray-cpus",
    "2",
    "--ray-object-store-mb",
    "80",
    "--latency-wait",
    "3",
]


def environment(temporary: Path) -> dict[str, str]:
    """A temporary folder of the test's own, short enough for Ray's sockets: whose is left there, the run has left."""
    path = os.pathsep.join([str(HERE), str(ROOT / "workflow"), *filter(None, [os.environ.get("PYTHONPATH")])])
    return {**os.environ, "TMPDIR": str(temporary), "PYTHONPATH": path, "NO_COLOR": "1", "COLUMNS": "250"}


@pytest.fixture
def temporary(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Where the runs put Ray's files; no process that knows of it may be left."""
    folder = Path(subprocess.check_output(["mktemp", "-d", "/tmp/rt-XXXXXX"], text=True).strip())
    yield folder
    try:
        wait(lambda: not processes(folder), 20)
    finally:
        for process in processes(folder):
            process.kill()
        shutil.rmtree(folder)


def processes(temporary: Path) -> list[psutil.Process]:
    """Every process whose environment or command line names a folder."""
    found = []
    for process in psutil.process_iter():
        try:
            if str(temporary) in f"{process.environ()} {process.cmdline()}":
                found.append(process)
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    return found


def wait(condition: Callable[[], object], seconds: float = 60) -> None:
    """Wait for something that a run does."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.05)


class Toy:
    """A folder with the trivial workflow."""

    def __init__(self, folder: Path, temporary: Path):
        self.folder, self.temporary = folder, temporary
        for name in ("began", "out"):
            (folder / name).mkdir()
        (folder / "Snakefile").write_text(ray_toy.SNAKEFILE)

    def begin(self, jobs: str, *args: str, prefix: tuple[str, ...] = ()) -> subprocess.Popen[str]:
        """Begin a run of these jobs; what it says goes to run.log."""
        command = [*prefix, sys.executable, "-m", "snakemake", *SMALL, *args, "--config", f"jobs={jobs}"]
        with (self.folder / "run.log").open("w") as log:
            return subprocess.Popen(
                command, cwd=self.folder, env=environment(self.temporary), stdout=log, stderr=log, text=True
            )

    def run(self, jobs: str, *args: str, seconds: float = 120) -> tuple[int, str]:
        """Its exit code and what it said."""
        code = self.begin(jobs, *args).wait(timeout=seconds)
        return code, self.said

    @property
    def said(self) -> str:
        return (self.folder / "run.log").read_text()

    def began(self, job: str) -> list[int]:
        """The processes in which a job began, in order."""
        path = self.folder / "began" / job
        return [int(pid) for pid in path.read_text().split()] if path.is_file() else []

    @property
    def loads(self) -> list[int]:
        """The processes that loaded the warm class."""
        path = self.folder / "loaded.hello"
        return [int(pid) for pid in path.read_text().split()] if path.is_file() else []


@pytest.fixture
def toy(tmp_path: Path, temporary: Path) -> Toy:
    """The trivial workflow."""
    return Toy(tmp_path, temporary)


@pytest.fixture(scope="module")
def head() -> Iterator[ray_hosts.Head]:
    """A Ray that others started, on loopback, with a token and a resource of its own."""
    with ray_hosts.Head() as head:
        yield head


def joined(head: "ray_hosts.Head | ray_hosts.Hosts") -> list[str]:
    """The options by which a run joins it."""
    return ["--ray-address", head.address, "--ray-token-file", str(head.token)]


def test_warm_jobs_tasks_and_failures(toy: Toy) -> None:
    """One load serves many jobs; a rule that wants a benchmark is a task by Snakemake, a plain one by its shell; a bad
    job is told by its own words, as often as its retries say, and the others finish.
    """
    jobs = " ".join([*(f"w{n}" for n in range(6)), "bad1", "task1", "plain1", "placed1"])
    code, said = toy.run(jobs, "--ray-pool", "1", "--retries", "1", "--ray-gpus", "1", "--configfile", _gpu(toy))
    assert code != 0
    assert {p.name for p in (toy.folder / "out").iterdir()} == {f"w{n}.txt" for n in range(6)} | {
        "task1.txt",
        "task1.tsv",
        "plain1.txt",
        "placed1.txt",
    }
    assert (toy.folder / "out/plain1.txt").read_text() == f"bash\n2 {toy.temporary}\npipes may fail\n"
    shell, place = (toy.folder / "out/placed1.txt").read_text().splitlines()
    assert shell != "bash" and place == str(toy.temporary), "known only to Snakemake, on the job's host"
    assert len(set(toy.loads)) == len(toy.loads) <= 2, "a second attempt asks for more memory, and so for another actor"
    assert {toy.began(f"w{n}")[0] for n in range(6)} <= set(toy.loads)
    assert len(toy.began("bad1")) == 2
    assert "Ray: exit code 1: warm bad1 begins bad1 cannot be made; correct it" in said
    assert (toy.folder / "logs/w3.log").read_text() == "warm\nw3 begins\n"
    assert toy.began("task1")[0] not in toy.loads
    assert said.count("as a task") == 3 and len(re.findall(r"to an actor of pool (\w+)", said)) == 8


def _gpu(toy: Toy) -> str:
    path = toy.folder / "gpu.yaml"
    path.write_text("gpu: true\n")
    return str(path)


def test_a_worker_is_killed(toy: Toy, head: ray_hosts.Head) -> None:
    """Of an actor and of a task, with what they had started: both are done again, once, and nothing else is."""
    run = toy.begin("slow1 slow2 w1", "--retries", "1", *joined(head))
    wait(lambda: toy.began("slow1") and toy.began("slow2"))
    os.kill(toy.began("slow1")[0], signal.SIGKILL)
    wait(lambda: len(toy.began("slow1")) == 2)
    (toy.folder / "go").touch()
    assert run.wait(timeout=60) == 0, toy.said
    assert [len(toy.began(job)) for job in ("slow1", "slow2", "w1")] == [2, 1, 1]
    assert "the Ray worker that ran it died" in toy.said


def test_a_task_dies_with_its_worker(toy: Toy, head: ray_hosts.Head) -> None:
    run = toy.begin("slow1", "--retries", "0", "--set-resources", "warm:ray_warm=''", *joined(head))
    wait(lambda: toy.began("slow1"))
    job = psutil.Process(toy.began("slow1")[0])
    workers = [p for p in job.parents() if "ray::" in " ".join(p.cmdline())]
    workers[0].kill()
    assert run.wait(timeout=60) != 0
    wait(lambda: not job.is_running(), 10)
    assert "the Ray worker that ran it died" in toy.said


def test_an_actor_that_has_grown_is_replaced(toy: Toy, head: ray_hosts.Head) -> None:
    first = ["--jobs", "1", "--prioritize", "out/big1.txt"]
    code, said = toy.run("big1 w1 w2", "--ray-pool", "1", *first, *joined(head))
    assert code == 0, said
    assert len(toy.loads) == 2
    assert len({pid for job in ("big1", "w1", "w2") for pid in toy.began(job)}) == 2


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_snakemake_is_interrupted_or_killed(toy: Toy, how: signal.Signals) -> None:
    """No process is left of jobs or of Ray; after unlocking, the same command completes."""
    jobs = "slow1 taskslow1"
    heard = ("env", "--default-signal=INT")  # a shell in the background has it ignored
    run = toy.begin(jobs, "--set-threads", "task=1", prefix=heard)
    wait(lambda: toy.began("slow1") and toy.began("taskslow1"))
    assert len(processes(toy.temporary)) > 5, "Ray's processes can be told by their environment"
    run.send_signal(how)
    assert run.wait(timeout=30) != 0
    wait(lambda: not processes(toy.temporary), 20)
    assert not list((toy.folder / "out").glob("*.txt"))
    if how == signal.SIGKILL:
        (toy.folder / "go").touch()
        assert list(toy.temporary.glob("snakemake-ray-*/token")), "left by the killed run, removed by the next"
        assert toy.run("w1", "--unlock")[0] == 0
        assert toy.run(jobs)[0] == 0, toy.said
    assert not list(toy.temporary.glob("snakemake-ray-*"))


def test_a_ray_is_joined_and_goes_on(toy: Toy, head: ray_hosts.Head) -> None:
    code, said = toy.run("w1 task1 plain1", *joined(head), "--set-resources", "plain:tmpdir=own")
    assert code == 0, said
    shell, variables, _ = (toy.folder / "out/plain1.txt").read_text().splitlines()
    assert shell != "bash" and variables == "2 own", "what a shell alone does not give, Snakemake does"
    assert f"Ray at {head.address}" in said
    assert head.alive()
    listening = {c.laddr.ip for p in head.processes() for c in p.net_connections() if c.status == "LISTEN"}
    assert listening, "such as its head's"
    assert listening <= {"127.0.0.1", "::ffff:127.0.0.1"}


@pytest.mark.parametrize(
    ("args", "sentence"),
    [
        (["--ray-address", "127.0.0.1:1", "--ray-connect-s", "6"], "Ray at 127.0.0.1:1 does not answer"),
        (["--ray-token-file", "wrong"], "does not accept the token; name its own by --ray-token-file."),
        (["--ray-token-file", "absent"], "There is no file with Ray's token at"),
        (["--set-resources", "warm:gpu=1"], "ask for 1 CPU, 1 GPU, 300 MB of memory, and no node"),
        (["--ray-pool", "3"], "A pool of 3 actors for rule warm is larger than the Ray cluster, which has room for 2;"),
        (["--set-threads", "warm=9"], "ask for 9 CPU"),
        (
            ["--set-resources", "warm:ray_warm='ray_toy:Tory'"],
            "ray_warm of rule warm is 'ray_toy:Tory', which names no",
        ),
    ],
)
def test_bad_input_is_one_sentence(toy: Toy, head: ray_hosts.Head, args: list[str], sentence: str) -> None:
    (toy.folder / "wrong").write_text("b" * 64)
    code, said = toy.run("w1", *joined(head), *args, seconds=40)
    assert code != 0
    assert sentence in said
    assert "Traceback" not in said
    assert not toy.began("w1")


def test_the_head_is_lost(toy: Toy) -> None:
    """Its jobs fail, and the run says that it cannot be reached again."""
    with ray_hosts.Head() as head:
        run = toy.begin("slow1 slow2", *joined(head), "--ray-connect-s", "5")
        wait(lambda: toy.began("slow1") and toy.began("slow2"))
        (gcs,) = [p for p in head.processes() if "gcs_server" in p.name()]
        gcs.kill()
        assert run.wait(timeout=90) != 0
    assert toy.said.count("Ray was lost: its head or its driver has ended") == 2
    assert f"Ray at {head.address} does not answer after 5 s" in toy.said


@pytest.mark.skipif(bool(slurm.missing()), reason=slurm.missing())
def test_one_slurm_allocation(toy: Toy, tmp_path_factory: pytest.TempPathFactory) -> None:
    """The batch script of profiles/slurm-ray: two nodes of two cores run four jobs at once, and nothing is left."""
    cluster = slurm.Slurm(tmp_path_factory.mktemp("slurm"))
    (toy.folder / "profiles").symlink_to(ROOT / "profiles")
    path = f"{cluster.bin}:{Path(sys.executable).parent}:{os.environ['PATH']}"
    batch = ["sbatch", "--parsable", "--nodes=2", "--cpus-per-task=2", "--mem=4000", "profiles/slurm-ray/run.sh"]
    jobs = [f"slow{n}" for n in range(4)]
    try:
        cluster.start()
        job = subprocess.check_output(
            [*batch, "--config", f"jobs={' '.join(jobs)}"],
            cwd=toy.folder,
            env={**environment(toy.temporary), "PATH": path},
            text=True,
        ).strip()
        wait(lambda: all(toy.began(j) for j in jobs), 120)
        (toy.folder / "go").touch()
        wait(lambda: cluster.accounts("JobID", "State")[0]["State"] not in ("RUNNING", "PENDING"))
        said = (toy.folder / f"gaitloom-ray-{job}.log").read_text()
        assert cluster.accounts("JobID", "State") == [{"JobID": job, "State": "COMPLETED"}], said
    finally:
        cluster.stop()
    assert len(list((toy.folder / "out").iterdir())) == 4
    assert not list(toy.folder.glob(".ray-*")) and not list(Path("/tmp").glob(f"ray-{job}-*"))


# GaitLoom's own jobs.


def clips(folder: Path, count: int, frames: int, size: tuple[int, int]) -> Project:
    """A project of short walks."""
    project = Project(folder)
    project.config["nodes"] = {"track": {"backend": "blazepose"}}
    for number in range(count):
        Walk(frames=frames, size=size, seed=number).write(project.data / f"S{number + 1}_1.mp4")
    return project


def by_hand(project: Project) -> Project:
    """The same nodes made in this process, without Snakemake or Ray: the truth."""
    made = Project(Path(f"{project.folder}-by-hand"))
    made.config = {**project.config, "results": str(made.results)}
    made.config["clips"] = {**project.config["clips"], "folders": [str(project.data)]}
    plan, loaded = Plan.load(config.load(made.write_config()).model_dump(mode="json"), scan=True), {}
    for clip in plan.accepted:
        for node, recipe in plan.digests_of(clip).items():
            derive(plan, NodeKey.parse(f"{clip}/{node}"), recipe, loaded)
    return made


def command(project: Project, *args: str) -> list[str]:
    project.write_config()
    files = ["--snakefile", str(ROOT / "Snakefile"), "--configfile", "config.yaml"]
    return [sys.executable, "-m", "snakemake", *SMALL, *files, *args]


def same(project: Project, local: Project, *left_out: str) -> None:
    """Every node has the bytes that it has without Ray, and nothing half-written lies about."""
    ours, theirs = (
        {p: b for p, b in run.bytes().items() if p.count("/") > 2 and not p.startswith(left_out)}
        for run in (project, local)
    )
    assert sorted(ours) == sorted(theirs)
    assert [p for p in ours if ours[p] != theirs[p]] == []
    staging = project.results / ".staging"
    assert not staging.is_dir() or not list(staging.iterdir())


def test_a_gaitloom_run(tmp_path: Path, temporary: Path) -> None:
    """Nodes have the bytes that they have without Ray, one clip that cannot be made keeps to itself, and the default
    profile agrees on what is done."""
    project = clips(tmp_path / "project", 3, 6, (320, 180))
    alone = by_hand(project)
    project.sheet("video | start | end\n S3_1.mp4 | 0 | 999")
    done = subprocess.run(
        command(project, "--retries", "0"),
        cwd=project.folder,
        env=environment(temporary),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode != 0
    same(project, alone, "S3/")
    sentence = "S3_1.mp4 has only 6 frames, but its segment ends at 999"
    assert f"Ray: exit code 1: gaitloom: error: {sentence}" in done.stderr
    ledger = project.ledger()
    assert {k for k, (state, _) in ledger.items() if state != "done"} == {("S3/trial-1", n) for n in ("video", "track")}
    assert sentence in ledger["S3/trial-1", "video"][1]
    assert len(re.findall("to an actor of pool", done.stderr)) == 2 * 4 + 1, (
        "video, track, index, preview; and the bad one"
    )
    project.sheet("video | start | end\n S3_1.mp4 | |")
    assert set(project.plan()) == {"video", "track", "index", "preview", "report"}, "the default profile takes over"
    assert project.gaitloom("verify").returncode == 0


@pytest.mark.skipif(bool(ray_hosts.missing()), reason=ray_hosts.missing())
def test_a_host_of_three_is_killed(tmp_path: Path, temporary: Path) -> None:
    """Sixty clips: the run completes, its nodes have the bytes that they have without Ray, and no job was begun
    more often than its retries explain."""
    project = clips(tmp_path / "project", 60, 2, (96, 96))
    alone = by_hand(project)
    noted = f"ray_toy:Noted results/config/{config.load(project.write_config()).digest()[:16]}.json"
    rules = [f"{rule}:ray_warm='{noted}'" for rule in ("video", "track", "index", "preview")]
    begun_by = project.folder / "begun"

    def begun() -> list[list[str]]:
        return [line.split() for line in begun_by.read_text().splitlines()] if begun_by.is_file() else []

    with ray_hosts.Hosts(temporary, 3) as hosts, (tmp_path / "run.log").open("w") as log:
        third = str(hosts.number(3))
        run = subprocess.Popen(
            [*hosts.on(1), *command(project, *joined(hosts), "--set-resources", *rules)],
            cwd=project.folder,
            env=environment(temporary),
            stdout=log,
            stderr=log,
        )
        wait(lambda: len(begun()) > 60 and sum(host == third for *_, host in begun()) > 2, 120)
        hosts.kill(3)
        assert run.wait(timeout=180) == 0, (tmp_path / "run.log").read_text()[-3000:]
    said = (tmp_path / "run.log").read_text()
    assert {s for s, _ in project.ledger().values()} == {"done"}
    assert project.gaitloom("verify").returncode == 0
    same(project, alone)
    sent = rebuild.ran(said)
    assert len(sent) == 60 * 4 + 1
    assert sent.total() - len(sent) == len(re.findall(r"restart job \d+", said)) <= 2, "what the host was doing"
    times = Counter((rule, clip) for rule, clip, _ in begun())
    assert times.keys() == sent.keys() - {rebuild.REPORT}
    assert times <= sent
    first = {(rule, clip): host for rule, clip, host in reversed(begun())}
    assert {first[job] for job, count in times.items() if count > 1} <= {third}


def test_incremental_rebuild(head: ray_hosts.Head, tmp_path: Path, temporary: Path) -> None:
    """Each change remakes what it must, and nothing else is touched."""

    def run(project: Project, *args: str) -> subprocess.CompletedProcess[str]:
        asked = command(project, *joined(head), *args)
        return subprocess.run(
            asked, cwd=project.folder, env=environment(temporary), capture_output=True, text=True, check=False
        )

    project = rebuild.project(tmp_path / "project")
    done = run(project)
    assert done.returncode == 0, done.stderr[-3000:]
    rebuild.prove(project, run)
