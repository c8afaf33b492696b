"""The last look at a release: a clean one passes, and each of the planted leaks is found, by its own sentence."""

import re
from dataclasses import replace
from pathlib import Path
from unittest import mock

import cv2
import numpy as np
import pytest
from gaitloom import gate
from gaitloom.errors import GaitloomError
from gaitloom.exchange import health_gait
from gaitloom.release import tier_check
from gaitloom.release.checks import members, pictures
from gaitloom.release.checks.holdings import finer
from gaitloom.release.checks.words import Words, trie
from gaitloom.release.settings import TierName

from release import built, leaks, sample


def test_a_clean_release_passes() -> None:
    for contents in (built.release("open"), built.release("controlled")):
        tier_check.check(contents)
        assert len(list(contents.data.glob("*.zip"))) >= 8


@pytest.mark.parametrize("leak", [*leaks.OPEN, *leaks.CONTROLLED], ids=lambda leak: leak.__name__)
def test_a_leak_is_found(tmp_path: Path, leak: leaks.Leak) -> None:
    tier: TierName
    tier, archive = ("open", leaks.OPEN[leak]) if leak in leaks.OPEN else ("controlled", leaks.CONTROLLED[leak])
    contents = leaks.copied(built.release(tier), tmp_path / "release", archive)
    sentence = leak(contents)
    found = [str(f) for f in tier_check.findings(contents)]
    assert any(re.search(sentence, f) for f in found), found
    with pytest.raises(GaitloomError, match=r"is refused, since it holds what it must not: .*\.(zip|tsv|md)") as error:
        tier_check.check(contents)
    assert "\n" not in str(error.value)


def test_pictures_of_a_clip_that_was_not_audited_are_found(tmp_path: Path) -> None:
    """The gate says no to one clip after all; its pictures are there in two layouts."""
    contents = leaks.copied(built.release("controlled"), tmp_path / "r", "zarr_deidentified.zip", "progait_videos.zip")
    red = contents.dataset.entries[0]
    judged = gate.releasable
    answers = {red.clip.path: ["the gate coverage is red"]}
    with mock.patch.object(gate, "releasable", lambda p, s, c, t: answers.get(c.path) or judged(p, s, c, t)):
        found = [str(f) for f in tier_check.findings(contents)]
    assert any(f"{red.path}/deidentified/mp4/c/0 is of deidentified: {red.path} may not have" in f for f in found)
    assert any(
        re.search(rf"videos/inside/{red.subject}.*may not be released \(the gate coverage is red\)", f) for f in found
    )
    other = contents.dataset.entries[-1].subject
    assert not any(other in f for f in found), "the others' are as they should be"


def test_what_somebody_did_not_agree_to_is_found(tmp_path: Path) -> None:
    """One of two people did not agree to silhouettes, which the tier holds."""
    contents = leaks.copied(built.release("controlled"), tmp_path / "r", "zarr_silhouette.zip", "progait_masks.zip")
    subject = contents.dataset.entries[0].subject
    entries = tuple(
        replace(e, nodes={n: d for n, d in e.nodes.items() if n != "silhouette"}) if e.subject == subject else e
        for e in contents.dataset.entries
    )
    contents = replace(contents, dataset=replace(contents.dataset, entries=entries))
    found = [str(f) for f in tier_check.findings(contents)]
    for archive in ("zarr_silhouette", "progait_masks"):
        assert any(re.search(rf"{archive}\.zip: .*{subject}.* is of silhouette: .* by consent", f) for f in found), (
            found
        )
    assert all(subject in f for f in found)


@pytest.mark.parametrize(
    "text",
    [
        b"2024-05-17",
        b"at 2024-05 ",
        b"17.5.2024",
        b"05/17/2024",
        b"17 May 2024"[3:],
        b"May 17, 2024",
        b"2024:05:17 10:11:12",
        b'"20240517T1011"',
        b'{"day": "20240517"}',
        b"x_20240517_1",
        b"/Users/jo/x",
        b"'C:\\\\Users\\\\jo'",
    ],
)
def test_dates_and_folders_of_the_usual_forms(text: bytes) -> None:
    assert list(Words({}, {}, frozenset()).in_text(text, json=True)), text


@pytest.mark.parametrize(
    "text",
    [
        b'{"area": 20240517, "shape": [20111213]}',
        b"0.20240517 12.0520241 -3.1e-2024",
        b'"python": "3.11.12", "opencv": "4.13.0.92"',
        b"https://orcid.org/0000-0002-1825-0097",
        b"frames 1999, years 2010-2024, 2016/679",
        b"data/home/x and a/tmp/b",
        b'"counts": "20240517Mb"',
        b"recipe\n00e1a520240517a0ffee1234deadbeef0123456789abcdef0123456789abcdef01",
    ],
)
def test_what_is_neither_is_left_alone(text: bytes) -> None:
    assert not list(Words({}, {}, frozenset()).in_text(text, json=True))


def test_names_are_words_short_ones_whole_strings_and_numbers_neither() -> None:
    words = Words({"Anna": "a", "Anna-B": "a", "P1": "a", "7": "a", "00123": "a"}, {}, frozenset())

    def found(text: bytes) -> int:
        return len(list(words.in_text(text)))

    assert [found(t) for t in (b"of ANNA,", b"x_anna_2", b"anna-bee", b"anna-b")] == [1, 1, 1, 1]
    assert [found(t) for t in (b"savannah", b"annab", b"joanna")] == [0, 0, 0]
    assert [found(t) for t in (b'["p1"]', b"\tP1\n", b"x/P1/y")] == [1, 1, 1]
    assert [found(t) for t in (b"p1 of p10", b"0.7, 7", b"1.00123 00123")] == [0, 0, 0]
    muller = Words({"Müller": "a"}, {}, frozenset())
    for text in ("a Müller", "a MÜLLER", "a müller", '"M\\u00fcller"'):
        assert list(muller.in_text(text.encode())), text
    assert list(words.in_path("7/trial-1/x.json")) == ["is called '7', a"]
    assert not list(words.in_path("P3HB55VPH/trial-7/c/7"))


def test_usual_names_of_laboratories_raise_no_alarm(tmp_path: Path) -> None:
    """What laboratories call people and takes, none of whom is in this release, is in it as words, numbers, letters."""
    contents = leaks.copied(built.release("open"), tmp_path / "r", "zarr_gait.zip", "coco_data.zip", "cgv_parquet.zip")
    people = ("P001", "S1", "001", "1", "17", "M", "PA397", "Ada", "sub-01", "1004", "Case12", "0001", "20")
    takes = ("baseline", "post", "walk", "left", "gait", "pre", "normal", "video")
    names: dict[str, str] = dict.fromkeys((*people, "P001_01.mp4", "GX010023.MP4", "0001.mp4"), "a name")
    rules = replace(
        tier_check.rules_of(contents), words=Words(names, {}, frozenset(), (), dict.fromkeys(takes, "a take"))
    )
    found = [str(f) for f in members.findings(contents.folder, rules)]
    assert [f for f in found if not re.search(r"'(left|gait|video|normal)', a take", f)] == []


def test_many_names_are_one_expression() -> None:
    rng = np.random.default_rng(1)
    names = {"".join(rng.choice(list("abc.+_1"), rng.integers(4, 12))) for _ in range(300)}
    assert all(re.fullmatch(trie(names), n) for n in names)
    assert not re.fullmatch(trie(names), "abcd" * 4)


def test_pictures_are_told_by_their_pixels(tmp_path: Path) -> None:
    """Of each kind that layouts hold, and of the scene, also small, grey or dark."""
    walk, size = sample.walk(0), sample.SIZE
    health_gait.write_silhouettes(tmp_path / "s", (walk.silhouette(t) for t in range(20, 23)), 3, size)
    health_gait.write_parts(tmp_path / "p", (walk.parts(t).astype(np.uint8) for t in range(20, 23)), 3, size)
    y, x = np.mgrid[: size[1], : size[0]]
    health_gait.write_flow(tmp_path / "f", [np.stack([np.sin(x / 9), np.cos(y / 7)], -1).astype(np.float32)], 1)
    for folder, modality in (("s", pictures.SILHOUETTE), ("p", pictures.PARTS), ("f", pictures.FLOW)):
        found = [pictures.shows(p.read_bytes()) for p in (tmp_path / folder).iterdir()]
        assert found and set(found) == {modality}
    for t in range(sample.LENGTH):
        mask = walk.silhouette(t).astype(np.uint8) * 255
        for small in (cv2.resize(mask, (64, 64), interpolation=cv2.INTER_CUBIC), cv2.resize(mask[::2, ::2], (44, 64))):
            assert pictures.modality(small) == pictures.SILHOUETTE
    image = list(walk.frames())[20]
    for scene in (image, image[..., 1], cv2.resize(image, (64, 64)), (image * 0.2).astype(np.uint8)):
        assert pictures.modality(scene) == pictures.SCENE


@pytest.mark.parametrize(
    ("value", "precision", "column", "expected"),
    [
        ("34.5", 5.0, "age", True),
        ("35-39", 5.0, "age", False),
        ("35-36", 5.0, "age", True),
        ("35-44", 5.0, "age", False),
        ("18-34", (0.0, 18.0, 35.0), "age", False),
        ("18-30", (0.0, 18.0, 35.0), "age", True),
        ("18.5-24.9", (0.0, 18.5, 25.0), "bmi", False),
        ("90+", "exact", "age", False),
        ("91", "exact", "age", True),
        ("n/a", 5.0, "age", False),
        ("F", "exact", "sex", False),
    ],
)
def test_bands(value: str, precision: object, column: str, expected: bool) -> None:
    assert finer(value, precision, column) is expected  # type: ignore[arg-type]
