"""Names that say nothing: keyed pseudonyms of subjects and clips, and keyed digests, another key for each tier.

A key is 32 random bytes. Whoever has it can find out who is who from a list of names, so the file of keys never leaves
the laboratory; with other keys, the tiers cannot be joined by anybody else.
"""

import base64
import contextlib
import csv
import hashlib
import hmac
import io
import os
import re
import secrets
from pathlib import Path

from gaitloom.clips import KEY, PREFIX, Clip, rows_by_hand
from gaitloom.errors import GaitloomError
from gaitloom.release.settings import TIERS, TierName

SHORT = re.compile(r"\d{1,3}")  # a number of a session or trial; longer ones may be dates
VIEWS = ("sagittal", "frontal", "oblique", "side", "front", "back", "left", "right")


class Pseudonyms:
    """The names of one tier.

    Raises:
        GaitloomError: the file of keys is malformed.
    """

    def __init__(self, path: Path, tier: TierName):
        self._key = _keys(path)[tier]

    def subject(self, name: str) -> str:
        """A subject's pseudonym: 'P' and eight letters or digits, the same in every version of this tier."""
        return "P" + self._code("subject", name.casefold(), length=8)

    def clip(self, clip: Clip) -> str:
        """A clip's name with nothing in it that the laboratory made up: numbers up to three digits and views stay, all
        else becomes a code."""
        parts = []
        for field in KEY[1:]:
            value = getattr(clip, field)
            if value:
                camera = field == "camera"
                known = value in VIEWS if camera else SHORT.fullmatch(value)
                whose = "" if camera else clip.subject  # else two people's codes would tell of a common date
                parts.append(f"{PREFIX[field]}-{value if known else self._code(field, whose, value, length=6).lower()}")
        return "_".join(parts) or "clip"

    def digest(self, digest: str) -> str:
        """A keyed form of a digest, in hex: equal where the digests are, and otherwise of no use to anybody."""
        return hmac.new(self._key, digest.encode(), hashlib.sha256).hexdigest()

    def _code(self, *parts: str, length: int) -> str:
        mark = hmac.new(self._key, "\0".join(parts).encode(), hashlib.sha256).digest()
        return base64.b32encode(mark).decode()[:length]


def _keys(path: Path) -> dict[str, bytes]:
    """The keys by tier; the file is made where there is none."""
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        text = io.StringIO()
        rows = [(tier, secrets.token_hex(32)) for tier in TIERS]
        csv.writer(text, delimiter="\t", lineterminator="\n").writerows([("tier", "key"), *rows])
        draft = path.with_name(f".{path.name}.{os.getpid()}")
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as stream:
            stream.write(text.getvalue())
        with contextlib.suppress(FileExistsError):  # whoever was first wins: two keys would give two sets of names
            os.link(draft, path)
        draft.unlink()
    columns = ("tier", "key")
    keys = {r["tier"]: r["key"] for _, r in rows_by_hand(path, columns, columns, "file of keys", "release.keys", "")}
    for tier in TIERS:
        if not re.fullmatch(r"[0-9a-f]{64}", keys.get(tier, "")):
            raise GaitloomError(
                f"{path} has no key of 64 hexadecimal digits for the tier {tier}; put the file back as it was made, "
                "or all pseudonyms change."
            )
    return {t: bytes.fromhex(k) for t, k in keys.items()}
