"""Clips: their keys and names, the sheet written by hand, and the sheet that `scan` resolves.

Two tables, never mixed: `config/clips.tsv` belongs to people (a program never rewrites it) and says what file names do
not; `results/clips.tsv` belongs to `scan` and holds one row for every clip, also the rejected and excluded ones with
the reason.
"""

import csv
import difflib
import io
import math
import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, fields
from pathlib import Path

from gaitloom.errors import GaitloomError

KEY = ("subject", "session", "trial", "camera", "segment")
PREFIX = {"session": "ses", "trial": "trial", "camera": "cam", "segment": "seg"}
VALUE = r"[A-Za-z0-9]+(?:[.-][A-Za-z0-9]+)*"

OK, EXCLUDED, REJECTED = "ok", "excluded", "rejected"


@dataclass(frozen=True)
class Clip:
    """One pass in one camera's view: a segment of one video.

    `start` and `end` are frame indices of the video, 0-based, end exclusive; None means the video's own ends. `box` is
    where the subject stands in the clip's first frame (x0, y0, x1, y1 in full-frame pixels), where a person said so.
    `capture_fps` (Hz) replaces the file's time stamps, for slow-motion files. `sync_offset_s` (s) is added to this
    view's time to get the trial's. `width`, `height` (px) and `frames` are the video's as its header says, 0 where it
    does not: what jobs need is estimated from them, and nothing else depends on them. `extra` holds the columns that go
    through.
    """

    subject: str
    session: str = ""
    trial: str = ""
    camera: str = ""
    segment: str = ""
    video: str = ""
    sha256: str = ""
    start: int | None = None
    end: int | None = None
    box: tuple[float, float, float, float] | None = None
    capture_fps: float | None = None
    sync_offset_s: float | None = None
    status: str = OK
    reason: str = ""
    width: int = 0
    height: int = 0
    frames: int = 0
    extra: dict[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """`ses-01_trial-03_cam-sagittal_seg-1`, without the parts that are not used; `clip` where none is."""
        parts = [f"{PREFIX[k]}-{getattr(self, k)}" for k in KEY[1:] if getattr(self, k)]
        return "_".join(parts) or "clip"

    @property
    def path(self) -> str:
        """Where the clip lies in the store: `{subject}/{name}`."""
        return f"{self.subject}/{self.name}"

    def overlaps(self, other: "Clip") -> bool:
        """Whether two clips of the same content share a frame."""
        first, last = (self.start or 0, self.end), (other.start or 0, other.end)
        return (first[1] is None or last[0] < first[1]) and (last[1] is None or first[0] < last[1])


@dataclass(frozen=True, order=True)
class NodeKey:
    """The place of one node in the store: `{subject}/{clip}/{node}`."""

    subject: str
    name: str
    node: str

    @classmethod
    def parse(cls, text: str) -> "NodeKey":
        """Read `{subject}/{clip}/{node}`.

        Raises:
            GaitloomError: it is not of that form.
        """
        parts = text.strip("/").split("/")
        if len(parts) != 3 or not all(re.fullmatch(r"[\w.-]*\w", p) for p in parts):
            raise GaitloomError(f"'{text}' is not a node; write subject/clip/node, as `gaitloom status` lists them.")
        return cls(*parts)

    @property
    def clip(self) -> str:
        """`{subject}/{clip}`."""
        return f"{self.subject}/{self.name}"

    def __str__(self) -> str:
        return f"{self.clip}/{self.node}"


def of_path(path: str) -> Clip:
    """Subject and session of a clip that the sheet may not have, by its `{subject}/{clip}`."""
    subject, _, name = path.partition("/")
    return Clip(subject, session=next((part[4:] for part in name.split("_") if part.startswith("ses-")), ""))


# Columns of a sheet in their order; `extra` follows, one column each.
COLUMNS = tuple(f.name for f in fields(Clip) if f.name != "extra")
BY_HAND = (*KEY, "video", "start", "end", "box", "capture_fps", "sync_offset_s", "exclude")


def pattern_regex(pattern: str) -> re.Pattern[str]:
    """The regular expression of a file-name pattern such as `{subject}/{session}_{trial}_{camera}`."""
    lazy = VALUE.replace("+", "+?").replace("*", "*?")
    parts = re.split(r"\{(\w+)\}", pattern)
    return re.compile("".join(f"(?P<{p}>{lazy})" if i % 2 else re.escape(p) for i, p in enumerate(parts)))


def from_name(path: str, pattern: str) -> dict[str, str] | None:
    """The fields that a video's path (below its folder, without extension) gives, or None where it does not fit."""
    match = pattern_regex(pattern).fullmatch(path)
    return match.groupdict() if match else None


def read_by_hand(path: Path, extra: Iterable[str]) -> list[Clip]:
    """Read the sheet written by hand; `sha256` is empty still.

    Raises:
        GaitloomError: a column is missing or unknown, or a value cannot be read; the sentence names row and column.
    """
    hint = "list it under clips.columns in the configuration, or remove it."
    rows = rows_by_hand(path, ("video",), {*BY_HAND, *extra}, "clip sheet", "clips.sheet", hint)
    clips = []
    for number, row in rows:
        if not row["video"]:
            raise GaitloomError(f"{path} row {number}, column video: it is empty; give the video's file name.")
        clips.append(_from_row(row, f"{path} row {number}"))
    return clips


def rows_by_hand(
    path: Path, needed: Iterable[str], known: Iterable[str], what: str, key: str, unknown: str
) -> Iterator[tuple[int, dict[str, str]]]:
    """The number and the stripped values of each row, empty ones left out, of a table written by hand: tab-separated,
    with a header. `what` it is, `key` is where the configuration names it, `unknown` what to do with a column that is
    not `known`.

    Raises:
        GaitloomError: it is not there or not text, a needed column is missing, one is unknown or there twice, or a row
            has another number of them.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise GaitloomError(
            f"There is no {what} at {path}; correct {key} in the configuration, or set it to null."
        ) from None
    except UnicodeDecodeError:
        raise GaitloomError(f"{path} is not UTF-8 text; save it as tab-separated text in UTF-8.") from None
    except OSError as error:
        raise GaitloomError(f"{path} cannot be read ({error.strerror}); correct {key} in the configuration.") from None
    rows = csv.DictReader(io.StringIO(text), delimiter="\t")
    header = rows.fieldnames or []
    for column in needed:
        if column not in header:
            raise GaitloomError(f"{path} has no column '{column}'; add it, separated by tabs.")
    for column in header:
        if column not in known:
            near = difflib.get_close_matches(column, sorted(known), 1)
            hint = f"did you mean '{near[0]}'?" if near else unknown
            raise GaitloomError(f"{path} has an unknown column '{column}'; {hint}")
        if header.count(column) > 1:
            raise GaitloomError(f"{path} has the column '{column}' twice; remove one.")
    for row in rows:
        if not "".join(map(str, filter(None, row.values()))).strip():
            continue
        if None in row or None in row.values():
            raise GaitloomError(f"{path} row {rows.line_num} does not have {len(header)} columns; check its tabs.")
        yield rows.line_num, {k: v.strip() for k, v in row.items()}


def _from_row(row: dict[str, str], where: str) -> Clip:
    """A clip of one row of either sheet."""
    for key in KEY:
        if row.get(key) and not re.fullmatch(VALUE, row[key]):
            raise GaitloomError(
                f"{where}, column {key}: '{row[key]}' is not a name; use letters, digits, '.' and '-' only."
            )
    start, end = (number(row, c, int, where) for c in ("start", "end"))
    if (start is not None and start < 0) or (end is not None and end < (start or 0) + 2):
        raise GaitloomError(
            f"{where}: the frames {start or 0} to {end} are no segment; end must be at least start + 2."
        )
    fps = number(row, "capture_fps", float, where)
    if fps is not None and not 0 < fps < 1e6:
        raise GaitloomError(f"{where}, column capture_fps: {fps} is not a frame rate; give frames a second.")
    exclude = row.get("exclude", "")
    return Clip(
        **{k: row.get(k, "") for k in (*KEY, "video", "sha256")},
        start=start,
        end=end,
        box=box_of(row.get("box", ""), where),
        capture_fps=fps,
        sync_offset_s=number(row, "sync_offset_s", float, where),
        status=EXCLUDED if exclude else row.get("status") or OK,
        reason=exclude or row.get("reason", ""),
        width=number(row, "width", int, where) or 0,
        height=number(row, "height", int, where) or 0,
        frames=number(row, "frames", int, where) or 0,
        extra={k: v for k, v in row.items() if v and k not in COLUMNS and k not in BY_HAND},
    )


def number(row: dict[str, str], column: str, kind: type, where: str):
    """The finite number, an int or a float, in a row's column; None where it is empty."""
    text = row.get(column, "")
    if not text:
        return None
    try:
        if not math.isfinite(value := kind(text)):
            raise ValueError
        return value
    except ValueError:
        noun = "a frame number" if kind is int else "a number"
        raise GaitloomError(f"{where}, column {column}: '{text}' is not {noun}.") from None


def box_of(text: str, where: str) -> tuple[float, float, float, float] | None:
    """The box that is written as x0,y0,x1,y1; None where nothing is."""
    if not text:
        return None
    try:
        x0, y0, x1, y1 = (float(v) for v in text.split(","))
    except ValueError:
        x0 = y0 = x1 = y1 = 0.0
    if not (x0 < x1 and y0 < y1 and all(map(math.isfinite, (x0, y0, x1, y1)))):
        raise GaitloomError(f"{where}, column box: '{text}' is not a box; write x0,y0,x1,y1 in pixels.")
    return x0, y0, x1, y1


def write_sheet(path: Path, clips: Iterable[Clip]) -> bool:
    """Write the resolved sheet in one step, only if its text changes; say whether it did."""
    clips = sorted(clips, key=lambda c: (c.subject, c.name, c.status != OK, c.video))
    extra = sorted({k for c in clips for k in c.extra})
    text = io.StringIO()
    table = csv.writer(text, delimiter="\t", lineterminator="\n")
    table.writerow([*COLUMNS, *extra])
    for clip in clips:
        row = [getattr(clip, c) for c in COLUMNS] + [clip.extra.get(c, "") for c in extra]
        table.writerow(["" if v is None else ",".join(map(repr, v)) if isinstance(v, tuple) else v for v in row])
    return write_if_changed(path, text.getvalue())


def read_sheet(path: Path) -> list[Clip]:
    """Read the resolved sheet.

    Raises:
        GaitloomError: there is none yet.
    """
    try:
        file = path.open(newline="", encoding="utf-8")
    except FileNotFoundError:
        raise GaitloomError(
            f"There is no {path} yet; run `gaitloom scan` (or snakemake, which scans by itself)."
        ) from None
    with file:
        return list(_rows(csv.DictReader(file, delimiter="\t"), path))


def _rows(rows: Iterable[dict[str, str]], path: Path) -> Iterator[Clip]:
    for number, row in enumerate(rows, 2):
        yield _from_row(row, f"{path} row {number}")


def write_if_changed(path: Path, text: str) -> bool:
    """Put `text` at `path` by one rename, unless it is there already; say whether it was written."""
    if path.is_file() and path.read_text(encoding="utf-8") == text:
        return False
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        draft.write_text(text, encoding="utf-8")
        draft.replace(path)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise
    return True
