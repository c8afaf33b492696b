"""What tables and arrays in archives say of themselves: columns, texts, headers."""

import ast
import csv
import io
import re
from collections.abc import Iterable, Iterator
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from gaitloom.release.checks.words import URL, Words

if TYPE_CHECKING:
    from gaitloom.release.checks.holdings import Holdings


def without(data: bytes, texts: Iterable[bytes]) -> bytes:
    """A text of the release's own without addresses and what the configuration says."""
    data = URL.sub(b"", data)
    for text in texts:
        data = data.replace(text, b"")
    return data


def rows(data: bytes, name: str) -> list[dict[str, str]]:
    """The rows of a TSV or CSV."""
    text = io.StringIO(data.decode("utf-8", "replace"), newline="")
    return list(csv.DictReader(text, delimiter="\t" if name.endswith(".tsv") else ","))


def header(data: bytes, name: str) -> list[str]:
    """The columns of a TSV or CSV."""
    text = data.split(b"\n", 1)[0].decode("utf-8", "replace")
    return next(csv.reader([text], delimiter="\t" if name.endswith(".tsv") else ","), [])


def array_header(header: bytes) -> tuple[np.dtype[Any], tuple[int, ...]] | None:
    """dtype and shape that a NumPy header gives; None where it holds anything else."""
    try:
        about = ast.literal_eval(header.decode("latin-1").strip())
        if set(about) != {"descr", "fortran_order", "shape"} or re.search(rb"#|\\", header):
            return None
        return np.lib.format.descr_to_dtype(about["descr"]), tuple(about["shape"])
    except (ValueError, SyntaxError, TypeError):
        return None


def of_parquet(file: IO[bytes], words: Words, holdings: "Holdings") -> Iterator[str]:
    """What is wrong with a Parquet file: its columns, its metadata, and every text in it."""
    import pyarrow
    import pyarrow.parquet as parquet

    try:
        table = parquet.ParquetFile(file)
    except pyarrow.ArrowInvalid as error:
        yield f"is no Parquet file ({error})"
        return
    schema = table.schema_arrow
    for key, value in (schema.metadata or {}).items():
        yield from words.in_text(key + b"\n" + value, json=True)
    yield from holdings.columns_are(schema.names)
    for batch in table.iter_batches(batch_size=4096):
        for column in batch.columns:
            yield from words.in_text("\n".join(_texts(column.to_pylist())).encode()) if _textual(column.type) else ()


def _textual(kind: Any) -> bool:
    return "string" in str(kind)


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for inner in value.values():
            yield from _texts(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _texts(inner)
