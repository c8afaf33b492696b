"""Keeping the resolved sheet true: list the folders by stat, hash only new or changed files, read headers, check.

Runs inside `snakemake` while it parses (main process only), so every run and every dry run notices arrivals by itself.
It decodes nothing. A file that cannot be a clip becomes a rejected row with its reason; it never stops the others.
"""

import csv
import hashlib
import io
import os
from collections.abc import Iterable
from dataclasses import dataclass, fields, replace
from pathlib import Path

from gaitloom import clips as sheets
from gaitloom.clips import EXCLUDED, KEY, OK, REJECTED, Clip
from gaitloom.config import Config
from gaitloom.errors import GaitloomError
from gaitloom.progress import say, track, warn
from gaitloom.tombstones import Tombstones


@dataclass(frozen=True)
class Video:
    """One raw video as last seen: its state by stat, its content hash, why it cannot be used, if so, and its size in
    pixels and number of frames by its header (0: it does not say).
    """

    path: str
    name: str
    size: int
    mtime_ns: int
    sha256: str
    fault: str
    width: int = 0
    height: int = 0
    frames: int = 0

    @property
    def looked_at(self) -> bool:
        """Whether it was read to its end, and its header too."""
        return bool(self.sha256 and (self.width or self.fault))


def scan(config: Config) -> list[Clip]:
    """Bring `results/clips.tsv` up to date with the input folders and the hand-written sheet, and return it.

    Raises:
        GaitloomError: a folder is missing, or the hand-written sheet is malformed.
    """
    previous = config.results / "clips.tsv"
    before = sheets.read_sheet(previous) if previous.is_file() else []
    incumbents = {c.path: c for c in before if c.status == OK}
    videos = _videos(config)
    clips = _without_withdrawn(config, videos, _name(config, videos))
    _write_cache(config.results / "videos.tsv", videos.values())
    clips = _check(clips, incumbents)
    if sheets.write_sheet(previous, clips) or not incumbents:
        _summarise(clips)
    return sheets.read_sheet(previous)


def _videos(config: Config) -> dict[str, Video]:
    """Every video below the input folders by its path, hashed and probed; unchanged ones from the cache."""
    known = read_cache(config.results / "videos.tsv")
    found: dict[str, Video] = {}
    fresh: list[tuple[Path, str, os.stat_result]] = []
    for folder in config.clips.folders:
        if not folder.is_dir():
            raise GaitloomError(
                f"The input folder {folder} does not exist; correct clips.folders in the configuration."
            )
        for file in _files(folder, config.clips.extensions):
            path, name = _text(file), _text(file.relative_to(folder).with_suffix(""))
            seen = known.get(path)
            try:
                stat = file.stat()
            except OSError as error:
                found[path] = Video(path, name, 0, 0, "", _unreadable(error))
                continue
            if path != str(file):
                found[path] = Video(path, name, stat.st_size, 0, "", "its name is not valid UTF-8; rename it")
            elif seen and seen.looked_at and (seen.size, seen.mtime_ns) == (stat.st_size, stat.st_mtime_ns):
                found[path] = replace(seen, name=name)
            else:
                fresh.append((file, name, stat))
    for file, name, stat in track(fresh, "hashing videos"):
        found[str(file)] = _look(file, name, stat)
    return dict(sorted(found.items()))


def _files(folder: Path, extensions: Iterable[str]) -> list[Path]:
    endings = tuple(e.lower() for e in extensions)
    return sorted(
        Path(where, name)
        for where, folders, names in os.walk(folder, followlinks=True)
        for name in names
        if name.lower().endswith(endings) and not name.startswith(".")
    )


def _text(path: Path) -> str:
    """A path as text that can be written, also where it is not UTF-8."""
    return os.fsencode(path).decode(errors="replace")


def _unreadable(error: OSError) -> str:
    return f"it cannot be read ({error.strerror}); check its permissions and where its link leads"


def _look(file: Path, name: str, stat: os.stat_result) -> Video:
    """Hash one file and read its header."""
    from gaitloom.video import probe  # PyAV is loaded only when there is something new

    fault, digest, shape = "", "", (0, 0, 0)
    try:
        with file.open("rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
        try:
            header = probe(file)
            shape = header.width, header.height, header.about
        except GaitloomError as error:
            fault = f"it {error}"
        after = file.stat()
        if (after.st_size, after.st_mtime_ns) != (stat.st_size, stat.st_mtime_ns):
            fault = "it changed while it was being read; run again when its copy is complete"
    except OSError as error:
        fault = _unreadable(error)
    return Video(str(file), name, stat.st_size, stat.st_mtime_ns, digest, fault, *shape)


def _name(config: Config, videos: dict[str, Video]) -> list[Clip]:
    """Give every video its clips: from the rows of the hand-written sheet that name it, else from its file name."""
    by_hand = sheets.read_by_hand(config.clips.sheet, config.clips.columns) if config.clips.sheet else []
    rows: dict[str, list[Clip]] = {}
    clips: list[Clip] = []
    for clip in by_hand:
        paths = [p for p in (str(f / clip.video) for f in config.clips.folders) if p in videos]
        if paths:
            rows.setdefault(paths[0], []).append(clip)
        elif clip.status == EXCLUDED:
            clips.append(clip)
        else:
            clips.append(
                replace(
                    clip, status=REJECTED, reason=f"the sheet names {clip.video}, which is in none of the input folders"
                )
            )
    for path, video in videos.items():
        named = sheets.from_name(video.name, config.clips.pattern) or {}
        for clip in rows.get(path, [Clip(subject="")]):
            clips.append(_complete(clip, path, video, named, config))
    return clips


def _without_withdrawn(config: Config, videos: dict[str, Video], clips: list[Clip]) -> list[Clip]:
    """Leave out, from the cache of videos too, whoever withdrew: no table is to name them."""
    marks = Tombstones.of(config)
    refused = [c for c in clips if marks.refuse(c)]
    kept = [c for c in clips if c not in refused]
    for path in sorted({c.video for c in refused} & set(videos) - {c.video for c in kept}):
        warn(f"{path} is of somebody who withdrew; it is not used, remove it from the input folder.")
        del videos[path]
    return kept


def _complete(clip: Clip, path: str, video: Video, named: dict[str, str], config: Config) -> Clip:
    """Fill what the sheet leaves open from the file's name, and say what makes the clip unusable."""
    extra = {k: v for k, v in named.items() if k not in KEY} | clip.extra
    clip = replace(
        clip,
        **{k: getattr(clip, k) or named.get(k, "") for k in KEY},
        video=path,
        sha256=video.sha256,
        **{k: getattr(video, k) for k in ("width", "height", "frames")},
        extra=extra,
    )
    if clip.status == EXCLUDED:
        return clip
    if video.fault:
        return replace(clip, status=REJECTED, reason=video.fault)
    if not clip.subject:
        where = config.clips.sheet or "a clip sheet (clips.sheet in the configuration)"
        reason = f"its name does not fit the pattern {config.clips.pattern}; rename it, or add a row for it to {where}"
        return replace(clip, status=REJECTED, reason=reason)
    return clip


def _check(clips: list[Clip], incumbents: dict[str, Clip]) -> list[Clip]:
    """Refuse colliding names and overlapping segments of the same content. Whoever was there first stays."""

    def seniority(clip: Clip) -> tuple[bool, str, int]:
        before = incumbents.get(clip.path)
        was_there = before is not None and before.video == clip.video
        return not was_there, clip.video, clip.start or 0

    taken: dict[str, Clip] = {}
    contents: dict[str, list[Clip]] = {}
    checked: list[Clip] = []
    for clip in sorted(clips, key=seniority):
        if clip.status == OK:
            twin = next((c for c in contents.get(clip.sha256, []) if c.overlaps(clip)), None)
            rival = taken.get(clip.path.casefold())
            reason = ""
            if twin:
                reason = (
                    f"it has the same content as {twin.video} ({twin.path}); remove one, or give them segments apart"
                )
            elif rival:
                reason = (
                    f"its name {clip.path} is taken by {rival.video}; rename it, or tell them apart in the clip sheet"
                )
            else:
                taken[clip.path.casefold()] = clip
                contents.setdefault(clip.sha256, []).append(clip)
            clip = replace(clip, status=REJECTED, reason=reason) if reason else clip
        checked.append(clip)
    return checked


def _summarise(clips: list[Clip]) -> None:
    """Say on the terminal how many clips there are, and warn of each that cannot be used."""
    counts = {s: sum(c.status == s for c in clips) for s in (OK, EXCLUDED, REJECTED)}
    say(f"{counts[OK]} clips, {counts[EXCLUDED]} excluded, {counts[REJECTED]} rejected")
    for clip in clips:
        if clip.status == REJECTED:
            warn(f"{clip.video} is rejected: {clip.reason}.")


def read_cache(path: Path) -> dict[str, Video]:
    """The videos as the last scan saw them, by path."""
    if not path.is_file():
        return {}
    with path.open(newline="", encoding="utf-8") as file:
        numbers = {f.name for f in fields(Video) if f.type in (int, "int")}
        return {
            row["path"]: Video(**{k: int(v) if k in numbers else v for k, v in row.items()})  # pyright: ignore[reportArgumentType]
            for row in csv.DictReader(file, delimiter="\t")
        }


def _write_cache(path: Path, videos: Iterable[Video]) -> None:
    text = io.StringIO()
    table = csv.DictWriter(text, list(Video.__dataclass_fields__), delimiter="\t", lineterminator="\n")
    table.writeheader()
    table.writerows(vars(v) for v in sorted(videos, key=lambda v: v.path))
    sheets.write_if_changed(path, text.getvalue())
