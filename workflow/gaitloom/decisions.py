"""What people decided when they looked at a clip: the decision file, and what of it belongs into recipes.

Like the clip sheet it is written by hand and never rewritten by a program. `exclude` leaves a clip out; `cover` rows
are part of the recipe of the clip's deidentified nodes, `accept` rows of that of their audits. Recipes get what changes
the result and nothing else: no names, no notes, no row numbers.
"""

import difflib
import io
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from csv import writer
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gaitloom.clips import EXCLUDED, OK, Clip, box_of, number, of_path, rows_by_hand
from gaitloom.errors import GaitloomError

if TYPE_CHECKING:
    import numpy as np

DEFAULT = Path("config/decisions.tsv")
ACCEPT, COVER, EXCLUDE = "accept", "cover", "exclude"
CHECKLIST = ("mirrors", "tattoos", "name_tags")
COLUMNS = ("clip", "decision", "start", "end", "box", "of", *CHECKLIST, "by", "note")
TAKES = {ACCEPT: ("of", *CHECKLIST), COVER: ("start", "end", "box"), EXCLUDE: ()}
SHORT = 12  # digits of a digest that name what was looked at

Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Decision:
    """One row. `start` and `end` are frames of the clip, end exclusive, None its own ends; `box` is in full-frame
    pixels, None the whole frame; `of` is the beginning of the digest of the deidentified node that was looked at."""

    row: int
    clip: str
    decision: str
    start: int | None = None
    end: int | None = None
    box: Box | None = None
    of: str = ""
    note: str = ""


def read(
    path: Path | None, clips: Iterable[Clip], withdrawn: Callable[[Clip], bool] = lambda clip: False
) -> dict[str, list[Decision]]:
    """`{subject}/{clip}` → its decisions; none where there is no file at the default path. Rows on a clip that there is
    not because somebody has `withdrawn` are passed over: it is refused whatever they say.

    Raises:
        GaitloomError: the file is malformed, or decides on a clip that there is not; the sentence names row and column.
    """
    if path is None or (path == DEFAULT and not path.exists()):
        return {}
    known = {c.path for c in clips if c.subject}
    decided: dict[str, list[Decision]] = {}
    rows = rows_by_hand(path, ("clip", "decision"), COLUMNS, "decision file", "review.decisions", "remove it.")
    for row, values in rows:
        decision = _decision(row, values, f"{path} row {row}")
        if decision.clip not in known and withdrawn(of_path(decision.clip)):
            continue
        if decision.clip not in known:
            near = difflib.get_close_matches(decision.clip, sorted(known), 3)
            hint = f"did you mean {' or '.join(near)}?" if near else "`gaitloom status` lists the clips."
            raise GaitloomError(
                f"{path} row {row}, column clip: there is no clip '{decision.clip}' (removed, or renamed); correct or "
                f"remove the row; {hint}"
            )
        decided.setdefault(decision.clip, []).append(decision)
    return decided


def _decision(row: int, values: dict[str, str], where: str) -> Decision:
    decision = values["decision"]
    if decision not in TAKES:
        raise GaitloomError(f"{where}, column decision: '{decision}' is none; write accept, cover or exclude.")
    for column in ("start", "end", "box", "of", *CHECKLIST):
        if values.get(column) and column not in TAKES[decision]:
            raise GaitloomError(
                f"{where}, column {column}: '{decision}' takes no such value; leave it empty, or decide otherwise."
            )
    if decision == ACCEPT:
        _looked(values, where)
    start, end = (number(values, c, int, where) for c in ("start", "end"))
    if (start or 0) < 0 or (end is not None and end <= (start or 0)):
        raise GaitloomError(f"{where}: the frames {start or 0} to {end} are none; end must be greater than start.")
    box = box_of(values.get("box", ""), where)
    return Decision(row, values["clip"], decision, start, end, box, values.get("of", ""), values.get("note", ""))


def _looked(values: dict[str, str], where: str) -> None:
    """Refuse to accept what was not looked at, or not looked at for everything."""
    if not re.fullmatch(rf"[0-9a-f]{{{SHORT},64}}", values.get("of", "")):
        raise GaitloomError(
            f"{where}, column of: '{values.get('of', '')}' does not say what was looked at; copy the row from the "
            "review page."
        )
    for column in CHECKLIST:
        if values.get(column) != "yes":
            raise GaitloomError(
                f"{where}, column {column}: an accept needs 'yes' here, which says that you looked for "
                f"{column.replace('_', ' ')} and none gives anybody away; else cover them."
            )


def without_excluded(clips: Sequence[Clip], decided: dict[str, list[Decision]]) -> list[Clip]:
    """The clips, those that somebody excluded in review marked so. Each keeps its name and its content's place, so that
    no copy of it comes in instead."""
    reasons = {
        path: next((d.note for d in rows if d.decision == EXCLUDE and d.note), "excluded in review")
        for path, rows in decided.items()
        if any(d.decision == EXCLUDE for d in rows)
    }
    return [
        replace(c, status=EXCLUDED, reason=reasons[c.path]) if c.status == OK and c.path in reasons else c
        for c in clips
    ]


def covers(rows: Iterable[Decision]) -> list[dict[str, Any]]:
    """What is covered by hand, as it stands in a deidentified node's recipe: start, end, box; None all, whatever the
    order of the rows."""
    found = {(d.start, d.end, d.box) for d in rows if d.decision == COVER}
    ordered = sorted(found, key=lambda row: [(value is not None, value) for value in row])
    return [{"start": start, "end": end, "box": None if box is None else list(box)} for start, end, box in ordered]


def boxes(covered: Iterable[dict[str, Any]], length: int, size: tuple[int, int]) -> "Iterator[tuple[int, np.ndarray]]":
    """Frame and box (4,) of everything that `covers` gave, for a clip of so many frames of (width, height).

    Raises:
        GaitloomError: a row means frames that the clip does not have, or a box that lies outside its picture.
    """
    import numpy as np

    for row in covered:
        start, end = row["start"] or 0, length if row["end"] is None else row["end"]
        if not start < end <= length:
            raise GaitloomError(
                f"has {length} frames, so frames {start} to {end} cannot be covered; correct the decision file"
            )
        box = np.array([0, 0, *size] if row["box"] is None else row["box"], float)
        cut = np.clip(box, 0, (*size, *size))
        if not (cut[2:] > cut[:2]).all():
            raise GaitloomError(
                f"has nothing to cover at the box {row['box']}, its picture is {size[0]}x{size[1]}; correct the "
                "decision file"
            )
        for t in range(start, end):
            yield t, cut


def accepted(rows: Iterable[Decision], of: str) -> list[dict[str, Any]]:
    """The acceptance of a deidentified node with the digest `of`, as it stands in its audit's recipe: what was looked
    at, and for what. Empty where there is none, or of another making of the node only."""
    if any(d.decision == ACCEPT and of.startswith(d.of) for d in rows):
        return [{"decision": ACCEPT, "of": of[:SHORT], **dict.fromkeys(CHECKLIST, "yes")}]
    return []


def stale(rows: Sequence[Decision], of: str) -> list[Decision]:
    """The acceptances of other makings than `of`, where that one is not accepted."""
    return [] if accepted(rows, of) else [d for d in rows if d.decision == ACCEPT]


def tsv(*rows: dict[str, Any]) -> str:
    """Rows for the decision file, without its header; what a row leaves out is empty."""
    text = io.StringIO()
    table = writer(text, delimiter="\t", lineterminator="\n")
    table.writerows([row.get(column, "") for column in COLUMNS] for row in rows)
    return text.getvalue()
