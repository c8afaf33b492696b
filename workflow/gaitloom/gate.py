"""The gate before a release: what speaks against a clip, by its audit and by what people decided. It fails closed.

A red gate is healed by covering more, or by leaving the clip out; flags, which say that somebody has to look, by an
acceptance of exactly what was audited.
"""

from dataclasses import dataclass, field
from typing import Any, Literal

from gaitloom import decisions
from gaitloom.clips import OK, Clip
from gaitloom.deidentify.audit.gate import GATES, GREEN, NOT_RUN, RED
from gaitloom.plan import Plan
from gaitloom.provenance import differences
from gaitloom.store import Store

Tier = Literal["basic", "full"]

# No embedded judge finds people.
NEEDED: dict[Tier, tuple[str, ...]] = {"full": GATES, "basic": tuple(g for g in GATES if g != "heads")}


@dataclass(frozen=True)
class Verdict:
    """What is known of one clip. `audit` holds the attributes of its audit node where that is the planned one, and
    `of` is the digest of the deidentified node it looked at; `reasons` speak against a release that needs `tier`."""

    clip: Clip
    tier: Tier
    audit: dict[str, Any] | None = None
    of: str = ""
    gates: dict[str, str] = field(default_factory=dict)
    flags: tuple[str, ...] = ()
    accepted: bool = False
    stale: tuple[decisions.Decision, ...] = ()
    reasons: tuple[str, ...] = ()

    @property
    def red(self) -> list[str]:
        """The gates that are red."""
        return [g for g, result in self.gates.items() if result == RED]


def releasable(plan: Plan, store: Store, clip: Clip, tier: Tier) -> list[str]:
    """What speaks against a clip's release, a sentence each; empty where nothing does. Open and registered releases
    need the tier `full`, internal ones `basic`."""
    return list(judge(plan, store, clip, tier).reasons)


def judge(plan: Plan, store: Store, clip: Clip, tier: Tier) -> Verdict:
    """Everything that counts for a clip's release."""
    if clip.status != OK:
        return Verdict(clip, tier, reasons=(f"the clip is {clip.status}: {clip.reason}",))
    if plan.audited is None:
        return Verdict(clip, tier, reasons=("the configuration makes no audit node; add one under nodes",))
    name, audited = plan.audited
    if gone := [n for n in plan.audited if n in plan.withheld(clip.path)]:
        return Verdict(clip, tier, reasons=(f"consent for {' and '.join(gone)} was withdrawn; nothing proves it safe",))
    keys = {n: plan.key(clip, n) for n in plan.audited}
    planned = plan.digests_of(clip.path)
    stored = {n: store.attributes(key) for n, key in keys.items()}
    missing = [_absent(n, stored[n], planned[n], plan, clip) for n in (audited, name)]
    stale = tuple(decisions.stale(plan.decisions_on(clip), planned[audited]))
    reasons = [reason for reason in missing if reason]
    if reasons:
        return Verdict(clip, tier, of=planned[audited], stale=stale, reasons=(*reasons, *map(_again, stale)))
    audit, ledger = stored[name] or {}, stored[audited] or {}
    if audit.get("audited_seal") != ledger.get("seal"):
        reasons.append(f"the {name} is of other bytes than those of {audited} now; remove it and run snakemake")
    gates = {g: str(audit.get("gates", {}).get(g, {}).get("result", NOT_RUN)) for g in GATES}
    reasons += _by_gates(name, audit, gates, tier)
    flags = tuple(dict.fromkeys([*audit.get("flags", ()), *_flags(ledger)]))
    accepted = bool(decisions.accepted(plan.decisions_on(clip), planned[audited]))
    if flags and not accepted:
        reasons.append(f"flagged ({', '.join(flags)}) and not accepted; look at it on the review page")
    reasons += map(_again, stale)
    return Verdict(clip, tier, audit, planned[audited], gates, flags, accepted, stale, tuple(reasons))


def _by_gates(name: str, audit: dict[str, Any], gates: dict[str, str], tier: Tier) -> list[str]:
    """What the gates say against a clip, and by whom they were judged."""
    reasons = [
        f"gate {g} is red; cover what it shows or exclude the clip, an accept does not heal it"
        for g, result in gates.items()
        if result == RED
    ]
    if audit.get("tier") not in (tier, "full"):
        reasons.append(f"the {name} is {audit.get('tier', 'of no tier')}; open and registered releases need a full one")
    if left := [g for g in NEEDED[tier] if gates[g] not in (GREEN, RED)]:
        reasons.append(f"not run: {', '.join(left)}")
    if not reasons and audit.get("passed") is not True:
        reasons.append(f"the {name} did not pass")
    return reasons


def _absent(node: str, stored: dict[str, Any] | None, planned: str, plan: Plan, clip: Clip) -> str | None:
    """Why a node is not the planned one, if so."""
    if stored is None:
        return f"{node} is missing; run snakemake"
    if stored.get("recipe_digest") != planned:
        changed = ", ".join(differences(stored.get("recipe"), plan.recipes(clip)[node])) or "recipe"
        return f"{node} is stale, made with another {changed}; run snakemake"
    return None


def _again(accept: decisions.Decision) -> str:
    return f"the accept in row {accept.row} is of another making ({accept.of}), so it is stale; look again"


def _flags(ledger: dict[str, Any]) -> list[str]:
    """What the deidentified node itself asks to be looked at."""
    there = {"whole_frame": ledger.get("whole_frame_share"), "lost_person": ledger.get("lost")}
    return [flag for flag, value in there.items() if value] or (["flagged"] if ledger.get("flagged") else [])
