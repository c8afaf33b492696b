"""Weight files: had from a server of our own, checked every time, chosen by configuration, under accepted licences."""

import hashlib
import os
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import footage
import numpy as np
import pytest
from conftest import ROOT, SHARED
from gaitloom import backends, config, weight_files, weights
from gaitloom.backends import Spec, Weight
from gaitloom.clips import NodeKey
from gaitloom.derive import derive
from gaitloom.errors import GaitloomError
from gaitloom.plan import Plan
from gaitloom.store import Store
from gaitloom.tracking import People
from gaitloom.weight_files import Download
from gaitloom.weights import REGISTRY, Chosen
from project import Project

CONTENT = bytes(range(256)) * 40_000  # 10 MB, more than one chunk
SHA256 = hashlib.sha256(CONTENT).hexdigest()
OTHER = bytes(len(CONTENT))


class Server:
    """A server on the loopback: what it sends, how much of it, and what it was asked for."""

    def __init__(self):
        self.content, self.sent, self.status = CONTENT, len(CONTENT), 200
        self.asked: list[str] = []
        self.begun: list[int] = []  # the byte at which each answer began
        self.ranges = True
        self.stalled, self.go_on = threading.Event(), threading.Event()
        self.go_on.set()
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                server.asked.append(self.path)
                wanted = self.headers.get("Range") if server.ranges else None
                first = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted else 0
                server.begun.append(first)
                self.send_response(206 if first else server.status)
                self.send_header("Content-Length", str(len(server.content) - first))
                self.end_headers()
                self.wfile.write(server.content[first : first + 1000])
                self.wfile.flush()
                server.stalled.set()
                server.go_on.wait(20)
                try:
                    self.wfile.write(server.content[first + 1000 : server.sent])
                except OSError:
                    self.close_connection = True

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._http.server_port}/model.pt"
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.02,))
        self._thread.start()

    def stop(self) -> None:
        self.go_on.set()
        if self._thread.is_alive():
            self._http.shutdown()
            self._thread.join()
            self._http.server_close()


@pytest.fixture
def server() -> Iterator[Server]:
    running = Server()
    yield running
    running.stop()


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of the test's own, and no proxy between us and the loopback."""
    monkeypatch.setenv("GAITLOOM_WEIGHTS", str(tmp_path / "cache"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    return tmp_path / "cache"


@pytest.fixture
def model(server: Server) -> Download:
    return Download("model.pt", server.url, len(CONTENT), SHA256, "MIT", "a test", "2026-11-20")


@pytest.fixture
def registered(model: Download, monkeypatch: pytest.MonkeyPatch) -> Download:
    """The model, in the registry."""
    monkeypatch.setitem(weights.REGISTRY, model.name, model)
    return model


def refusal(weight: Any) -> str:
    with pytest.raises(GaitloomError) as caught:
        weight.verify()
    sentence = str(caught.value)
    assert "\n" not in sentence and sentence.endswith(".") and ". " not in sentence
    return sentence


def in_cache(cache: Path) -> list[str]:
    return sorted(p.relative_to(cache).as_posix() for p in cache.rglob("*")) if cache.exists() else []


# --- downloads


def test_a_download_is_checked_kept_and_not_repeated(server: Server, model: Download, cache: Path):
    assert model.verify() == cache / "model.pt"
    assert (cache / "model.pt").read_bytes() == CONTENT
    model.verify()
    assert server.asked == ["/model.pt"]
    assert in_cache(cache) == ["model.pt"]


def test_others_may_read_a_download(model: Download):
    before = os.umask(0o022)
    try:
        assert model.verify().stat().st_mode & 0o777 == 0o644
    finally:
        os.umask(before)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"content": OTHER}, "what came has another SHA-256"),
        ({"content": CONTENT[:-1]}, "what came has another SHA-256"),
        ({"status": 404}, "the server answers 404"),
    ],
    ids=["other content", "shorter", "not there"],
)
def test_a_bad_download_is_refused_and_leaves_nothing(
    server: Server, model: Download, cache: Path, change: dict[str, Any], why: str
):
    for name, value in change.items():
        setattr(server, name, value)
    sentence = refusal(model)
    assert sentence.startswith(f"The weights model.pt cannot be fetched ({why}")
    for part in (server.url, SHA256, str(len(CONTENT)), str(cache / "model.pt")):
        assert part in sentence
    assert in_cache(cache) == []
    server.content, server.sent, server.status = CONTENT, len(CONTENT), 200
    assert model.verify().read_bytes() == CONTENT


@pytest.mark.parametrize("ranges", [True, False])
def test_a_download_that_breaks_off_is_refused_and_goes_on_from_there(
    server: Server, model: Download, cache: Path, ranges: bool
):
    server.ranges, server.sent = ranges, 5_000_000
    assert "(no connection, " in refusal(model)
    (left,) = in_cache(cache)
    have = (cache / left).stat().st_size
    assert (cache / left).read_bytes() == CONTENT[:have] and have > 1_000_000
    server.sent = len(CONTENT)
    assert model.verify().read_bytes() == CONTENT
    assert server.begun == [0, have if ranges else 0]
    assert in_cache(cache) == ["model.pt"]


def test_what_was_begun_on_another_content_is_found_out_and_begun_anew(server: Server, model: Download, cache: Path):
    server.content, server.sent = OTHER, 5_000_000
    refusal(model)
    server.content, server.sent = CONTENT, len(CONTENT)
    assert "what came has another SHA-256" in refusal(model)
    assert in_cache(cache) == []
    assert model.verify().read_bytes() == CONTENT


def test_without_a_server_one_sentence_says_what_to_put_where(server: Server, model: Download, cache: Path):
    server.stop()
    sentence = refusal(model)
    assert "(no connection, " in sentence
    assert sentence.endswith(
        f"get {server.url} ({len(CONTENT)} bytes, SHA-256 {SHA256}) and put it at {cache / 'model.pt'}."
    )
    cache.mkdir(exist_ok=True)
    (cache / "model.pt").write_bytes(CONTENT)
    assert model.verify() == cache / "model.pt"


def test_a_file_without_an_address_says_where_a_person_finds_it(model: Download, cache: Path):
    sentence = refusal(replace(model, url=None, source="its authors' page"))
    assert "cannot be fetched by a program; get model.pt from its authors' page (" in sentence
    assert SHA256 in sentence and str(cache / "model.pt") in sentence


def test_a_cache_that_cannot_be_made_is_named(model: Download, cache: Path):
    cache.write_text("a file")
    assert f"File exists: {cache}" in refusal(model)


@pytest.mark.parametrize(("content", "fault"), [(OTHER, "have SHA-256 "), (b"short", "have 5 bytes, not ")])
def test_a_wrong_file_in_the_cache_is_never_loaded(
    server: Server, model: Download, cache: Path, content: bytes, fault: str
):
    """Also one that was right before: every check reads the file."""
    model.verify().write_bytes(content)
    sentence = refusal(model)
    assert sentence.startswith(f"The weights {cache / 'model.pt'} {fault}")
    assert "remove them and try again" in sentence and SHA256 in sentence and server.url in sentence
    assert len(server.asked) == 1


FETCH = """
import sys
from gaitloom.weight_files import Download
print(Download("model.pt", sys.argv[1], int(sys.argv[2]), sys.argv[3], "MIT", "a test", "2026-11-20").verify())
"""


def process(server: Server) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", FETCH, server.url, str(len(CONTENT)), SHA256]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_two_processes_at_once_download_once(server: Server, cache: Path):
    server.go_on.clear()
    both = [process(server), process(server)]
    assert server.stalled.wait(20)
    server.go_on.set()
    for one in both:
        out, err = one.communicate(timeout=30)
        assert (one.returncode, out.strip()) == (0, str(cache / "model.pt")), err
    assert in_cache(cache) == ["model.pt"]
    assert server.asked == ["/model.pt"]


def test_where_nothing_can_be_locked_two_writers_do_no_harm(
    server: Server, model: Download, cache: Path, monkeypatch: pytest.MonkeyPatch
):
    def refuse(*args: Any) -> None:
        raise OSError("no locks on this file system")

    monkeypatch.setattr(weight_files.fcntl, "flock", refuse)
    server.go_on.clear()
    made: list[Path] = []
    threads = [threading.Thread(target=lambda: made.append(model.verify())) for _ in range(2)]
    for thread in threads:
        thread.start()
    assert server.stalled.wait(20)
    server.go_on.set()
    for thread in threads:
        thread.join()
    assert len(made) == 2
    assert in_cache(cache) == ["model.pt"]
    assert model.verify().read_bytes() == CONTENT


def test_a_killed_download_is_gone_on_with_and_leaves_nothing(server: Server, model: Download, cache: Path):
    server.go_on.clear()
    killed = process(server)
    assert server.stalled.wait(20)
    killed.kill()
    killed.communicate()
    assert [p for p in in_cache(cache) if p.startswith(".model.pt~")]
    server.go_on.set()
    assert model.verify().read_bytes() == CONTENT
    assert in_cache(cache) == ["model.pt"]


def test_the_cache_is_in_the_home_folder_by_default(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.delenv("GAITLOOM_WEIGHTS")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert weight_files.folder() == tmp_path / ".cache/gaitloom/weights"


# --- the registry


def test_the_registry_is_sane():
    assert {"yolov8n-seg.pt", "face_detection_yunet_2023mar.onnx", "model_final_162be9.pkl"} <= set(REGISTRY)
    assert len({w.sha256 for w in REGISTRY.values()}) == len(REGISTRY)
    for name, weight in REGISTRY.items():
        assert name == weight.name == Path(name).name
        assert re.fullmatch("[0-9a-f]{64}", weight.sha256)
        assert weight.size > 100_000
        assert weight.licence and weight.source and re.fullmatch(r"20\d\d-\d\d-\d\d", weight.checked)
        assert weight.url is None or weight.url.startswith("https://")
        if suffix := re.search(r"-([0-9a-f]{8})\.pth$", name):
            assert weight.sha256.startswith(suffix[1])
    assert sum(bool(re.search(r"-[0-9a-f]{8}\.pth$", n)) for n in REGISTRY) >= 2


@pytest.mark.parametrize("name", ["face_detection_yunet_2023mar.onnx", "retinaface_mobilenet0.25_Final.pth"])
def test_a_real_file_is_the_registered_one(name: str, cache: Path, tmp_path: Path):
    file = SHARED / "weights" / name
    if not file.is_file():
        pytest.skip(f"the weight file {name} is not on this machine")
    assert weights.resolve(str(file)).verify() == file
    renamed = Path(shutil.copy(file, tmp_path / "renamed"))
    assert weights.resolve(str(renamed)).sha256 == REGISTRY[name].sha256
    cache.mkdir()
    shutil.copy(file, cache / name)
    assert REGISTRY[name].verify() == cache / name


# --- what the configuration chooses


def test_a_registered_name_is_the_registered_file(registered: Download):
    assert weights.resolve("model.pt") is registered
    assert weights.resolve("model.pt", SHA256) is registered
    with pytest.raises(GaitloomError, match=f"model.pt has SHA-256 {SHA256}; remove weights_sha256"):
        weights.resolve("model.pt", "0" * 64)


def test_a_local_file_is_held_against_the_registry(registered: Download, tmp_path: Path, server: Server):
    file = tmp_path / "model.pt"
    file.write_bytes(CONTENT)
    chosen = weights.resolve(str(file))
    assert (chosen.verify(), chosen.sha256, chosen.label, chosen.licence) == (file, SHA256, "model.pt", "MIT")
    file.write_bytes(OTHER)
    sentence = refusal(chosen)
    assert sentence.startswith(f"The weights {file} have SHA-256 {hashlib.sha256(OTHER).hexdigest()}, not {SHA256}; ")
    assert server.url in sentence
    file.unlink()
    assert refusal(chosen).startswith(f"The weights {file} are missing; put {server.url} ({len(CONTENT)} bytes, ")
    assert server.asked == []


def test_an_unknown_file_needs_its_own_hash(tmp_path: Path):
    file = tmp_path / "own.pt"
    file.write_bytes(b"own")
    with pytest.raises(
        GaitloomError, match=r"own\.pt' is not a registered weight file; give its hash as weights_sha256"
    ):
        weights.resolve(str(file))
    sha256 = hashlib.sha256(b"own").hexdigest()
    chosen = weights.resolve(str(file), sha256)
    assert (chosen.verify(), chosen.label, chosen.licence) == (file, "weights", "unknown")
    assert f"not {'0' * 64}; put the file with SHA-256 {'0' * 64} there" in refusal(
        weights.resolve(str(file), "0" * 64)
    )


def test_a_misspelt_name_gets_the_near_one():
    with pytest.raises(GaitloomError, match=r"did you mean 'yolov8n-seg\.pt'"):
        weights.resolve("yolov8n_seg.pt")


def test_a_missing_file_with_a_hash_is_no_fault_of_the_configuration(tmp_path: Path):
    """The machine that plans need not be the one that computes."""
    assert weights.resolve(str(tmp_path / "far.pt"), "0" * 64).sha256 == "0" * 64


# --- from the configuration to the node


class Options(Chosen):
    weights: str = "model.pt"
    min_score: float = 0.5


class Stub:
    """A track backend that loads a chosen file and sees one person."""

    loaded: list[bytes] = []  # noqa: RUF012 (what all of them loaded)

    def __init__(self, options: Options):
        self.loaded.append(options.weight.verify().read_bytes())

    def people(self, images: Any) -> Iterator[People]:
        for _ in images:
            yield People(np.array([[10, 5, 30, 45]], np.float32), np.ones(1, np.float32))


@pytest.fixture
def stub(registered: Download, monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """The backend `track: stub`; its SPEC may be replaced."""
    module = SimpleNamespace(SPEC=Spec(1, Options, ("numpy",), "MIT"), Backend=Stub)
    real = backends.find
    monkeypatch.setattr(backends, "find", lambda m, n: module if n == "stub" else real(m, n))
    monkeypatch.setattr(Stub, "loaded", [])
    return module


def values(**backend_options: Any) -> dict[str, Any]:
    return {
        "clips": {"folders": ["data"], "pattern": "{subject}_{trial}"},
        "nodes": {"track": {"backend": "stub", "backend_options": backend_options}},
    }


def recipe(**backend_options: Any) -> dict[str, Any]:
    return Plan(config.parse(values(**backend_options)), [])._made["track"]


def test_the_recipe_names_weights_by_hash_and_never_by_path(stub: SimpleNamespace, tmp_path: Path):
    by_name = recipe()
    assert by_name["weights"] == {"model.pt": SHA256}
    assert by_name["backend_options"] == {"min_score": 0.5}
    assert (by_name["licence"], by_name["weight_licences"]) == ("MIT", {"model.pt": "MIT"})
    for name in ("a/model.pt", "b/renamed.pt"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_bytes(CONTENT)
        assert recipe(weights=str(tmp_path / name)) == by_name
    assert recipe(weights=str(tmp_path / "a/model.pt"), weights_sha256=SHA256) != recipe(
        weights=str(tmp_path / "a/model.pt"), weights_sha256="0" * 64
    )
    ones = [recipe(weights=f"{place}.pt", weights_sha256="1" * 64) for place in ("here", "there")]
    assert ones[0] == ones[1]
    assert ones[0]["weights"] == {"weights": "1" * 64}
    assert ones[0] != recipe(weights="here.pt", weights_sha256="2" * 64)


def test_a_spec_holds_both_kinds(stub: SimpleNamespace, model: Download):
    inside = Weight("gaitloom", "errors.py", hashlib.sha256(Path(weights.__file__).read_bytes()).hexdigest())
    stub.SPEC = replace(stub.SPEC, weights=(inside, replace(model, name="fixed.pt")))
    assert recipe()["weights"] == {"errors.py": inside.sha256, "fixed.pt": SHA256, "model.pt": SHA256}


def test_recipes_of_embedded_models_stay_as_they_were():
    made = Plan(config.parse({"clips": {"folders": ["data"]}, "nodes": {"track": {"backend": "blazepose"}}}), [])._made[
        "track"
    ]
    assert made["weights"] == {
        w.path: w.sha256 for w in backends.find("track", "blazepose").SPEC.weights if isinstance(w, Weight)
    }
    assert made["backend_options"] == {"min_score": 0.5}
    assert "weight_licences" not in made


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"weights": "nowhere.xyz"}, "nodes.track.backend_options.weights: 'nowhere.xyz' is not a registered"),
        ({"weights": "model.pt", "weights_sha256": "0" * 64}, "nodes.track.backend_options.weights: model.pt has SHA"),
        ({"weights_sha256": "abc"}, "nodes.track.backend_options.weights_sha256: "),
    ],
)
def test_a_wrong_choice_is_refused_when_the_configuration_is_read(
    stub: SimpleNamespace, options: dict[str, str], sentence: str
):
    with pytest.raises(GaitloomError) as caught:
        config.parse(values(**options), "my.yaml")
    assert str(caught.value).startswith(f"my.yaml: {sentence}")


def test_a_node_is_made_with_the_chosen_file(
    stub: SimpleNamespace, server: Server, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    Path("data").mkdir()
    footage.write(Path("data/P1_1.mp4"), 5)
    own = tmp_path / "own.pt"
    own.write_bytes(b"own")
    for options in ({}, {"weights": str(own), "weights_sha256": hashlib.sha256(b"own").hexdigest()}):
        plan = Plan.load(values(**options), scan=True)
        for node in ("video", "track"):
            key = NodeKey("P1", "trial-1", node)
            derive(plan, key, plan.digests_of(key.clip)[node])
    assert Stub.loaded == [CONTENT, b"own"]
    assert len(server.asked) == 1
    attributes = Store(Path("results")).open(key).attributes
    assert attributes["recipe"]["weight_licences"] == {"weights": "unknown"}
    assert str(tmp_path) not in str(attributes)

    (cache / "model.pt").write_bytes(OTHER)
    plan = Plan.load(values(), scan=True)
    with pytest.raises(GaitloomError, match=f"model.pt have SHA-256 [0-9a-f]{{64}}, not {SHA256}"):
        derive(plan, key, plan.digests_of(key.clip)["track"])
    assert len(Stub.loaded) == 2


# --- licences


@pytest.mark.parametrize(
    "licence",
    ["AGPL-3.0", "CC-BY-NC-4.0", "CC BY-NC-SA 4.0", "AlphaPose, non-commercial", "noncommercial", "Research only"],
)
def test_licences_with_conditions_need_acceptance(licence: str):
    assert weights.needs_acceptance(licence)


@pytest.mark.parametrize("licence", ["MIT", "BSD-3-Clause", "Apache-2.0", "unknown", "CC-BY-4.0"])
def test_permissive_licences_need_none(licence: str):
    assert not weights.needs_acceptance(licence)


@pytest.mark.parametrize(
    ("backend", "weight", "accepted", "sentence"),
    [
        ("MIT", "MIT", [], None),
        ("AGPL-3.0", "MIT", ["AGPL-3.0"], None),
        ("AGPL-3.0", "MIT", [], "its backend is under AGPL-3.0, to be accepted by name: add `{}: [AGPL-3.0]`"),
        ("AGPL-3.0", "AGPL-3.0", [], "its backend is under AGPL-3.0, to be accepted by name: add `{}: [AGPL-3.0]`"),
        (
            "MIT",
            "CC-BY-NC-4.0",
            ["AGPL-3.0"],
            "its weights model.pt are under CC-BY-NC-4.0, to be accepted by name: add `{}: [AGPL-3.0, CC-BY-NC-4.0]`",
        ),
        (
            "AGPL-3.0",
            "CC-BY-NC-4.0",
            [],
            "its backend is under AGPL-3.0 and its weights model.pt are under CC-BY-NC-4.0, to be accepted by name: "
            "add `{}: [AGPL-3.0, CC-BY-NC-4.0]`",
        ),
    ],
)
def test_a_licence_is_accepted_by_name_or_the_node_refused(
    stub: SimpleNamespace,
    registered: Download,
    monkeypatch: pytest.MonkeyPatch,
    backend: str,
    weight: str,
    accepted: list[str],
    sentence: str | None,
):
    monkeypatch.setitem(weights.REGISTRY, "model.pt", replace(registered, licence=weight))
    stub.SPEC = replace(stub.SPEC, licence=backend)
    chosen = {**values(), "accept_licences": accepted}
    if sentence is None:
        made = Plan(config.parse(chosen), [])._made["track"]
        assert (made["licence"], made["weight_licences"]) == (backend, {"model.pt": weight})
        return
    with pytest.raises(GaitloomError) as caught:
        config.parse(chosen, "my.yaml")
    assert str(caught.value) == f"my.yaml: nodes.track: {sentence.format('accept_licences')} to the configuration"


# --- preparing a machine


def test_prepare_fetches_and_lists_what_is_needed(
    stub: SimpleNamespace, server: Server, cache: Path, capsys: pytest.CaptureFixture[str]
):
    weights.prepare(config.parse(values()))
    header, row = capsys.readouterr().out.splitlines()
    assert re.split(r"\s{2,}", header) == ["name", "size (bytes)", "licence", "where"]
    assert re.split(r"\s{2,}", row) == ["model.pt", str(len(CONTENT)), "MIT", str(cache / "model.pt")]
    server.stop()
    weights.prepare(config.parse(values()))


def test_prepare_names_what_cannot_be_had_and_fetches_the_rest(
    stub: SimpleNamespace, model: Download, capsys: pytest.CaptureFixture[str]
):
    stub.SPEC = replace(stub.SPEC, weights=(replace(model, name="gone.pt", url=None),))
    with pytest.raises(GaitloomError, match=r"The weights gone\.pt cannot be fetched by a program"):
        weights.prepare(config.parse(values()))
    assert "model.pt" in capsys.readouterr().out


def test_snakemake_weights_is_a_target_of_its_own(project: Project):
    planned = project.snakemake("weights", "--dry-run", "--quiet", "rules")
    assert planned.returncode == 0, planned.stderr
    assert re.search(r"^weights\s+1$", planned.stdout + planned.stderr, re.M)
    assert "weights" not in project.plan()
    done = project.snakemake("weights")
    assert done.returncode == 0, done.stderr
    assert "Nothing to fetch" in done.stdout
    assert not (project.results / "store.zarr").exists()
    assert "Nothing to fetch" in project.gaitloom("weights").stdout


def test_planning_imports_no_downloader():
    code = (
        "import sys, pathlib; from gaitloom import config; from gaitloom.plan import Plan;"
        "Plan(config.load(pathlib.Path('config/config.yaml')), [])._made;"
        "print([m for m in ('pooch', 'requests', 'cv2', 'torch') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == "[]"
