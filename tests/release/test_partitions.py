"""Splits in a release: everybody of the tier once in each partition, under released names, and nobody moves."""

import json
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from gaitloom import split_files
from gaitloom.errors import GaitloomError
from gaitloom.plan import Plan
from gaitloom.release import build, partitions, parts, tier_check, verify
from gaitloom.release.contents import Contents
from gaitloom.release.dataset import Dataset
from gaitloom.release.documents import told
from gaitloom.release.settings import TierName
from gaitloom.splits import Split

from release import leaks, opengait_reader, sample
from release.documented import keys, written
from release.exported import export

BERTA, CARL = sample.SUBJECTS
FOLDS = {"folds": 2, "validation": 0, "by": ["sex"]}
TIERS = {
    "controlled": {"k": 1, "exporters": ["opengait", "health_gait"], "modalities": ["keypoints"]},
    "open": {"k": 1, "exporters": ["alphapose"], "modalities": ["keypoints"]},
}


def laid(folder: Path, *found: Split, **options: Any) -> Plan:
    """The sample with splits as they are given, in the laboratory's names."""
    options = {"splits": FOLDS, "tiers": TIERS, **options}
    plan = sample.plan(folder, **options)
    place = split_files.folder_of(plan)
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir()
    for number, split in enumerate(found):
        (place / f"partition_{number}.json").write_text(json.dumps(split))
    return plan


def split(train: tuple[str, ...] = (), validation: tuple[str, ...] = (), test: tuple[str, ...] = ()) -> Split:
    return {"train": list(train), "validation": list(validation), "test": list(test)}


TWO = split(train=(BERTA,), test=(CARL,)), split(train=(CARL,), test=(BERTA,))


def built(plan: Plan, tier: TierName = "controlled") -> Contents:
    for path in plan.parts(tier):
        parts.make(plan, path, tier)
    target, dataset = build.build(plan, tier), Dataset.of(plan, tier)
    return Contents(dataset, target, build._parts(dataset), None)


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sample in a folder; each test lays splits there."""
    return keys(tmp_path_factory.mktemp("lab"))


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Contents:
    return built(laid(keys(tmp_path_factory.mktemp("released")), *TWO))


def read(path: Path) -> Split:
    return json.loads(path.read_text())


def test_each_layout_has_them_in_its_form_and_place(release: Contents, tmp_path: Path) -> None:
    names = release.dataset.names
    berta, carl = names.subject(BERTA), names.subject(CARL)
    for layout in ("opengait", "health_gait"):
        for archive in release.data.glob(f"{layout}_*.zip"):
            shutil.unpack_archive(archive, tmp_path / layout)
    for number, (train, test) in enumerate(((berta, carl), (carl, berta))):
        for path in (release.data / "splits", tmp_path / "health_gait/partitions"):
            assert read(path / f"partition_{number}.json") == split(train=(train,), test=(test,))
        file = tmp_path / f"opengait/partition_{number}.json"
        assert read(file) == {"TRAIN_SET": [train], "TEST_SET": [test]}
        for training, whose in ((True, train), (False, test)):
            found = opengait_reader.sequences(tmp_path / "opengait/pkl", file, training)
            assert [s[0] for s in found] == [whose] * 2, "OpenGait's loader takes the walks of somebody else"
    assert not (tmp_path / "opengait/partition.json").exists()
    assert verify.verify(release.folder) == []


def test_one_split_is_opengaits_partition_and_validation_is_trained_on(lab: Path, tmp_path: Path) -> None:
    plan = laid(lab, split(validation=(BERTA,), test=(CARL,)), splits={"shares": [0, 1, 1]})
    dataset = Dataset.of(plan, "controlled")
    folder = export(dataset, "opengait", tmp_path)
    berta, carl = map(dataset.names.subject, sample.SUBJECTS)
    assert [p.name for p in (folder / "index").glob("*.json")] == ["partition.json"]
    assert read(folder / "index/partition.json") == {"TRAIN_SET": [berta], "TEST_SET": [carl]}


def test_a_tier_has_its_own_people_alone(lab: Path, tmp_path: Path) -> None:
    """Who is not in the open tier is in no part of it, and names of the two tiers do not meet."""
    try:
        sample.participants(lab, consent_scope=("open", "controlled"))
        plan = laid(lab, *TWO)
        found = partitions.released(Dataset.of(plan, "open"))
        berta = Dataset.of(plan, "open").names.subject(BERTA)
        assert found == [split(train=(berta,)), split(test=(berta,))]
        everybody = partitions.released(Dataset.of(plan, "controlled"))
        assert berta not in str(everybody) and len({s for p in everybody[0].values() for s in p}) == 2
    finally:
        sample.participants(lab)


@pytest.mark.parametrize(
    ("found", "people", "sentence"),
    [
        ([split(train=(BERTA,))], {}, rf"Subject {CARL} is in none of the splits in .*; run `snakemake splits`\."),
        ([], {}, r"There are no splits in .*; run `snakemake splits`\."),
        (
            [split(train=(BERTA, CARL), test=(CARL,))],
            {},
            r"Partition 0 .* would leak: subject p\w{8} is in test and tr",
        ),
        (TWO, {"family": ("M", "M")}, r"Partition 0 .* would leak: family M is in test and train; .* 'family'"),
    ],
)
def test_what_cannot_be_released_is_one_sentence(
    lab: Path, found: list[Split], people: dict[str, Any], sentence: str
) -> None:
    try:
        sample.participants(lab, **people)
        with pytest.raises(GaitloomError, match=sentence) as error:
            partitions.released(Dataset.of(laid(lab, *found), "controlled"))
        assert "\n" not in str(error.value)
    finally:
        sample.participants(lab)


def test_one_video_of_two_people_is_a_leak(lab: Path) -> None:
    dataset = Dataset.of(laid(lab, *TWO), "controlled")
    one = dataset.entries[0].clip.sha256
    entries = tuple(replace(e, clip=replace(e.clip, sha256=one)) for e in dataset.entries)
    with pytest.raises(GaitloomError, match=r"would leak: video of P\w{8}, P\w{8} is in test and train"):
        partitions.released(replace(dataset, entries=entries))


@pytest.mark.parametrize("place", ["data/splits/partition_1.json", "opengait_index.zip", "health_gait_data.zip"])
def test_who_must_not_be_in_a_partition_is_found(release: Contents, tmp_path: Path, place: str) -> None:
    """A real name, a number, a name of another tier, somebody whom the tier does not hold, somebody in two parts."""
    contents, names = leaks.copied(release, tmp_path / "copy", place), release.dataset.names
    other = Dataset.of(contents.dataset.plan, "open").names.subject(BERTA)
    gone, mine = names.subject("DoraDritte"), names.subject(BERTA)
    secret = {
        BERTA: f"holds '{BERTA.lower()}', a subject's name",
        other: f"holds '{other.lower()}', a subject's name in the open tier",
    }
    seen = {"001": "has '001', nobody", gone: f"has '{gone}', nobody", mine: f"subject {mine.lower()} is in test and"}
    if place == "opengait_index.zip":
        seen[mine] = f"subject {mine.lower()} is in TEST_SET and"

    def more(data: bytes) -> bytes:
        changed = json.loads(data)
        for people in changed.values():
            people[:] = sorted({*people, *secret, *seen})
        return json.dumps(changed).encode()

    if place.startswith("data/"):
        path, member = contents.folder / place, place
        path.write_bytes(more(path.read_bytes()))
    else:
        name, data = leaks.get(contents, place, "partition_1.json")
        leaks.put(contents, place, {name: more(data)})
        member = f"{place}: {name}"
    found = "\n".join(map(str, tier_check.findings(contents)))
    for sentence in (*secret.values(), *seen.values()):
        assert f"{member} {sentence}" in found
    found = "\n".join(verify.verify(contents.folder))
    for sentence in seen.values():  # which anybody can see
        assert f"{member} {sentence}" in found


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda s: {**s, "test": []}, r"does not have P\w{8}, whom the tier holds"),
        (lambda s: list(s), r"is no split"),
        (lambda s: 7, r"is no split"),
    ],
)
def test_who_must_be_in_a_partition_is_missed(
    release: Contents, tmp_path: Path, change: Callable[[Split], Any], sentence: str
) -> None:
    contents = leaks.copied(release, tmp_path / "copy")
    path = contents.data / "splits/partition_0.json"
    path.write_text(json.dumps(change(read(path))))
    found = [str(f) for f in tier_check.findings(contents)]
    assert [f for f in found if re.search(rf"splits/partition_0\.json {sentence}", f)], found


def test_families_that_are_released_stay_together(release: Contents, tmp_path: Path) -> None:
    contents = leaks.copied(release, tmp_path / "copy")
    path = contents.data / "participants.tsv"
    head, *lines = path.read_text().splitlines()
    path.write_text("\n".join([f"{head}\tfamily", *(f"{line}\tF12345678" for line in lines)]) + "\n")
    assert any("partition_0.json family F12345678 is in test and train" in f for f in verify.verify(contents.folder))


def test_nobody_moves_from_version_to_version(lab: Path, release: Contents, tmp_path: Path) -> None:
    previous = leaks.copied(release, tmp_path / "previous").folder
    names = release.dataset.names

    def after(*found: Split, **options: Any) -> dict[str, str]:
        """The documents of a version that comes after."""
        shutil.rmtree(tmp_path / "now", ignore_errors=True)
        dataset = Dataset.of(laid(lab, *found, **options), "controlled")
        vars(dataset)["names"] = names  # as of the same laboratory

        def change(contents: Contents) -> None:
            contents.previous = previous
            partitions.write(contents)

        return written(dataset, tmp_path / "now", change)

    shutil.copy(release.dataset.settings.keys, lab / "release.key")
    with pytest.raises(GaitloomError, match=r"Partition 0: 2 people are in another part than in .*previous \(P.* was"):
        after(*TWO[::-1])
    assert "partitions" not in after(*TWO)["CHANGELOG.md"], "nothing is new"
    log = after(TWO[1], splits={"shares": [1, 0, 1]})["CHANGELOG.md"]
    assert "- 1 partitions into train, validation and test, where there were 2.\n" in log
    for path in (previous / "data/splits").iterdir():  # somebody left then, and comes back to be dealt anew
        path.write_text(json.dumps({p: [s for s in v if s != names.subject(CARL)] for p, v in read(path).items()}))
    back = split(test=(BERTA, CARL)), split(train=(BERTA, CARL))
    with pytest.raises(GaitloomError, match=r"Partition 0: 1 people"):
        after(*back)
    assert "- 1 people joined the partitions; nobody changed sides.\n" in after(*back[::-1])["CHANGELOG.md"]


def test_a_build_that_goes_on_has_one_split_everywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Archives that were finished before the splits were made anew are not kept."""
    folder, only = keys(tmp_path / "lab"), {"tiers": {"controlled": {**TIERS["controlled"], "exporters": ["opengait"]}}}
    with monkeypatch.context() as broken:
        broken.setattr(tier_check, "check", lambda _: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            built(laid(folder, *TWO, **only))
    release = built(laid(folder, *TWO[::-1], **only))
    shutil.unpack_archive(release.data / "opengait_index.zip", tmp_path / "opengait")
    assert read(tmp_path / "opengait/partition_0.json")["TEST_SET"] == [release.dataset.names.subject(BERTA)]
    assert read(release.data / "splits/partition_0.json")["test"] == [release.dataset.names.subject(BERTA)]


def test_without_splits_there_is_no_folder_and_opengaits_own_rule(lab: Path, tmp_path: Path) -> None:
    dataset = Dataset.of(sample.plan(lab, tiers=TIERS), "controlled")
    partitions.write(Contents(dataset, tmp_path, (), None))
    assert not (tmp_path / "data").exists() and partitions.read(tmp_path) == []
    found = read(export(dataset, "opengait", tmp_path / "o") / "index/partition.json")
    assert sorted(found["TRAIN_SET"] + found["TEST_SET"]) == sorted({e.subject for e in dataset.entries})


def test_many_partitions_are_one_file(lab: Path, tmp_path: Path) -> None:
    """As many as people leave one out: repositories take a hundred files."""
    dataset = Dataset.of(laid(lab, *TWO * 15), "controlled")
    contents = Contents(dataset, tmp_path, (), None)
    partitions.write(contents)
    assert [p.name for p in (tmp_path / "data/splits").iterdir()] == ["partitions.json"]
    assert partitions.read(tmp_path) == partitions.released(dataset) and len(partitions.read(tmp_path)) == 30
    (tmp_path / "data/splits/partitions.json").write_text(json.dumps([split(train=("X",))]))
    holdings = tier_check.holdings_of(dataset, tmp_path)
    data = (tmp_path / "data/splits/partitions.json").read_bytes()
    assert any("'X', nobody" in f for f in holdings.in_partition(data))


def test_the_documents_tell_what_the_files_hold(release: Contents) -> None:
    statistics = (release.folder / "STATISTICS.md").read_text()
    table = re.findall(r"^\| ([01]) \| (\w+) \| (\d) \| (\d) \| (\d) \|$", statistics, re.M)
    sex = pd.read_csv(release.data / "participants.tsv", sep="\t").set_index("subject")["sex"]
    expected = []
    for n in range(2):
        for part, names in read(release.data / f"splits/partition_{n}.json").items():
            count = [sum(sex[s] == v for s in names) for v in "FM"]
            expected.append(tuple(map(str, (n, part, len(names), *count))))
    assert table == expected and len(table) == 6
    assert "| partition | part | people | sex: F | sex: M |" in statistics
    assert "2 partitions by person, with the classes of sex shared out" in (release.folder / "README.md").read_text()
    assert "Yes, in `data/splits/`: 2 partitions" in (release.folder / "DATASHEET.md").read_text()
    assert (release.folder / "figures/splits.png").is_file()
    croissant = json.loads((release.folder / "croissant.json").read_text())
    about = {d.get("contentUrl"): d.get("description") for d in croissant["distribution"]}
    for number in range(2):
        assert about[f"data/splits/partition_{number}.json"].startswith("Who is trained on")


def test_the_composition_of_parts_tells_nothing_of_few() -> None:
    """Of 100 random tables: numbers are k and more, or none; they add up to the parts; and no small class follows from
    what is told of all people."""
    random = np.random.default_rng(5)
    told_of = 0
    for _ in range(100):
        least, n = int(random.integers(1, 9)), int(random.integers(4, 300))
        names = [f"P{i}" for i in range(n)]
        shares = random.dirichlet(np.ones(random.integers(1, 5)))
        people = pd.DataFrame({"sex": random.choice(list("ABCDE")[: len(shares)], n, p=shares)}, index=names)
        found = [
            {p: [s for s, at in zip(names, where, strict=True) if at == i] for i, p in enumerate(split_files.PARTS)}
            for where in (random.choice(3, n, p=[0.6, 0.15, 0.25]) for _ in range(random.integers(1, 5)))
        ]
        cells = told.composition(people, "sex", found, least)
        told_of += bool(cells)
        sizes = [len(p) for s in found for p in s.values()]
        for value, counts in cells.items():
            assert all(c == 0 or c >= least for c in counts), (value, counts, least)
            if value != told.OTHERS:
                who = set(people.index[people["sex"] == value])
                assert counts == [len(who & set(p)) for s in found for p in s.values()]
        if cells:
            assert np.sum(list(cells.values()), axis=0).tolist() == sizes
            whole = told.counts(people, "sex", least)
            assert set(cells) - {told.OTHERS} <= set(whole) - {told.OTHERS}, "what is hidden of all is told by part"
    assert 10 < told_of < 100
