"""The review page as HTML: one file with its pictures inside, no scripts, nothing fetched."""

import base64
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import Any

import numpy as np

from gaitloom.decisions import COLUMNS

ONLY_ITSELF = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
STYLE = """
body { font: 15px/1.4 sans-serif; margin: 2em auto; max-width: 75em; padding: 0 1em; color: #222 }
section { border-top: 2px solid #ccc; margin-top: 2em }
figure { display: inline-block; margin: 0 .6em .6em 0; vertical-align: top; max-width: 28em }
figcaption { font-size: 12px; color: #555 }
img { display: block; max-width: 100% }
pre { background: #f3f3f3; padding: .6em; overflow-x: auto; tab-size: 12 }
td, th { text-align: left; padding: .1em .8em .1em 0; vertical-align: top }
.green { color: #186a1b } .red { color: #b3001b; font-weight: bold } .not { color: #8a5a00 }
"""
CHECKED = (
    "Look over the whole frames and the <a href='{preview}'>preview video</a> for mirrors and other reflections, "
    "tattoos, scars and birthmarks, name tags and other writing. In the accept row, write yes for each when nothing of "
    "it gives anybody away; what does, cover."
)


@dataclass(frozen=True)
class Look:
    """Something to look at: a frame, the box (4,) in it (None: all of it), and what it is; of a finding also its gate,
    its track and whether it makes the gate red."""

    frame: int
    box: np.ndarray | None
    what: str
    gate: str = ""
    track: int = -1
    red: bool = False


@dataclass(frozen=True)
class Entry:
    """What the page says of one clip: why it is there, its gates, rows for the decision file, and JPEGs of whole frames
    and of what is to be looked at."""

    clip: str
    reasons: Sequence[str]
    gates: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    rows: str = ""
    stills: Sequence[tuple[int, bytes]] = ()
    crops: Sequence[tuple[Look, bytes]] = ()


def page(entries: Sequence[Entry], decisions: Path | None) -> str:
    """The whole page; `decisions` is the file into which its rows go."""
    where = f"<code>{escape(str(decisions))}</code>" if decisions else "the file that review.decisions is to name"
    contents = "".join(f"<li><a href='#{escape(e.clip)}'>{escape(e.clip)}</a>: {_reasons(e)}</li>" for e in entries)
    intro = (
        f"<p>Pictures here are de-identified; <code>gaitloom review --raw</code> shows raw ones beside them, in "
        f"<code>review/raw</code>, for local eyes only. Decide by rows in {where}: tab-separated, by hand, beginning "
        f"with the line</p>{_pre(chr(9).join(COLUMNS))}<p>Then run <code>snakemake</code>: it remakes the clips that "
        f"you decided on. An accept does not heal a red gate; cover what it shows, or exclude the clip.</p>"
        if entries
        else "<p>No clip waits for a decision.</p>"
    )
    body = f"<h1>{len(entries)} clips to look at</h1>{intro}<ol>{contents}</ol>{''.join(map(_section, entries))}"
    return _document("Review", body)


def raw(clip: str, pictures: Iterable[tuple[Look, bytes, bytes]]) -> str:
    """A clip's page with raw crops beside the de-identified ones."""
    pairs = "".join(
        f"<div>{_figure(before, f'frame {look.frame}, raw')}{_figure(after, look.what)}</div>"
        for look, before, after in pictures
    )
    warning = "<p class='red'>Raw pictures: for local eyes only; delete this folder when you have decided.</p>"
    return _document(f"{clip}, raw", f"<h1>{escape(clip)}</h1>{warning}{pairs}")


def _section(entry: Entry) -> str:
    parts = [f"<h2>{escape(entry.clip)}</h2><ul>{''.join(f'<li>{escape(r)}</li>' for r in entry.reasons)}</ul>"]
    if entry.gates:
        parts.append(f"<table>{''.join(_gate(name, gate) for name, gate in entry.gates.items())}</table>")
    if entry.crops:
        shown = (_figure(jpeg, f"frame {look.frame}, {look.what}") for look, jpeg in entry.crops)
        parts.append(f"<h3>What to look at</h3>{''.join(shown)}")
    if entry.stills:
        shown = (_figure(jpeg, f"frame {t}") for t, jpeg in entry.stills)
        parts.append(f"<h3>Whole frames</h3>{''.join(shown)}")
    if entry.rows:
        preview = f"../preview/{escape(entry.clip)}.mp4"
        parts.append(f"<h3>Checklist</h3><p>{CHECKED.format(preview=preview)}</p>")
        parts.append(f"<h3>Rows to choose from</h3>{_pre(entry.rows)}")
    return f"<section id='{escape(entry.clip)}'>{''.join(parts)}</section>"


def _gate(name: str, gate: Mapping[str, Any]) -> str:
    result = str(gate.get("result", "not run"))
    numbers = ", ".join(f"{k} {v}" for k, v in gate.items() if k != "result")
    css = escape(result.split()[0]) if result else "not"
    return f"<tr><th>{escape(name)}</th><td class='{css}'>{escape(result)}</td><td>{escape(numbers)}</td></tr>"


def _reasons(entry: Entry) -> str:
    return escape("; ".join(entry.reasons))


def _figure(jpeg: bytes, caption: str) -> str:
    data = base64.b64encode(jpeg).decode()
    text = escape(caption)
    return f"<figure><img alt='{text}' src='data:image/jpeg;base64,{data}'><figcaption>{text}</figcaption></figure>"


def _pre(text: str) -> str:
    return f"<pre>{escape(text)}</pre>"


def _document(title: str, body: str) -> str:
    return (
        "<!DOCTYPE html>\n<html lang='en'><head><meta charset='utf-8'>"
        f"<meta http-equiv='Content-Security-Policy' content=\"{ONLY_ITSELF}\">"
        f"<title>GaitLoom: {escape(title)}</title><style>{STYLE}</style></head>\n<body>{body}</body></html>\n"
    )
