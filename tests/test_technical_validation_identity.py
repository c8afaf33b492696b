"""Residual identity: drawn people who walk twice are found again by every modality, and nobody is by chance."""

import json
import pkgutil
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gaitloom import fragments, modalities
from gaitloom.clips import Clip, NodeKey
from gaitloom.gait.angles import CYCLE, CYCLE_NAMES
from gaitloom.gait.summary import PARAMETERS
from gaitloom.store import Node, Store
from gaitloom.technical_validation import embeddings, identity
from gaitloom.technical_validation.identity import Who
from walker import GAITS, Gait, Walk

PEOPLE, FRAMES, SIZE = 7, 32, (256, 144)
MEASURED = ("deidentified", "flow_dis", "gait", "keypoints", "parts", "silhouette", "track")
# Session, trial, direction, clothes: twice on one day, there and back, and once on another day in other clothes.
WALKS = (("1", "1", "right", 0), ("1", "2", "left", 0), ("2", "1", "right", 1))


def somebody(rng: np.random.Generator) -> Gait:
    """A way to walk; all bodies are alike, so that the walk alone can tell them apart."""
    low, high = (0.9, 1.1, 0.0, 5.0, 0.0), (1.25, 1.5, 12.0, 34.0, 0.03)
    names = ("stride_time", "stride_length", "lean", "arm_swing", "crouch")
    return replace(GAITS["normal"], **dict(zip(names, rng.uniform(low, high).tolist(), strict=True)))


def again(gait: Gait, rng: np.random.Generator) -> Gait:
    """The same person another time: nobody walks twice alike."""
    share = rng.normal(1, 0.01, 2)
    return replace(
        gait,
        stride_time=gait.stride_time * share[0],
        stride_length=gait.stride_length * share[1],
        lean=gait.lean + rng.normal(0, 0.3),
    )


def put(store: Store, clip: Clip, walk: Walk, rng: np.random.Generator) -> None:
    """A walk's nodes, laid out as GaitLoom's are."""

    def publish(node: str, fill: Any, valid: np.ndarray | None = None, **attributes: Any) -> None:
        staged = store.stage(NodeKey(clip.subject, clip.name, node))
        staged.put("time", walk.times, ("time",))
        staged.put("valid", np.ones(len(walk), bool) if valid is None else valid, ("time",))
        fill(staged)
        staged.publish({"modality": node}, attributes)

    def stream(name: str, frames: np.ndarray) -> Any:
        def fill(staged: Any) -> None:
            written = staged.stream(name, frames.shape, frames.dtype, ("time", *"yxa"[: frames.ndim - 1]))
            for frame in frames:
                written.append(frame)

        return fill

    times, (width, height) = range(len(walk)), walk.size
    flow = np.zeros((len(walk), height, width, 2), np.int16)
    flow[:-1] = np.rint(64 * np.array([walk.flow(t) for t in times[:-1]]))
    points = (walk.keypoints + rng.normal(0, 0.5, walk.keypoints.shape)).astype(np.float32)
    film = fragments.encode(list(walk.frames()), list(times), Fraction(1, 30), "h264")
    publish("silhouette", stream("mask", np.array([walk.silhouette(t) for t in times])))
    publish("parts", stream("label", np.array([walk.parts(t) for t in times])), label_space="densepose_coarse_14")
    before_last = np.arange(len(walk)) < len(walk) - 1
    publish("flow_dis", stream("flow", flow), before_last, region=[0, 0, width, height], scale=[1.0, 1.0])
    publish("keypoints", lambda staged: staged.put("xy_23", points, ("time", "keypoint_23", "axis")))
    publish("track", lambda staged: staged.put("box", walk.box.astype(np.float32), ("time", "corner")))
    publish("deidentified", film.put, width=width, height=height)
    publish("gait", lambda staged: put_gait(staged, walk.gait))
    publish("video", lambda staged: None)


def put_gait(staged: Any, gait: Gait | None) -> None:
    """What a gait node would hold of a gait, or of nobody."""
    mean, names = np.full((3, len(PARAMETERS)), np.nan), list(PARAMETERS)
    if gait is not None:
        mean[:, names.index("speed")] = gait.speed
        mean[:, names.index("cadence")] = gait.cadence
    staged.put("summary_mean", mean, ("side", "parameter"))
    staged.put("summary_sd", np.full_like(mean, np.nan), ("side", "parameter"))
    staged.put("symmetry", np.full(len(names), np.nan), ("parameter",))
    staged.put("cycle_foot", np.zeros(0, np.uint8), ("cycle",))
    staged.put("cycle", np.zeros((0, len(CYCLE_NAMES), CYCLE), np.float32), ("cycle", "joint", "percent"))


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Seven people, three walks each."""
    rng, store = np.random.default_rng(3), Store(tmp_path_factory.mktemp("people"))
    for number in range(PEOPLE):
        gait = somebody(rng)
        for session, trial, direction, clothes in WALKS:
            seed, phase = 10 * number + clothes, float(rng.uniform(0, 1))
            walk = Walk(again(gait, rng), "sagittal", direction, FRAMES, 25.0, SIZE, seed, 1.5, (0.0, 0.0), phase)  # pyright: ignore[reportArgumentType]
            put(store, Clip(f"Ann{number}", session, trial), walk, rng)
    return store


Seen = tuple[Clip, dict[str, Node], np.ndarray | None]


def clips(store: Store, walks: Any = WALKS[:2], by_session: bool = True) -> Iterator[Seen]:
    """Everyone's clips of these walks; without their sessions, these are trials."""
    for number in range(PEOPLE):
        for session, trial, *_ in walks:
            clip = Clip(f"Ann{number}", session, trial)
            nodes = {n: store.open(NodeKey(clip.subject, clip.name, n)) for n in (*MEASURED, "video")}
            known = clip if by_session else Clip(clip.subject, "", session + trial)
            yield known, nodes, nodes["track"].load("box")


def by_input(rows: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {row["input"]: row for row in rows}


@pytest.fixture(scope="module")
def there_and_back(store: Store) -> dict[str, dict[str, Any]]:
    """What is found of those who walk to the right once and to the left once."""
    return by_input(identity.of_clips(clips(store), 200, 0))


@pytest.mark.parametrize("node", [*MEASURED, identity.TOGETHER])
def test_people_are_found_though_they_walk_the_other_way(there_and_back: Any, node: str) -> None:
    row = there_and_back[node]
    assert row["baseline"] == pytest.approx(1 / (2 * PEOPLE - 1))
    assert row["value"] >= 4 * row["baseline"]
    assert row["low"] <= row["value"] <= row["high"]
    assert row["p"] <= 0.05 and abs(row["permuted"] - row["baseline"]) < 0.05
    assert (row["people"], row["clips"], row["probes"], row["unseen"]) == (PEOPLE, 2 * PEOPLE, 2 * PEOPLE, 0)


def test_a_walk_that_is_not_turned_round_would_be_lost(
    store: Store, there_and_back: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embeddings, "_turned", lambda box: False)
    monkeypatch.setattr(embeddings, "MOVING", np.inf)
    for node in ("silhouette", "parts", "flow_dis"):
        only = ((clip, {node: nodes[node]}, box) for clip, nodes, box in clips(store))
        (row,) = identity.of_clips(only, 200, 0)
        assert row["value"] < there_and_back[node]["value"]


def test_nobody_is_found_among_exchanged_people(store: Store) -> None:
    names = np.random.default_rng(5).permutation(np.repeat(np.arange(PEOPLE), 2))
    shuffled = ((replace(c, subject=f"S{i}"), n, b) for i, (c, n, b) in zip(names, clips(store), strict=True))
    rows = by_input(identity.of_clips(shuffled, 200, 0))
    assert all(rows[node]["p"] > 0.05 for node in MEASURED)


def test_clothes_are_found_but_not_over_days(store: Store) -> None:
    """Without sessions the same shirt is found; with them only another day's clip counts, in another shirt."""
    pictures = [(c, {"deidentified": n["deidentified"], "gait": n["gait"]}, b) for c, n, b in clips(store, WALKS)]
    without = [(Clip(c.subject, "", c.session + c.trial), n, b) for c, n, b in pictures]
    days, one = by_input(identity.of_clips(pictures, 200, 0)), by_input(identity.of_clips(without, 200, 0))
    assert one["deidentified"]["value"] >= 2 / 3 > 0.4 > days["deidentified"]["value"]
    assert days["gait"]["value"] > 0.5
    assert days["gait"]["gallery"] == identity.OTHER_SESSION and one["gait"]["gallery"] == identity.OTHER_CLIP
    assert days["gait"]["probes"] == 3 * PEOPLE


def test_what_is_not_measured_says_so(there_and_back: Any) -> None:
    assert there_and_back["video"]["reason"].startswith("not measured: ")
    assert np.isnan(there_and_back["video"]["value"])
    assert sorted({*embeddings.EMBEDDINGS, *embeddings.NOT_MEASURED}) == sorted(
        m.name for m in pkgutil.iter_modules(modalities.__path__)
    )


def test_rows_name_nobody_and_come_out_the_same_again(store: Store, there_and_back: Any) -> None:
    text = json.dumps(there_and_back)
    assert "Ann" not in text
    again = by_input(identity.of_clips(clips(store), 200, 0))
    assert json.dumps(again) == text
    assert all(list(row) == list(identity.COLUMNS) for row in again.values())


def test_clips_in_which_nobody_is_seen_are_counted(store: Store, tmp_path: Path) -> None:
    other = Store(tmp_path)
    staged = other.stage(NodeKey("Bob", "clip", "silhouette"))
    staged.put("time", np.arange(5) / 25, ("time",))
    staged.put("valid", np.zeros(5, bool), ("time",))
    written = staged.stream("mask", (5, 40, 60), bool, ("time", "y", "x"))
    for _ in range(5):
        written.append(np.zeros((40, 60), bool))
    staged.publish({"modality": "silhouette"}, {})
    staged = other.stage(NodeKey("Bob", "clip", "gait"))
    put_gait(staged, None)
    staged.publish({"modality": "gait"}, {})
    empty = {n: other.open(NodeKey("Bob", "clip", n)) for n in ("silhouette", "gait")}
    seen = [(c, {n: nodes[n] for n in empty}, box) for c, nodes, box in clips(store)]
    rows = by_input(identity.of_clips([*seen, (Clip("Bob"), empty, None)], 200, 0))
    for node in empty:
        assert (rows[node]["unseen"], rows[node]["clips"]) == (1, 2 * PEOPLE)


def people(count: int, each: int, apart: float, seed: int = 0) -> tuple[np.ndarray, Who]:
    """(N, 6) points around one for each person, who are `apart`, N = count * each; sessions all one, camera one."""
    rng = np.random.default_rng(seed)
    vectors = np.repeat(apart * rng.normal(size=(count, 6)), each, axis=0) + rng.normal(size=(count * each, 6))
    subjects = np.repeat([f"P{i}" for i in range(count)], each)
    return vectors, Who(subjects, np.full(len(subjects), "1"), np.full(len(subjects), ""))


def by_hand(vectors: np.ndarray, who: Who, by_day: bool) -> tuple[float, float, int]:
    """Rank 1, chance and probes, one probe after the other."""
    hits, chance = [], []
    for i in range(len(vectors)):
        gallery = [j for j in range(len(vectors)) if j != i and who.cameras[j] == who.cameras[i]]
        own = [j for j in gallery if who.subjects[j] == who.subjects[i]]
        if by_day:
            gallery = [j for j in gallery if j not in own or who.sessions[j] != who.sessions[i]]
        own = [j for j in own if j in gallery]
        if own and len(own) < len(gallery):
            nearest = min(gallery, key=lambda j: np.linalg.norm(vectors[i] - vectors[j]))
            hits.append(nearest in own)
            chance.append(len(own) / len(gallery))
    return float(np.mean(hits)), float(np.mean(chance)), len(hits)


@pytest.mark.parametrize("sessions", [1, 2])
def test_rank_1_is_what_counting_by_hand_gives(sessions: int) -> None:
    rng = np.random.default_rng(1)
    vectors, who = people(12, 5, 0.8)
    days = rng.integers(0, sessions, len(vectors)).astype(str)
    who = Who(who.subjects, days, rng.choice(["side", "front"], len(vectors)))
    row = identity.of_embeddings(vectors, who, 200, 0, standardised=False)
    assert (row["value"], row["baseline"], row["probes"]) == pytest.approx(by_hand(vectors, who, sessions > 1))


def test_other_cameras_are_other_galleries() -> None:
    """People whom a second camera shows far away are found all the same, each among those of the same camera."""
    vectors, who = people(8, 4, 5.0)
    cameras = np.tile(["side", "side", "front", "front"], 8)
    vectors[cameras == "front"] += 100
    assert identity.of_embeddings(vectors, Who(*who[:2], cameras), 200, 0)["value"] == 1
    one_each = Who(*who[:2], np.tile(["a", "b", "c", "d"], 8))
    assert identity.of_embeddings(vectors, one_each, 200, 0)["reason"] == "nobody has another clip by the same camera"


def test_numbers_count_by_their_spread_and_pictures_as_they_are() -> None:
    vectors, who = people(10, 3, 3.0)
    loud = np.column_stack([vectors, 1e4 * np.random.default_rng(2).normal(size=len(vectors))])
    assert identity.of_embeddings(loud, who, 200, 0)["value"] > 0.6
    assert identity.of_embeddings(loud, who, 200, 0, standardised=False)["value"] < 0.3


def test_unknown_numbers_do_no_harm() -> None:
    vectors, who = people(10, 3, 4.0)
    whole = identity.of_embeddings(vectors, who, 200, 0)
    holes = vectors.copy()
    holes[np.random.default_rng(0).random(holes.shape) < 0.1] = np.nan
    holes = np.column_stack([holes, np.full(30, np.nan), np.ones(30)])
    holes[4] = np.nan
    found = identity.of_embeddings(holes, who, 200, 0)
    assert found["clips"] == 29 and whole["clips"] == 30
    assert found["value"] > 0.5


@pytest.mark.parametrize(
    ("count", "each", "sessions", "reason"),
    [
        (1, 4, 1, "there are clips of 1 people; two are needed"),
        (0, 0, 1, "there are clips of 0 people; two are needed"),
        (5, 1, 1, "nobody has another clip by the same camera"),
    ],
)
def test_too_little_has_a_reason_and_no_figure(count: int, each: int, sessions: int, reason: str) -> None:
    row = identity.of_embeddings(*people(count, each, 3.0), 200, 0)
    assert row["reason"] == reason
    assert np.isnan([row[c] for c in ("value", "low", "high", "baseline", "permuted", "p")]).all()


def test_sessions_by_different_cameras_do_not_meet() -> None:
    vectors, who = people(4, 2, 3.0)
    days = np.tile(["1", "2"], 4)
    row = identity.of_embeddings(vectors, Who(who.subjects, days, days), 200, 0)
    assert row["reason"] == "nobody has another clip in another session by the same camera"


def test_a_few_people_who_are_all_found_are_no_certainty() -> None:
    row = identity.of_embeddings(*people(3, 4, 100.0), 200, 0)
    assert (row["value"], row["high"]) == (1, 1)
    assert row["low"] == pytest.approx(0.025 ** (1 / 3))
    low, high = identity._interval(np.tile([True, True, False], 9), np.repeat(list("abcdefghi"), 3), 200, None)  # pyright: ignore[reportArgumentType]
    assert low < 0.4 and high > 0.9  # six of nine, not two thirds to the last digit


def test_intervals_hold_what_more_people_would_give() -> None:
    """The figure of 60 people lies in the interval of 20 of them about as often as it says, galleries being equal."""
    vectors, who = people(60, 3, 1.2)
    apart, inside = identity.distances(vectors, standardised=False), 0
    hit, _, _ = identity._nearest(apart + np.diag(np.full(len(apart), np.nan)), who, False)
    for seed in range(100):
        rng = np.random.default_rng(seed)
        chosen = np.isin(who.subjects, rng.choice(np.unique(who.subjects), 20))
        low, high = identity._interval(hit[chosen], who.subjects[chosen], 300, rng)
        inside += low <= hit.mean() <= high
    assert inside >= 88


def test_chance_is_seldom_taken_for_somebody() -> None:
    found = [identity.of_embeddings(*people(8, 3, 0.0, seed), 100, seed)["p"] <= 0.05 for seed in range(60)]
    assert sum(found) <= 8  # binomial, 60 times 0.05: more than 8 has a probability of 0.3 %


def test_what_one_modality_lacks_another_tells() -> None:
    """Half of the people differ by one modality, half by another; together they are all found."""
    first, who = people(10, 3, 5.0, 1)
    second, _ = people(10, 3, 5.0, 2)
    first[:15], second[15:] = (np.random.default_rng(s).normal(size=(15, 6)) for s in (3, 4))
    each = [identity.distances(v, standardised=False) for v in (first, second)]
    both = identity.re_identified(identity.together(each), who, 200, 0)
    assert both["value"] > max(identity.re_identified(d, who, 200, 0)["value"] for d in each)


def test_together_takes_what_there_is() -> None:
    """A clip that one modality lacks is compared by the other."""
    vectors, who = people(6, 3, 20.0)
    lacking = vectors.copy()
    lacking[:9] = np.nan
    both = identity.together([identity.distances(v) for v in (vectors, lacking)])
    assert identity.re_identified(both, who, 200, 0)["clips"] == 18
