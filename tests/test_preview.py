"""Previews lie over the de-identified pictures; raw ones only where asked for, and in their own folder."""

from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest
from gaitloom import preview
from gaitloom.errors import GaitloomError
from reviewed import COVER, LENGTH, Reviewed, pictures, raw_pixels

A = "A/trial-1"


@pytest.fixture
def case(tmp_path: Path) -> Reviewed:
    case = Reviewed(tmp_path)
    case.video()
    return case


def frames(path: Path) -> list[np.ndarray]:
    with av.open(str(path)) as container:
        return [f.to_ndarray(format="rgb24") for f in container.decode(video=0)]


def strip(path: Path) -> np.ndarray:
    return np.asarray(cv2.imread(str(path)))[..., ::-1]


def test_the_preview_shows_no_raw_head(case: Reviewed) -> None:
    case.deidentified()
    preview.render(case.plan, A)
    folder = case.folder / "results/preview"
    shown = frames(folder / f"{A}.mp4")
    assert len(shown) == LENGTH
    assert sum(map(raw_pixels, shown)) == 0 == raw_pixels(strip(folder / f"{A}.jpg"))
    for t, picture in enumerate(shown):
        x0, y0, x1, y1 = np.round(pictures()[1][t] * 3).astype(int)
        inside = picture[y0 + 6 : y1 - 6, x0 + 6 : x1 - 6]
        assert np.abs(inside.astype(int) - COVER).mean() < 8, "what lies below is the covered clip"
    assert np.ptp(shown[0][:400]) > 60, "and the rest of the picture is there"


def test_raw_pictures_are_shown_on_request_in_their_own_folder(case: Reviewed) -> None:
    case.deidentified()
    preview.render(case.plan, A, raw=True)
    results = case.folder / "results"
    assert not (results / "preview").exists()
    shown = frames(results / f"preview_raw/{A}.mp4")
    assert all(raw_pixels(picture) > 100 for picture in shown), "else the test above proves nothing"
    preview.contact_sheet(case.plan, results / "contact.png")
    assert not (results / "contact.png").exists(), "the contact sheet reads no raw strip"
    preview.render(case.plan, A)
    preview.contact_sheet(case.plan, results / "contact.png")
    assert raw_pixels(strip(results / "contact.png")) == 0
    case.decide(f"{A} | cover | 0 | 2")
    preview.contact_sheet(case.plan, results / "contact.png")
    assert not (results / "contact.png").exists(), "what was not covered then is not shown now"


@pytest.mark.parametrize("why", ["no node", "null"])
def test_without_a_deidentified_node_there_are_no_pixels(case: Reviewed, why: str) -> None:
    if why == "null":
        case.deidentified()
        case.values["preview"] = {"deidentified": None}
    else:
        case.values["nodes"] = {k: case.values["nodes"][k] for k in ("track", "keypoints")}
    preview.render(case.plan, A)
    for picture in frames(case.folder / f"results/preview/{A}.mp4"):
        body = picture[:480]  # above the caption
        assert np.abs(body.astype(int) - preview.GROUND).max() < 6


def test_a_missing_or_stale_node_is_no_licence_to_show_the_raw_one(case: Reviewed) -> None:
    with pytest.raises(GaitloomError, match="A/trial-1/deidentified is not in the store"):
        preview.render(case.plan, A)
    case.deidentified()
    case.decide(f"{A} | cover | 0 | 2")
    with pytest.raises(GaitloomError, match="A/trial-1/deidentified is not the planned one; run snakemake"):
        preview.render(case.plan, A)
    assert not list((case.folder / "results").rglob("*.mp4"))


def digests(case: Reviewed, **values: Any) -> dict[str, str]:
    case.values |= values
    return {path: case.plan.preview_digest(path) for path in case.plan.accepted}


def test_the_preview_follows_its_deidentified_node(case: Reviewed) -> None:
    before = digests(case)
    case.decide(f"{A} | cover | 0 | 2")
    after = digests(case)
    assert after[A] != before[A] and after["B/trial-1"] == before["B/trial-1"]
    case.decide()
    assert digests(case) == before
    nodes = {**case.values["nodes"], "deidentified_solid": {"backend": "mosaic", "backend_options": {"blocks": 1}}}
    assert digests(case, nodes=nodes) == before
    assert digests(case, preview={"deidentified": "deidentified_solid"})[A] != before[A]
    assert case.plan.shown["deidentified"] == "deidentified_solid"
