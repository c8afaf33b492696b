"""The release as a BagIt bag (RFC 8493), and SHA256SUMS for those who have only a shell.

data/ is the payload; everything beside it is tag files. The bagit library makes bags in place, with today's date and by
moving files; here nothing may move, and the date is the release's, so the few lines are written by hand and read back
with the library.
"""

import bagit

from gaitloom.errors import GaitloomError
from gaitloom.release.contents import Contents
from gaitloom.store import file_sha256

SUMS = "SHA256SUMS"
TAG_MANIFEST = "tagmanifest-sha256.txt"


def write(contents: Contents) -> None:
    """Write the bag's files, and read the bag back.

    Raises:
        GaitloomError: it is not valid; this should not happen.
    """
    folder, settings = contents.folder, contents.dataset.settings
    payload = sorted(p for p in contents.data.rglob("*") if p.is_file())
    known = {a.name: a.sha256 for a in contents.archives}
    sums = {p: known.get(p.name) or file_sha256(p) for p in payload}
    (folder / "bagit.txt").write_text("BagIt-Version: 1.0\nTag-File-Character-Encoding: UTF-8\n")
    (folder / "bag-info.txt").write_text(
        f"Source-Organization: {settings.publisher}\n"
        f"Contact-Email: {settings.contact}\n"
        f"External-Identifier: {settings.doi or settings.folder(folder, contents.dataset.tier).name}\n"
        f"Bagging-Date: {settings.date.isoformat()}\n"
        f"Payload-Oxum: {sum(p.stat().st_size for p in payload)}.{len(payload)}\n",
        encoding="utf-8",
    )
    manifest = [f"{sums[p]}  {p.relative_to(folder).as_posix()}\n" for p in payload]
    (folder / "manifest-sha256.txt").write_text("".join(manifest), encoding="utf-8")
    tags = sorted(
        p
        for p in folder.rglob("*")
        if p.is_file() and contents.data not in p.parents and not p.name.startswith(".") and p.name != SUMS
    )
    lines = [f"{file_sha256(p)}  {p.relative_to(folder).as_posix()}\n" for p in tags if p.name != TAG_MANIFEST]
    (folder / SUMS).write_text("".join(sorted([*manifest, *lines], key=lambda line: line.split("  ", 1)[1])))
    tags = sorted([p for p in tags if p.name != TAG_MANIFEST] + [folder / SUMS])
    lines = [f"{file_sha256(p)}  {p.relative_to(folder).as_posix()}\n" for p in tags]
    (folder / TAG_MANIFEST).write_text("".join(lines), encoding="utf-8")
    try:
        bagit.Bag(str(folder)).validate(fast=True)
    except bagit.BagError as error:
        raise GaitloomError(f"{folder} is no valid bag ({error}); this should not happen.") from None
