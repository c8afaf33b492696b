"""The review page: who is on it, what it shows, and that not one raw pixel is among it."""

import base64
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from gaitloom import decisions, review, status
from reviewed import HEAD, LENGTH, Reviewed, pictures, raw_pixels

A, B = "A/trial-1", "B/trial-1"


@pytest.fixture
def case(tmp_path: Path) -> Reviewed:
    return Reviewed(tmp_path)


class Page(HTMLParser):
    """A page as a browser sees it; it must be well-formed, and load nothing."""

    VOID = ("meta", "img")

    def __init__(self, text: str):
        super().__init__()
        self.open: list[str] = []
        self.links: list[str] = []
        self.images: list[np.ndarray] = []
        self.blocks: list[str] = []
        self.text = ""
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag not in ("script", "link", "iframe", "object", "base", "form"), tag
        given = dict(attrs)
        assert not [name for name in given if name.startswith("on")]
        if tag == "img":
            kind, data = str(given["src"]).split(",")
            assert kind == "data:image/jpeg;base64" and given["alt"]
            jpeg = np.frombuffer(base64.b64decode(data), np.uint8)
            self.images.append(np.asarray(cv2.imdecode(jpeg, cv2.IMREAD_COLOR))[..., ::-1])
        if "href" in given:
            self.links.append(str(given["href"]))
        if tag == "pre":
            self.blocks.append("")
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data
        if self.open and self.open[-1] == "pre":
            self.blocks[-1] += data


def page(case: Reviewed, raw: bool = False) -> Page:
    path = review.write(case.plan, raw)
    assert path is not None
    return Page(path.read_text())


def red(count: int = 3, gate: str = "coverage") -> dict[str, Any]:
    """A red gate, with findings on the head in the first frames."""
    return {"gates": {gate: "red"}, "found": [(t, pictures()[1][t], gate, True) for t in range(count)]}


def test_only_clips_that_need_a_look_are_on_it(case: Reviewed) -> None:
    for path in (A, B):
        case.deidentified(path)
        case.audit(path)
    shown = page(case)
    assert "No clip waits for a decision." in shown.text and not shown.images
    case.audit(B, **red())
    assert {v.clip.path for v in review.queue(case.plan)} == {B}
    assert A not in page(case).text


def test_a_clip_without_its_audit_is_listed_without_pictures(case: Reviewed) -> None:
    case.all()
    shown = page(case)
    assert "audit is missing; run snakemake" in shown.text and B in shown.text and not shown.images


def test_the_page_has_no_raw_pixel_and_the_raw_page_has(case: Reviewed) -> None:
    case.all(**red())
    case.decide(f"{B} | exclude")
    shown = page(case)
    assert len(shown.images) >= 6 + 3
    assert sum(map(raw_pixels, shown.images)) == 0
    folder = case.folder / "results/review"
    assert [p.relative_to(folder).as_posix() for p in folder.rglob("*.html")] == ["index.html"]
    again = page(case, raw=True)
    assert sum(map(raw_pixels, again.images)) == 0
    assert [p.relative_to(folder).as_posix() for p in (folder / "raw").rglob("*.html")] == [f"raw/{A}.html"]
    text = (folder / "raw" / f"{A}.html").read_text()
    raws = Page(text)
    assert sum(map(raw_pixels, raws.images)) > 100, "else the test above proves nothing"
    assert "raw" not in "".join(again.links), "nothing leads there"
    case.audit()
    page(case, raw=True)
    assert not (folder / "raw").exists(), "what is decided does not lie around"


def test_no_name_or_path_of_a_source_is_on_it(case: Reviewed) -> None:
    case.all(**red())
    page(case, raw=True)
    for file in (case.folder / "results/review").rglob("*.html"):
        text = file.read_text().replace(str(case.decisions), "")
        for secret in ("A_1", ".mkv", str(case.folder / "data")):
            assert secret not in text, file


def test_crops_show_where_the_findings_are(case: Reviewed) -> None:
    case.deidentified()
    box = [100, 60, 140, 100]
    case.audit(gates={"outside": "red"}, found=[(5, box, "outside", True)])
    case.decide(f"{B} | exclude")
    crop = page(case).images[0]
    expected = pictures()[0][5, 40:120, 80:160]
    apart = np.abs(cv2.resize(crop, (80, 80), interpolation=cv2.INTER_AREA).astype(int) - expected)
    assert np.median(apart) < 6, "twice the box, around its middle"


def test_the_rows_are_those_that_the_reader_takes(case: Reviewed) -> None:
    """A red clip is offered covers that hold its findings; pasted, they change its recipe, and an accept is not among
    them."""
    boxes = pictures()[1]
    found = [(t, boxes[t], "outside", True) for t in (1, 2, 3)] + [(9, boxes[9], "outside", False)]
    case.all(gates={"outside": "red"}, found=found)
    case.decide(f"{B} | exclude")
    header, rows = page(case).blocks
    assert header.split("\t") == list(decisions.COLUMNS)
    before = case.of()
    cover, exclude = rows.splitlines()
    assert exclude.startswith(f"{A}\texclude")
    case.decisions.write_text(f"{header}\n{cover}\n")
    (row,) = case.plan.decisions_on(case.plan.clip(A))
    assert (row.decision, row.start, row.end) == ("cover", 1, 4)
    assert row.box is not None
    assert (np.array(row.box[:2]) <= boxes[1:4, :2].min(axis=0)).all()
    assert (np.array(row.box[2:]) >= boxes[1:4, 2:].max(axis=0)).all()
    assert case.of() != before


def test_an_accept_is_offered_for_what_is_only_flagged_and_asks_to_look_first(case: Reviewed) -> None:
    case.all(flags=["unproven"])
    case.decide(f"{B} | exclude")
    header, rows = page(case).blocks
    accept, _ = rows.splitlines()
    case.decisions.write_text(f"{header}\n{accept}\n")
    with pytest.raises(Exception, match="column mirrors: an accept needs 'yes' here"):
        _ = case.plan
    case.decisions.write_text(f"{header}\n{accept.replace('?', 'yes')}\n{B}\texclude{chr(9) * 9}\n")
    case.audit(flags=["unproven"])
    assert review.queue(case.plan) == []


def test_no_accept_is_offered_where_it_would_not_help(case: Reviewed) -> None:
    case.all(gates={"squint": "not run"})
    case.decide(f"{B} | exclude")
    assert [row.split("\t")[1] for row in page(case).blocks[1].splitlines()] == ["exclude"]


def test_findings_far_apart_get_rows_of_their_own() -> None:
    def look(frame: int, box: Any = (1, 2, 3, 4), track: int = 0) -> review.Look:
        return review.Look(frame, None if box is None else np.array(box, float), "", "outside", track, True)

    rows = list(review._together([look(50), look(3), look(0), look(3, track=1)]))
    assert [(r["start"], r["end"]) for r in rows] == [(0, 4), (50, 51), (3, 4)]
    assert list(review._together([look(7, None)])) == [{"start": 7, "end": 8}]
    assert next(iter(review._together([look(-1)]))).keys() == {"box"}, "of no frame: all of them"


def test_pictures_are_bounded_and_every_red_gate_has_one(case: Reviewed) -> None:
    boxes = pictures()[1]
    many = [(t, boxes[t], "squint", True) for t in range(LENGTH)] * 20
    case.all(gates={"squint": "red", "heads": "red"}, found=[*many, (7, boxes[7], "heads", True)])
    shown = review.looks(*(case.store.open(case.key(A, n)) for n in ("audit", "deidentified")))
    assert len(shown) <= review.FOUND + review.LOST + review.UNSURE
    assert {look.gate for look in shown if look.red} == {"squint", "heads"}


def test_lost_people_and_unsure_regions_are_shown(case: Reviewed) -> None:
    case.video()
    case.deidentified(confidence=0.2, lost=[[4, 0], [5, 8]], flagged=True)
    case.audit()
    shown = review.looks(*(case.store.open(case.key(A, n)) for n in ("audit", "deidentified")))
    gone, unknown, unsure = shown
    np.testing.assert_array_equal(gone.box, pictures()[1][4])
    assert unknown.frame == 5 and unknown.box is None and "confidence 0.20" in unsure.what


def test_texts_are_escaped(case: Reviewed) -> None:
    case.all(flags=["<script>alert('x')</script>"], gates={"heads": "not run"})
    path = review.write(case.plan)
    assert path is not None
    text = path.read_text()
    assert "<script" not in text and "&lt;script&gt;" in text
    Page(text)


def test_it_needs_no_network(case: Reviewed) -> None:
    case.all(**red())
    path = review.write(case.plan)
    assert path is not None
    text = re.sub(r"base64,[^']*", "", path.read_text())
    assert "default-src 'none'" in text and "http:" not in text and "https:" not in text and "@import" not in text
    for link in Page(path.read_text()).links:
        assert link.startswith(("#", "../preview/")), link


def test_one_damaged_clip_keeps_no_other_from_being_shown(case: Reviewed) -> None:
    for path in (A, B):
        case.deidentified(path)
        case.audit(path, **red())
    chunk = next(p for p in case.store.path(case.key(A, "deidentified")).glob("mp4/c/*") if p.is_file())
    damaged = bytearray(chunk.read_bytes())
    damaged[len(damaged) // 2] ^= 255
    chunk.write_bytes(damaged)
    shown = page(case)
    assert f"{A}/deidentified" in shown.text and "make the node again" in shown.text
    assert len(shown.images) > 6


def test_without_an_audit_in_the_configuration_there_is_no_page(case: Reviewed) -> None:
    case.all(**red())
    path = review.write(case.plan)
    case.values["nodes"] = {k: v for k, v in case.values["nodes"].items() if k != "audit"}
    assert review.write(case.plan) is None and path is not None and not path.exists()


def test_two_pages_are_equal_byte_by_byte(case: Reviewed) -> None:
    case.all(**red())
    path = review.write(case.plan)
    assert path is not None
    before = path.read_bytes()
    path.unlink()
    review.write(case.plan)
    assert path.read_bytes() == before


def test_the_ledger_says_what_speaks_against_a_clip(case: Reviewed) -> None:
    case.all(flags=["unproven"])
    case.decide(f"{A} | accept | | | | {'0' * 12} | yes | yes | yes")
    rows = {(r.clip, r.node): r for r in status.ledger(case.plan)}
    reason = rows[A, "audit"].reason
    assert (
        rows[A, "audit"].state == "done" and "flagged (unproven)" in reason and "row 2" in reason and "stale" in reason
    )
    case.decide(f"{B} | exclude | | | | | | | | | no consent")
    assert ("excluded", "no consent") in [(r.state, r.reason) for r in status.ledger(case.plan) if r.clip == B]


def test_the_marker_colour_is_no_other_pictures_colour(case: Reviewed) -> None:
    """What the tests above look for is there in the raw frames and nowhere else."""
    images, boxes = pictures()
    for image, (x0, y0, x1, y1) in zip(images, boxes.astype(int), strict=True):
        there = raw_pixels(image)
        assert there == (image == HEAD).all(axis=2).sum() > 50
        assert raw_pixels(image[y0:y1, x0:x1]) == there
