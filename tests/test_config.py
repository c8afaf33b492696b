"""The configuration: everything unknown or wrong is refused in one sentence that names the key."""

import copy
import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from conftest import ROOT
from gaitloom import config
from gaitloom.config import Config
from gaitloom.errors import GaitloomError
from gaitloom.modalities import track

GOOD: dict[str, Any] = {
    "clips": {"folders": ["data"]},
    "cameras": {
        "side": {
            "view": "sagittal",
            "intrinsics": {"fx": 900.0, "fy": 900.0, "cx": 640.0, "cy": 360.0, "distortion": [0.1, 0, 0, 0, 0]},
            "floor_points": [{"pixel": [10, 700], "metres": [0, 0]}],
        }
    },
    "nodes": {
        "track": {"backend": "blazepose"},
        "keypoints": {"backend": "blazepose"},
        "silhouette": {"backend": "blazepose"},
    },
    "preview": {"height": 360},
}


def changed(key: str, value: Any) -> dict[str, Any]:
    """GOOD with the value at a dotted key replaced."""
    values = copy.deepcopy(GOOD)
    *path, last = key.split(".")
    place: Any = values
    for part in path:
        place = place[int(part)] if isinstance(place, list) else place.setdefault(part, {})
    place[last] = value
    return values


def refusal(values: dict[str, Any]) -> str:
    with pytest.raises(GaitloomError) as caught:
        config.parse(values, "my.yaml")
    sentence = str(caught.value)
    assert "\n" not in sentence
    assert sentence.startswith("my.yaml: ")
    return sentence.removeprefix("my.yaml: ")


@pytest.mark.parametrize(
    ("key", "meant"),
    [
        ("rsults", "results"),
        ("clips.patternn", "pattern"),
        ("cameras.side.vjew", "view"),
        ("cameras.side.intrinsics.f_x", "fx"),
        ("cameras.side.floor_points.0.pixels", "pixel"),
        ("nodes.track.backnd", "backend"),
        ("nodes.track.options.max_gap", "max_gap_s"),
        ("nodes.track.backend_options.min_scor", "min_score"),
        ("preview.deidentifed", "deidentified"),
        ("review.decision", "decisions"),
    ],
)
def test_an_unknown_key_is_named_in_full_with_the_near_one(key: str, meant: str):
    assert refusal(changed(key, 1)) == f"{key}: unknown key; did you mean '{meant}'?"


@pytest.mark.parametrize(
    ("key", "known"),
    [
        (
            "zzz",
            "accept_licences, cameras, clips, device, nodes, preview, release, results, review, splits, "
            "technical_validation",
        ),
        ("nodes.keypoints.options.zzz", "none"),
    ],
)
def test_an_unknown_key_like_no_other_lists_the_known_ones(key: str, known: str):
    assert refusal(changed(key, 1)) == f"{key}: unknown key; known keys: {known}."


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("results", 5),
        ("clips.folders", "data"),
        ("clips.pattern", "{session}_{trial}"),
        ("clips.pattern", "{subject}_{trial}_{trial}"),
        ("clips.columns", ["status"]),
        ("clips.columns", ["exclude"]),
        ("cameras.side.view", "above"),
        ("cameras.side.intrinsics.fx", 0),
        ("cameras.side.floor_points.0.pixel", "left"),
        ("nodes.track.backend", None),
        ("nodes.track.options", []),
        ("nodes.track.options.max_gap_s", -1),
        ("nodes.track.backend_options.min_score", 0.2),
        ("nodes.track.reads", {"keypoints": "keypoints"}),
        ("nodes.keypoints.reads.track", "track_other"),
        ("nodes.keypoints.reads.track", "silhouette"),
        ("nodes.video", {"backend": "pyav"}),
        ("nodes.Track", {"backend": "blazepose"}),
        ("nodes.track__a", {"backend": "blazepose"}),
        ("preview.height", 12),
        ("preview.height", "tall"),
        ("preview.track", "silhouette"),
        ("preview.silhouette", "silhouettes"),
        ("preview.deidentified", "track"),
        ("review.decisions", 5),
        ("review.audit", "track"),
        ("review.audit", "audit_full"),
    ],
)
def test_a_wrong_value_is_refused_by_its_key(key: str, value: Any):
    assert refusal(changed(key, value)).startswith(f"{key}: ")


@pytest.mark.parametrize("section", ["clips", "nodes"])
def test_a_missing_section_is_named(section: str):
    values = copy.deepcopy(GOOD)
    del values[section]
    assert refusal(values).startswith(f"{section}: ")


def test_an_unknown_modality_lists_those_that_exist():
    sentence = refusal(changed("nodes.gaitt", {"backend": "x"}))
    assert sentence.startswith("nodes.gaitt: ")
    assert all(m in sentence for m in ("flow", "keypoints", "silhouette", "track"))


def test_an_unknown_backend_lists_those_that_exist():
    sentence = refusal(changed("nodes.track.backend", "blazpose"))
    assert sentence.startswith("nodes.track.backend: ")
    assert "'blazpose'" in sentence
    assert "choose one of: blazepose" in sentence


def test_a_pattern_field_that_is_no_column_is_refused_with_the_near_one():
    sentence = refusal(changed("clips.pattern", "{subject}_{sessionn}"))
    assert sentence.startswith("clips.pattern: 'sessionn'")
    assert sentence.endswith("did you mean 'session'?")


def test_a_pattern_may_name_extra_columns():
    values = changed("clips.pattern", "{subject}_{shoes}")
    values["clips"]["columns"] = ["shoes"]
    assert config.parse(values).clips.pattern == "{subject}_{shoes}"


def test_keys_that_are_no_text_are_refused():
    assert refusal({**GOOD, True: 1})  # YAML reads `on: 1` so


def test_nodes_that_read_each_other_are_refused(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(track, "READS", ("silhouette",))
    sentence = refusal(copy.deepcopy(GOOD))
    assert sentence.startswith("nodes.")
    assert "circle: keypoints, silhouette, track" in sentence


def test_null_drops_a_node():
    assert set(config.parse(changed("nodes.keypoints", None)).nodes) == {"track", "silhouette"}


def test_a_node_that_others_read_cannot_be_dropped():
    assert refusal(changed("nodes.track", None)).startswith("nodes.keypoints.reads.track: 'track' is not a track node")


def test_nodes_come_after_those_they_read():
    values = changed("nodes.track_b", {"backend": "blazepose"})
    values["nodes"]["keypoints_b"] = {"backend": "blazepose", "reads": {"track": "track_b"}}
    parsed = config.parse(values)
    assert parsed.order() == ["video", "track", "track_b", "keypoints", "keypoints_b", "silhouette"]
    assert parsed.reads_of("keypoints_b") == {"video": "video", "track": "track_b"}
    assert parsed.reads_of("keypoints") == {"video": "video", "track": "track"}


def test_defaults():
    parsed = config.parse({"clips": {"folders": ["data"]}, "nodes": {"track": {"backend": "blazepose"}}})
    assert parsed.results == Path("results")
    assert parsed.clips.sheet is None
    assert parsed.clips.pattern == "{subject}_{session}_{trial}_{camera}"
    assert {".mp4", ".mov", ".mts", ".avi", ".mkv"} <= set(parsed.clips.extensions)
    assert parsed.options_of("track").max_gap_s == 0.5
    assert parsed.backend_options_of("track").min_score == 0.5
    assert parsed.preview.deidentified == "deidentified"
    assert (parsed.review.decisions, parsed.review.audit) == (Path("config/decisions.tsv"), "audit")


def test_a_loaded_configuration_reads_again_from_its_own_json():
    """The jobs get the plan's configuration this way."""
    parsed = config.parse(GOOD)
    assert config.parse(json.loads(parsed.model_dump_json())) == parsed


def test_the_digest_depends_on_values_and_not_on_their_order():
    def backwards(value: Any) -> Any:
        return {k: backwards(value[k]) for k in reversed(value)} if isinstance(value, dict) else value

    values = changed("nodes.track.options", {"max_gap_s": 1})
    digest = config.parse(values).digest()
    assert config.parse(backwards(values)).digest() == digest
    values["nodes"]["track"]["options"]["max_gap_s"] = 2
    assert config.parse(values).digest() != digest


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (None, "There is no configuration at {path}; give its path with --config."),
        (b"clips: [data\nnodes: {", "{path} is not valid YAML"),
        (b"results: M\xe4rz", "{path} is not valid YAML"),
        (b"", "{path} holds no configuration"),
        (b"- clips\n- nodes\n", "{path} holds no configuration"),
        (b"clips: {folders: [data]}\nnodes: {}\nnods: {}\n", "{path}: nods: unknown key; did you mean 'nodes'?"),
    ],
    ids=["missing", "yaml", "utf-8", "empty", "list", "key"],
)
def test_a_file_that_is_no_configuration_is_named(tmp_path: Path, content: bytes | None, says: str):
    path = tmp_path / "config.yaml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(GaitloomError) as caught:
        config.load(path)
    assert str(caught.value).startswith(says.format(path=path))
    assert "\n" not in str(caught.value)


def test_a_folder_is_no_configuration(tmp_path: Path):
    with pytest.raises(GaitloomError, match="--config"):
        config.load(tmp_path)


def shipped() -> dict[str, Any]:
    return yaml.safe_load((ROOT / "config/config.yaml").read_text())


def test_the_shipped_configuration_is_valid():
    assert isinstance(config.load(ROOT / "config/config.yaml"), Config)


def test_the_exported_schema_is_in_step():
    """Where this fails: `make schema`."""
    assert (ROOT / "config/schema.json").read_text() == config.schema_text()


@pytest.mark.parametrize("key", ["", "clips", "nodes.track", "preview"])
def test_editors_see_a_misspelt_key(key: str):
    schema = json.loads((ROOT / "config/schema.json").read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    checker = jsonschema.Draft202012Validator(schema)
    values = {"preview": {}, **shipped()}
    checker.validate(values)
    place = values
    for part in filter(None, key.split(".")):
        place = place[part]
    place["unheard"] = None
    with pytest.raises(jsonschema.ValidationError, match="unheard"):
        checker.validate(values)


def test_editors_let_null_drop_a_node():
    values = shipped()
    values["nodes"]["silhouette"] = None
    jsonschema.Draft202012Validator(config.schema()).validate(values)


def test_a_misspelt_key_is_named_before_the_one_that_it_leaves_missing() -> None:
    values = {"clips": {"folders": ["data"]}, "nodes": {"track": {"backnd": "blazepose"}}}
    with pytest.raises(GaitloomError, match=r"nodes\.track\.backnd: unknown key; did you mean 'backend'\?"):
        config.parse(values)


def test_the_full_configuration_is_valid_and_names_the_missions_backends():
    full = config.load(ROOT / "config/full.yaml")
    backends = {name: node.backend for name, node in full.nodes.items()}
    assert backends["keypoints"] == "rtmpose" and backends["silhouette"] == "yolov8_seg"
    assert backends["parts"] == "densepose" and backends["flow_gmflow"] == "gmflow"
    assert all(full.device_of(n).name == "cuda" for n in ("track", "keypoints", "silhouette", "parts", "flow_gmflow"))
    schema = json.loads((ROOT / "config/schema.json").read_text())
    jsonschema.validate(yaml.safe_load((ROOT / "config/full.yaml").read_text()), schema)


def test_a_licence_of_the_full_configuration_has_to_be_accepted():
    values = yaml.safe_load((ROOT / "config/full.yaml").read_text()) | {"accept_licences": []}
    assert "AGPL-3.0, to be accepted by name: add `accept_licences: [AGPL-3.0]`" in refusal(values)


ON_GPU = {**GOOD, "nodes": {**GOOD["nodes"], "keypoints": {"backend": "rtmpose"}}}


@pytest.mark.parametrize(
    ("run", "node", "expected"),
    [
        ({}, {}, ("cpu", 1)),
        ({"device": "cuda"}, {}, ("cuda", config.GPU_BATCH)),
        ({"device": "cuda:1"}, {"batch": 3}, ("cuda:1", 3)),
        ({"device": "cuda"}, {"device": "cpu"}, ("cpu", 1)),
        ({}, {"device": "cuda:0"}, ("cuda:0", config.GPU_BATCH)),
    ],
)
def test_where_a_model_runs(run: dict[str, Any], node: dict[str, Any], expected: tuple[str, int]):
    values = copy.deepcopy(ON_GPU) | run
    values["nodes"]["keypoints"] |= node
    parsed = config.parse(values)
    found = parsed.device_of("keypoints")
    assert (found.name, found.batch) == expected
    assert parsed.device_of("silhouette").name == "cpu"  # BlazePose runs on the CPU only


def test_a_device_that_is_none_is_refused():
    assert "device" in refusal(GOOD | {"device": "gpu"})


def test_a_gpu_for_a_backend_that_has_none_is_refused():
    sentence = refusal(changed("nodes.silhouette.device", "cuda"))
    assert sentence == "nodes.silhouette.device: blazepose runs on the CPU only; remove the key"


def test_the_device_and_the_batch_are_no_part_of_a_recipe(tmp_path: Path):
    from gaitloom.clips import Clip
    from gaitloom.plan import Plan

    def digests(values: dict[str, Any]) -> dict[str, str]:
        return Plan(config.parse(values), [Clip("P1", sha256="0" * 64)]).digests_of("P1/clip")

    values = copy.deepcopy(ON_GPU)
    before = digests(values)
    values["device"] = "cuda"
    values["nodes"]["keypoints"]["batch"] = 4
    assert digests(values) == before
