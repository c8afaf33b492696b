"""croissant.json: the release as a Croissant 1.1 data set (docs.mlcommons.org/croissant), whose record sets load from
its own tables: clips, participants, gait, provenance, and label tables."""

import csv
import datetime
import json
import math
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import mlcroissant as mlc

from gaitloom.errors import GaitloomError
from gaitloom.release import partitions
from gaitloom.release.contents import Contents
from gaitloom.release.metadata import licences
from gaitloom.store import file_sha256

VERSION = "http://mlcommons.org/croissant/1.1"
TSV, ZIP, JSON = "text/tab-separated-values", "application/zip", "application/json"
SPLIT = "Who is trained on, validated on and tested on: subjects by part."
KINDS = {  # of files inside archives
    ".csv": "text/csv",
    ".gz": "application/gzip",
    ".jpg": "image/jpeg",
    ".json": JSON,
    ".jsonl": "application/jsonlines",
    ".mp4": "video/mp4",
    ".parquet": "application/x-parquet",
    ".png": "image/png",
    ".tsv": TSV,
    ".xml": "application/xml",
}


def document(contents: Contents) -> str:
    """The text of croissant.json.

    Raises:
        GaitloomError: mlcroissant finds a fault in it; this should not happen.
    """
    settings, tier = contents.dataset.settings, contents.dataset.tier
    tables = [p for p in contents.data.rglob("*.tsv") if p.is_file()]
    sidecars = [p for p in contents.data.rglob("*.json") if p.is_file()]
    files: list[mlc.FileObject | mlc.FileSet] = [_table(contents, p, TSV) for p in sorted(tables)]
    files += [_table(contents, p, JSON) for p in sorted(sidecars)]
    for archive in contents.archives:
        files.append(
            mlc.FileObject(
                id=archive.name,
                name=archive.name,
                description=f"{archive.what} in the layout {archive.exporter}: {archive.files} files",
                content_url=f"data/{archive.name}",
                content_size=f"{archive.bytes} B",
                encoding_formats=[ZIP],
                sha256=archive.sha256,
            )
        )
        files += [
            mlc.FileSet(
                id=f"{archive.name}{suffix}",
                name=f"{archive.name}{suffix}",
                description=f"Its {suffix} files.",
                contained_in=[archive.name],
                encoding_formats=[KINDS[suffix]],
                includes=[f"**/*{suffix}"],
            )
            for suffix in archive.suffixes
            if suffix in KINDS
        ]
    address = licences.address(settings, tier)
    metadata = mlc.Metadata(
        name=f"{settings.name}-{tier}",
        description=settings.description,
        conforms_to=[VERSION],
        version=settings.version,
        license=[licences.url(settings, tier) or "DATA_USE.md"],
        url=address,
        date_published=datetime.datetime.combine(settings.date, datetime.time()),
        keywords=list(settings.keywords),
        creators=[_creator(c.name, c.orcid) for c in settings.creators],
        publisher=[mlc.Organization(name=settings.publisher)],
        cite_as=f"{'; '.join(c.name for c in settings.creators)} ({settings.date.year}). {settings.title}, "
        f"version {settings.version}, {tier}. {settings.publisher}. {address}",
        personal_sensitive_information=["Gait of persons under pseudonyms; see PRIVACY.md."],
        distribution=files,
        record_sets=[_records(contents, p) for p in sorted(tables)],
    )
    if metadata.issues.errors:
        raise GaitloomError(f"croissant.json is not valid ({metadata.issues.report()}); this should not happen.")
    return json.dumps(metadata.to_json(), indent=2, ensure_ascii=False, default=str) + "\n"


def _creator(name: str, orcid: str | None) -> mlc.Person:
    return mlc.Person(name=name, url=f"https://orcid.org/{orcid}" if orcid else None)


def _name(contents: Contents, path: Path) -> str:
    return path.relative_to(contents.data).as_posix()


def _table(contents: Contents, path: Path, encoding: str) -> mlc.FileObject:
    name = _name(contents, path)
    return mlc.FileObject(
        id=name,
        name=name,
        description=SPLIT if name.startswith(f"{partitions.FOLDER}/") else None,
        content_url=f"data/{name}",
        content_size=f"{path.stat().st_size} B",
        encoding_formats=[encoding],
        sha256=file_sha256(path),
    )


def _records(contents: Contents, path: Path) -> mlc.RecordSet:
    """A record set over a table; a column is of numbers where each of its values is one, or n/a."""
    name = _name(contents, path)
    sets = name.removesuffix(".tsv").replace("/", "-")
    with path.open(newline="", encoding="utf-8") as file:
        columns, *rows = csv.reader(file, delimiter="\t")
    about = {}
    if (sidecar := path.with_suffix(".json")).is_file():
        about = json.loads(sidecar.read_text(encoding="utf-8"))
    fields = [
        mlc.Field(
            id=f"{sets}/{column}",
            name=column,
            description=str(about.get(column, {}).get("Description", column)),
            data_types=[_type(values)],
            source=mlc.Source(file_object=name, extract=mlc.Extract(column=column)),
        )
        for column, values in zip(columns, zip(*rows, strict=True), strict=True)
    ]
    return mlc.RecordSet(id=sets, name=sets, fields=fields)


def _type(values: Iterable[str]) -> Any:
    known = {v for v in values if v != "n/a"}
    if known and all(re.fullmatch(r"-?\d{1,15}", v) for v in values):
        return mlc.DataType.INTEGER
    return mlc.DataType.FLOAT if known and all(map(_is_number, known)) else mlc.DataType.TEXT


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False
