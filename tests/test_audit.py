"""The audit, from a published deidentified node to its verdict, with faults planted in the output or its ledger: each
makes the right gate red, and what is no fault makes none.

A face here is a square of one colour, which two stub judges see wherever it shows, however the picture is scaled.
"""

from collections.abc import Callable, Iterable, Iterator
from fractions import Fraction
from math import comb
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import av
import backend_options
import numpy as np
import pytest
from face_pictures import scene
from gaitloom import backends, fragments, keypoint_formats, weights
from gaitloom.config import parse
from gaitloom.deidentify import mosaic
from gaitloom.deidentify.audit import agreement, controls, gate, rates, utility
from gaitloom.deidentify.audit.agreement import Hits
from gaitloom.deidentify.audit.application import application
from gaitloom.deidentify.audit.heads import heads
from gaitloom.deidentify.audit.ledger import Ledger
from gaitloom.deidentify.heads import FACE, FRAME, WHY, Regions
from gaitloom.derive import derive
from gaitloom.errors import GaitloomError
from gaitloom.faces import Faces
from gaitloom.plan import Plan
from gaitloom.store import Node, Store
from gaitloom.strict import Strict
from gaitloom.tracking import People
from gaitloom.verify import faults

LENGTH, SIZE = 30, (240, 180)
SKIN, SHIRT, ELBOW = (60, 220, 60), (20, 20, 250), (240, 240, 20)  # what judges and the person finder know
HEAD, FACE_SIDE, REGION = 40, 28, 52
CLIP = "P1/trial-1"
Row = tuple[int, tuple[float, ...], int, int]  # frame, box, track, why


class NoOptions(Strict):
    """A stub has none."""


def put(image: np.ndarray, x: float, y: float, wide: float, tall: float, colour: tuple[int, ...]) -> None:
    image[round(y) : round(y + tall), round(x) : round(x + wide)] = colour


def at(t: int) -> tuple[float, float]:
    """Middle of the walker's head."""
    return 60 + 3 * t, 50


def region(t: int) -> tuple[float, ...]:
    x, y = at(t)
    return x - REGION / 2, y - REGION / 2, x + REGION / 2, y + REGION / 2


def person(image: np.ndarray, x: float, y: float, face: bool = True) -> None:
    put(image, x - HEAD / 2, y - HEAD / 2, HEAD, HEAD, (90, 60, 40))
    put(image, x - 15, y + HEAD / 2, 30, 80, SHIRT)
    if face:
        put(image, x - FACE_SIDE / 2, y - FACE_SIDE / 2, FACE_SIDE, FACE_SIDE, SKIN)


def background() -> np.ndarray:
    return scene(SIZE, [], seed=3)[0] // 2 + np.uint8(90)


def walk() -> list[np.ndarray]:
    images = [background() for _ in range(LENGTH)]
    for t, image in enumerate(images):
        person(image, *at(t))
    return images


def like(image: np.ndarray, colour: tuple[int, ...], least: int) -> np.ndarray:
    """(N, 4) boxes of patches of a colour."""
    import cv2

    mask = cv2.inRange(image, np.subtract(colour, 30).clip(0), np.add(colour, 30).clip(None, 255))
    _, _, stats, _ = cv2.connectedComponentsWithStats(mask)
    boxes = [(x, y, x + w, y + h) for x, y, w, h, area in stats[1:] if area >= least]
    return np.array(boxes, np.float32).reshape(-1, 4)


class Stub:
    """Judges that know colours."""

    tier, judges, disjoint, every = "full", ("one", "other"), True, 5
    format = keypoint_formats.WHOLEBODY_23

    def __init__(self, options: NoOptions):
        pass

    def faces(self, images: Iterable[np.ndarray]) -> Iterator[tuple[Faces, Faces]]:
        for image in images:
            both, one = like(image, SKIN, 40), like(image, ELBOW, 40)
            first = np.concatenate([both, one])
            yield Faces(first, np.full(len(first), 0.9, np.float32)), Faces(both, np.full(len(both), 0.8, np.float32))

    def scout(self, images: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        return (np.concatenate([like(image, SKIN, 40), like(image, ELBOW, 40)]) for image in images)

    def people(self, images: Iterable[np.ndarray]) -> Iterator[People]:
        for image in images:
            box = like(image, SHIRT, 300)
            box[:, 1] -= 0.5 * (box[:, 3] - box[:, 1])
            yield People(box, np.full(len(box), 0.9, np.float32))

    def points(self, people: Iterable[tuple[np.ndarray, np.ndarray]]) -> Iterator[np.ndarray | None]:
        for image, _ in people:
            box = like(image, SHIRT, 300)
            grid = np.linspace((0, 0), (1, 1), 23)
            yield (
                None if not len(box) else np.column_stack([box[0, :2] + grid * (box[0, 2:] - box[0, :2]), np.ones(23)])
            )


class Basic(Stub):
    """Without a person finder."""

    tier, people = "basic", None  # type: ignore[assignment]


def pattern_of(images: list[np.ndarray], level: int) -> np.ndarray:
    regions = Regions(
        np.arange(LENGTH), np.array([region(t) for t in range(LENGTH)]), np.zeros(LENGTH, int), np.full(LENGTH, FACE),
        np.ones(LENGTH),
    )  # fmt: skip
    looks = mosaic.Looks(regions, SIZE)
    for t, image in enumerate(images):
        looks.add(t, image)
    return mosaic.pattern(looks.all()[0].mean, level)


class Output:
    """A clip, what its ledger declares, and how its output is painted; tests plant faults before it is written."""

    def __init__(self, images: list[np.ndarray] | None = None, level: int = 2):
        self.images = walk() if images is None else images
        self.size = self.images[0].shape[1::-1]
        self.rows: list[Row] = [(t, region(t), 0, FACE) for t in range(LENGTH)] if images is None else []
        self.patterns = {0: pattern_of(self.images, level)} if images is None else {}
        self.painted = self.paint()
        self.pts = [100 * t for t in range(len(self.images))]
        self.codec = "ffv1"

    def paint(self) -> list[np.ndarray]:
        grey = np.full((1, 1, 3), mosaic.GREY, np.uint8)
        shown = [image.copy() for image in self.images]
        for t, box, track, _ in self.rows:
            mosaic.paint(shown[t], np.array([box]), [self.patterns.get(track, grey)], shown[t])
        return shown

    def again(self) -> "Output":
        """Painted as declared."""
        self.painted = self.paint()
        return self

    def publish(self, store: Store, key: Any, recipe: dict[str, Any]) -> None:
        staged = store.stage(key)
        codec: Any = self.codec
        fragments.encode(self.painted, self.pts, Fraction(1, 1000), codec, folder=staged.folder.parent).put(staged)
        self.rows.sort(key=lambda row: row[0])
        rows: Any = ([row[i] for row in self.rows] for i in range(4))
        frame, box, track, why = rows
        grey = np.full((1, 1, 3), mosaic.GREY, np.uint8)
        level = [len(self.patterns.get(i, grey)) if w == FACE else 1 for i, w in zip(track, why, strict=True)]
        columns = {"frame": np.int32, "track": np.int32, "why": np.uint8, "level": np.uint8}
        for (name, kind), values in zip(columns.items(), (frame, track, why, level), strict=True):
            staged.put(f"region_{name}", np.array(values, kind), ("region",), flag_meanings=" ".join(WHY))
        staged.put("region_confidence", np.ones(len(frame), np.float32), ("region",))
        staged.put("region_box", np.array(box, np.float32).reshape(-1, 4), ("region", "corner"))
        staged.put(
            "covered", np.isin(np.arange(len(self.images)), [r[0] for r in self.rows if r[3] == FRAME]), ("time",)
        )
        staged.put("pattern_track", np.array(list(self.patterns), np.int32), ("head",))
        colours = [mosaic.blocks(p, mosaic.GRID, mosaic.GRID) for p in self.patterns.values()]
        staged.put(
            "pattern", np.array(colours, np.uint8).reshape(-1, mosaic.GRID, mosaic.GRID, 3), ("head", "y", "x", "c")
        )
        about = {"width": self.size[0], "height": self.size[1], "codec": self.codec, "lost": []}
        staged.publish({**recipe, "options": {"crf": None}}, about)


def write(path: Path, output: Output) -> None:
    """Without loss; Matroska differs from run to run, so what is there stays."""
    if path.exists():
        return
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=10)
        stream.width, stream.height, stream.pix_fmt = *output.size, "bgr0"
        for image in output.images:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode())


Audit = Callable[..., Node]


@pytest.fixture
def audit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Audit:
    """The audit of an `Output`, by the real `derive` beside nodes that were put there."""

    def run(output: Output, judge: type = Stub, results: str = "results", name: str = "stub", **options: Any) -> Node:
        real = backends.find
        stub = SimpleNamespace(SPEC=backends.Spec(1, NoOptions, ("numpy",), "none"), Backend=judge)
        monkeypatch.setattr(backends, "find", lambda m, n: stub if n == "stub" else real(m, n))
        (tmp_path / "data").mkdir(exist_ok=True)
        write(tmp_path / "data" / "P1_1.mkv", output)
        nodes: dict[str, Any] = {
            m: {"backend": name if m == "audit" else "stub"}
            for m in ("track", "keypoints", "faces", "deidentified", "audit")
        }
        nodes["audit"]["backend_options"] = options
        values = {"results": tmp_path / results, "nodes": nodes, "accept_licences": ["AGPL-3.0", "unknown"],
                  "clips": {"folders": [tmp_path / "data"], "pattern": "{subject}_{trial}"}}  # fmt: skip
        plan = Plan.load(values, scan=True)
        clip, store = plan.clip(CLIP), Store(plan.config.results)
        derive(plan, plan.key(clip, "video"), plan.digests_of(CLIP)["video"])
        recipes: Any = plan.recipes(clip)
        output.publish(store, plan.key(clip, "deidentified"), recipes["deidentified"])
        staged = store.stage(plan.key(clip, "track"))
        count = len(output.images)
        box = np.array([(0, 0, *output.size)] * count, np.float32)
        staged.put("box", box, ("time", "corner"))
        staged.put("person_box", box[:0], ("person", "corner"))
        for column in ("frame", "id"):
            staged.put(f"person_{column}", np.zeros(0, np.int32), ("person",))
        staged.publish(recipes["track"], {"subject_id": 0})
        staged = store.stage(plan.key(clip, "keypoints"))
        staged.put("xy_23", np.full((count, 23, 2), np.nan, np.float32), ("time", "point", "xy"))
        staged.put("valid", np.zeros(count, bool), ("time",))
        staged.publish(recipes["keypoints"], {})
        key = plan.key(clip, "audit")
        derive(plan, key, plan.digests_of(CLIP)["audit"])
        assert faults(store, key) == []
        return store.open(key)

    return run


def said(node: Node) -> dict[str, str]:
    return {name: found["result"] for name, found in node.attributes["gates"].items()}


def red(node: Node) -> set[str]:
    assert node.attributes["passed"] == all(r == "green" for r in said(node).values())
    names = [gate.GATES[g] for g in node.load("finding_gate")[node.load("finding_red")]]
    found = {name for name, result in said(node).items() if result == "red"}
    assert set(names) <= found
    return found


def test_a_sound_output_passes_and_its_controls_do_not(audit: Audit) -> None:
    node = audit(Output())
    assert said(node) == dict.fromkeys(gate.GATES, "green")
    assert all(found["proven"] for found in node.attributes["gates"].values())
    shown = node.attributes["controls"]
    assert shown["unprotected"] == dict.fromkeys(shown["unprotected"], "red") and len(shown["unprotected"]) == 6
    assert shown["hole"] == dict.fromkeys(("coverage", "outside", "application", "heads"), "red")
    assert shown["empty"] == dict.fromkeys(gate.GATES, "green")
    assert node.attributes["passed"] and node.attributes["flags"] == []
    assert node.attributes["missed"] == {"tracks": 1, "missed": 0, "upper_95": 0.95}
    assert node.attributes["regions"] == {"face": {"2": LENGTH}}
    assert node.load("valid").all() and len(node.load("finding_frame")) == 0
    left = node.attributes["utility"]
    assert left["below_neck_pck_0.1"] == 1 and left["whole_person_or_frame_share"] == 0
    assert left["covered_share"] == pytest.approx(REGION**2 / (SIZE[0] * SIZE[1]), rel=0.02)


def test_lossy_coding_is_no_fault(audit: Audit) -> None:
    output = Output()
    output.codec = "h264"
    assert red(audit(output)) == set()


def test_three_frames_that_were_not_painted(audit: Audit) -> None:
    output = Output()
    output.painted[10:13] = output.images[10:13]
    node = audit(output)
    assert "application" in red(node)
    rows = node.load("finding_gate") == gate.GATES.index("application")
    assert node.load("finding_frame")[rows].tolist() == [10, 11, 12]


def test_a_single_frame_that_was_not_painted(audit: Audit) -> None:
    output = Output()
    output.painted[17] = output.images[17]
    assert "application" in red(audit(output))


@pytest.mark.parametrize("shift", [8, 25])
def test_a_region_painted_elsewhere(audit: Audit, shift: int) -> None:
    output = Output()
    output.painted[20] = mosaic.paint(output.images[20], np.array([region(20)]) + shift, [output.patterns[0]])
    assert "application" in red(audit(output))


def test_a_hole_in_the_ledger_itself(audit: Audit) -> None:
    output = Output()
    output.rows = [row for row in output.rows if row[0] not in (10, 11, 12)]
    node = audit(output.again())
    assert red(node) == {"coverage", "outside", "heads"}
    assert node.attributes["missed"]["missed"] == 1
    assert set(node.load("finding_frame")) == {10, 11, 12}


def test_a_mosaic_that_is_too_fine(audit: Audit) -> None:
    assert red(audit(Output(level=12))) >= {"squint", "time", "application"}


def test_what_was_never_protected(audit: Audit) -> None:
    output = Output()
    output.painted = output.images
    assert red(audit(output)) >= {"application", "squint", "time"}


def test_a_painting_that_averages_back(audit: Audit) -> None:
    """No frame shows the face, their mean does."""
    output = Output()
    for t, image in enumerate(output.images):
        x, y = at(t)
        colour = np.array(SKIN) + (1 if t % 2 else -1) * np.array((50, -35, 50))
        shown = image.copy()
        put(shown, x - FACE_SIDE / 2, y - FACE_SIDE / 2, FACE_SIDE, FACE_SIDE, tuple(colour))
        output.painted[t] = shown
    node = audit(output)
    assert "time" in red(node) and "squint" not in red(node)


def test_a_frame_that_is_gone(audit: Audit) -> None:
    output = Output()
    del output.painted[7], output.pts[7]
    node = audit(output)
    assert said(node) == {**dict.fromkeys(gate.GATES, "not run"), "application": "red"}
    assert node.attributes["gates"]["application"]["faults"] == ["29 frames instead of 30"]
    assert not node.load("valid").any() and not node.attributes["passed"]


def test_another_clips_times(audit: Audit) -> None:
    output = Output()
    output.pts = [99 * t for t in range(LENGTH)]
    node = audit(output)
    assert red(node) == {"application"}
    assert node.attributes["gates"]["application"]["faults"] == ["other time stamps"]


def test_a_bystander_whom_nobody_covered(audit: Audit) -> None:
    images = walk()
    for image in images:
        person(image, 40, 140)
    output = Output()
    output.images = images
    assert red(audit(output.again())) == {"coverage", "outside"}  # the picture's border cuts the body: the face tells


def test_somebody_seen_from_behind_whom_nobody_covered(audit: Audit) -> None:
    images = walk()
    for image in images:
        person(image, 200, 60, face=False)
    output = Output()
    output.images = images
    output.rows = [row for row in output.rows if row[0] < 20]
    for t in range(20, LENGTH):  # the walker leaves
        images[t] = background()
        person(images[t], 200, 60, face=False)
    node = audit(output.again())
    assert red(node) == {"heads"}
    assert node.attributes["missed"]["tracks"] == 2 and node.attributes["missed"]["missed"] == 1
    assert audit(output, Basic, "basic").attributes["passed"], "the embedded judges cannot see this"


def test_single_hits_are_listed(audit: Audit) -> None:
    """An elbow that one judge takes for a face, and a flower that both do, in one frame."""
    output = Output()
    for image in output.images:
        put(image, 20, 140, 16, 16, ELBOW)
    put(output.images[15], 200, 140, 16, 16, SKIN)
    node = audit(output.again())
    assert red(node) == set()
    assert len(node.load("finding_red")) >= 2 and not node.load("finding_red").any()
    assert {gate.GATES[g] for g in node.load("finding_gate")} == {"outside"}


def test_what_only_the_paint_makes_a_face_is_listed(audit: Audit) -> None:
    output = Output()
    for image in output.painted[8:14]:
        put(image, 200, 140, 16, 16, SKIN)
    node = audit(output)
    assert red(node) == set() and len(node.load("finding_red")) == 1


def test_a_region_that_the_border_cuts_to_a_line(audit: Audit) -> None:
    output = Output()
    output.rows += [(t, (0, 20, 0.4, 120), 1, FACE) for t in range(LENGTH)]
    output.patterns[1] = output.patterns[0]
    assert red(audit(output.again())) == set()


def test_an_empty_scene(audit: Audit) -> None:
    output = Output([background() for _ in range(LENGTH)])
    output.rows = [(t, (0, 0, *SIZE), -1, FRAME) for t in range(LENGTH)]
    node = audit(output.again())
    assert red(node) == set() and node.attributes["passed"]
    assert {"unproven", "whole_frame"} <= set(node.attributes["flags"])
    proven = {name: found["proven"] for name, found in node.attributes["gates"].items()}
    assert proven == {**dict.fromkeys(gate.GATES, False), "application": True}
    assert node.attributes["missed"] == {"tracks": 0, "missed": 0, "upper_95": 1.0}


def test_without_anything_declared_or_seen(audit: Audit) -> None:
    node = audit(Output([background() for _ in range(4)]))
    assert node.attributes["passed"] and "unproven" in node.attributes["flags"]


def test_without_a_judge_a_gate_is_not_run(audit: Audit) -> None:
    node = audit(Output(), Basic)
    assert said(node) == {**dict.fromkeys(gate.GATES, "green"), "heads": "not run"}
    assert node.attributes["passed"] and node.attributes["tier"] == "basic"


def test_a_gate_without_a_judge_fails_a_full_audit(audit: Audit) -> None:
    class Without(Stub):
        people = None  # type: ignore[assignment]

    assert not audit(Output(), Without).attributes["passed"]


def test_a_judge_that_raises_fails_the_job(audit: Audit) -> None:
    class Broken(Stub):
        def faces(self, images: Iterable[np.ndarray]) -> Iterator[Any]:
            raise RuntimeError("the judge broke")

    with pytest.raises(GaitloomError, match=r"P1/trial-1/audit failed: RuntimeError: the judge broke"):
        audit(Output(), Broken)


def test_two_audits_are_equal(audit: Audit) -> None:
    one, other = (audit(Output(), results=name).attributes for name in ("a", "b"))
    assert one["seal"] == other["seal"]


def test_a_control_that_does_not_behave() -> None:
    """Green without proof that it can be red, or red on nothing: not run. Red stays red."""
    found = dict.fromkeys(gate.GATES, gate.Gate("green")) | {"outside": gate.Gate("red")}
    fine = dict.fromkeys(gate.GATES, "red")
    empty = dict.fromkeys(gate.GATES, "green")

    def settle(**changes: dict[str, str]) -> dict[str, str]:
        shown: Any = {"unprotected": fine, "hole": fine, "empty": empty} | changes
        return {name: g.result for name, g in controls.settled(found, shown).items()}

    assert settle() == {name: g.result for name, g in found.items()}
    assert settle(unprotected={**fine, "squint": "green"})["squint"] == "not run"
    assert settle(hole={**fine, "coverage": "green", "outside": "green"}) == {
        **dict.fromkeys(gate.GATES, "green"), "coverage": "not run", "outside": "red",
    }  # fmt: skip
    assert settle(empty={**empty, "time": "red"})["time"] == "not run"
    shown: Any = {"unprotected": {**fine, "time": "blind"}, "hole": fine, "empty": empty}
    assert controls.settled(found, shown)["time"].attributes == {"result": "green", "proven": False}


# The gates' parts


def hits(*rows: tuple[int, tuple[float, ...]], agreed: bool = True) -> Hits:
    return Hits.of([(t, np.array(box, float), 0.9, agreed) for t, box in rows])


def ledger(*rows: tuple[int, tuple[float, ...]], length: int = 30, size: tuple[int, int] = (640, 480)) -> Ledger:
    frame, box = [t for t, _ in rows], np.array([b for _, b in rows], np.float32).reshape(-1, 4)
    zeros = np.zeros(len(rows), int)
    regions = Regions(np.array(frame, int), box, zeros, zeros + FACE, np.ones(len(rows)))
    return Ledger(regions, [np.zeros((1, 1, 3), np.uint8)] * len(rows), length, size)


@pytest.mark.parametrize(
    ("wide", "apart", "result"), [(40, 5, "green"), (40, 7, "red"), (2, 7, "green"), (2, 17, "red")]
)
def test_a_sliver_at_the_border_is_all_edge(wide: int, apart: float, result: str) -> None:
    """Where codecs halve the colours, a region of a pixel or two may be farther off; but not as far as bare pixels."""
    declared = ledger((0, (640 - wide, 100, 640, 160)))
    assert application(np.array([[apart, apart]]), declared, []).result == result


@pytest.mark.parametrize(
    ("frames", "confirmed"),
    [([0, 1, 2], 1), ([0, 2, 4], 1), ([0, 2, 5], 0), ([3, 4], 0), ([0, 1, 8, 9, 10], 1), ([5, 5, 5], 0)],
)
def test_three_of_five_frames(frames: list[int], confirmed: int) -> None:
    found = hits(*((t, (10 + 40 * i, 10, 30 + 40 * i, 30) if frames == [5, 5, 5] else (10, 10, 30, 30))
                   for i, t in enumerate(frames)))  # fmt: skip
    assert len(agreement.confirmed(found)) == confirmed


def test_a_flower_beside_a_face_is_not_the_face() -> None:
    found = hits(*((t, (100, 100, 160, 180)) for t in range(6)), (3, (90, 90, 120, 125)), (7, (100, 100, 160, 180)))
    tracks = agreement.linked(found)
    assert sorted(map(len, tracks)) == [1, 7]


def test_judges_agree_on_one_box_each() -> None:
    a = Faces(np.array([[0, 0, 10, 10], [50, 0, 60, 10], [80, 0, 90, 10]], float), np.array([0.9, 0.8, 0.5]))
    b = Faces(np.array([[2, 0, 12, 10], [1, 0, 11, 10], [80, 0, 90, 10]], float), np.array([0.7, 0.65, 0.9]))
    both, single = agreement.agree(a, b)
    assert [(box.tolist(), score) for box, score in both] == [([0.5, 0, 10.5, 10], pytest.approx(0.65))]
    assert sorted(score for _, score in single) == pytest.approx([0.7, 0.8, 0.9])


@pytest.mark.parametrize("stands", [True, False])
def test_a_region_at_the_feet_is_no_head(stands: bool) -> None:
    wide = 60 if stands else 200
    box = (300, 100, 300 + wide, 300)
    people = hits(*((t, box) for t in range(5)))
    assert heads(people, ledger(*((t, (310, 95, 350, 140)) for t in range(5)))).result == "green"
    feet = heads(people, ledger(*((t, (310, 270, 350, 310)) for t in range(5))))
    assert feet.result == ("red" if stands else "green")
    assert heads(people, ledger(*((t, (560, 95, 600, 140)) for t in range(5)))).result == "red"
    assert heads(people, ledger()).findings[0].red


def test_who_is_cut_by_the_border_is_for_a_human_to_judge() -> None:
    people = hits(*((t, (0, 300, 300, 478)) for t in range(5)))
    found = heads(people, ledger())
    assert found.result == "green" and found.numbers["cut"] == 5 and not any(f.red for f in found.findings)
    standing = hits(*((t, (300, 200, 380, 479)) for t in range(5)))
    assert heads(standing, ledger()).result == "red"


@pytest.mark.parametrize(("missed", "seen"), [(0, 1), (0, 3), (0, 59), (1, 20), (7, 40), (5, 5)])
def test_the_bound_is_clopper_and_pearsons(missed: int, seen: int) -> None:
    """With that rate, as few would be missed in one of twenty data sets."""
    rate = rates.upper_bound(missed, seen)
    few = sum(comb(seen, k) * rate**k * (1 - rate) ** (seen - k) for k in range(missed + 1))
    assert few == pytest.approx(0.05) if missed < seen else rate == 1
    assert rates.upper_bound(0, 0) == 1


def test_heads_are_counted_once_whatever_their_frames() -> None:
    found = rates.missed([{0: False, "face 1": True}, {0: True, 3: False}])
    assert found["tracks"] == 3 and found["missed"] == 2


def test_points_are_held_against_the_persons_height() -> None:
    truth = np.column_stack([np.zeros(23), np.linspace(0, 100, 23), np.ones(23)])
    found = truth.copy()
    found[:5, 0] += 50  # the head's do not count
    found[5:14, 0] += 9
    found[14:, 0] += 11
    assert utility.below_neck([truth], [found]) == {
        "below_neck_pck_0.1": 0.5,
        "below_neck_points": 18,
        "frames_posed": 1,
        "frames_lost": 0,
    }
    nobody = np.full((23, 3), np.nan)
    gone = utility.below_neck([truth], [nobody])
    assert (gone["below_neck_pck_0.1"], gone["frames_lost"]) == (0, 1)
    assert utility.below_neck([nobody], [truth])["below_neck_pck_0.1"] is None


# The judges of a release, in a configuration


def settings(**more: Any) -> Any:
    nodes = {m: {"backend": "blazepose"} for m in ("track", "keypoints")}
    nodes |= {"faces": {"backend": "centerface"}, "deidentified": {"backend": "mosaic"}}
    audited = {"backend": "full", **more}
    return parse({"clips": {"folders": ["."]}, "nodes": {**nodes, "audit": audited}, "accept_licences": ["AGPL-3.0"]})


def test_all_weights_of_a_full_audit_are_known_to_its_recipe() -> None:
    ours = settings()
    names = {"face_detection_yunet_2023mar.onnx", "retinaface_mobilenet0.25_Final.pth", "yolov8n.pt"}
    assert names <= {weight.label for weight in ours.weights_of("audit")}
    own = {"weights": "/somewhere/mine.onnx", "weights_sha256": "7" * 64}
    other = settings(backend_options={"yunet": own})
    assert "7" * 64 in {weight.sha256 for weight in other.weights_of("audit")}
    recipes = [weights.recorded(config.backend_options_of("audit")) for config in (ours, other)]
    assert recipes[0] != recipes[1] and "/somewhere" not in str(recipes)


def test_a_full_audit_is_under_agpl() -> None:
    with pytest.raises(GaitloomError, match=r"nodes.audit: .*AGPL-3.0.*accept_licences"):
        parse({**settings().model_dump(mode="json"), "accept_licences": []})


# Real faces, with the embedded judges


def portrait_clip(blocks: int) -> Output:
    """Grace Hopper moving a little, her head declared and painted."""
    import cv2

    images, rows = [], []
    for t in range(6):
        image, (face,) = scene((320, 320), [(30 + 2 * t, 10, 300)], seed=5)
        images.append(image)
        rows.append((t, (face[0] - 35, face[1] - 50, face[2] + 35, face[3] + 25), 0, FACE))
    output = Output(images)
    output.rows = rows
    x0, y0, x1, y1 = mosaic.edges(np.array(rows[0][1]), output.size)
    colours = cv2.resize(images[0][y0:y1, x0:x1], (blocks, blocks), interpolation=cv2.INTER_AREA)
    output.patterns = {0: colours}
    return output.again()


@pytest.mark.parametrize(("blocks", "gates"), [(2, set()), (24, {"application", "squint"})])
def test_the_embedded_judges_see_a_real_face(audit: Audit, blocks: int, gates: set[str]) -> None:
    """They are half blind: 12 blocks across pass."""
    node = audit(portrait_clip(blocks), name="basic")
    assert {name for name, result in said(node).items() if result == "red"} - {"time"} == gates
    assert node.attributes["controls"]["unprotected"] == dict.fromkeys(
        ("coverage", "application", "squint", "outside", "time"), "red"
    )
    assert not node.attributes["gates"]["squint"]["disjoint"]
    assert node.attributes["passed"] == (not gates)


def test_the_judges_of_a_release_see_more(audit: Audit) -> None:
    """Eight blocks, which the embedded ones take for nothing."""
    node = audit(portrait_clip(8), name="full", **backend_options.MAKERS["audit", "full"]())
    assert {"application", "squint"} <= red(node)
    assert "green" not in node.attributes["controls"]["unprotected"].values()


@pytest.mark.slow
@pytest.mark.parametrize("clip", ["walk3_OK.mp4"], indirect=True)
def test_a_real_walker(clip: Path, tmp_path: Path) -> None:
    """The whole chain with the real backends: no gate red, and those of the full audit notice all controls.

    Measured: 95 of 95 faces inside the regions; squinting, the judges of a release see 16 of 16 bare heads and none of
    the painted ones.
    """
    options = backend_options.MAKERS["audit", "full"]()
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "P1_1.mp4").symlink_to(clip)
    chain = {"track": "blazepose", "keypoints": "blazepose", "faces": "centerface", "deidentified": "mosaic"}
    nodes: dict[str, Any] = {m: {"backend": b} for m, b in chain.items()}
    nodes |= {"audit_basic": {"backend": "basic"}, "audit_full": {"backend": "full", "backend_options": options}}
    values = {"results": tmp_path / "results", "nodes": nodes, "accept_licences": ["AGPL-3.0"]}
    plan = Plan.load({**values, "clips": {"folders": [tmp_path / "data"], "pattern": "{subject}_{trial}"}}, scan=True)
    store = Store(plan.config.results)
    for node in plan.nodes:
        derive(plan, plan.key(plan.clip(CLIP), node), plan.digests_of(CLIP)[node])
    basic, full = (store.open(plan.key(plan.clip(CLIP), f"audit_{tier}")) for tier in ("basic", "full"))
    assert red(full) == set() and full.attributes["passed"] and red(basic) == set()
    shown = full.attributes["controls"]
    assert set(shown["unprotected"].values()) == set(shown["hole"].values()) == {"red"}
    assert set(shown["empty"].values()) == {"green"}
    squints = full.attributes["gates"]["squint"]
    assert squints["seen_bare"] >= 12 and squints["seen"] == 0
    assert full.attributes["gates"]["coverage"]["faces"] >= 80
