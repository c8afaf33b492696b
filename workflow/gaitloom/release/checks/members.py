"""Each member of a release's archives, read once: what it is by its own bytes, and what it holds that it must not."""

import gzip
import io
import pickle
import pickletools
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np

from gaitloom.release.checks import pictures, stamps, tables
from gaitloom.release.checks.holdings import PARTITION, Holdings
from gaitloom.release.checks.words import Words

PIECE, OVERLAP = 8 << 20, 1 << 10
CUTS = b"\n", b",", b" "
PNG, JPEG, GZIP, NPY, PARQUET, PICKLE = b"\x89PNG", b"\xff\xd8\xff", b"\x1f\x8b", b"\x93NUMPY", b"PAR1", b"\x80"
OTHERS = {  # what no layout holds, and nobody looked into
    b"PK\x03\x04": "an archive in an archive",
    b"\x1aE\xdf\xa3": "a Matroska video",
    b"RIFF": "a video or sound",
    b"GIF8": "a GIF",
    b"%PDF": "a PDF",
    b"II*\0": "a TIFF",
    b"MM\0*": "a TIFF",
    b"BM": "a bitmap",
}
TEXTS = (".json", ".jsonl", ".tsv", ".csv", ".md", ".txt", ".xml", ".yaml", ".yml", ".cff", ".html", ".svg")
PLAIN = ("Snakefile", "SHA256SUMS")
MOST = 1 << 30  # bytes of a picture, pickle or table that are read at once
LOADED = {("numpy", n) for n in ("_reconstruct", "_frombuffer", "ndarray", "dtype", "scalar")} | {
    ("builtins", "bytearray"),
    ("_codecs", "encode"),
}

Look = Callable[[bytes], Iterator[str]]


class Finding(NamedTuple):
    """What is wrong with a member of an archive; with the archive itself, or a file, where `member` is empty."""

    archive: str
    member: str
    what: str

    def __str__(self) -> str:
        return f"{self.archive}{f': {self.member}' if self.member else ''} {self.what}"


@dataclass(frozen=True)
class Rules:
    """What is looked for, and what the tier may hold. `dates` may stand in the files beside data/, as may `texts`: what
    the configuration itself says, and sizes."""

    words: Words
    holdings: Holdings
    dates: tuple[bytes, ...] = ()
    texts: tuple[bytes, ...] = field(default_factory=tuple)


def findings(folder: Path, rules: Rules) -> Iterator[Finding]:
    """What is wrong with a release's files, but for its videos' pixels."""
    for path in sorted(p for p in folder.rglob("*") if p.is_file() and not p.name.startswith(".")):
        name = path.relative_to(folder).as_posix()
        if path.suffix == ".zip" and name.startswith("data/"):
            yield from _archive(path, rules)
        else:
            yield from (Finding(name, "", w) for w in dict.fromkeys(_file(path, name, rules)))


def _archive(path: Path, rules: Rules) -> Iterator[Finding]:
    try:
        for member, what in stamps.of_zip(path):
            yield Finding(path.name, member, what)
        with zipfile.ZipFile(path) as archive:
            for info in archive.infolist():
                found = [*rules.words.in_path(info.filename), *rules.holdings.by_name(path.name, info.filename)]
                with archive.open(info) as file:
                    found += _member(info.filename, file, rules)
                yield from (Finding(path.name, info.filename, what) for what in dict.fromkeys(found))
    except (zipfile.BadZipFile, zlib.error, struct.error, EOFError) as error:
        yield Finding(path.name, "", f"is damaged ({error})")


def _file(path: Path, name: str, rules: Rules) -> Iterator[str]:
    """A file that lies in no archive."""
    yield from rules.words.in_path(name)
    if name.startswith("data/"):
        with path.open("rb") as file:
            yield from _member(name, file, rules)
        yield from rules.holdings.of_table(name, path)
        return
    data = path.read_bytes()
    if data.startswith((PNG, JPEG)):
        yield from stamps.of_png(data) if data.startswith(PNG) else stamps.of_jpeg(data)
        if not pictures.figure(data):
            yield "is a picture and no figure"
    else:
        yield from rules.words.in_text(tables.without(data, rules.texts), rules.dates, json=path.suffix == ".json")


def _member(name: str, file: IO[bytes], rules: Rules) -> Iterator[str]:
    """What is wrong with the content of a member, called `name`."""
    head = file.read(16)
    file.seek(0)
    other = next((what for magic, what in OTHERS.items() if head.startswith(magic)), None)
    if head[4:8] == b"ftyp":
        yield from rules.holdings.of(name, pictures.SCENE)
        if not name.endswith(tuple("0123456789")):  # chunks of an array are looked at together, as a video
            yield from stamps.of_mp4(file)
        file.seek(0)
        yield from _pieces(file, rules.words.in_bytes)
    elif head.startswith((PNG, JPEG)):
        yield from _picture(name, file.read(MOST), rules)
    elif head.startswith(GZIP):
        yield from stamps.of_gzip(head)
        with gzip.GzipFile(fileobj=file) as inner:
            yield from _member(name.removesuffix(".gz"), io.BufferedReader(inner), rules)  # type: ignore[arg-type]
    elif head.startswith(NPY):
        yield from _array(name, file, rules)
    elif head.startswith(PARQUET):
        yield from tables.of_parquet(file, rules.words, rules.holdings)
    elif name.endswith(TEXTS) or name.endswith(PLAIN):
        yield from _text(name, file, rules)
    elif _chunk(name):
        yield from _pieces(file, rules.words.in_bytes)
    elif name.endswith(".pkl") and head.startswith(PICKLE):
        yield from _pickle(file.read(MOST), rules)
    else:
        yield f"is {other or 'a file of a kind that no layout has'}, into which nobody looked"


def _chunk(name: str) -> bool:
    """Whether a name is that of a chunk of a Zarr array: `…/c/0/1`."""
    parts = name.split("/")
    digits = len(parts) - next((i for i, p in enumerate(reversed(parts)) if not p.isdigit()), len(parts))
    return digits > 0 and parts[digits - 1 : digits] == ["c"]


def _pieces(file: Any, look: Look, text: bool = False) -> Iterator[str]:
    """Look at a file piece by piece: text is cut between words, bytes overlap."""
    before = b""
    while piece := file.read(PIECE):
        data = before + piece
        cut = max(map(data.rfind, CUTS)) + 1 if text else len(data)
        yield from look(data[:cut])
        before = data[cut:] if text else data[-OVERLAP:]
    yield from look(before) if text else ()


def _text(name: str, file: IO[bytes], rules: Rules) -> Iterator[str]:
    json = name.endswith((".json", ".jsonl"))

    def look(data: bytes) -> Iterator[str]:
        yield from rules.words.in_text(data, json=json)
        yield from rules.holdings.in_json(name, data) if json else ()

    if name.endswith((".tsv", ".csv")):
        data = file.read(MOST)
        yield from look(data)
        yield from rules.holdings.in_table(name, data)
    elif PARTITION.search(name):
        data = file.read(MOST)
        yield from look(data)
        yield from rules.holdings.in_partition(data)
    else:
        yield from _pieces(file, look, text=True)


def _picture(name: str, data: bytes, rules: Rules) -> Iterator[str]:
    yield from stamps.of_png(data) if data.startswith(PNG) else stamps.of_jpeg(data)
    yield from rules.words.in_bytes(data)
    try:
        shows = pictures.shows(data)
    except ValueError as error:
        yield f"is a picture that {error}"
        return
    if shows == pictures.SCENE:
        yield "is a picture of the scene, and no layout holds pictures of it"
    yield from rules.holdings.of(name, shows)


def _array(name: str, file: IO[bytes], rules: Rules) -> Iterator[str]:
    """A NumPy array (numpy.lib.format): its header is text, strings in it are too."""
    start = file.read(12)
    wide = start[6] > 1
    size = struct.unpack("<I", start[8:12])[0] if wide else struct.unpack("<H", start[8:10])[0]
    header = (b"" if wide else start[10:12]) + file.read(size - (0 if wide else 2))
    yield from rules.words.in_text(header)
    about = tables.array_header(header)
    if about is None:
        yield "is an array whose header says more than it has to"
        return
    dtype, shape = about
    if dtype.hasobject:
        yield "is an array of Python objects, into which nobody looked"
        return
    first = file.read(int(np.prod(shape[1:], dtype=np.int64)) * dtype.itemsize) if len(shape) > 1 else b""
    if dtype == np.uint8 and len(shape) in (3, 4) and first:
        picture = np.frombuffer(first, dtype).reshape(shape[1:])
        shows = pictures.modality(picture[..., 0] if picture.shape[-1] == 1 else picture)
        if shows == pictures.SCENE:
            yield "holds pictures of the scene as an array"
        yield from rules.holdings.of(name, shows)
    if dtype.kind in "SU":
        words = np.frombuffer((first + file.read(MOST))[: int(np.prod(shape)) * dtype.itemsize], dtype)
        yield from rules.words.in_text("\n".join(map(_word, words)).encode())
        return
    yield from rules.words.in_bytes(first)
    yield from _pieces(file, rules.words.in_bytes)


def _word(value: bytes | str) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value


class _Arrays(pickle.Unpickler):
    """Loads nothing but NumPy arrays."""

    def find_class(self, module: str, name: str) -> Any:
        if (module.split(".")[0], name) in LOADED:
            return super().find_class(module, name)
        raise pickle.UnpicklingError(f"it loads {module}.{name}")


def _pickle(data: bytes, rules: Rules) -> Iterator[str]:
    """A pickle: an array of numbers, and no text beside it."""
    try:
        strings = "\n".join(a for _, a, _ in pickletools.genops(data) if isinstance(a, str))
        array = _Arrays(io.BytesIO(data)).load()
    except (pickle.UnpicklingError, ValueError, EOFError, IndexError) as error:
        yield f"is a pickle of more than an array ({error})"
        return
    yield from rules.words.in_text(strings.encode())
    yield from rules.words.in_bytes(data)
    if not isinstance(array, np.ndarray) or array.dtype.kind not in "biuf":
        yield "is a pickle of more than an array of numbers"
    elif array.dtype == np.uint8 and array.ndim > 2 and array.size:
        shows = pictures.modality(array[len(array) // 2])
        if shows == pictures.SCENE:
            yield "holds pictures of the scene as an array"
