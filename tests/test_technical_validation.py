"""Targets are told from gait: planted signals are found, chance is not, nobody peeks, intervals hold what they say."""

import warnings
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from gait_walkers import Setting, Walker
from gaitloom import splits
from gaitloom.errors import GaitloomError
from gaitloom.gait import measure, summary
from gaitloom.gait.course import Walk
from gaitloom.splits import Split
from gaitloom.technical_validation import scores, tables, trials
from gaitloom.technical_validation.features import features, matrix
from gaitloom.technical_validation.learning import Learner, Rows
from walker import GAITS

LEARNERS = (tables.Trees, tables.Perceptron)


@dataclass
class World:
    """People with clips of `values` (N, F): numbers that follow from a person's hidden ones; the first two hold the
    label, the third the age. Some are unknown."""

    people: int = 60
    clips: int = 3
    share: float = 0.5
    effect: float = 3.0
    seed: int = 0
    spread: float = 0.4
    values: np.ndarray = field(init=False)
    label: np.ndarray = field(init=False)
    age: np.ndarray = field(init=False)
    subjects: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        rng = np.random.default_rng(self.seed)
        label = np.arange(self.people) < self.share * self.people
        age = rng.normal(size=self.people)
        hidden = rng.normal(size=(self.people, 10))
        hidden[:, :2] += self.effect * label[:, None]
        hidden[:, 2] += self.effect * age
        of = np.repeat(np.arange(self.people), self.clips)
        own = hidden[of] + self.spread * rng.normal(size=(len(of), 10))
        self.values = own @ rng.normal(size=(10, 40)) + 0.5 * rng.normal(size=(len(of), 40))
        self.values[rng.random(self.values.shape) < 0.05] = np.nan
        self.label, self.age = label[of].astype(np.int64), 40 + 10 * age[of]
        self.subjects = np.array([f"P{i:03}" for i in of])

    def folds(self, k: int = 5, validation: float = 0.1) -> list[Split]:
        table = pd.DataFrame({"subject": self.subjects, "label": self.label.astype(str)}).drop_duplicates()
        return splits.folds(table.set_index("subject"), k, {"label": ()}, validation=validation)

    def trial(self, learner: Learner, target: np.ndarray, classes: int = 2, permutations: int = 9) -> scores.Score:
        return trials.trial(learner, target, classes, self.subjects, self.folds(), permutations, 500, 0)


@dataclass
class Nearest:
    """The nearest training clip's target: it knows people whom it has seen, and nothing else."""

    values: np.ndarray
    name: str = "nearest"
    seen: list[tuple[Rows, np.ndarray]] = field(default_factory=list)

    def tell(self, rows: Rows, target: np.ndarray, classes: int, seed: int) -> np.ndarray:
        self.seen.append((rows, target.copy()))
        far = ((self.values[rows.test, None] - self.values[None, rows.train]) ** 2).sum(axis=2)
        told = target[rows.train][far.argmin(axis=1)]
        return np.eye(classes)[told] if classes else told


@pytest.mark.parametrize("learns", LEARNERS)
def test_a_planted_signal_is_learned_and_permuted_labels_are_not(learns: Any) -> None:
    world = World()
    learner = learns(world.values)
    found = world.trial(learner, world.label, permutations=4)
    assert (found.reason, found.of_class) == ("", (30, 30))
    assert (found.people, found.clips, found.folds) == (60, 180, 5)
    for name in scores.CLASS_MEASURES:
        measure_ = found.measures[name]
        assert measure_.baseline <= 0.5 + 1e-9 < 0.75 < measure_.low <= measure_.value <= measure_.high, name
        assert measure_.p == pytest.approx(1 / 5)
    assert found.measures["balanced_accuracy"].permuted == pytest.approx(0.5, abs=0.08)
    other = trials.exchanged(world.label, 2, world.subjects, world.folds(), np.random.default_rng(5))
    lost = world.trial(learner, other, permutations=4)
    for name in ("accuracy", "balanced_accuracy"):
        assert lost.measures[name].p >= 0.4 and lost.measures[name].low < 0.5 < 0.7 > lost.measures[name].value


@pytest.mark.parametrize("learns", LEARNERS)
def test_numbers_are_told_better_than_by_the_mean(learns: Any) -> None:
    world = World()
    found = world.trial(learns(world.values), world.age, classes=0, permutations=4)
    mae, r2 = found.measures["mae"], found.measures["r2"]
    assert mae.low < mae.value < mae.high < 0.8 * mae.baseline and mae.permuted > 0.9 * mae.baseline
    assert 0.3 < r2.low < r2.value < r2.high < 1 and -0.1 < r2.baseline <= 0 and r2.permuted < 0.05
    assert mae.p == r2.p == pytest.approx(1 / 5)
    assert found.of_class == ()


@pytest.mark.parametrize("learns", LEARNERS)
def test_a_rare_class_is_not_lost(learns: Any) -> None:
    """As an EVGS item of which one person in ten is atypical: accuracy can hardly beat the majority's, F1 can."""
    world = World(people=100, clips=1, share=0.1, effect=4)
    found = world.trial(learns(world.values), world.label, permutations=0)
    f1 = found.measures["macro_f1"]
    assert found.of_class == (90, 10) and found.measures["accuracy"].baseline == pytest.approx(0.9)
    assert f1.baseline == pytest.approx(0.9 * 2 / 1.9 / 2, abs=1e-3) and f1.low > f1.baseline + 0.05
    assert np.isnan(f1.p) and np.isnan(f1.permuted)


def test_nobody_sees_what_is_to_be_told() -> None:
    """At test clips, clips in no part and clips of unknown target, learners are shown nothing."""
    world = World(people=40)
    label, age, folds = world.label.copy(), world.age.copy(), world.folds()
    label[5], age[5] = -1, np.nan
    absent = folds[0]["train"][0]
    folds = [{part: [s for s in who if s != absent] for part, who in split.items()} for split in folds]
    for target, classes in ((label, 2), (age, 0)):
        learner = Nearest(np.nan_to_num(world.values))
        told = trials.cross_validate(learner, target, classes, world.subjects, folds, 0)
        for (rows, shown), split in zip(learner.seen, folds, strict=True):
            hidden = shown < 0 if classes else np.isnan(shown)
            parts = [set(world.subjects[r]) for r in rows]
            assert [sorted(p) for p in parts] == [split[part] for part in Rows._fields]
            visible = np.concatenate([rows.train, rows.validation])
            assert 5 not in np.concatenate(rows)
            np.testing.assert_array_equal(np.sort(visible), np.flatnonzero(~hidden))
            np.testing.assert_array_equal(shown[visible], target[visible])
        expected = np.flatnonzero((world.subjects != absent) & (np.arange(len(target)) != 5))
        np.testing.assert_array_equal(np.sort(told.rows), expected)
        np.testing.assert_array_equal(told.truth, target[told.rows])


def test_a_learner_that_peeks_gets_nothing() -> None:
    world = World()

    @dataclass
    class Peeks:
        name: str = "peeks"

        def tell(self, rows: Rows, target: np.ndarray, classes: int, seed: int) -> np.ndarray:
            return np.eye(classes)[target[rows.test]] if classes else target[rows.test]

    assert world.trial(Peeks(), world.label).measures["accuracy"].value == pytest.approx(0.5)
    found = world.trial(Peeks(), world.age, classes=0)
    assert found.reason.startswith("0 people could be told") and found.untold == 180
    assert all(np.isnan(m).all() for m in found.measures.values())


def test_who_somebody_is_tells_nothing_of_others() -> None:
    """Clips of a person are all but alike and labels are people's own: a learner that knows people again is no better
    than chance, and p is no smaller than it says; were the splits of clips, it would be almost always right."""
    worlds = [World(people=24, effect=0.0, spread=0.01, seed=seed) for seed in range(60)]
    found = [w.trial(Nearest(np.nan_to_num(w.values)), w.label).measures["accuracy"] for w in worlds]
    assert np.mean([f.value for f in found]) == pytest.approx(0.5, abs=0.05)
    assert sum(f.p <= 0.1 for f in found) <= 12, "0.1 of 60 are 6; 12 is the 99th percentile"
    world = worlds[0]
    world.subjects = np.array([f"clip{i:03}" for i in range(len(world.subjects))])  # the planted fault
    leaking = world.trial(Nearest(np.nan_to_num(world.values)), world.label)
    assert leaking.measures["accuracy"].value > 0.9


def test_splits_that_leak_are_refused() -> None:
    world, learner = World(people=20), Nearest(np.zeros((60, 1)))
    folds = world.folds()
    torn = [*folds[:2], {**folds[2], "train": [*folds[2]["train"], folds[2]["test"][0].lower()]}]
    with pytest.raises(GaitloomError, match=r"Partition 2: subject p0\d\d is in test and train; make the splits anew"):
        trials.trial(learner, world.label, 2, world.subjects, torn, 0, 100, 0)
    with pytest.raises(GaitloomError, match=r"Partition 5 tests P0\d\d, whom an earlier one tests"):
        trials.trial(learner, world.label, 2, world.subjects, [*folds, folds[0]], 0, 100, 0)


def exchange(world: World, target: np.ndarray, classes: int, seed: int, folds: list[Split]) -> np.ndarray:
    return trials.exchanged(target, classes, world.subjects, folds, np.random.default_rng(seed))


def test_people_exchange_labels_and_keep_one_each() -> None:
    world = World(people=40, share=0.3)
    label, folds = world.label.copy(), world.folds()
    label[::7] = -1
    moved = exchange(world, label, 2, 3, folds)
    assert (moved != label).mean() > 0.1
    np.testing.assert_array_equal(moved < 0, label < 0)
    for s in np.unique(world.subjects):
        assert len({*moved[(world.subjects == s) & (moved >= 0)]}) == 1
    for split in folds:  # whoever is tested together keeps their classes
        first = [np.flatnonzero((world.subjects == s) & (label >= 0))[0] for s in split["test"]]
        assert sorted(label[first]) == sorted(moved[first])
    alone = splits.leave_one_out(pd.DataFrame(index=pd.Index(np.unique(world.subjects))))
    assert (exchange(world, label, 2, 3, alone) != label).mean() > 0.1


def test_what_differs_within_people_changes_sides_within_them() -> None:
    """A condition that everyone has both of; weight, which hardly changes, must go to others instead."""
    world = World(people=40, clips=4)
    condition = np.tile([0, 0, 1, 1], 40)
    for seed in range(5):
        blocks = exchange(world, condition, 2, seed, world.folds()).reshape(40, 2, 2)
        assert (blocks[:, :, 0] == blocks[:, :, 1]).all() and (blocks.sum(axis=(1, 2)) == 2).all()
        assert 8 < (blocks[:, 0, 0] == 1).sum() < 32, "half of the people change sides"
    weight = np.repeat(np.linspace(40, 90, 40), 4) + np.tile([0, 0, 0.1, 0.1], 40)
    moved = exchange(world, weight, 0, 0, world.folds())
    assert np.abs(np.corrcoef(weight, moved)[0, 1]) < 0.4
    np.testing.assert_allclose(np.sort(moved), np.sort(weight))


def test_a_condition_is_told_and_its_permutation_is_not() -> None:
    world = World(people=30, clips=4, effect=0)
    condition = np.tile([0, 0, 1, 1], 30).astype(np.int64)
    world.values[:, :8] += 6 * condition[:, None]
    found = world.trial(tables.Trees(world.values), condition, permutations=9).measures["accuracy"]
    assert found.low > 0.75 and found.p == pytest.approx(0.1) and found.permuted == pytest.approx(0.5, abs=0.1)


def told(truth: np.ndarray, said: np.ndarray) -> scores.Told:
    rows = np.arange(len(truth))
    return scores.Told(rows, rows % 5, truth, said, np.full_like(truth, 0), 0)


def test_measures_are_scikit_learns() -> None:
    from sklearn import metrics

    rng = np.random.default_rng(3)
    for classes, present in ((2, 2), (3, 3), (4, 2)):
        truth, said = rng.integers(0, present, 90), rng.integers(0, max(2, classes - 1), 90)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # a class is told that is not there
            expected = (
                metrics.accuracy_score(truth, said),
                metrics.balanced_accuracy_score(truth, said),
                metrics.f1_score(truth, said, average="macro"),
            )
        np.testing.assert_allclose(scores.figures(truth, said, classes), expected)
    truth = rng.normal(70, 10, 90)
    said = truth + rng.normal(0, 5, 90)
    expected = metrics.mean_absolute_error(truth, said), metrics.r2_score(truth, said)
    np.testing.assert_allclose(scores.figures(truth, said, 0), expected)


def test_intervals_hold_the_truth_as_often_as_they_say() -> None:
    """40 people with 5 clips, who are each told well or badly: 0.95 of intervals should hold 0.7, the share that is
    told of people without end. Over clips as if each were a person (the planted fault), many do not."""
    held, naive = 0, 0
    for seed in range(200):
        rng = np.random.default_rng(seed)
        people = np.repeat([f"P{i:02}" for i in range(40)], 5)
        right = rng.random(200) < rng.beta(0.7, 0.3, 40).repeat(5)
        truth = rng.integers(0, 2, 200)
        tally = told(truth, np.where(right, truth, 1 - truth))
        clips = np.array([f"c{i:03}" for i in range(200)])
        for who in (people, clips):
            low, high = scores.score("", tally, 2, who, (), 400, seed).measures["accuracy"][1:3]
            held, naive = held + (who is people and low <= 0.7 <= high), naive + (who is clips and low <= 0.7 <= high)
    assert held >= 0.88 * 200
    assert naive < 0.8 * 200


def test_nobody_told_wrong_is_no_certainty() -> None:
    """A bootstrap would say 1 to 1. Six people of the rarer class: 0.025 ** (1 / 6)."""
    truth = np.repeat([0, 1], [24, 18])
    people = np.array([f"P{i // 3:02}" for i in range(42)])
    found = scores.score("", told(truth, truth), 2, people, (), 200, 0).measures["accuracy"]
    assert (found.value, found.high) == (1, 1) and found.low == pytest.approx(0.5407, abs=1e-4)


def test_p_counts_this_run_too() -> None:
    truth, people = np.arange(40) % 2, np.array([f"P{i:02}" for i in range(40)])
    said = np.where(np.arange(40) < 8, 1 - truth, truth)
    runs = [np.full(3, v) for v in (0.9, 0.8, 0.5, 0.4)]
    found = scores.score("", told(truth, said), 2, people, runs, 200, 0).measures["accuracy"]
    assert (found.value, found.permuted, found.p) == pytest.approx((0.8, 0.65, 3 / 5))
    numbers = truth + np.linspace(0, 1, 40)
    runs = [np.array([mae, 0.0]) for mae in (0.05, 0.1, 0.3)]
    found = scores.score("", told(numbers, numbers + 0.1), 0, people, runs, 200, 0).measures["mae"]
    assert found.p == pytest.approx(3 / 4), "the less the better, and as good counts"


class Never:
    """Must not be asked."""

    name = "never"

    def tell(self, rows: Rows, target: np.ndarray, classes: int, seed: int) -> np.ndarray:
        raise AssertionError("there is too little to learn")


def test_too_little_is_no_number() -> None:
    world = World(people=40, share=0.1)  # four people in a class, five folds
    few = World(people=8)
    alike = np.full(len(world.age), 50.0)
    almost = alike.copy()
    almost[:9] = 51, 51, 51, 52, 52, 52, 53, 53, 53
    cases: list[tuple[World, np.ndarray, int, str]] = [
        (world, world.label, 2, "4 of the rarest class could be told; 5 are needed"),
        (few, few.label, 2, "8 people could be told; 10 are needed"),
        (world, 0 * world.label, 2, "all who could be told have the same value"),
        (world, world.label * 0 - 1, 2, "0 people could be told; 10 are needed"),
        (world, alike, 0, "all who could be told have the same value"),
        (world, almost, 0, "3 with other than the commonest number could be told; 5 are needed"),
        (world, np.full(len(alike), np.nan), 0, "0 people could be told; 10 are needed"),
    ]
    for made, target, classes, reason in cases:
        found = made.trial(Never(), target, classes)
        assert found.reason == reason
        assert all(np.isnan(list(m)).all() for m in found.measures.values())
        rows = found.rows()
        assert [list(r) for r in rows] == [list(scores.COLUMNS)] * len(found.measures)
        assert {r["reason"] for r in rows} == {reason} and np.isnan([r["value"] for r in rows]).all()
    assert trials.trial(Never(), world.label, 2, world.subjects, [], 3, 100, 0).folds == 0


def test_a_learners_answer_is_checked() -> None:
    world = World(people=20)
    answers = (np.full((1, 2), 0.5), np.full((12, 2), 0.7), np.full((12, 2), [1.5, -0.5]), np.full(12, 0.5))
    for answer in answers:
        learner: Any = SimpleNamespace(name="odd", tell=lambda *_, a=answer: a)
        with pytest.raises(GaitloomError, match="The learner 'odd' does not tell 2 probabilities a clip"):
            world.trial(learner, world.label)
    partly = np.full((12, 2), 0.5)
    partly[0] = np.nan
    found = world.trial(SimpleNamespace(name="odd", tell=lambda *_: partly), world.label, permutations=0)  # type: ignore
    assert (found.untold, found.clips, found.people) == (5, 55, 20)


@pytest.mark.parametrize("learns", LEARNERS)
def test_same_arguments_same_bytes(learns: Any) -> None:
    world = World(people=20)
    first, second = (world.trial(learns(world.values), world.label, permutations=1) for _ in "ab")
    assert repr(first.rows()) == repr(second.rows())
    rows = trials.rows_of(world.label, 2, world.subjects, world.folds())[0]
    for target, classes in ((world.label, 2), (world.age, 0)):
        one, two = (learns(world.values).tell(rows, target, classes, 4).tobytes() for _ in "ab")
        assert one == two


@pytest.mark.parametrize("learns", LEARNERS)
def test_classes_that_training_lacks_have_no_probability(learns: Any) -> None:
    world = World(people=30)
    values = np.column_stack([world.values, np.full(90, np.nan), np.full(90, 3.0)])
    values[60:, -1] = 1e6  # all alike where it is learned from
    rows = Rows(np.arange(0, 60), np.arange(60, 75), np.arange(75, 90))
    target = np.r_[np.arange(60) % 2 * 2, [1] * 15, [-1] * 15]  # class 1 is in the validation only, 3 nowhere
    found = learns(values).tell(rows, target, 4, 0)
    assert found.shape == (15, 4) and (found[:, [1, 3]] == 0).all()
    np.testing.assert_allclose(found.sum(axis=1), 1)
    target[:60] = 2
    np.testing.assert_array_equal(learns(values).tell(rows, target, 4, 0), np.eye(4)[[2] * 15])
    flat = np.r_[np.full(75, 7.0), [np.nan] * 15]
    np.testing.assert_allclose(learns(values).tell(rows, flat, 0, 0), 7, atol=0.5)
    unknown = learns(np.full_like(values, np.nan)).tell(rows, np.r_[np.arange(75) % 2, [-1] * 15], 2, 0)
    np.testing.assert_allclose(unknown.sum(axis=1), 1)


def test_the_perceptrons_scale_is_the_training_clips() -> None:
    world = World(people=20)
    train = np.arange(40)
    scaled = tables.standardised(world.values, train)
    np.testing.assert_allclose(scaled[train].mean(axis=0), 0, atol=0.15)  # what is far off is cut
    changed = world.values.copy()
    changed[40:] = 1e9
    np.testing.assert_array_equal(tables.standardised(changed, train)[train], scaled[train])
    assert np.abs(tables.standardised(changed, train)).max() == tables.FAR
    flags = scaled.shape[1] - 40
    assert (
        flags == len(np.unique(np.isnan(world.values[train]), axis=1).T) - (~np.isnan(world.values[train])).all(0).any()
    )


def node(found: measure.Gait, **attributes: Any) -> Any:
    arrays = {"cycle_foot": found.cycle_foot, "cycle": found.cycle.astype(np.float32)}
    whole = found.summary
    arrays |= {"summary_mean": whole.mean, "summary_sd": whole.sd, "summary_n": whole.n, "symmetry": whole.symmetry}
    return SimpleNamespace(load=arrays.__getitem__, attributes=attributes)


@pytest.fixture(scope="module")
def gait() -> measure.Gait:
    return measure.gait(Walker(GAITS["normal"], Setting(fps=30), 12, seed=5).walk())


def test_features_are_the_nodes_numbers(gait: measure.Gait) -> None:
    found = features(node(gait))
    speed = list(summary.PARAMETERS).index("speed")
    assert found["speed_both"] == gait.summary.mean[0, speed] and found["speed_left_sd"] == gait.summary.sd[1, speed]
    assert found["speed_symmetry"] == gait.summary.symmetry[speed]
    curve = gait.cycle[gait.cycle_foot == 1, 1].mean(axis=0)
    assert found["knee_right_maximum"] == pytest.approx(curve.max(), abs=1e-3)
    assert found["knee_right_range"] == pytest.approx(np.ptp(curve), abs=1e-3)
    assert found["knee_right_contact"] == pytest.approx(curve[0], abs=1e-3)
    peak = np.degrees(np.arctan2(found["knee_right_peak_sine"], found["knee_right_peak_cosine"])) % 360
    assert peak == pytest.approx(3.6 * curve.argmax()) and 0.6 < peak / 360 < 0.85, "knees bend most in swing"
    assert found["knee_right_swing_maximum"] > found["knee_right_stance_maximum"]
    assert found["hip_left_minimum"] == min(found["hip_left_stance_minimum"], found["hip_left_swing_minimum"])
    assert found["step_width_both"] != found["step_width_both"], "a side view has none"


def test_stance_ends_where_the_foot_leaves() -> None:
    """A ramp tells where what is taken: at a stance share of 0.55."""
    whole = summary.empty("")
    whole.mean[1, list(summary.PARAMETERS).index("stance_share")] = 0.55
    empty = measure.nothing(Walk(np.zeros(0), np.zeros((0, 23, 2)), (1, 1), None), "")  # type: ignore[arg-type]
    ramp = np.arange(101.0) * np.array([1, 2, 3, 4])[:, None]
    vars(empty).update(summary=whole, cycle=np.stack([ramp, ramp + np.nan, ramp]), cycle_foot=np.array([0, 0, 1]))
    found = features(node(empty))
    assert [found[f"ankle_left_{w}"] for w in ("stance_maximum", "swing_minimum", "minimum")] == [165, 165, 0]
    assert found["ankle_right_stance_maximum"] == 180, "0.6 of the cycle where it is unknown"
    assert found["trunk_left_terminal_swing"] == 4 * 93.5


def test_a_matrix_has_every_name_and_nothing_about_the_camera(gait: measure.Gait) -> None:
    empty = measure.nothing(Walk(np.zeros(0), np.zeros((0, 23, 2)), (1, 1), None), "nobody")  # type: ignore[arg-type]
    told_apart = node(gait, scale="walkway", direction="left"), node(gait, scale="height", direction="right")
    names, values = matrix([*told_apart, node(empty)])
    assert values.shape == (3, len(names)) and len(set(names)) == len(names)
    np.testing.assert_array_equal(values[0], values[1])
    assert np.isnan(values[2]).all() and np.isfinite(values[0]).mean() > 0.85
    assert matrix([])[1].shape == (0, 0)
