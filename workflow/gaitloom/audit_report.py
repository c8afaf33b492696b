"""What the audits say of the data set: a table of its clips, and what they come to together."""

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from gaitloom.clips import OK, write_if_changed
from gaitloom.deidentify.audit.gate import GATES
from gaitloom.deidentify.audit.rates import upper_bound
from gaitloom.gate import NEEDED, Tier, Verdict, judge
from gaitloom.plan import Plan
from gaitloom.store import Store

HEADER = ("clip", "tier", *GATES, "flags", "decision")


def audit(plan: Plan, path: str | None, tier: Tier) -> int:
    """Print every clip's gates, or those of the one at `{subject}/{clip}`, with what speaks against a release that
    needs this tier, and the data set's figures. Returns the exit code: 1 where something speaks against a clip.

    Raises:
        GaitloomError: there is no such clip.
    """
    from rich.console import Console
    from rich.table import Table

    store, console = Store(plan.config.results), Console()
    clips = [plan.clip(path)] if path else list(plan.accepted.values())
    verdicts = [judge(plan, store, clip, tier) for clip in clips]
    gates = Table("clip", "tier", *GATES, box=None)
    against = Table("clip", "decided", f"what speaks against a release that needs {tier}", box=None)
    for verdict in verdicts:
        clip, audited, *results, _, decided = _row(plan, verdict)
        gates.add_row(clip, audited, *results)
        if verdict.reasons:
            against.add_row(clip, decided, "; ".join(verdict.reasons))
    console.print(gates)
    if against.rows:
        console.print(against)
    for line in _lines(summary(verdicts)):
        console.print(line)
    return int(any(v.reasons for v in verdicts))


def write(plan: Plan) -> None:
    """Put `audit.tsv` and `audit.json` into the results folder; where the configuration makes no audit, they go."""
    from gaitloom.status import tsv

    table, figures = (plan.config.results / f"audit.{kind}" for kind in ("tsv", "json"))
    if plan.audited is None:
        table.unlink(missing_ok=True)
        figures.unlink(missing_ok=True)
        return
    store = Store(plan.config.results)
    clips = [c for c in plan.clips if c.status == OK]
    by_tier: dict[Tier, list[Verdict]] = {tier: [judge(plan, store, clip, tier) for clip in clips] for tier in NEEDED}
    rows = [
        [*_row(plan, verdicts[0]), *("; ".join(v.reasons) for v in verdicts)]
        for verdicts in zip(*by_tier.values(), strict=True)
    ]
    write_if_changed(table, tsv([*HEADER, *(f"against_{tier}" for tier in by_tier)], rows))
    releasable = {tier: sum(not v.reasons for v in verdicts) for tier, verdicts in by_tier.items()}
    document = {"releasable": releasable, **summary(next(iter(by_tier.values())))}
    write_if_changed(figures, json.dumps(document, indent=1) + "\n")


def _row(plan: Plan, verdict: Verdict) -> list[str]:
    made = Counter(d.decision for d in plan.decisions_on(verdict.clip))
    told = [f"{decision} x{count}" if count > 1 else decision for decision, count in made.items()]
    tier = (verdict.audit or {}).get("tier", "")
    stale = ["stale"] if verdict.stale else []
    flags = " ".join(verdict.flags)
    return [verdict.clip.path, tier, *(verdict.gates.get(g, "") for g in GATES), flags, " ".join([*told, *stale])]


def summary(verdicts: Iterable[Verdict]) -> dict[str, Any]:
    """The figures of all audits together: how often each gate had each result and each flag was raised, regions by
    reason and level, and tracks with missed heads, with an upper bound on their share."""
    verdicts = list(verdicts)
    audits = [v.audit for v in verdicts if v.audit is not None]
    tracks, missed = (sum(a.get("missed", {}).get(k, 0) for a in audits) for k in ("tracks", "missed"))
    regions: dict[str, Any] = {}
    for attributes in audits:
        regions = _pooled(regions, attributes.get("regions", {}))
    return {
        "clips": len(verdicts),
        "audited": len(audits),
        "gates": {g: dict(Counter(v.gates[g] for v in verdicts if g in v.gates)) for g in GATES},
        "flags": dict(sorted(Counter(f for v in verdicts for f in v.flags).items())),
        "regions": regions,
        "missed": {"tracks": tracks, "missed": missed, "upper_95": round(upper_bound(missed, tracks), 6)},
    }


def _pooled(a: dict[str, Any], b: dict[str, Any]) -> dict[str, Any]:
    """Two tables of counts, nested alike, added up."""
    out = dict(a)
    for key, value in b.items():
        out[key] = _pooled(out.get(key, {}), value) if isinstance(value, dict) else out.get(key, 0) + value
    return out


def _lines(figures: dict[str, Any]) -> Sequence[str]:
    missed = figures["missed"]
    share = f"at most {missed['upper_95']:.2%} at 95 % confidence" if missed["tracks"] else "nothing is known of more"
    gates = ", ".join(
        f"{gate} {'/'.join(f'{count} {result}' for result, count in sorted(results.items()))}"
        for gate, results in figures["gates"].items()
        if results
    )
    return (
        f"{figures['audited']} of {figures['clips']} clips audited{'; ' if gates else ''}{gates}",
        f"heads missed: {missed['missed']} of {missed['tracks']} tracks, {share}",
        *(f"regions, {reason}: {_levels(levels)}" for reason, levels in sorted(figures["regions"].items())),
    )


def _levels(levels: Any) -> str:
    """Counts by the number of blocks across."""
    if not isinstance(levels, dict):
        return str(levels)
    return ", ".join(f"{count} at {level}" for level, count in sorted(levels.items()))
