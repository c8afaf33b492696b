"""COMPLETENESS.tsv: what became of every clip that the release holds, and how many it does not hold, and why."""

import csv
import io
from collections import Counter

from gaitloom.clips import OK
from gaitloom.config import modality_of
from gaitloom.release.contents import Contents
from gaitloom.release.dataset import Entry
from gaitloom.release.documents import told
from gaitloom.release.parts import Part

# Kinds of reasons by words in them: the reasons themselves may name people, dates or rows.
KINDS = (
    ("of age since", "consent not renewed at majority"),
    ("expired", "consent expired"),
    ("a minor", "consent of a minor incomplete"),
    ("assessment is named", "patients and minors are not in this tier"),
    ("consent", "no consent to this"),
    ("ethics", "no consent to this"),
    ("is not in", "no row in the table of participants"),
    ("none of the tier's modalities", "none of the tier's modalities"),
)
UNUSED = "excluded or unreadable"
VARIOUS = "various reasons"


def text(contents: Contents) -> str:
    """The table: one row a clip and modality that the tier may hold, then counts of clips that are not in it."""
    dataset = contents.dataset
    planned = sorted({modality_of(n) for n in dataset.plan.nodes} & set(dataset.settings.modalities(dataset.tier)))
    rows = [("subject", "clip", "modality", "state")]
    for entry, part in zip(dataset.entries, contents.parts, strict=True):
        rows += [(part.subject, part.clip, m, _state(contents, entry, part, m)) for m in planned]
    rows += [("n/a", clips, "all", f"not in this release: {why}") for why, clips in left_out(contents).items()]
    table = io.StringIO()
    csv.writer(table, delimiter="\t", lineterminator="\n").writerows(rows)
    return table.getvalue()


def _state(contents: Contents, entry: Entry, part: Part, modality: str) -> str:
    dataset, path = contents.dataset, entry.clip.path
    if any(modality_of(n) == modality for n in part.nodes):
        return "released"
    if modality == "deidentified" and part.withheld:
        return "withheld: its audit does not allow it"
    nodes = [n for n in dataset.plan.nodes if modality_of(n) == modality]
    refused = any(f"{path}/{n}" in dataset.left_out or n in dataset.plan.withheld(path) for n in nodes)
    return "not consented" if refused else "not made"


def left_out(contents: Contents) -> dict[str, str]:
    """Kind of reason → clips that are not in the release, as `12 clips`. Kinds by which fewer than k people are left
    out are told together, without a number where they are still fewer."""
    dataset = contents.dataset
    reasons = [(dataset.plan.accepted[p].subject, kind(r)) for p, r in dataset.left_out.items() if p.count("/") == 1]
    reasons += [(clip.subject, UNUSED) for clip in dataset.plan.clips if clip.status != OK]
    clips, least = Counter(why for _, why in reasons), dataset.settings.k(dataset.tier)
    people: dict[str, set[str]] = {why: {s for s, w in reasons if w == why} for why in sorted(clips)}
    shown, hidden = told.groups(people, least)
    found = {why: f"{clips[why]} clips" for why in shown}
    if hidden:
        rest = sum(n for why, n in clips.items() if why not in shown)
        found[VARIOUS] = f"{rest} clips" if len(hidden) >= least else f"clips of fewer than {least} people"
    return found


def kind(reason: str) -> str:
    """A reason without what it names."""
    return next((told for words, told in KINDS if words in reason), "another reason")
