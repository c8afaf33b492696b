"""CVAT for video 1.1: files as CVAT and ProGait write them, and back from our own."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from gaitloom.exchange import Person, cvat
from gaitloom.keypoint_formats import COCO_17, HALPE_26, WHOLEBODY_23

from .people import LENGTH, SIZE, masks, person, refused, same

META = """<meta><task><id>1</id><name>a</name><size>6</size><mode>interpolation</mode><overlap>0</overlap>
<start_frame>{start}</start_frame><stop_frame>9</stop_frame><frame_filter>{step}</frame_filter>
<original_size><width>48</width><height>32</height></original_size></task></meta>"""
TWO = ("nose", "left_heel")


def document(tmp_path: Path, body: str, meta: str | None = None, head: str = "") -> Path:
    path = tmp_path / "a.xml"
    meta = META.format(start=0, step="") if meta is None else meta
    path.write_text(
        f'<?xml version="1.0" encoding="utf-8"?>{head}<annotations><version>1.1</version>{meta}{body}</annotations>'
    )
    return path


def skeleton(frame: int, *points: str, key: int = 1, extra: str = "") -> str:
    """`label x,y [outside] [occluded]` each."""
    inside = ""
    for point in points:
        label, at, *flags = point.split()
        marks = " ".join(f'{f}="{int(f in flags)}"' for f in ("outside", "occluded"))
        inside += f'<points label="{label}" keyframe="{key}" {marks} points="{at}"></points>'
    return f'<skeleton frame="{frame}" keyframe="{key}" z_order="0" {extra}>{inside}</skeleton>'


def track(*shapes: str, label: str = "body", number: int = 0, source: str = "file") -> str:
    return f'<track id="{number}" label="{label}" source="{source}">{"".join(shapes)}</track>'


def read(path: Path, **more: object) -> Person:
    return cvat.read_keypoints(path, 6, (48, 32), TWO, **more)  # type: ignore[arg-type]


def test_a_file_by_hand(tmp_path: Path) -> None:
    """Given frames as they are, keyframe or not; linear between; held after the last; gone where outside."""
    body = track(
        skeleton(0, "1 10.00,20.00", "2 1.50,2.25 outside"),
        skeleton(1, "1 11.50,20.00", "2 1.50,2.25 outside", key=0),
        skeleton(4, "1 14.50,23.00 occluded", "2 5.00,6.00", extra='source="manual"'),
    )
    found = read(document(tmp_path, body))
    assert found.names == TWO
    assert found.xy[:, 0].tolist() == [[10, 20], [11.5, 20], [12.5, 21], [13.5, 22], [14.5, 23], [14.5, 23]]
    assert np.isnan(found.xy[:4, 1]).all() and found.xy[4:, 1].tolist() == [[5, 6]] * 2
    assert found.score.tolist() == [[1, 0]] * 4 + [[1, 1]] * 2
    assert found.occluded is not None and found.occluded.tolist() == [[False] * 2] * 4 + [[True, False]] * 2
    assert found.source is not None and found.source.tolist() == [["file", ""]] * 4 + [["manual", "manual"]] * 2


def test_towards_an_outside_keyframe_points_go_as_in_cvat(tmp_path: Path) -> None:
    """CVAT interpolates up to a keyframe that hides (annotation.py: only the left one's `outside` stops it)."""
    body = track(skeleton(0, "1 0,0", "2 0,0"), skeleton(2, "1 4,8 outside", "2 1,1"), skeleton(5, "1 9,9", "2 1,1"))
    found = read(document(tmp_path, body))
    assert found.xy[:2, 0].tolist() == [[0, 0], [2, 4]]
    assert np.isnan(found.xy[2:5, 0]).all() and found.xy[5, 0].tolist() == [9, 9]


def test_names_numbers_and_start_frame(tmp_path: Path) -> None:
    shapes = [skeleton(f, f"left_heel 2,{f}", f"nose {f},1") for f in range(4, 10)]
    found = read(document(tmp_path, track(*shapes), META.format(start=4, step="step=1")))
    assert found.xy[:, 0, 0].tolist() == found.xy[:, 1, 1].tolist() == [4, 5, 6, 7, 8, 9]
    with refused("a.xml", "frame step"):
        read(document(tmp_path, track(*shapes), META.format(start=4, step="step=10")))
    with refused("a.xml", "frame -4"):
        read(document(tmp_path, track(skeleton(0, "1 1,1", "2 1,1")), META.format(start=4, step="")))


def test_skeletons_drawn_frame_by_frame_are_one_person(tmp_path: Path) -> None:
    """CVAT exports each as a track that ends in the next frame, except near the clip's last."""
    tracks = [
        track(
            skeleton(f, f"1 {f},1", f"2 {f},2"),
            *([skeleton(f + 1, "1 0,0 outside", "2 0,0 outside")] * (f < 4)),
            number=f,
        )
        for f in (0, 1, 3, 4, 5)
    ]
    for order in (tracks, tracks[::-1]):
        found = read(document(tmp_path, "".join(order)))
        np.testing.assert_array_equal(found.xy[:, 0, 0], [0, 1, np.nan, 3, 4, 5])


def test_two_people_are_told_apart_by_track_or_label(tmp_path: Path) -> None:
    one = track(skeleton(0, "1 1,1", "2 1,1"), skeleton(4, "1 9,9", "2 9,9"), number=3)
    two = skeleton(1, "1 5,5", "2 5,5")
    path = document(tmp_path, one + track(two, number=4))
    with refused(path, "frame 1 shows two skeletons"):
        read(path)
    assert read(path, track="4").xy[1, 0, 0] == 5 and read(path, track="3").xy[1, 0, 0] == 3
    path = document(tmp_path, one + track(two, number=4, label="nurse"))
    with refused(path, "body or nurse"):
        read(path)
    assert read(path, label="nurse").xy[1, 0, 0] == 5
    with refused(path, "body or nurse"):
        read(path, label="x")
    with refused(path, "no such skeleton"):
        read(path, track="9")


GOOD = track(skeleton(0, "1 1,1", "2 1,1"))


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (track(skeleton(0, "1 1,1")), "lacks left_heel"),
        (track(skeleton(0, "1 1,1", "2 1,1", "3 1,1")), "'3'"),
        (track(skeleton(0, "1 1,1", "2 1,1", "2 1,1")), "twice"),
        (track(skeleton(0, "1 1,1", "2 1,1"), skeleton(0, "1 1,1", "2 1,1")), "frame 0: point '1' is there twice"),
        (track(skeleton(7, "1 1,1", "2 1,1")), "frame 7"),
        (track(skeleton(0, "1 1,1;2,2", "2 1,1")), "frame 0"),
        (track(skeleton(0, "1 1", "2 1,1")), "frame 0"),
        (track(skeleton(0, "1 nan,1", "2 1,1")), "frame 0"),
        (track(skeleton(0, "1 inf,1", "2 1,1")), "frame 0"),
        ("", "no such skeleton"),
        ('<image id="0" name="a.jpg"></image>', "not CVAT for video"),
        (GOOD.replace('frame="0"', 'frame="x"'), "'x'"),
    ],
)
def test_bad_skeletons_get_one_sentence(tmp_path: Path, body: str, says: str) -> None:
    with refused("a.xml", says):
        read(document(tmp_path, body))


def test_the_meta_must_be_the_clips(tmp_path: Path) -> None:
    assert read(document(tmp_path, GOOD)).valid.all()
    assert read(document(tmp_path, GOOD, meta="")).valid.all()
    path = document(tmp_path, GOOD)
    with refused(path, "6 frames"):
        cvat.read_keypoints(path, 7, (48, 32), TWO)
    with refused(path, "48x32", "32x48"):
        cvat.read_keypoints(path, 6, (32, 48), TWO)
    with refused(path, "size", "6 or 7"):
        read(
            document(
                tmp_path, GOOD, META.format(start=0, step="") + "".join(["<meta><task><size>7</size></task></meta>"])
            )
        )
    with refused("a.xml", "size is x"):
        read(document(tmp_path, GOOD, "<meta><task><size>x</size></task></meta>"))


LAUGHS = '<!DOCTYPE a [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;"><!ENTITY c "&b;&b;&b;&b;&b;&b;&b;&b;">]>'
OUTSIDE = '<!DOCTYPE a [<!ENTITY a SYSTEM "file:///etc/hostname">]>'


@pytest.mark.parametrize(
    "head", [LAUGHS, OUTSIDE, "<!DOCTYPE annotations>", '<!DOCTYPE a SYSTEM "http://localhost/a.dtd">']
)
def test_documents_with_entities_are_refused(tmp_path: Path, head: str) -> None:
    with refused("a.xml", "document type"):
        read(document(tmp_path, GOOD.replace("body", "&c;"), head=head))
    with refused("a.xml", "document type"):
        cvat.read_masks(document(tmp_path, "", head=head), 6, (48, 32))


@pytest.mark.parametrize("text", ["", "<annotations>", "{}", "<other/>"])
def test_what_is_no_such_xml_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.xml").write_text(text)
    with refused("a.xml", "CVAT"):
        read(tmp_path / "a.xml")


def mask(
    frame: int, rle: str, window: tuple[int, int, int, int], number: int = 1, label: str = "m", **more: int
) -> str:
    left, top, width, height = window
    outside = f'outside="{more.get("outside", 0)}"'
    at = f'left="{left}" top="{top}" width="{width}" height="{height}"'
    shape = f'<mask frame="{frame}" keyframe="1" {outside} occluded="0" rle="{rle}" {at} z_order="0"/>'
    return track(shape, number=number, label=label)


def test_masks_by_hand(tmp_path: Path) -> None:
    """Row by row in an inclusive window; ProGait leaves the last run away; CVAT closes with an outside one."""
    full, dropped = "1, 2, 1, 2", "1, 2, 1"  # .## / .##
    body = mask(0, full, (4, 2, 3, 2)) + mask(1, dropped, (4, 2, 3, 2)) + mask(3, "0, 6", (45, 30, 3, 2))
    body += mask(4, full, (4, 2, 3, 2), outside=1) + mask(5, "0", (0, 0, 1, 1)) + mask(5, "0, 1", (9, 9, 1, 1))
    found = list(cvat.read_masks(document(tmp_path, body), 6, (48, 32)))
    expected = np.zeros((6, 32, 48), bool)
    expected[:2, 2:4, 5:7] = True
    expected[3, 30:, 45:] = True
    expected[5, 0, 0] = expected[5, 9, 9] = True
    assert all(m.dtype == bool for m in found)
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("ends", ["on", "off"])
def test_the_dropped_run_is_the_one_that_comes_next(tmp_path: Path, ends: str) -> None:
    window = np.array([[1, 0, 1], [0, 1, int(ends == "on")]], bool)
    runs = cvat._encode(window)
    assert sum(runs) == 6
    for given in (runs, runs[:-1]):
        body = mask(0, str(given)[1:-1], (0, 0, 3, 2))
        np.testing.assert_array_equal(next(cvat.read_masks(document(tmp_path, body), 6, (48, 32)))[:2, :3], window)


@pytest.mark.parametrize(
    ("rle", "window"),
    [
        ("1, 9", (0, 0, 3, 3)),
        ("1, 2", (46, 0, 3, 1)),
        ("1, 2", (0, 32, 3, 1)),
        ("1, 2", (-1, 0, 3, 1)),
        ("3, -1, 1", (0, 0, 3, 1)),
        ("", (0, 0, 3, 1)),
        ("0", (0, 0, 0, 0)),
        ("1.5", (0, 0, 3, 1)),
    ],
)
def test_masks_that_do_not_fit_are_refused(tmp_path: Path, rle: str, window: tuple[int, int, int, int]) -> None:
    with refused("a.xml", "frame 2"):
        list(cvat.read_masks(document(tmp_path, mask(2, rle, window)), 6, (48, 32)))


def test_masks_of_two_labels_are_told_apart(tmp_path: Path) -> None:
    body = mask(0, "0, 1", (0, 0, 1, 1)) + mask(0, "0, 1", (5, 5, 1, 1), label="nurse", number=2)
    path = document(tmp_path, body)
    with refused(path, "m or nurse"):
        cvat.read_masks(path, 6, (48, 32))
    assert np.argwhere(next(cvat.read_masks(path, 6, (48, 32), "nurse"))).tolist() == [[5, 5]]


@pytest.mark.parametrize("numbered", [True, False])
def test_round_trip(tmp_path: Path, numbered: bool) -> None:
    given = person(WHOLEBODY_23.points)
    there = np.isfinite(given.xy[..., 0])
    rng = np.random.default_rng(3)
    source = np.where(there, rng.choice(["manual", "auto", "file"], there.shape), "")
    given = replace(
        given, score=there.astype(np.float32), occluded=there & (rng.random(there.shape) < 0.3), source=source
    )
    path = tmp_path / "a.xml"
    cvat.write(path, LENGTH, SIZE, given, masks(), skeleton_label='a <"b"> & c', numbered=numbered)
    found = cvat.read_keypoints(path, LENGTH, SIZE)
    same(found, given, "occluded")
    assert found.source is not None and (found.source == source).all()
    np.testing.assert_array_equal(list(cvat.read_masks(path, LENGTH, SIZE)), masks())
    first = path.read_bytes()
    cvat.write(path, LENGTH, SIZE, given, iter(masks()), skeleton_label='a <"b"> & c', numbered=numbered)
    assert path.read_bytes() == first


def test_what_cvat_takes_in_is_the_same(tmp_path: Path) -> None:
    """CVAT forgets frames that are no keyframes and all but a mask track's first: there are none of those."""
    path = tmp_path / "a.xml"
    cvat.write(path, LENGTH, SIZE, person(WHOLEBODY_23.points), masks())
    text = path.read_text()
    assert 'keyframe="0"' not in text and text.count("<skeleton ") == LENGTH
    assert text.count("<mask ") == len(re.findall("<track ", text)) - 1 == 4
    sums = [
        (sum(map(int, r.split(","))), int(w) * int(h))
        for r, w, h in re.findall(r'rle="(.*?)".*?width="(\d+)" height="(\d+)"', text)
    ]
    assert len(sums) == 4 and all(a == b for a, b in sums)


def test_hidden_points_lie_where_an_annotator_finds_them(tmp_path: Path) -> None:
    given = person(COCO_17.points)
    given.xy[:, 7], given.score[:, 7] = np.nan, 0
    cvat.write(tmp_path / "a.xml", LENGTH, SIZE, given)
    shown = (tmp_path / "a.xml").read_text().replace('outside="1"', 'outside="0"')
    (tmp_path / "a.xml").write_text(shown)
    found = cvat.read_keypoints(tmp_path / "a.xml", LENGTH, SIZE, COCO_17.points)
    assert found.xy[0, 7].tolist() == [(SIZE[0] - 1) / 2, (SIZE[1] - 1) / 2]
    np.testing.assert_allclose(found.xy[2, 0], (given.xy[1, 0] + given.xy[3, 0]) / 2, rtol=1e-6)
    np.testing.assert_array_equal(found.xy[4, 4], given.xy[1, 4])


def test_the_points_that_a_person_moved(tmp_path: Path) -> None:
    """Through CVAT's two decimals, also at large coordinates; a hundredth more is a change."""
    rng = np.random.default_rng(0)
    base = (rng.random((200, 23, 2)) * 4000).astype(np.float32)
    base[3, 5] = np.nan
    back = np.array([float(f"{v:.2f}") for v in base.ravel()]).reshape(base.shape).astype(np.float32)
    assert not cvat.changed(base, back).any() and not cvat.changed(base, base).any()
    assert np.nanmax(np.abs(base - back)) > 0.0049  # the tolerance is needed
    back[0, 0, 1] += 0.02
    back[1, 1] = np.nan
    back[3, 5] = 7
    assert np.argwhere(cvat.changed(base, back)).tolist() == [[0, 0], [1, 1], [3, 5]]


def test_another_order_of_the_feet_does_not_pass_for_this_one(tmp_path: Path) -> None:
    given = person(HALPE_26.points)
    cvat.write(tmp_path / "a.xml", LENGTH, SIZE, given, numbered=False)
    with refused("a.xml", "'head'"):
        cvat.read_keypoints(tmp_path / "a.xml", LENGTH, SIZE)
    numbered = tmp_path / "b.xml"
    cvat.write(numbered, LENGTH, SIZE, given)
    with refused(numbered, "'24'"):
        cvat.read_keypoints(numbered, LENGTH, SIZE)
    with refused(numbered, "lacks"):
        cvat.write(numbered, LENGTH, SIZE, person(COCO_17.points))
        cvat.read_keypoints(numbered, LENGTH, SIZE)


def test_as_many_frames_as_the_clip_has(tmp_path: Path) -> None:
    with refused("a.xml", "5 frames"):
        cvat.write(tmp_path / "a.xml", 6, SIZE, person(COCO_17.points))
    with refused("a.xml", "4 frames"):
        cvat.write(tmp_path / "a.xml", LENGTH, SIZE, None, masks()[:-1])
    assert list(tmp_path.iterdir()) == []
