"""What containers say beside their content: dates, tags, comments, hosts, and bytes that no reader looks at.

Sources: PKWARE APPNOTE 6.3 (zip), RFC 1952 (gzip), W3C PNG, ITU-T T.81 and T.871 (JPEG, JFIF), ISO/IEC 14496-12 (MP4).
"""

import struct
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from gaitloom.release import archives

LOCAL, ZIP64 = 30, 1
PNG = b"\x89PNG\r\n\x1a\n"
PNG_CHUNKS = {b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND", b"sRGB", b"gAMA", b"cHRM", b"pHYs", b"sBIT"}
JPEG_TAGS = {0xE0: "JFIF", 0xEE: "Adobe"}  # application segments that say how to decode
INSIDE = {b"moov", b"trak", b"mdia", b"minf", b"stbl", b"moof", b"traf", b"mvex", b"edts", b"dinf"}
TIMES = {b"mvhd", b"tkhd", b"mdhd"}
TAGS = {b"udta", b"meta", b"uuid", b"ilst"}
HANDLERS = (b"", b"VideoHandler", b"Core Media Video")
MOST_BOX = 64 << 20
# What FFmpeg writes where it was given no tags: a list of none.
NO_TAGS = struct.pack(">I4sII4sII4s4s9xI4s", 53, b"meta", 0, 33, b"hdlr", 0, 0, b"mdir", b"appl", 8, b"ilst")


def of_zip(path: Path) -> Iterator[tuple[str, str]]:
    """Member (or "") and what is wrong: not the one date, mode and order, comments, extra fields, bytes between."""
    with zipfile.ZipFile(path) as archive, path.open("rb") as file:
        if archive.comment:
            yield "", "has a comment"
        infos = archive.infolist()
        names = [i.filename for i in infos]
        if names != sorted(set(names)):
            yield "", "has members that are not sorted, or there twice"
        end = 0
        for info in sorted(infos, key=lambda i: i.header_offset):
            if info.header_offset != end:
                yield info.filename, "has bytes before it that belong to no member"
            file.seek(info.header_offset)
            header = struct.unpack("<4s5H3I2H", file.read(LOCAL))
            extra = file.read(header[9] + header[10])[header[9] :]
            end = info.header_offset + LOCAL + header[9] + header[10] + info.compress_size
            if info.date_time != archives.DATE or header[4:6] != (0, 33):  # 1980-01-01 as zip has it
                yield info.filename, "has a date"
            if info.comment:
                yield info.filename, "has a comment"
            if not (_zip64(info.extra) and _zip64(extra)):
                yield info.filename, "has extra fields"
            if (info.create_system, info.external_attr) != (3, archives.MODE):
                yield info.filename, "has other rights than files of releases have"
            name = info.filename
            if name.startswith("/") or "\\" in name or ":" in name or {"", ".", ".."} & set(name.split("/")):
                yield name, "is no name of a file in a release"
        if end != archive.start_dir:
            yield "", "has bytes behind its members that belong to none"


def _zip64(extra: bytes) -> bool:
    return not extra or (struct.unpack("<2H", extra[:4]) == (ZIP64, len(extra) - 4))


def of_gzip(head: bytes) -> Iterator[str]:
    """What is wrong with a gzip header: (10,) bytes and what follows."""
    if head[3]:
        yield "has a file name or a comment in its gzip header"
    if head[4:8] != b"\0\0\0\0":
        yield "has a time in its gzip header"


def of_png(data: bytes) -> Iterator[str]:
    """What is wrong with a PNG's chunks."""
    at = len(PNG)
    while at + 12 <= len(data):
        size, kind = struct.unpack(">I4s", data[at : at + 8])
        if kind not in PNG_CHUNKS:
            yield f"has a PNG chunk {kind.decode('latin-1')}, which may hold a date or a name"
        at += 12 + size
        if kind == b"IEND":
            break
    if at != len(data):
        yield "has bytes behind its end"


def of_jpeg(data: bytes) -> Iterator[str]:
    """What is wrong with a JPEG's segments: EXIF, XMP, profiles, comments, anything behind the end."""
    at = 2
    while at + 4 <= len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if marker == 0xDA:
            break
        size = struct.unpack(">H", data[at + 2 : at + 4])[0]
        if marker == 0xFE:
            yield "has a JPEG comment"
        if 0xE0 <= marker <= 0xEF and marker not in JPEG_TAGS:
            yield f"has EXIF or another JPEG segment APP{marker - 0xE0}, which may hold a date"
        at += 2 + size
    if not data.endswith(b"\xff\xd9") or data.count(b"\xff\xd8\xff") > 1:
        yield "has bytes behind its end, or a picture within"


def of_mp4(file: IO[bytes], start: int = 0, end: int | None = None) -> Iterator[str]:
    """What is wrong with an MP4's boxes: times, tags, sound, free bytes that hold something."""
    end = file.seek(0, 2) if end is None else end
    at = start
    while at + 8 <= end:
        file.seek(at)
        size, kind = struct.unpack(">I4s", file.read(8))
        head = 8
        if size == 1:
            size, head = struct.unpack(">Q", file.read(8))[0], 16
        size = size or end - at
        if size < head or at + size > end:
            yield f"has a box {kind.decode('latin-1')} that does not fit"
            return
        yield from _box(file, kind, at + head, at + size)
        at += size
    if at != end:
        yield "has bytes behind its last box"


def _box(file: IO[bytes], kind: bytes, start: int, end: int) -> Iterator[str]:
    if kind in INSIDE:
        yield from of_mp4(file, start, end)
    elif kind in TAGS:
        file.seek(start)
        if kind != b"udta" or file.read(end - start) != NO_TAGS:
            yield f"has the container tags '{kind.decode()}'"
    elif kind in TIMES:
        file.seek(start)
        body = file.read(20)
        if any(body[4 : 20 if body[0] else 12]):
            yield f"has a creation time in its container ('{kind.decode()}')"
    elif kind in (b"free", b"skip", b"wide"):
        file.seek(start)
        if any(file.read(min(end - start, MOST_BOX))):
            yield "has free space that holds something"
    elif kind == b"hdlr":
        file.seek(start)
        body = file.read(min(end - start, 1024))
        if body[8:12] != b"vide":
            yield "has a track that is no video"
        if body[24:].strip(b"\0") not in HANDLERS:
            yield "has a name in its container ('hdlr')"
