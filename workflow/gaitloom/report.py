"""What every run leaves beside the store, of what is there: ledger, tables, contact sheet, the audits' figures, review
page."""

from gaitloom.clips import write_if_changed
from gaitloom.plan import Plan
from gaitloom.status import ledger, tsv
from gaitloom.store import Store


def write(plan: Plan) -> None:
    """Write all of it into the results folder; what is as it was stays untouched."""
    from gaitloom import audit_report, review
    from gaitloom.preview import contact_sheet

    results = plan.config.results
    rows = [list(vars(row).values()) for row in ledger(plan)]
    write_if_changed(results / "ledger.tsv", tsv(["clip", "node", "state", "reason"], rows))
    _write_qc(plan)
    for node in plan.nodes_of("gait"):
        _write_gait(plan, node)
    contact_sheet(plan, results / "contact.png")
    audit_report.write(plan)
    review.write(plan)


def _write_qc(plan: Plan) -> None:
    from gaitloom.qc import COLUMNS

    store = Store(plan.config.results)
    rows = [[path, *((store.index(path) or {}).get("qc", {}).get(c, "") for c in COLUMNS)] for path in plan.accepted]
    write_if_changed(plan.config.results / "qc.tsv", tsv(["clip", *COLUMNS], rows))


def _write_gait(plan: Plan, node: str) -> None:
    """Gait parameters by subject, session and condition, as `gait.tsv`, or by the node's name."""
    from gaitloom.gait.summary import REPORT, condition, report

    store = Store(plan.config.results)
    planned = [c for p, c in plan.accepted.items() if node in plan.nodes_of_clip(p)]
    made = [c for c in planned if store.digest(plan.key(c, node)) == plan.digests_of(c.path)[node]]
    nodes = (
        ({"subject": c.subject, "session": c.session, "condition": condition(c.extra)}, store.open(plan.key(c, node)))
        for c in made
    )
    rows = [[_text(row[column]) for column in REPORT] for row in report(nodes)]
    write_if_changed(plan.config.results / f"{node}.tsv", tsv(REPORT, rows))


def _text(value: str | float) -> str | int:
    """A cell: numbers with six digits, nothing where there is no number."""
    return ("" if value != value else f"{value:.6g}") if isinstance(value, float) else value
